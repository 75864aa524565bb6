//! Real connections to servers on this machine, in a context without an `ops` server.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    sync::Semaphore,
    task::JoinSet,
    time,
};
use worker::{Failure, Handler, HandlerError, Probe, StopCause, StopReason};

use super::{
    dial::{Resolve, System},
    handler::{Http, HttpConfig},
};

mod answers;
mod endings;
mod places;

/// A server that reads a request and writes the given bytes. It ends when dropped.
struct Site {
    address: SocketAddr,
    /// The requests, in order.
    requests: Arc<Mutex<Vec<String>>>,
    /// Connections that the client has closed.
    closed: Arc<Semaphore>,
    /// Requests that have arrived.
    arrived: Arc<Semaphore>,
    _serving: JoinSet<()>,
}

impl Site {
    async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        Self::at("127.0.0.1:0", vec![answer.into()]).await
    }

    /// Writes these answers in order, and then the last one again and again. It leaves connections open.
    async fn at(address: &str, answers: Vec<Vec<u8>>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (closed, arrived) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let (seen, over, came) = (Arc::clone(&requests), Arc::clone(&closed), Arc::clone(&arrived));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (seen, over, came, answers) = (seen.clone(), over.clone(), came.clone(), answers.clone());
                connections.spawn(async move {
                    let _ended_badly = serve(stream, &answers, &seen, &came).await;
                    over.add_permits(1);
                });
            }
        });
        Self { address, requests, closed, arrived, _serving: serving }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answers: &[Vec<u8>],
    seen: &Mutex<Vec<String>>,
    came: &Semaphore,
) -> io::Result<()> {
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut buffer).await?;
        request.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let length =
            text.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |it| it.parse().unwrap());
        if read == 0 || text.split_once("\r\n\r\n").is_some_and(|(_, body)| body.len() == length) {
            let index = {
                let mut seen = seen.lock().unwrap();
                seen.push(text);
                seen.len() - 1
            };
            came.add_permits(1);
            stream.write_all(&answers[index.min(answers.len() - 1)]).await?;
            break;
        }
    }
    // The client closes the connection after the answer.
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

fn handler(allow: &[&str]) -> Http {
    handler_with(allow, Arc::new(System))
}

fn handler_with(allow: &[&str], resolver: Arc<dyn Resolve>) -> Http {
    let allow = allow.iter().map(|network| network.parse().unwrap()).collect();
    Http::with_resolver(&HttpConfig { allow, ca_certificates_pem: None }, resolver).unwrap()
}

async fn ask(params: Value) -> Result<Value, HandlerError> {
    handler(&["127.0.0.0/8"]).run(Probe::with_params(params).0).await
}

fn failure(result: Result<Value, HandlerError>) -> Failure {
    match result {
        Err(HandlerError::Failed(failure)) => *failure,
        other => panic!("expected a failure, got {other:?}"),
    }
}

/// The type of the failure, and whether it is permanent.
fn class(result: Result<Value, HandlerError>) -> (String, bool) {
    let failure = failure(result);
    (failure.error_type, failure.permanent)
}
