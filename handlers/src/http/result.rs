//! The result of a run, from the answer: bounded, and without secrets. Pure.

use std::time::{Duration, SystemTime};

use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::{
    HeaderMap,
    header::{self, HeaderName},
};
use serde_json::{Map, Value, json};

use super::{exchange::Answer, failure::Shown, request::Request};

/// Headers beyond this are left out.
const MAX_HEADERS_BYTES: usize = 16 * 1024;
/// With headers and the rest, the result stays below the limit of 1 MiB.
const MAX_ENCODED_BODY_BYTES: usize = 900 * 1024;
/// The server takes JSON that is nested 64 deep. The body is nested in the result.
const MAX_DEPTH: usize = 60;
/// The database would write out numbers that are longer or have larger exponents.
const MAX_NUMBER_BYTES: usize = 40;
const MAX_EXPONENT: i32 = 300;
/// How much of the body of an unexpected answer is reported.
const MAX_EXCERPT_BYTES: usize = 4 * 1024;
/// Headers with secrets.
const SECRET_HEADERS: [HeaderName; 5] = [
    header::SET_COOKIE,
    HeaderName::from_static("set-cookie2"),
    header::AUTHORIZATION,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("authentication-info"),
];

/// The result of a run whose answer is `answer`.
pub(super) fn result(answer: &Answer, context: Map<String, Value>) -> Value {
    let (body, body_type) = body(answer);
    let mut result = context;
    result.extend([
        ("body".to_owned(), body),
        ("body_type".to_owned(), body_type.into()),
        ("size".to_owned(), answer.body.len().into()),
        ("truncated".to_owned(), answer.is_truncated.into()),
    ]);
    Value::Object(result)
}

/// The fields that are reported of every answer, expected or not. The body is not among them.
pub(super) fn head(answer: &Answer, request: &Request) -> [(String, Value); 4] {
    let (headers, is_complete) = headers(&answer.headers, request);
    [
        ("status".to_owned(), answer.status.as_u16().into()),
        ("headers".to_owned(), headers),
        ("headers_truncated".to_owned(), (!is_complete).into()),
        ("redirects".to_owned(), answer.redirects.into()),
    ]
}

/// The beginning of the body of an unexpected answer, if it is text.
pub(super) fn excerpt(answer: &Answer) -> Option<String> {
    let part = &answer.body[..answer.body.len().min(MAX_EXCERPT_BYTES)];
    let text = whole_text(part, true)?;
    (!text.is_empty()).then(|| text.to_owned())
}

/// How long the answer asks to wait.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().map(Duration::from_secs);
    }
    // A time in the past means no delay.
    httpdate::parse_http_date(text).ok().map(|at| at.duration_since(now).unwrap_or_default())
}

/// The headers by name. Several values of a name are joined as HTTP says. False if some headers do not fit.
fn headers(headers: &HeaderMap, request: &Request) -> (Value, bool) {
    let (mut shown, mut bytes) = (Map::new(), 0);
    for name in headers.keys().filter(|name| !SECRET_HEADERS.contains(name)) {
        let values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        let mut text = values.collect::<Vec<_>>().join(", ");
        if name == header::LOCATION {
            // The target of a redirect may contain secrets too.
            text = request.url.join(&text).map_or_else(|_| String::new(), |url| Shown::from(&url).to_string());
        }
        bytes += name.as_str().len() + text.len();
        if bytes > MAX_HEADERS_BYTES {
            return (Value::Object(shown), false);
        }
        shown.insert(name.to_string(), text.into());
    }
    (Value::Object(shown), true)
}

/// The body: JSON if the content type says so and a server can keep it, else text if it is text, else base64.
fn body(answer: &Answer) -> (Value, &'static str) {
    let Some(text) = whole_text(&answer.body, answer.is_truncated) else {
        return (STANDARD.encode(&answer.body).into(), "base64");
    };
    if !answer.is_truncated
        && is_json(&answer.headers)
        && let Ok(value) = serde_json::from_str::<Value>(text)
        && can_be_kept(&value, 0)
    {
        return (value, "json");
    }
    // Escapes of quotes and control characters make the text longer.
    if json!(text).to_string().len() <= MAX_ENCODED_BODY_BYTES {
        (text.into(), "text")
    } else {
        (STANDARD.encode(&answer.body).into(), "base64")
    }
}

/// The bytes as text; if they are cut, up to the last whole character. `None` if they are no text that a server keeps.
fn whole_text(bytes: &[u8], is_cut: bool) -> Option<&str> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if is_cut && error.error_len().is_none() => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    (!text.contains('\0')).then_some(text)
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media_type == "application/json" || media_type == "text/json" || media_type.ends_with("+json")
}

/// Whether a server can keep the value unchanged.
fn can_be_kept(value: &Value, depth: usize) -> bool {
    match value {
        Value::Null | Value::Bool(_) => true,
        Value::Number(number) => {
            let text = number.to_string();
            let exponent = text.split_once(['e', 'E']).map_or(Ok(0), |(_, exponent)| exponent.parse::<i32>());
            text.len() <= MAX_NUMBER_BYTES && exponent.is_ok_and(|exponent| exponent.abs() <= MAX_EXPONENT)
        }
        Value::String(text) => !text.contains('\0'),
        Value::Array(items) => depth < MAX_DEPTH && items.iter().all(|item| can_be_kept(item, depth + 1)),
        Value::Object(fields) => {
            depth < MAX_DEPTH
                && fields.iter().all(|(name, value)| !name.contains('\0') && can_be_kept(value, depth + 1))
        }
    }
}
