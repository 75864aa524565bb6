//! All services on one router.

use std::sync::Arc;

use axum::http::Request;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use proto::v1::artifact_service_server::ArtifactServiceServer;
use proto::v1::run_service_server::RunServiceServer;
use proto::v1::session_service_server::SessionServiceServer;
use proto::v1::worker_service_server::WorkerServiceServer;
use tonic::Status;
use tonic::service::Routes;

use super::artifact::ArtifactApi;
use super::health::HealthSwitch;
use super::run::RunApi;
use super::session::SessionApi;
use super::status::{unknown_method, unreadable};
use super::worker::WorkerApi;
use crate::domain::Limits;
use crate::service::artifacts::Artifacts;
use crate::service::runs::Runs;
use crate::service::runs_read::RunsRead;
use crate::service::session_end::SessionEnd;
use crate::service::sessions::Sessions;
use crate::service::workers::Workers;
use crate::service::workers_read::WorkersRead;

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

/// Everything on the port: the services of this API, health, reflection, and the routes of plain HTTP. The switch says
/// through `grpc.health.v1` whether the server serves.
pub async fn routes(
    services: Services,
    limits: Arc<Limits>,
    http: axum::Router,
) -> Result<(Routes, HealthSwitch), tonic_reflection::server::Error> {
    let (message_in, message_out) = (limits.message_in, limits.message_out);
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
        tonic_reflection::server::Builder::configure()
            .include_reflection_service(false)
            .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET)
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
    let router = builder.routes().into_axum_router().layer(map_response(readable)).fallback(unknown_path).merge(http);
    Ok((Routes::from(router).prepare(), switch))
}

/// A request that the transport could not read is told so in the terms of this API.
async fn readable(response: Response) -> Response {
    match Status::from_header_map(response.headers()) {
        Some(status) if status.details().is_empty() => match unreadable(status.clone()) {
            told if told.code() == status.code() => response,
            told => told.into_http::<axum::body::Body>(),
        },
        _ => response,
    }
}

/// gRPC clients are told that there is no such method, others that there is no such page.
async fn unknown_path(request: Request<axum::body::Body>) -> Response {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.starts_with("application/grpc") {
        return unknown_method(request.uri().path()).into_http::<axum::body::Body>();
    }
    (axum::http::StatusCode::NOT_FOUND, "there is nothing here\n").into_response()
}
