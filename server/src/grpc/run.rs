//! RunService.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::BoxStream;
use proto::v1;
use proto::v1::run_service_server::RunService;
use tonic::{Request, Response, Status};

use super::convert::fields::single_id;
use super::convert::{event, run as convert};
use super::tenant::open;
use super::trace::traceparent_of;
use crate::domain::Limits;
use crate::service::runs::Runs;
use crate::service::runs_read::RunsRead;

/// The handlers of RunService.
#[derive(Debug, Clone)]
pub struct RunApi {
    pub runs: Runs,
    pub runs_read: RunsRead,
    pub limits: Arc<Limits>,
}

#[tonic::async_trait]
impl RunService for RunApi {
    async fn enqueue_run(
        &self,
        request: Request<v1::EnqueueRunRequest>,
    ) -> Result<Response<v1::EnqueueRunResponse>, Status> {
        let caller = traceparent_of(request.metadata());
        let (tenant, request) = open(request);
        let spec = convert::enqueue_run(request, caller, &self.limits)?;
        let run = self.runs.enqueue_one(tenant, spec).await?;
        Ok(Response::new(v1::EnqueueRunResponse { run: Some(run.into()) }))
    }

    async fn enqueue_runs(
        &self,
        request: Request<v1::EnqueueRunsRequest>,
    ) -> Result<Response<v1::EnqueueRunsResponse>, Status> {
        let caller = traceparent_of(request.metadata());
        let (tenant, request) = open(request);
        let specs = convert::enqueue_runs(request, caller, &self.limits)?;
        let ids = self.runs.enqueue(tenant, specs).await?;
        Ok(Response::new(v1::EnqueueRunsResponse { run_ids: ids.iter().map(ToString::to_string).collect() }))
    }

    async fn get_run(&self, request: Request<v1::GetRunRequest>) -> Result<Response<v1::GetRunResponse>, Status> {
        let (tenant, request) = open(request);
        let id = single_id("run_id", &request.run_id)?;
        let run = self.runs_read.get(&tenant, id).await?;
        Ok(Response::new(v1::GetRunResponse { run: Some(run.into()) }))
    }

    async fn list_runs(&self, request: Request<v1::ListRunsRequest>) -> Result<Response<v1::ListRunsResponse>, Status> {
        let (tenant, request) = open(request);
        let (filter, page) = convert::list_runs(request, &self.limits)?;
        let page = self.runs_read.list(&tenant, filter, page).await?;
        Ok(Response::new(v1::ListRunsResponse {
            runs: page.items.into_iter().map(v1::Run::from).collect(),
            next_page_token: page.next_token,
        }))
    }

    async fn cancel_run(
        &self,
        request: Request<v1::CancelRunRequest>,
    ) -> Result<Response<v1::CancelRunResponse>, Status> {
        let (tenant, request) = open(request);
        let (id, reason, grace) = convert::cancel_run(request, &self.limits)?;
        let run = self.runs.cancel(tenant, id, reason, grace).await?;
        Ok(Response::new(v1::CancelRunResponse { run: Some(run.into()) }))
    }

    async fn wait_run(&self, request: Request<v1::WaitRunRequest>) -> Result<Response<v1::WaitRunResponse>, Status> {
        let (tenant, request) = open(request);
        let (id, timeout) = convert::wait_run(request, &self.limits)?;
        let run = self.runs.wait(tenant, id, timeout).await?;
        Ok(Response::new(v1::WaitRunResponse { run: Some(run.into()) }))
    }

    type WatchRunsStream = BoxStream<'static, Result<v1::WatchRunsResponse, Status>>;

    async fn watch_runs(
        &self,
        request: Request<v1::WatchRunsRequest>,
    ) -> Result<Response<Self::WatchRunsStream>, Status> {
        let (tenant, request) = open(request);
        let watch = convert::watch_runs(request, &self.limits)?;
        let events = self.runs.watch(tenant, watch).await?;
        let messages = events.map(|event| event.map(v1::WatchRunsResponse::from).map_err(Status::from));
        Ok(Response::new(messages.boxed()))
    }

    async fn list_run_events(
        &self,
        request: Request<v1::ListRunEventsRequest>,
    ) -> Result<Response<v1::ListRunEventsResponse>, Status> {
        let (tenant, request) = open(request);
        let (run_id, min_level, page) = event::list_run_events(request, &self.limits)?;
        let page = self.runs_read.list_events(&tenant, run_id, min_level, page).await?;
        Ok(Response::new(v1::ListRunEventsResponse {
            events: page.items.into_iter().map(v1::RunEvent::from).collect(),
            next_page_token: page.next_token,
        }))
    }

    type TailRunEventsStream = BoxStream<'static, Result<v1::TailRunEventsResponse, Status>>;

    async fn tail_run_events(
        &self,
        request: Request<v1::TailRunEventsRequest>,
    ) -> Result<Response<Self::TailRunEventsStream>, Status> {
        let (tenant, request) = open(request);
        let (run_id, min_level, resume_token) = event::tail_run_events(request, &self.limits)?;
        let batches = self.runs.tail(tenant, run_id, min_level, resume_token).await?;
        let messages = batches.map(|batch| {
            let (events, resume_token) = batch?;
            let events = events.into_iter().map(v1::RunEvent::from).collect();
            Ok(v1::TailRunEventsResponse { events, resume_token })
        });
        Ok(Response::new(messages.boxed()))
    }
}
