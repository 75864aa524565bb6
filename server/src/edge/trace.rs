//! The place of a call in a distributed trace.

use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use tonic::metadata::MetadataMap;
use tracing::Instrument;

use crate::edge::caller::method_of;
use crate::edge::methods::Shape;
use crate::telemetry::spans;
use engine::domain::TraceParent;

/// The name in the metadata, from W3C Trace Context.
const TRACEPARENT: &str = "traceparent";

/// The parent of what a call does: the span of the call if spans are exported, else the `traceparent` that the caller sent.
/// W3C Trace Context asks to ignore one that is invalid or sent twice.
pub fn traceparent_of(metadata: &MetadataMap) -> Option<TraceParent> {
    engine::telemetry::spans::current().or_else(|| sent_traceparent(metadata.as_ref()))
}

fn sent_traceparent(headers: &HeaderMap) -> Option<TraceParent> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    TraceParent::parse(value.to_str().ok()?.trim())
}

/// Gives each unary call a span, if spans are exported.
pub fn traced(router: axum::Router) -> axum::Router {
    if engine::telemetry::spans::are_taken() { router.layer(from_fn(in_span)) } else { router }
}

/// The status code of a unary call, as a number. A call that succeeds sends its status after the body, so it has none here.
pub fn code_of(response: &Response) -> usize {
    let status = response.headers().get("grpc-status");
    status.and_then(|status| status.to_str().ok()?.parse().ok()).unwrap_or(0)
}

async fn in_span(request: Request<Body>, next: Next) -> Response {
    // Calls that last as long as their client likes have no span.
    let method = method_of(&request).filter(|method| method.is_ours() && method.shape == Shape::Unary);
    let Some(method) = method else { return next.run(request).await };
    let span = spans::of_call(method.name, sent_traceparent(request.headers()));
    let response = next.run(request).instrument(span.clone()).await;
    spans::answered(&span, code_of(&response));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn only_a_single_valid_traceparent_counts() {
        let read = |values: &[&'static str]| {
            let mut metadata = MetadataMap::new();
            values.iter().for_each(|value| {
                metadata.append(TRACEPARENT, value.parse().expect("a value"));
            });
            traceparent_of(&metadata).map(|parent| parent.to_string())
        };
        assert_eq!(read(&[GOOD]).as_deref(), Some(GOOD));
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[GOOD, GOOD]), None);
        assert_eq!(read(&["00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"]), None);
    }
}
