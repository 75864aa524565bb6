//! Redirects: the next request that an answer asks for. Pure.

use hyper::{
    HeaderMap, Method, StatusCode,
    header::{self, HeaderName},
};
use url::Url;

use super::{
    failure::HttpError,
    request::{Request, scheme},
};

/// The headers that another origin gets. They are no secrets.
const HARMLESS: [HeaderName; 4] = [header::ACCEPT, header::ACCEPT_LANGUAGE, header::CONTENT_TYPE, header::USER_AGENT];

/// The next request; `None` if the answer is no redirect.
///
/// # Errors
/// `Redirect`: the handler does not follow a redirect to this place.
pub(super) fn next(request: &Request, status: StatusCode, headers: &HeaderMap) -> Result<Option<Request>, HttpError> {
    let keeps_method = match status.as_u16() {
        307 | 308 => true,
        303 => request.method == Method::HEAD,
        301 | 302 => request.method != Method::POST,
        _ => return Ok(None),
    };
    let Some(location) = headers.get(header::LOCATION) else { return Ok(None) };
    let wrong = |reason: String| HttpError::Redirect(format!("to what can not be followed: {reason}"));
    let location = location.to_str().map_err(|_| wrong("expected ASCII characters, got others".to_owned()))?;
    let mut url: Url = request.url.join(location).map_err(|reason| wrong(reason.to_string()))?;
    scheme(&url).map_err(wrong)?;
    if request.url.scheme() == "https" && url.scheme() == "http" {
        return Err(wrong("expected https after https, got http".to_owned()));
    }
    // An answer must not choose credentials. Both calls fail only for a URL without a host, and that is refused above.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    let mut next = Request { url, ..request.clone() };
    if !keeps_method {
        next.method = Method::GET;
        next.body = bytes::Bytes::new();
        next.headers.remove(header::CONTENT_TYPE);
    }
    if next.url.origin() != request.url.origin() {
        next.headers = HARMLESS
            .into_iter()
            .filter_map(|name| next.headers.get(&name).cloned().map(|value| (name, value)))
            .collect();
    }
    Ok(Some(next))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hyper::header::HeaderValue;

    use super::*;

    fn request(method: Method) -> Request {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("authorization", "secret"), ("x-api-key", "secret"), ("accept", "a/b"), ("content-type", "c/d")]
        {
            headers.insert(name, HeaderValue::from_static(value));
        }
        Request { url: Url::parse("https://user:pass@host/a/b?q").unwrap(), method, headers, body: Bytes::from("body") }
    }

    fn follow(method: Method, status: u16, location: &str) -> Result<Option<Request>, HttpError> {
        let headers = [(header::LOCATION, HeaderValue::from_str(location).unwrap())].into_iter().collect();
        next(&request(method), StatusCode::from_u16(status).unwrap(), &headers)
    }

    #[test]
    fn method_and_body_are_kept_where_the_status_says_so() {
        for (method, status, expected) in [
            (Method::POST, 301, Method::GET),
            (Method::POST, 302, Method::GET),
            (Method::POST, 303, Method::GET),
            (Method::PUT, 303, Method::GET),
            (Method::HEAD, 303, Method::HEAD),
            (Method::PUT, 301, Method::PUT),
            (Method::POST, 307, Method::POST),
            (Method::POST, 308, Method::POST),
        ] {
            let next = follow(method.clone(), status, "/c").unwrap().unwrap();
            assert_eq!((next.method, next.url.as_str()), (expected.clone(), "https://host/c"), "{method} {status}");
            assert_eq!(next.body.is_empty(), expected != method, "{method} {status}");
        }
        assert!(follow(Method::GET, 304, "/c").unwrap().is_none());
        assert!(next(&request(Method::GET), StatusCode::FOUND, &HeaderMap::new()).unwrap().is_none());
    }

    #[test]
    fn another_origin_gets_no_secret() {
        let same = follow(Method::GET, 302, "//host:443/c").unwrap().unwrap();
        assert_eq!((same.headers.len(), same.url.as_str()), (4, "https://host/c"));
        for other in ["https://other/c", "https://host:444/", "https://host.other/", "https://us:er@other/"] {
            let next = follow(Method::GET, 307, other).unwrap().unwrap();
            let names: Vec<_> = next.headers.keys().map(HeaderName::as_str).collect();
            assert_eq!(names, ["accept", "content-type"], "{other}");
            assert!(next.url.username().is_empty(), "{other}");
        }
    }

    #[test]
    fn other_schemes_and_less_security_are_not_followed() {
        for location in ["http://host/", "file:///etc/passwd", "gopher://host/", "javascript:1", "https://"] {
            let refused = follow(Method::GET, 302, location).unwrap_err().to_string();
            assert!(refused.starts_with("it redirects to what can not be followed: "), "{location}: {refused}");
        }
    }
}
