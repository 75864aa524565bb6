//! WorkerService. [`connect`] has its Connect.

use std::sync::Arc;

use futures::stream::BoxStream;
use proto::v1;
use proto::v1::worker_service_server::WorkerService;
use tonic::{Request, Response, Status, Streaming};

use crate::edge::convert::ToProto;
use crate::edge::convert::fields::single_id;
use crate::edge::respond::respond;
use crate::services::worker::workers::Workers;
use crate::services::worker::{connect, convert};
use engine::domain::Limits;

/// The handlers of WorkerService.
#[derive(Debug, Clone)]
pub struct WorkerApi {
    pub workers: Workers,
    pub limits: Arc<Limits>,
}

#[tonic::async_trait]
impl WorkerService for WorkerApi {
    type ConnectStream = BoxStream<'static, Result<v1::ConnectResponse, Status>>;

    async fn connect(
        &self,
        request: Request<Streaming<v1::ConnectRequest>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        connect::connect(self.workers.clone(), self.limits.clone(), request).await
    }

    async fn claim(&self, request: Request<v1::ClaimRequest>) -> Result<Response<v1::ClaimResponse>, Status> {
        respond(request, async |caller, request| {
            let claim = convert::claim(request, &self.limits)?;
            let (worker_id, assignments) = self.workers.claim(caller, claim).await?;
            Ok(v1::ClaimResponse {
                worker_id: worker_id.to_string(),
                assignments: assignments.into_iter().map(ToProto::to_proto).collect(),
            })
        })
        .await
    }

    async fn heartbeat(
        &self,
        request: Request<v1::HeartbeatRequest>,
    ) -> Result<Response<v1::HeartbeatResponse>, Status> {
        respond(request, async |caller, request| {
            let (worker_id, heartbeat) = convert::heartbeat(request, &self.limits)?;
            let (lost, cancels) = self.workers.heartbeat(caller, worker_id, heartbeat).await?;
            Ok(v1::HeartbeatResponse {
                lost: lost.into_iter().map(ToProto::to_proto).collect(),
                cancels: cancels.into_iter().map(ToProto::to_proto).collect(),
            })
        })
        .await
    }

    async fn report_run(
        &self,
        request: Request<v1::ReportRunRequest>,
    ) -> Result<Response<v1::ReportRunResponse>, Status> {
        respond(request, async |caller, request| {
            let (worker_id, report) = convert::report_run(request, &self.limits)?;
            let run = self.workers.report(caller, worker_id, report).await?;
            Ok(v1::ReportRunResponse { run: Some(run.to_proto()) })
        })
        .await
    }

    async fn append_run_events(
        &self,
        request: Request<v1::AppendRunEventsRequest>,
    ) -> Result<Response<v1::AppendRunEventsResponse>, Status> {
        respond(request, async |caller, request| {
            let (worker_id, batch) = convert::append_run_events(request, &self.limits)?;
            let through_seq = self.workers.append_events(caller, worker_id, batch).await?;
            Ok(v1::AppendRunEventsResponse { through_seq })
        })
        .await
    }

    async fn list_workers(
        &self,
        request: Request<v1::ListWorkersRequest>,
    ) -> Result<Response<v1::ListWorkersResponse>, Status> {
        respond(request, async |caller, request| {
            let (states, page) = convert::list_workers(request, &self.limits)?;
            let page = self.workers.list(caller, states, page).await?;
            Ok(v1::ListWorkersResponse {
                workers: page.items.into_iter().map(ToProto::to_proto).collect(),
                next_page_token: page.next_token,
            })
        })
        .await
    }

    async fn drain_worker(
        &self,
        request: Request<v1::DrainWorkerRequest>,
    ) -> Result<Response<v1::DrainWorkerResponse>, Status> {
        respond(request, async |caller, request| {
            let id = single_id("worker_id", &request.worker_id)?;
            let worker = self.workers.drain(caller, id).await?;
            Ok(v1::DrainWorkerResponse { worker: Some(worker.to_proto()) })
        })
        .await
    }

    async fn undrain_worker(
        &self,
        request: Request<v1::UndrainWorkerRequest>,
    ) -> Result<Response<v1::UndrainWorkerResponse>, Status> {
        respond(request, async |caller, request| {
            let id = single_id("worker_id", &request.worker_id)?;
            let worker = self.workers.undrain(caller, id).await?;
            Ok(v1::UndrainWorkerResponse { worker: Some(worker.to_proto()) })
        })
        .await
    }
}
