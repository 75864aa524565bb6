//! Checks each call, whatever its service: it speaks gRPC, ends at its deadline, and its message arrives in time. Refusals of
//! the gRPC library are put into the terms of this API.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use tonic::Status;

use crate::edge::answer::Answer;
use crate::edge::caller::method_of;
use crate::edge::methods::Shape;
use crate::edge::status::{deadline_exceeded, of_transport, received_too_slowly, status_of};
use engine::domain::text::excerpt;
use engine::domain::violation::Violations;

const TIMEOUT: &str = "grpc-timeout";
const ENCODING: &str = "grpc-encoding";

/// The form of a timeout: `TimeoutValue` and `TimeoutUnit` of the gRPC protocol.
const TIMEOUT_DIGITS: usize = 8;
const TIMEOUT_EXPECTED: &str = "expected 1 to 8 digits and a unit of H, M, S, m, u or n";

/// Decodes bytes in metadata. Clients may leave out the padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// An answer names at most so many headers that are wrong.
const VIOLATIONS_SHOWN: usize = 10;

/// The bounds of calls.
#[derive(Debug, Clone)]
pub struct Calls {
    /// How long the message of a call may take to arrive, unless the call sends a stream.
    pub receive_timeout: Duration,
}

/// Passes a call to its service, and the answer back.
pub async fn call(State(calls): State<Calls>, request: Request, next: Next) -> Response {
    // The answer that the gRPC protocol asks for.
    if !is_grpc(request.headers()) {
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, "expected the content type application/grpc\n").into_response();
    }
    if request.method() != Method::POST {
        return (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "POST")], "expected POST\n").into_response();
    }
    let deadline = match header(request.headers()) {
        Ok(deadline) => deadline,
        Err(violations) => return status_of(violations).into_http::<Body>(),
    };
    let path = request.uri().path().to_owned();
    let encoding = request.headers().get(ENCODING).map(|it| String::from_utf8_lossy(it.as_bytes()).into_owned());
    let sends_stream = method_of(&request).is_some_and(|method| method.shape == Shape::BidiStream);
    let request = match sends_stream {
        true => request,
        false => request.map(|body| Body::from_stream(in_time(body, calls.receive_timeout))),
    };
    let response = match deadline {
        None => next.run(request).await,
        // The caller does not wait any more, so the call does not begin.
        Some(Duration::ZERO) => deadline_exceeded(Duration::ZERO).into_http::<Body>(),
        Some(deadline) => match tokio::time::timeout(deadline, next.run(request)).await {
            Ok(response) => response,
            Err(_) => deadline_exceeded(deadline).into_http::<Body>(),
        },
    };
    match Status::from_header_map(response.headers()) {
        // The status comes behind the answer.
        None => response.map(|answer| Body::new(Answer::new(answer))),
        Some(status) if status.details().is_empty() => match of_transport(status, &path, encoding.as_deref()) {
            Some(status) => status.into_http::<Body>(),
            None => response,
        },
        _ => response,
    }
}

/// Whether a request is a gRPC call, by its content type.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(|kind| kind.as_bytes()).unwrap_or_default();
    match kind.strip_prefix(b"application/grpc") {
        Some(rest) => matches!(rest.first(), None | Some(b'+' | b';')),
        None => false,
    }
}

/// Reads the caller's deadline, and checks the metadata that hold bytes.
fn header(headers: &HeaderMap) -> Result<Option<Duration>, Violations> {
    let mut violations = Violations::default();
    for (name, value) in headers.iter().filter(|(name, _)| name.as_str().ends_with("-bin")) {
        // Several values of one name may arrive as one value, with commas between them.
        let is_bytes = |part: &[u8]| BASE64.decode(part.trim_ascii()).is_ok();
        if !value.as_bytes().split(|byte| *byte == b',').all(is_bytes) && violations.0.len() < VIOLATIONS_SHOWN {
            let came = String::from_utf8_lossy(value.as_bytes());
            violations.add(name.as_str(), format!("expected base64, got {}", excerpt(&came)));
        }
    }
    match timeout(headers) {
        Ok(deadline) => violations.into_result(deadline),
        Err(bad) => {
            violations.0.extend(bad.0);
            Err(violations)
        }
    }
}

/// The caller's deadline, if it has set one.
fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Violations> {
    let Some(value) = headers.get(TIMEOUT) else { return Ok(None) };
    let bad = || {
        let came = String::from_utf8_lossy(value.as_bytes());
        Violations::one(TIMEOUT, format!("{TIMEOUT_EXPECTED}, got {}", excerpt(&came)))
    };
    let text = value.to_str().map_err(|_| bad())?;
    let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(bad)?;
    if digits.is_empty() || digits.len() > TIMEOUT_DIGITS || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(bad());
    }
    let number: u64 = digits.parse().map_err(|_| bad())?;
    Ok(Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return Err(bad()),
    }))
}

/// The data of a body. If it takes too long, it ends with an error.
fn in_time(body: Body, timeout: Duration) -> impl Stream<Item = Result<Bytes, axum::BoxError>> + Send + 'static {
    type Rest = (BodyDataStream, std::pin::Pin<Box<tokio::time::Sleep>>);
    let begin: Option<Rest> = Some((body.into_data_stream(), Box::pin(tokio::time::sleep(timeout))));
    stream::unfold(begin, move |rest| async move {
        let (mut data, mut late) = rest?;
        tokio::select! {
            biased;
            piece = data.next() => Some((piece?.map_err(Into::into), Some((data, late)))),
            () = &mut late => Some((Err(received_too_slowly(timeout).into()), None)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &'static str) -> Result<Option<Duration>, Violations> {
        timeout(&HeaderMap::from_iter([(TIMEOUT.parse().expect("a name"), value.parse().expect("a value"))]))
    }

    #[test]
    fn a_timeout_is_digits_and_a_unit() {
        assert_eq!(timeout(&HeaderMap::new()), Ok(None));
        for (value, millis) in [("99999999H", 359_999_996_400_000), ("1M", 60_000), ("2S", 2_000), ("3m", 3), ("0n", 0)]
        {
            assert_eq!(read(value), Ok(Some(Duration::from_millis(millis))), "{value}");
        }
        for bad in ["", "S", "1", "1s", "-1S", "+1S", "1.5S", "100000000S", " 1S", "1 S", "1SS", "٣S"] {
            assert!(read(bad).is_err_and(|violations| violations.0[0].field == TIMEOUT), "{bad:?}");
        }
    }

    #[test]
    fn metadata_that_hold_bytes_are_base64() {
        let check = |value: &'static [u8]| {
            let value = axum::http::HeaderValue::from_bytes(value).expect("a value");
            header(&HeaderMap::from_iter([("x-trace-bin".parse().expect("a name"), value)]))
        };
        for good in [&b""[..], b"AAECAw==", b"AAECAw", b"AAEC, AAEC", b"+/8="] {
            assert_eq!(check(good), Ok(None), "{good:?}");
        }
        for bad in [&b"!"[..], b"AAE*", b"A", b"AAEC;AAEC", b"\xff", b"AA==AA"] {
            assert!(check(bad).is_err_and(|violations| violations.0[0].field == "x-trace-bin"), "{bad:?}");
        }
    }
}
