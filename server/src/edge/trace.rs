//! Where a call stands in a distributed trace.

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

/// The name in the metadata, as W3C Trace Context has it.
const TRACEPARENT: &str = "traceparent";

/// The span of the call, if it is kept; else who made it. What is no `traceparent`, or is said twice, counts as nothing: so
/// W3C Trace Context wants it.
pub fn traceparent_of(metadata: &MetadataMap) -> Option<TraceParent> {
    engine::telemetry::spans::current().or_else(|| caller(metadata.as_ref()))
}

fn caller(headers: &HeaderMap) -> Option<TraceParent> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    TraceParent::parse(value.to_str().ok()?.trim())
}

/// Gives each unary call a span, if anybody takes spans.
pub fn traced(router: axum::Router) -> axum::Router {
    if engine::telemetry::spans::are_taken() { router.layer(from_fn(in_span)) } else { router }
}

/// The number of the status of a unary call. A call that went well says so after its body, which is one message.
pub fn code_of(response: &Response) -> usize {
    let status = response.headers().get("grpc-status");
    status.and_then(|status| status.to_str().ok()?.parse().ok()).unwrap_or(0)
}

async fn in_span(request: Request<Body>, next: Next) -> Response {
    // Calls that last as long as their client likes have no span.
    let method = method_of(&request).filter(|method| method.is_ours() && method.shape == Shape::Unary);
    let Some(method) = method else { return next.run(request).await };
    let span = spans::of_call(method.name, caller(request.headers()));
    let response = next.run(request).instrument(span.clone()).await;
    spans::answered(&span, code_of(&response));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn one_that_is_right_counts_and_nothing_else_does() {
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
