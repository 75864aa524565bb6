//! `/metrics`, for Prometheus.

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;

use crate::telemetry::observe::Observe;
use engine::telemetry::metrics;

/// The route.
pub fn router(observe: Observe) -> Router {
    Router::new().route("/metrics", get(scrape)).with_state(observe)
}

async fn scrape(State(observe): State<Observe>) -> impl IntoResponse {
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], observe.now())
}
