//! All services on one router.

use std::sync::Arc;
use std::time::Duration;

use axum::http::Request;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use proto::v1::artifact_service_server::ArtifactServiceServer;
use proto::v1::run_service_server::RunServiceServer;
use proto::v1::session_service_server::SessionServiceServer;
use proto::v1::worker_service_server::WorkerServiceServer;
use tonic::service::Routes;

use super::admission::{Admission, admit};
use super::artifact::ArtifactApi;
use super::call::{Calls, call, is_grpc};
use super::health::HealthSwitch;
use super::meter::counted;
use super::run::RunApi;
use super::session::SessionApi;
use super::status::unknown_method;
use super::trace::traced;
use super::worker::WorkerApi;
use crate::domain::Limits;
use crate::service::artifacts::Artifacts;
use crate::service::runs::Runs;
use crate::service::runs_read::RunsRead;
use crate::service::session_end::SessionEnd;
use crate::service::sessions::Sessions;
use crate::service::workers::Workers;
use crate::service::workers_read::WorkersRead;
use crate::telemetry::Metrics;

/// The use cases that the edge calls.
#[derive(Debug, Clone)]
pub struct Services {
    pub sessions: Sessions,
    pub session_end: SessionEnd,
    pub runs: Runs,
    pub runs_read: RunsRead,
    pub workers: Workers,
    pub workers_read: WorkersRead,
    pub artifacts: Artifacts,
}

/// All services on the port, and what their messages are made of.
const DESCRIPTORS: [&[u8]; 5] = [
    proto::FILE_DESCRIPTOR_SET,
    tonic_types::pb::FILE_DESCRIPTOR_SET,
    tonic_health::pb::FILE_DESCRIPTOR_SET,
    tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
    tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
];

/// Everything on the port: the services of this API, health, reflection, and the routes of plain HTTP. The switch says
/// through `grpc.health.v1` whether the server serves.
pub async fn routes(
    services: Services,
    limits: Arc<Limits>,
    receive_timeout: Duration,
    metrics: Metrics,
    http: axum::Router,
) -> Result<(axum::Router, HealthSwitch), tonic_reflection::server::Error> {
    let (message_in, message_out) = (limits.message_in, limits.message_out);
    let admission = from_fn_with_state(Admission::new(limits.request_bytes, limits.calls), admit);
    let sessions =
        SessionApi { sessions: services.sessions, session_end: services.session_end, limits: Arc::clone(&limits) };
    let runs = RunApi { runs: services.runs, runs_read: services.runs_read, limits: Arc::clone(&limits) };
    let workers =
        WorkerApi { workers: services.workers, workers_read: services.workers_read, limits: Arc::clone(&limits) };
    let artifacts = ArtifactApi { artifacts: services.artifacts, limits };

    macro_rules! sized {
        ($server:ident, $service:expr) => {
            $server::new($service).max_decoding_message_size(message_in).max_encoding_message_size(message_out)
        };
    }
    let (switch, health) = HealthSwitch::new().await;
    // Both versions of reflection know the same, each other included; with the types of google.rpc, tools can show the
    // details of errors.
    let reflection = || {
        let builder = tonic_reflection::server::Builder::configure().include_reflection_service(false);
        DESCRIPTORS.iter().fold(builder, |builder, set| builder.register_encoded_file_descriptor_set(set))
    };
    let calls = Calls::new(receive_timeout, &DESCRIPTORS)?;
    let mut builder = Routes::builder();
    builder
        .add_service(sized!(SessionServiceServer, sessions))
        .add_service(sized!(RunServiceServer, runs))
        .add_service(sized!(WorkerServiceServer, workers))
        .add_service(sized!(ArtifactServiceServer, artifacts))
        .add_service(health)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    let router = builder.routes().into_axum_router().layer(admission).layer(from_fn_with_state(calls, call));
    let router = traced(counted(router, metrics)?).fallback(unknown_path).merge(http);
    Ok((router, switch))
}

/// gRPC clients are told that there is no such method, others that there is no such page.
async fn unknown_path(request: Request<axum::body::Body>) -> Response {
    if is_grpc(request.headers()) {
        return unknown_method(request.uri().path()).into_http::<axum::body::Body>();
    }
    (axum::http::StatusCode::NOT_FOUND, "there is nothing here\n").into_response()
}
