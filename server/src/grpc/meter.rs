//! Counts calls, and measures those that are answered once.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use prost::{DecodeError, Message};
use prost_types::FileDescriptorSet;

use crate::telemetry::{Metrics, spans};

/// Counts, and knows what: the names of unary methods. Whatever else a client may call is no label.
#[derive(Debug, Clone)]
struct Meter {
    metrics: Metrics,
    methods: Arc<HashSet<String>>,
}

/// Counts the calls of a router.
pub fn counted(router: axum::Router, metrics: Metrics) -> Result<axum::Router, DecodeError> {
    let mut methods = HashSet::new();
    for file in FileDescriptorSet::decode(proto::FILE_DESCRIPTOR_SET)?.file {
        for service in &file.service {
            for method in service.method.iter().filter(|it| !it.client_streaming() && !it.server_streaming()) {
                methods.insert(format!("{}.{}/{}", file.package(), service.name(), method.name()));
            }
        }
    }
    Ok(router.layer(from_fn_with_state(Meter { metrics, methods: Arc::new(methods) }, count)))
}

async fn count(State(Meter { metrics, methods }): State<Meter>, request: Request, next: Next) -> Response {
    let Some(method) = methods.get(request.uri().path().trim_start_matches('/')) else {
        return next.run(request).await;
    };
    let began = Instant::now();
    let response = next.run(request).await;
    // A call that went well says so after its body, which is one message.
    let code = response.headers().get("grpc-status").and_then(|status| status.to_str().ok()?.parse().ok());
    metrics.calls.with_label_values(&[method.as_str(), spans::status_word(code.unwrap_or(0))]).inc();
    metrics.call_seconds.with_label_values(&[method.as_str()]).observe(began.elapsed().as_secs_f64());
    response
}
