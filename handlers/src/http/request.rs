//! The checked params: a request and its limits. Errors contain no value that may be a secret.

use std::time::Duration;

use bytes::Bytes;
use hyper::{
    HeaderMap, Method,
    header::{self, HeaderName, HeaderValue},
};
use serde::Deserialize;
use serde_json::Value;
use url::Url;
use worker::HandlerError;

use super::expect::Expect;
use crate::duration::DurationParam;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const DEFAULT_REDIRECTS: u8 = 5;
const MAX_REDIRECTS: u8 = 20;
const DEFAULT_BODY_BYTES: u32 = 256 * 1024;
/// As base64, and with the rest of the result, a body of this size stays below the limit of 1 MiB.
const MAX_BODY_BYTES: u32 = 512 * 1024;
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(3600);
const MAX_URL_BYTES: usize = 8 * 1024;
const MAX_HEADERS: usize = 64;
const MAX_HEADER_BYTES: usize = 32 * 1024;
/// Headers that the worker sets itself, or that change the meaning of the connection.
const OWN_HEADERS: [HeaderName; 9] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
    header::EXPECT,
    header::PROXY_AUTHORIZATION,
];

/// The params, unchecked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HttpParams {
    url: Value,
    method: Option<String>,
    headers: Option<Value>,
    body: Option<Value>,
    // `null` is a JSON body too.
    #[serde(default, deserialize_with = "present")]
    json: Option<Value>,
    expect: Option<Value>,
    timeout: Option<DurationParam>,
    connect_timeout: Option<DurationParam>,
    max_redirects: Option<u8>,
    max_response_bytes: Option<u32>,
    #[serde(default)]
    truncate: bool,
    max_retry_after: Option<DurationParam>,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// One request, to one URL.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) url: Url,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// The limits of a request, and what it expects.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub(super) expect: Expect,
    pub(super) timeout: Duration,
    pub(super) connect_timeout: Duration,
    pub(super) max_redirects: u8,
    pub(super) max_response_bytes: usize,
    pub(super) truncate: bool,
    pub(super) max_retry_after: Duration,
}

impl HttpParams {
    /// # Errors
    /// `InvalidParams`.
    pub(super) fn check(self) -> Result<(Request, Limits), HandlerError> {
        self.checked().map_err(|(field, reason)| HandlerError::invalid_params(format!("params.{field}: {reason}")))
    }

    fn checked(self) -> Result<(Request, Limits), (String, String)> {
        let in_field = |field: &'static str| move |reason| (field.to_owned(), reason);
        let url = url(&self.url).map_err(in_field("url"))?;
        let method = method(self.method.as_deref()).map_err(in_field("method"))?;
        let mut headers = self.headers.map_or_else(|| Ok(HeaderMap::new()), |value| headers(&value))?;
        if let Some(value) = basic_authorization(&url) {
            headers.entry(header::AUTHORIZATION).or_insert(value);
        }
        let (body, content_type) = match (self.body, self.json) {
            (Some(Value::String(text)), None) => (Bytes::from(text), Some("text/plain; charset=utf-8")),
            (Some(Value::Null) | None, None) => (Bytes::new(), None),
            (Some(other), None) => return Err(in_field("body")(format!("expected text, got {}", type_name(&other)))),
            (None, Some(json)) => (Bytes::from(json.to_string()), Some("application/json")),
            (Some(_), Some(_)) => return Err(in_field("json")("expected `body` or `json`, got both".to_owned())),
        };
        if let Some(content_type) = content_type {
            headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static(content_type));
        }
        let limits = Limits {
            expect: self
                .expect
                .map_or_else(|| Ok(Expect::default()), |it| Expect::read(&it))
                .map_err(in_field("expect"))?,
            timeout: self.timeout.map_or(DEFAULT_TIMEOUT, |timeout| timeout.0),
            connect_timeout: self.connect_timeout.map_or(DEFAULT_CONNECT_TIMEOUT, |timeout| timeout.0),
            max_redirects: up_to(self.max_redirects.unwrap_or(DEFAULT_REDIRECTS), MAX_REDIRECTS)
                .map_err(in_field("max_redirects"))?,
            max_response_bytes: up_to(self.max_response_bytes.unwrap_or(DEFAULT_BODY_BYTES), MAX_BODY_BYTES)
                .map_err(in_field("max_response_bytes"))? as usize,
            truncate: self.truncate,
            max_retry_after: self.max_retry_after.map_or(DEFAULT_RETRY_AFTER, |delay| delay.0),
        };
        Ok((Request { url, method, headers, body }, limits))
    }
}

fn url(value: &Value) -> Result<Url, String> {
    let Value::String(text) = value else { return Err(format!("expected a URL, got {}", type_name(value))) };
    if text.len() > MAX_URL_BYTES {
        return Err(format!("expected a URL of up to {MAX_URL_BYTES} bytes, got {}", text.len()));
    }
    // The parse error contains no part of the URL.
    let url = Url::parse(text).map_err(|reason| format!("expected a URL such as https://host/path ({reason})"))?;
    scheme(&url)?;
    Ok(url)
}

/// Refuses URLs that are not http or https.
pub(super) fn scheme(url: &Url) -> Result<(), String> {
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(()),
        other => Err(format!("expected http or https, got `{other}`")),
    }
}

fn method(name: Option<&str>) -> Result<Method, String> {
    const METHODS: [Method; 7] =
        [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
    let name = name.unwrap_or("GET");
    METHODS.into_iter().find(|method| name.eq_ignore_ascii_case(method.as_str())).ok_or_else(|| {
        format!(
            "expected GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS, got {:?}",
            name.chars().take(20).collect::<String>()
        )
    })
}

fn headers(value: &Value) -> Result<HeaderMap, (String, String)> {
    let at_all = |reason: String| ("headers".to_owned(), reason);
    let Value::Object(fields) = value else {
        return Err(at_all(format!("expected an object, got {}", type_name(value))));
    };
    if fields.len() > MAX_HEADERS {
        return Err(at_all(format!("expected up to {MAX_HEADERS}, got {}", fields.len())));
    }
    let (mut headers, mut bytes) = (HeaderMap::new(), 0);
    for (name, value) in fields {
        let at = |reason: String| (format!("headers.{name}"), reason);
        let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
            return Err(at_all(format!(
                "expected names of headers, got {:?}",
                name.chars().take(40).collect::<String>()
            )));
        };
        if OWN_HEADERS.contains(&header) {
            return Err(at("expected a header that the worker does not set itself".to_owned()));
        }
        let Value::String(text) = value else { return Err(at(format!("expected text, got {}", type_name(value)))) };
        let mut value = HeaderValue::from_str(text)
            .map_err(|_| at("expected visible ASCII characters, got others in it".to_owned()))?;
        value.set_sensitive(true);
        bytes += name.len() + text.len();
        if headers.insert(header, value).is_some() {
            return Err(at("expected each header once, got it in two spellings".to_owned()));
        }
    }
    if bytes > MAX_HEADER_BYTES {
        return Err(at_all(format!("expected up to {MAX_HEADER_BYTES} bytes, got {bytes}")));
    }
    Ok(headers)
}

/// The header for user and password of a URL, as browsers send it.
fn basic_authorization(url: &Url) -> Option<HeaderValue> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).collect::<Vec<_>>();
    let pair = [decoded(url.username()), b":".to_vec(), decoded(url.password().unwrap_or_default())].concat();
    let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(pair))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn up_to<N: PartialOrd + std::fmt::Display>(value: N, limit: N) -> Result<N, String> {
    if value <= limit { Ok(value) } else { Err(format!("expected up to {limit}, got {value}")) }
}

/// The type of a value, without the value.
fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use worker::Probe;

    use super::*;
    use crate::http::schema::params_schema;

    fn read(params: Value) -> Result<(Request, Limits), String> {
        let read = Probe::with_params(params).0.params::<HttpParams>().and_then(HttpParams::check);
        read.map_err(|error| error.to_string())
    }

    fn refused(params: Value) -> String {
        read(params).map(drop).unwrap_err()
    }

    #[test]
    fn defaults_are_those_of_the_schema() {
        let (request, limits) = read(json!({ "url": "http://host/" })).unwrap();
        assert_eq!((request.method, request.body.len(), request.headers.len()), (Method::GET, 0, 0));
        let schema = params_schema();
        for (field, value) in [
            ("timeout", json!(limits.timeout.as_secs())),
            ("connect_timeout", json!(limits.connect_timeout.as_secs())),
            ("max_redirects", json!(limits.max_redirects)),
            ("max_response_bytes", json!(limits.max_response_bytes)),
            ("max_retry_after", json!(limits.max_retry_after.as_secs())),
            ("truncate", json!(limits.truncate)),
            ("expect", json!(limits.expect.to_string())),
        ] {
            assert_eq!(schema["properties"][field]["default"], value, "{field}");
        }
        let properties: Vec<_> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        let unknown = refused(json!({ "uri": 1 }));
        for field in properties {
            assert!(unknown.contains(&format!("`{field}`")), "the schema has {field}: {unknown}");
        }
    }

    #[test]
    fn an_error_names_the_wrong_field() {
        let with = |field: &str, value: Value| json!({ "url": "http://host/", field: value });
        for (params, expected) in [
            (json!({}), "params: missing field `url`"),
            (json!({ "url": 3 }), "params.url: expected a URL, got a number"),
            (json!({ "url": "host/path" }), "params.url: expected a URL such as https://host/path"),
            (json!({ "url": "file:///etc/passwd" }), "params.url: expected http or https, got `file`"),
            (json!({ "url": "http://" }), "params.url: expected a URL"),
            (json!({ "url": "x".repeat(9000) }), "params.url: expected a URL of up to 8192 bytes, got 9000"),
            (with("method", json!("CONNECT")), "params.method: expected GET, HEAD,"),
            (with("headers", json!({ "a": 1 })), "params.headers.a: expected text, got a number"),
            (with("headers", json!({ "Host": "x" })), "params.headers.Host: expected a header that the worker"),
            (with("headers", json!({ "a": "1", "A": "2" })), "params.headers.a: expected each header once"),
            (with("headers", json!({ "a b": "" })), "params.headers: expected names of headers, got \"a b\""),
            (with("body", json!({})), "params.body: expected text, got an object"),
            (
                json!({ "url": "http://h/", "body": "", "json": null }),
                "params.json: expected `body` or `json`, got both",
            ),
            (with("expect", json!("ok")), "params.expect: expected a status such as 204"),
            (with("timeout", json!("soon")), "params.timeout: expected a duration"),
            (with("max_redirects", json!(21)), "params.max_redirects: expected up to 20, got 21"),
            (
                with("max_response_bytes", json!(600_000)),
                "params.max_response_bytes: expected up to 524288, got 600000",
            ),
            (with("folow", json!(1)), "params.folow: unknown field"),
        ] {
            let refused = refused(params.clone());
            assert!(refused.starts_with(&format!("InvalidParams: {expected}")), "{params}: {refused}");
        }
    }

    #[test]
    fn no_error_contains_a_secret() {
        for params in [
            json!({ "url": ["http://user:hunter2@host/"] }),
            json!({ "url": "http://user:hunter2@ho st/?key=hunter2" }),
            json!({ "url": "ftp://user:hunter2@host/?key=hunter2" }),
            json!({ "url": "http://h/", "headers": "authorization: hunter2" }),
            json!({ "url": "http://h/", "headers": ["hunter2"] }),
            json!({ "url": "http://h/", "headers": { "authorization": ["hunter2"] } }),
            json!({ "url": "http://h/", "headers": { "authorization": "hunter2\r\nx: y" } }),
            json!({ "url": "http://h/", "headers": { "authorization": "hunter2", "Authorization": "hunter2" } }),
            json!({ "url": "http://h/", "body": ["hunter2"] }),
            json!({ "url": "http://h/", "body": "hunter2", "json": "hunter2" }),
        ] {
            let refused = refused(params.clone());
            assert!(!refused.contains("hunter2"), "{params}: {refused}");
        }
        let with_secrets = json!({ "url": "http://h/", "headers": { "authorization": "hunter2" } });
        assert!(!format!("{:?}", read(with_secrets).unwrap().0.headers).contains("hunter2"));
    }

    #[test]
    fn bodies_have_their_content_type_unless_it_is_given() {
        let content_type =
            |params: Value| read(params).unwrap().0.headers[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        assert_eq!(content_type(json!({ "url": "http://h/", "body": "x" })), "text/plain; charset=utf-8");
        assert_eq!(content_type(json!({ "url": "http://h/", "json": null })), "application/json");
        let given = json!({ "url": "http://h/", "json": [1], "headers": { "Content-Type": "application/x" } });
        assert_eq!(content_type(given), "application/x");
    }

    #[test]
    fn user_and_password_of_the_url_are_sent_as_a_header() {
        let (request, _) = read(json!({ "url": "http://us%40er:pa%3Ass@h/" })).unwrap();
        assert_eq!(request.headers[header::AUTHORIZATION], "Basic dXNAZXI6cGE6c3M=");
    }
}
