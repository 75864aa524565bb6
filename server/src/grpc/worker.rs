//! WorkerService. Its Connect is in [`super::connect`].

use std::sync::Arc;

use futures::stream::BoxStream;
use proto::v1;
use proto::v1::worker_service_server::WorkerService;
use tonic::{Request, Response, Status, Streaming};

use super::convert::fields::single_id;
use super::convert::worker as convert;
use super::tenant::open;
use crate::domain::Limits;
use crate::service::workers::Workers;
use crate::service::workers_read::WorkersRead;

/// The handlers of WorkerService.
#[derive(Debug, Clone)]
pub struct WorkerApi {
    pub workers: Workers,
    pub workers_read: WorkersRead,
    pub limits: Arc<Limits>,
}

#[tonic::async_trait]
impl WorkerService for WorkerApi {
    type ConnectStream = BoxStream<'static, Result<v1::ConnectResponse, Status>>;

    async fn connect(
        &self,
        request: Request<Streaming<v1::ConnectRequest>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        super::connect::connect(self, request).await
    }

    async fn claim(&self, request: Request<v1::ClaimRequest>) -> Result<Response<v1::ClaimResponse>, Status> {
        let (tenant, request) = open(request);
        let claim = convert::claim(request, &self.limits)?;
        let (worker_id, assignments) = self.workers.claim(tenant, claim).await?;
        Ok(Response::new(v1::ClaimResponse {
            worker_id: worker_id.to_string(),
            assignments: assignments.into_iter().map(v1::Assignment::from).collect(),
        }))
    }

    async fn heartbeat(
        &self,
        request: Request<v1::HeartbeatRequest>,
    ) -> Result<Response<v1::HeartbeatResponse>, Status> {
        let (tenant, request) = open(request);
        let (worker_id, heartbeat) = convert::heartbeat(request, &self.limits)?;
        let (lost, cancels) = self.workers.heartbeat(tenant, worker_id, heartbeat).await?;
        Ok(Response::new(v1::HeartbeatResponse {
            lost: lost.into_iter().map(v1::Lease::from).collect(),
            cancels: cancels.into_iter().map(v1::RunCancel::from).collect(),
        }))
    }

    async fn report_run(
        &self,
        request: Request<v1::ReportRunRequest>,
    ) -> Result<Response<v1::ReportRunResponse>, Status> {
        let (tenant, request) = open(request);
        let (worker_id, report) = convert::report_run(request, &self.limits)?;
        let run = self.workers.report(tenant, worker_id, report).await?;
        Ok(Response::new(v1::ReportRunResponse { run: Some(run.into()) }))
    }

    async fn append_run_events(
        &self,
        request: Request<v1::AppendRunEventsRequest>,
    ) -> Result<Response<v1::AppendRunEventsResponse>, Status> {
        let (tenant, request) = open(request);
        let (worker_id, batch) = convert::append_run_events(request, &self.limits)?;
        let through_seq = self.workers.append_events(tenant, worker_id, batch).await?;
        Ok(Response::new(v1::AppendRunEventsResponse { through_seq }))
    }

    async fn list_workers(
        &self,
        request: Request<v1::ListWorkersRequest>,
    ) -> Result<Response<v1::ListWorkersResponse>, Status> {
        let (tenant, request) = open(request);
        let (states, page) = convert::list_workers(request, &self.limits)?;
        let page = self.workers_read.list(&tenant, states, page).await?;
        Ok(Response::new(v1::ListWorkersResponse {
            workers: page.items.into_iter().map(v1::Worker::from).collect(),
            next_page_token: page.next_token,
        }))
    }

    async fn drain_worker(
        &self,
        request: Request<v1::DrainWorkerRequest>,
    ) -> Result<Response<v1::DrainWorkerResponse>, Status> {
        let (tenant, request) = open(request);
        let id = single_id("worker_id", &request.worker_id)?;
        let worker = self.workers.drain(tenant, id).await?;
        Ok(Response::new(v1::DrainWorkerResponse { worker: Some(worker.into()) }))
    }
}
