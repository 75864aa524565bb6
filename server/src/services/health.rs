//! `grpc.health.v1`: the health of each service, and of the whole server under the empty name.

use proto::v1;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::server::HealthReporter;

/// The services of this API, as health and reflection name them.
pub const SERVICES: [&str; 4] = [
    v1::session_service_server::SERVICE_NAME,
    v1::run_service_server::SERVICE_NAME,
    v1::worker_service_server::SERVICE_NAME,
    v1::artifact_service_server::SERVICE_NAME,
];

/// Sets whether the server serves. It begins as not serving.
#[derive(Debug, Clone)]
pub struct HealthSwitch(HealthReporter);

impl HealthSwitch {
    /// The switch, and the service that answers with its state.
    pub async fn new() -> (Self, HealthServer<impl Health>) {
        let (reporter, service) = tonic_health::server::health_reporter();
        let switch = Self(reporter);
        switch.set(false).await;
        (switch, service)
    }

    /// Sets the status of all services and of the whole server, and notifies watchers.
    pub async fn set(&self, serving: bool) {
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in SERVICES.into_iter().chain([""]) {
            self.0.set_service_status(service, status).await;
        }
    }
}
