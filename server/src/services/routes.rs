//! All services on one router.

use std::sync::Arc;
use std::time::Duration;

use axum::http::Request;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use proto::v1::artifact_service_server::ArtifactServiceServer;
use proto::v1::run_service_server::RunServiceServer;
use proto::v1::session_service_server::SessionServiceServer;
use proto::v1::worker_service_server::WorkerServiceServer;
use tokio::sync::watch;
use tonic::service::Routes;
use tower::ServiceExt;

use crate::edge::admission::{Admission, admit};
use crate::edge::call::{Calls, call, is_grpc};
use crate::edge::caller::identify;
use crate::edge::meter::count;
use crate::edge::methods::DESCRIPTORS;
use crate::edge::status::{status_of, unknown_method};
use crate::edge::trace::traced;
use crate::services::artifact::artifacts::Artifacts;
use crate::services::artifact::grpc::ArtifactApi;
use crate::services::health::HealthSwitch;
use crate::services::run::grpc::RunApi;
use crate::services::run::runs::Runs;
use crate::services::session::grpc::SessionApi;
use crate::services::session::sessions::Sessions;
use crate::services::worker::grpc::WorkerApi;
use crate::services::worker::workers::Workers;
use engine::db::StoreError;
use engine::domain::Limits;
use engine::telemetry::Metrics;

/// The use cases that the edge calls.
#[derive(Debug, Clone)]
pub struct Services {
    pub sessions: Sessions,
    pub runs: Runs,
    pub workers: Workers,
    pub artifacts: Artifacts,
}

/// Everything on the port: the services of this API, health, reflection, and the routes of plain HTTP. The switch sets what
/// `grpc.health.v1` answers.
pub async fn routes(
    services: Services,
    limits: Arc<Limits>,
    receive_timeout: Duration,
    metrics: Metrics,
    http: axum::Router,
) -> Result<(axum::Router, HealthSwitch), tonic_reflection::server::Error> {
    let (message_in, message_out) = (limits.message_in, limits.message_out);
    let admission = from_fn_with_state(Admission::new(limits.request_bytes, limits.calls), admit);
    let sessions = SessionApi { sessions: services.sessions, limits: limits.clone() };
    let runs = RunApi { runs: services.runs, limits: limits.clone() };
    let workers = WorkerApi { workers: services.workers, limits: limits.clone() };
    let artifacts = ArtifactApi { artifacts: services.artifacts, limits };

    macro_rules! sized {
        ($server:ident, $service:expr) => {
            $server::new($service).max_decoding_message_size(message_in).max_encoding_message_size(message_out)
        };
    }
    let (switch, health) = HealthSwitch::new().await;
    // Both versions of reflection describe the same services, and each other. They include the types of google.rpc, so that
    // tools can show the details of errors.
    let reflection = || {
        let builder = tonic_reflection::server::Builder::configure().include_reflection_service(false);
        DESCRIPTORS.iter().fold(builder, |builder, set| builder.register_encoded_file_descriptor_set(set))
    };
    let mut builder = Routes::builder();
    builder
        .add_service(sized!(SessionServiceServer, sessions))
        .add_service(sized!(RunServiceServer, runs))
        .add_service(sized!(WorkerServiceServer, workers))
        .add_service(sized!(ArtifactServiceServer, artifacts))
        .add_service(health)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    let router =
        builder.routes().into_axum_router().layer(admission).layer(from_fn_with_state(Calls { receive_timeout }, call));
    let router = traced(router.layer(from_fn_with_state(metrics, count)));
    let router = router.fallback(unknown_path).merge(http).layer(from_fn(identify));
    Ok((router, switch))
}

/// How long a call waits for the end of a start. Longer than most migrations take, and not for as long as one may wait for a lock.
const START_TIMEOUT: Duration = Duration::from_secs(5);

/// The routes of connections from before the end of a start. Until it has ended, those of plain HTTP answer, and any other request waits; it
/// is refused if that takes long.
pub fn starting_routes(http: axum::Router, started: watch::Receiver<Option<axum::Router>>) -> axum::Router {
    axum::Router::new().fallback(move |request: Request<axum::body::Body>| {
        let (mut started, http) = (started.clone(), http.clone());
        async move {
            let is_plain = ["/healthz", "/readyz"].contains(&request.uri().path());
            let now = started.borrow().clone();
            let now = if is_plain { now.or(Some(http)) } else { now };
            let later = async { started.wait_for(Option::is_some).await.ok().and_then(|routes| routes.clone()) };
            let routes = match now {
                Some(routes) => Some(routes),
                None => tokio::time::timeout(START_TIMEOUT, later).await.ok().flatten(),
            };
            match routes {
                Some(routes) => routes.oneshot(request).await.unwrap_or_else(|never| match never {}),
                None => status_of(StoreError::Unavailable("the server starts".into())).into_http(),
            }
        }
    })
}

/// Answers a gRPC call with UNKNOWN_METHOD and any other request with 404.
async fn unknown_path(request: Request<axum::body::Body>) -> Response {
    if is_grpc(request.headers()) {
        return unknown_method(request.uri().path()).into_http::<axum::body::Body>();
    }
    (axum::http::StatusCode::NOT_FOUND, "there is nothing here\n").into_response()
}
