//! `/healthz` says that the process is alive, `/readyz` whether it serves, and why not.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use tokio::sync::watch;

/// Whether the server serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    Ready,
    /// With the reason, as a text for people.
    NotReady(String),
}

impl Readiness {
    pub fn is_ready(&self) -> bool {
        *self == Readiness::Ready
    }
}

#[derive(Debug, Serialize)]
struct Answer {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// The routes, which answer with the state that the channel holds.
pub fn router(readiness: watch::Receiver<Readiness>) -> Router {
    Router::new().route("/healthz", get(alive)).route("/readyz", get(ready)).with_state(readiness)
}

async fn alive() -> Json<Answer> {
    Json(Answer { status: "alive", version: Some(env!("CARGO_PKG_VERSION")), reason: None })
}

async fn ready(State(readiness): State<watch::Receiver<Readiness>>) -> (StatusCode, Json<Answer>) {
    match readiness.borrow().clone() {
        Readiness::Ready => (StatusCode::OK, Json(Answer { status: "ready", version: None, reason: None })),
        Readiness::NotReady(reason) => {
            (StatusCode::SERVICE_UNAVAILABLE, Json(Answer { status: "not ready", version: None, reason: Some(reason) }))
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;

    async fn get_path(readiness: Readiness, path: &str) -> (StatusCode, String) {
        let (_sender, receiver) = watch::channel(readiness);
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let response = router(receiver).oneshot(request).await.expect("an answer");
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 1_000).await.expect("a body");
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn readyz_gives_the_reason_and_healthz_answers_in_any_case() {
        let not = || Readiness::NotReady("the database is away".to_owned());
        assert_eq!(get_path(Readiness::Ready, "/readyz").await, (StatusCode::OK, r#"{"status":"ready"}"#.into()));
        let body = r#"{"status":"not ready","reason":"the database is away"}"#;
        assert_eq!(get_path(not(), "/readyz").await, (StatusCode::SERVICE_UNAVAILABLE, body.into()));
        let alive = format!(r#"{{"status":"alive","version":"{}"}}"#, env!("CARGO_PKG_VERSION"));
        assert_eq!(get_path(not(), "/healthz").await, (StatusCode::OK, alive));
    }
}
