//! RunService.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::BoxStream;
use proto::v1;
use proto::v1::run_service_server::RunService;
use tonic::{Request, Response, Status};

use crate::edge::convert::ToProto;
use crate::edge::convert::fields::single_id;
use crate::edge::respond::{respond, respond_with_stream};
use crate::edge::status::status_of;
use crate::edge::trace::traceparent_of;
use crate::services::run::convert;
use crate::services::run::runs::Runs;
use engine::domain::Limits;

/// The handlers of RunService.
#[derive(Debug, Clone)]
pub struct RunApi {
    pub runs: Runs,
    pub limits: Arc<Limits>,
}

#[tonic::async_trait]
impl RunService for RunApi {
    async fn enqueue_run(
        &self,
        request: Request<v1::EnqueueRunRequest>,
    ) -> Result<Response<v1::EnqueueRunResponse>, Status> {
        let trace = traceparent_of(request.metadata());
        respond(request, async |caller, request| {
            let spec = convert::enqueue_run(request, trace, &self.limits)?;
            let run = self.runs.enqueue_one(caller, spec).await?;
            Ok(v1::EnqueueRunResponse { run: Some(run.to_proto()) })
        })
        .await
    }

    async fn enqueue_runs(
        &self,
        request: Request<v1::EnqueueRunsRequest>,
    ) -> Result<Response<v1::EnqueueRunsResponse>, Status> {
        let trace = traceparent_of(request.metadata());
        respond(request, async |caller, request| {
            let specs = convert::enqueue_runs(request, trace, &self.limits)?;
            let ids = self.runs.enqueue(caller, specs).await?;
            Ok(v1::EnqueueRunsResponse { run_ids: ids.iter().map(ToString::to_string).collect() })
        })
        .await
    }

    async fn get_run(&self, request: Request<v1::GetRunRequest>) -> Result<Response<v1::GetRunResponse>, Status> {
        respond(request, async |caller, request| {
            let id = single_id("run_id", &request.run_id)?;
            let run = self.runs.get(&caller, id).await?;
            Ok(v1::GetRunResponse { run: Some(run.to_proto()) })
        })
        .await
    }

    async fn list_runs(&self, request: Request<v1::ListRunsRequest>) -> Result<Response<v1::ListRunsResponse>, Status> {
        respond(request, async |caller, request| {
            let (filter, page) = convert::list_runs(request, &self.limits)?;
            let page = self.runs.list(caller, filter, page).await?;
            Ok(v1::ListRunsResponse {
                runs: page.items.into_iter().map(ToProto::to_proto).collect(),
                next_page_token: page.next_token,
            })
        })
        .await
    }

    async fn cancel_run(
        &self,
        request: Request<v1::CancelRunRequest>,
    ) -> Result<Response<v1::CancelRunResponse>, Status> {
        respond(request, async |caller, request| {
            let (id, reason, grace) = convert::cancel_run(request, &self.limits)?;
            let run = self.runs.cancel(caller, id, reason, grace).await?;
            Ok(v1::CancelRunResponse { run: Some(run.to_proto()) })
        })
        .await
    }

    async fn wait_run(&self, request: Request<v1::WaitRunRequest>) -> Result<Response<v1::WaitRunResponse>, Status> {
        respond(request, async |caller, request| {
            let (id, timeout) = convert::wait_run(request, &self.limits)?;
            let run = self.runs.wait(caller, id, timeout).await?;
            Ok(v1::WaitRunResponse { run: Some(run.to_proto()) })
        })
        .await
    }

    type WatchRunsStream = BoxStream<'static, Result<v1::WatchRunsResponse, Status>>;

    async fn watch_runs(
        &self,
        request: Request<v1::WatchRunsRequest>,
    ) -> Result<Response<Self::WatchRunsStream>, Status> {
        respond_with_stream(request, async |caller, request| {
            let watch = convert::watch_runs(request, &self.limits)?;
            let events = self.runs.watch(caller, watch).await?;
            let messages = events.map(|event| event.map(ToProto::to_proto).map_err(status_of));
            Ok(messages.boxed())
        })
        .await
    }

    async fn list_run_events(
        &self,
        request: Request<v1::ListRunEventsRequest>,
    ) -> Result<Response<v1::ListRunEventsResponse>, Status> {
        respond(request, async |caller, request| {
            let (run_id, min_level, page) = convert::list_run_events(request, &self.limits)?;
            let page = self.runs.list_events(caller, run_id, min_level, page).await?;
            Ok(v1::ListRunEventsResponse {
                events: page.items.into_iter().map(ToProto::to_proto).collect(),
                next_page_token: page.next_token,
            })
        })
        .await
    }

    type TailRunEventsStream = BoxStream<'static, Result<v1::TailRunEventsResponse, Status>>;

    async fn tail_run_events(
        &self,
        request: Request<v1::TailRunEventsRequest>,
    ) -> Result<Response<Self::TailRunEventsStream>, Status> {
        respond_with_stream(request, async |caller, request| {
            let (run_id, min_level, resume_token) = convert::tail_run_events(request, &self.limits)?;
            let batches = self.runs.tail(caller, run_id, min_level, resume_token).await?;
            let messages = batches.map(|batch| {
                let (events, resume_token) = batch.map_err(status_of)?;
                let events = events.into_iter().map(ToProto::to_proto).collect();
                Ok(v1::TailRunEventsResponse { events, resume_token })
            });
            Ok(messages.boxed())
        })
        .await
    }
}
