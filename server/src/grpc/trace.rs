//! Where a call stands in a distributed trace.

use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use tonic::metadata::MetadataMap;
use tracing::Instrument;

use crate::domain::TraceParent;
use crate::telemetry::spans;

/// The name in the metadata, as W3C Trace Context has it.
const TRACEPARENT: &str = "traceparent";

/// Calls that last as long as their client likes have no span.
const STREAMS: [&str; 3] =
    ["ops.v1.WorkerService/Connect", "ops.v1.RunService/WatchRuns", "ops.v1.RunService/TailRunEvents"];

/// The span of the call, if it is kept; else who made it. What is no `traceparent`, or is said twice, counts as nothing: so
/// W3C Trace Context wants it.
pub fn traceparent_of(metadata: &MetadataMap) -> Option<TraceParent> {
    spans::current().or_else(|| caller(metadata.as_ref()))
}

fn caller(headers: &HeaderMap) -> Option<TraceParent> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    TraceParent::parse(value.to_str().ok()?.trim())
}

/// Gives each unary call a span, if anybody takes spans.
pub fn traced(router: axum::Router) -> axum::Router {
    if spans::are_taken() { router.layer(from_fn(in_span)) } else { router }
}

async fn in_span(request: Request<Body>, next: Next) -> Response {
    let method = request.uri().path().trim_start_matches('/');
    if !method.starts_with("ops.v1.") || STREAMS.contains(&method) {
        return next.run(request).await;
    }
    let span = spans::of_call(method, caller(request.headers()));
    let response = next.run(request).instrument(span.clone()).await;
    // A call that went well says so after its body, which is one message.
    let status = response.headers().get("grpc-status").and_then(|status| status.to_str().ok()?.parse().ok());
    spans::answered(&span, status.unwrap_or(0));
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
