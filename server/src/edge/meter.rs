//! Counts and measures the unary calls of the contract.

use std::time::Instant;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::caller::method_of;
use super::methods::Shape;
use super::trace::code_of;
use crate::telemetry::spans::status_word;
use engine::telemetry::Metrics;

/// Counts and measures a call.
pub async fn count(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let method = method_of(&request).filter(|method| method.is_ours() && method.shape == Shape::Unary);
    let Some(method) = method else { return next.run(request).await };
    let began = Instant::now();
    let response = next.run(request).await;
    metrics.calls.with_label_values(&[method.name, status_word(code_of(&response))]).inc();
    metrics.call_seconds.with_label_values(&[method.name]).observe(began.elapsed().as_secs_f64());
    response
}
