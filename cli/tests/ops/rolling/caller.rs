//! A client of several servers. As the contract demands, it retries a call that was refused with UNAVAILABLE and a
//! retry delay, and a call whose connection was closed, each time on the next server.

use std::{
    error::Error,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use proto::v1::{Run, RunSpec, WaitRunRequest};
use tonic::{Code, Status};

use crate::ops::client::Client;

/// The most tries of one call: many more than restarts of servers.
const TRIES: usize = 200;
/// The time between two tries while no server listens.
const AGAIN: Duration = Duration::from_millis(20);

/// The numbers of retries.
#[derive(Debug, Default)]
pub struct Retries {
    /// The server refused, and said when to retry.
    pub refused: AtomicUsize,
    /// No server accepted the connection, or it was closed.
    pub closed: AtomicUsize,
}

#[derive(Clone, Debug)]
pub struct Caller {
    clients: Vec<Client>,
    current: usize,
    retries: Arc<Retries>,
}

impl Caller {
    /// Begins with the first of these servers.
    pub fn of(addresses: &[String], retries: &Arc<Retries>) -> Self {
        let clients = addresses.iter().map(|address| Client::of(address)).collect();
        Self { clients, current: 0, retries: Arc::clone(retries) }
    }

    pub fn client(&self) -> &Client {
        &self.clients[self.current]
    }

    /// The id of a new run. It has a request id, so that the call can be repeated.
    pub async fn enqueue(&mut self, run: &RunSpec) -> String {
        assert!(!run.request_id.is_empty());
        self.call("enqueue", run, |client, run| async move { client.enqueue(run).await }).await
    }

    /// The run when it has ended.
    pub async fn ended(&mut self, run_id: &str) -> Run {
        let wait_timeout = Some(prost_types::Duration { seconds: 60, nanos: 0 });
        loop {
            let request = WaitRunRequest { run_id: run_id.to_owned(), wait_timeout };
            let wait = |mut client: Client, request| async move { client.runs.wait_run(request).await };
            let run = self.call("wait", &request, wait).await.into_inner().run.unwrap();
            if run.finish_time.is_some() {
                return run;
            }
        }
    }

    /// Repeats the call until a server answers.
    pub async fn call<R: Clone, T, F>(&mut self, what: &str, request: &R, call: impl Fn(Client, R) -> F) -> T
    where
        F: Future<Output = Result<T, Status>>,
    {
        for _ in 0..TRIES {
            match call(self.client().clone(), request.clone()).await {
                Ok(answer) => return answer,
                Err(status) => self.before_another_try(what, &status).await,
            }
        }
        panic!("{what} was tried too often");
    }

    /// Waits as long as the server asks, and goes to the next server.
    pub async fn before_another_try(&mut self, what: &str, status: &Status) {
        let retry = client::Refusal::from(status).retry_delay;
        let delay = match retry {
            Some(delay) if status.code() == Code::Unavailable => {
                self.retries.refused.fetch_add(1, Ordering::Relaxed);
                delay
            }
            _ if is_closed(status) => {
                self.retries.closed.fetch_add(1, Ordering::Relaxed);
                AGAIN
            }
            _ => panic!("{what} failed, and nothing says that it may be tried again: {status:?}"),
        };
        self.go_elsewhere();
        tokio::time::sleep(delay).await;
    }

    pub fn go_elsewhere(&mut self) {
        self.current = (self.current + 1) % self.clients.len();
    }
}

/// Whether the connection failed or was closed, so that no server answered and the result of the call is unknown.
fn is_closed(status: &Status) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = status.source();
    while let Some(error) = cause {
        if error.is::<io::Error>() || error.is::<hyper::Error>() {
            return true;
        }
        cause = error.source();
    }
    false
}
