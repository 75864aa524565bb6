//! A port for operators: `/health` for the program that restarts the worker, `/metrics` for Prometheus.

use std::{io, time::Instant};

use axum::{
    Json, Router, extract::State, http::StatusCode, http::header::CONTENT_TYPE, response::IntoResponse, routing,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch};

use crate::{api::status::WorkerStatus, telemetry::metrics::Metrics};

/// Serves health and metrics of a worker. Made by [`Worker::monitor`](crate::Worker::monitor).
#[derive(Clone, Debug)]
pub struct Monitor {
    pub(crate) name: String,
    pub(crate) begun: Instant,
    pub(crate) status: watch::Receiver<WorkerStatus>,
    pub(crate) metrics: Metrics,
}

impl Monitor {
    /// Serves until the future is dropped. Everybody who reaches the listener gets an answer.
    ///
    /// # Errors
    /// Those of the listener.
    pub async fn serve(self, listener: TcpListener) -> io::Result<()> {
        let routes = Router::new().route("/health", routing::get(health)).route("/metrics", routing::get(metrics));
        axum::serve(listener, routes.with_state(self)).await
    }
}

/// A worker is healthy while it gets runs: it has a stream, and lacks nothing that runs need.
async fn health(State(monitor): State<Monitor>) -> (StatusCode, Json<Value>) {
    let status = monitor.status.borrow().clone();
    let (code, word) = match (status.is_connected, &status.paused) {
        (true, None) => (StatusCode::OK, "ok"),
        (true, Some(_)) => (StatusCode::SERVICE_UNAVAILABLE, "paused"),
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "no stream"),
    };
    let answer = json!({
        "status": word,
        "name": monitor.name,
        "worker_id": status.worker_id,
        "uptime_seconds": monitor.begun.elapsed().as_secs(),
        "running": status.running,
        "slots": monitor.metrics.slots.get(),
        "draining": status.is_draining,
        "paused": status.paused,
    });
    (code, Json(answer))
}

async fn metrics(State(monitor): State<Monitor>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], monitor.metrics.render())
}
