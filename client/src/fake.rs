//! A server for tests that answers by a script. It fails as a real server does only when it is killed.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use proto::v1::{run_service_server::RunService, run_service_server::RunServiceServer, *};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_stream::{Iter, wrappers::TcpListenerStream};
use tonic::{Request, Response, Status, transport::Server};

use crate::{Client, Settings};

type Script<T> = Mutex<VecDeque<T>>;
type Messages<T> = Vec<Result<T, Status>>;

/// The answers, call by call, and the requests.
#[derive(Debug, Default)]
pub(crate) struct Fake {
    watches: Script<Result<Messages<WatchRunsResponse>, Status>>,
    watched: Mutex<Vec<WatchRunsRequest>>,
    tails: Script<Result<Messages<TailRunEventsResponse>, Status>>,
    tail_tokens: Mutex<Vec<String>>,
    waits: Script<Result<Run, Status>>,
}

impl Fake {
    pub(crate) fn of_watches(watches: Vec<Result<Messages<WatchRunsResponse>, Status>>) -> Self {
        Self { watches: Mutex::new(watches.into()), ..Self::default() }
    }

    pub(crate) fn of_tails(tails: Vec<Result<Messages<TailRunEventsResponse>, Status>>) -> Self {
        Self { tails: Mutex::new(tails.into()), ..Self::default() }
    }

    pub(crate) fn of_waits(waits: Vec<Result<Run, Status>>) -> Self {
        Self { waits: Mutex::new(waits.into()), ..Self::default() }
    }

    /// Serves until the set of tasks is dropped.
    pub(crate) async fn serve(self) -> (Arc<Self>, Client, JoinSet<()>) {
        let fake = Arc::new(self);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Server::builder().add_service(RunServiceServer::from_arc(Arc::clone(&fake)));
        let mut task = JoinSet::new();
        task.spawn(async move { router.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap() });
        (fake, Client::connect(&url, &Settings::default()).await.unwrap(), task)
    }

    pub(crate) fn watched(&self) -> Vec<WatchRunsRequest> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn tail_tokens(&self) -> Vec<String> {
        self.tail_tokens.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn next<T>(script: &Script<Result<T, Status>>) -> Result<T, Status> {
    let next = script.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    next.unwrap_or_else(|| Err(Status::failed_precondition("the test expects no further call")))
}

#[tonic::async_trait]
impl RunService for Fake {
    type WatchRunsStream = Iter<std::vec::IntoIter<Result<WatchRunsResponse, Status>>>;
    type TailRunEventsStream = Iter<std::vec::IntoIter<Result<TailRunEventsResponse, Status>>>;

    async fn watch_runs(&self, request: Request<WatchRunsRequest>) -> Result<Response<Self::WatchRunsStream>, Status> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).push(request.into_inner());
        Ok(Response::new(tokio_stream::iter(next(&self.watches)?)))
    }

    async fn wait_run(&self, _: Request<WaitRunRequest>) -> Result<Response<WaitRunResponse>, Status> {
        Ok(Response::new(WaitRunResponse { run: Some(next(&self.waits)?) }))
    }

    async fn enqueue_run(&self, _: Request<EnqueueRunRequest>) -> Result<Response<EnqueueRunResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn enqueue_runs(&self, _: Request<EnqueueRunsRequest>) -> Result<Response<EnqueueRunsResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn get_run(&self, _: Request<GetRunRequest>) -> Result<Response<GetRunResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn list_runs(&self, _: Request<ListRunsRequest>) -> Result<Response<ListRunsResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn cancel_run(&self, _: Request<CancelRunRequest>) -> Result<Response<CancelRunResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn list_run_events(
        &self,
        _: Request<ListRunEventsRequest>,
    ) -> Result<Response<ListRunEventsResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn tail_run_events(
        &self,
        request: Request<TailRunEventsRequest>,
    ) -> Result<Response<Self::TailRunEventsStream>, Status> {
        let token = request.into_inner().resume_token;
        self.tail_tokens.lock().unwrap_or_else(PoisonError::into_inner).push(token);
        Ok(Response::new(tokio_stream::iter(next(&self.tails)?)))
    }
}
