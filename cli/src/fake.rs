//! A server for tests that answers as it is told, to see how clients bear what a real one does only when it is killed.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use proto::v1::{run_service_server::RunService, run_service_server::RunServiceServer, *};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_stream::{Iter, wrappers::TcpListenerStream};
use tonic::{Request, Response, Status, transport::Server};

use crate::client::Client;

type Script<T> = Mutex<VecDeque<T>>;
type Messages<T> = Vec<Result<T, Status>>;

/// What is answered, call by call, and what was asked.
#[derive(Debug, Default)]
pub(crate) struct Fake {
    pub(crate) watches: Script<Result<Messages<WatchRunsResponse>, Status>>,
    pub(crate) watched: Mutex<Vec<WatchRunsRequest>>,
    pub(crate) waits: Script<Result<Run, Status>>,
}

impl Fake {
    /// Serves until the set of tasks is dropped.
    pub(crate) async fn serve(self) -> (Arc<Self>, Client, JoinSet<()>) {
        let fake = Arc::new(self);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string().parse().unwrap();
        let router = Server::builder().add_service(RunServiceServer::from_arc(Arc::clone(&fake)));
        let mut task = JoinSet::new();
        task.spawn(async move { router.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap() });
        (fake, Client::connect(&address).await.unwrap(), task)
    }

    pub(crate) fn watched(&self) -> Vec<WatchRunsRequest> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
        _: Request<TailRunEventsRequest>,
    ) -> Result<Response<Self::TailRunEventsStream>, Status> {
        Err(Status::unimplemented(""))
    }
}
