//! Tables of bad input: each row is something that no client should send, and the expected reaction. After each row the
//! server must still be healthy: it reports SERVING, and executes a run.
//!
//! The tables need only the address of a server, so they can test a server in this process or in another one.
//! [`floods`] are raw HTTP/2 ([`frames`]); [`calls`] are gRPC calls of a client without rules ([`http2`]); [`values`]
//! are wrong fields, [`streams`] are wrong frames of workers.

pub mod calls;
mod floods;
pub mod frames;
pub mod http2;
mod streams;
mod values;

use std::time::Duration;

use client::{Client, Settings};
use proto::v1::run_service_client::RunServiceClient;
use proto::v1::session_service_client::SessionServiceClient;
use proto::v1::worker_service_client::WorkerServiceClient;
use proto::v1::*;
use tonic::transport::Channel;

use http2::Ask;

/// Far longer than a server takes to become ready.
const TIMEOUT: Duration = Duration::from_secs(60);
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// A server under test, and the failures so far.
pub struct Scene {
    /// HOST:PORT.
    address: String,
    client: Client,
    session: String,
    wrong: Vec<String>,
    rows: usize,
}

/// Runs all tables and returns the number of rows. Reports all failures together.
pub async fn all(address: &str) -> usize {
    let mut scene = Scene::of(address).await;
    floods::all(&mut scene).await;
    calls::all(&mut scene).await;
    values::all(&mut scene).await;
    scene.end()
}

impl Scene {
    pub async fn of(address: &str) -> Self {
        let client =
            Client::connect(&format!("http://{address}"), &Settings::default()).await.expect("the server listens");
        let request = CreateSessionRequest { name: "bad input".into(), ..Default::default() };
        let session = client.sessions().create_session(request).await.expect("it is created");
        let session = session.into_inner().session.expect("it is answered").id;
        let scene = Self { address: address.to_owned(), client, session, wrong: Vec::new(), rows: 0 };
        // The server reports SERVING after its first answer from the database.
        let serves = async {
            while !scene.serves().await {
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
        };
        tokio::time::timeout(TIMEOUT, serves).await.expect("it serves");
        scene
    }

    fn sessions(&self) -> SessionServiceClient<Channel> {
        self.client.sessions()
    }

    fn runs(&self) -> RunServiceClient<Channel> {
        self.client.runs()
    }

    fn workers(&self) -> WorkerServiceClient<Channel> {
        self.client.workers()
    }

    async fn serves(&self) -> bool {
        let health = Ask::message("grpc.health.v1.Health/Check", &[]).send(&self.address).await;
        health.is_ok_and(|health| health.body == http2::framed(&[8, 1]))
    }

    /// Records the failure of a row, and checks that the server is healthy after it.
    async fn check(&mut self, what: &str, row: impl FnOnce() -> Result<(), String>) {
        self.rows += 1;
        if let Err(why) = row() {
            self.wrong.push(format!("{what}: {why}"));
        }
        self.is_well(what).await;
    }

    /// The server reports SERVING, and takes a run from its enqueue to its end.
    async fn is_well(&self, after: &str) {
        assert!(self.serves().await, "after {after}, it does not serve");
        let run = RunSpec {
            session_id: self.session.clone(),
            lane: Lane::D.into(),
            kind: "pulse".into(),
            ..Default::default()
        };
        let enqueued = self
            .runs()
            .enqueue_run(EnqueueRunRequest { run: Some(run) })
            .await
            .unwrap_or_else(|status| panic!("after {after}, a run is not enqueued: {status:?}"));
        let enqueued = enqueued.into_inner().run.expect("it is answered").id;
        let mut workers = self.workers();
        let wait = Some(prost_types::Duration { seconds: 60, nanos: 0 });
        let (kinds, lanes) = (vec!["pulse".to_owned()], vec![Lane::D.into()]);
        let claim = ClaimRequest { worker_name: "pulse".into(), kinds, lanes, wait, ..Default::default() };
        let claimed = workers.claim(claim).await;
        let claimed =
            claimed.unwrap_or_else(|status| panic!("after {after}, nothing is claimed: {status:?}")).into_inner();
        assert_eq!(claimed.assignments.len(), 1, "after {after}");
        let run = claimed.assignments[0].run.clone().expect("an assignment has its run");
        assert_eq!(run.id, enqueued, "after {after}");
        let outcome = outcome::Outcome::Succeeded(Succeeded { result: None });
        let report = RunReport { run_id: run.id, fence: run.fence, outcome: Some(Outcome { outcome: Some(outcome) }) };
        let report = ReportRunRequest { worker_id: claimed.worker_id, report: Some(report) };
        let reported = workers.report_run(report).await;
        let reported = reported.unwrap_or_else(|status| panic!("after {after}, a run is not reported: {status:?}"));
        assert_eq!(reported.into_inner().run.expect("it is answered").status(), RunStatus::Succeeded, "after {after}");
    }

    /// Fails with all failures.
    fn end(self) -> usize {
        assert!(self.wrong.is_empty(), "{} of {} rows:\n  {}\n", self.wrong.len(), self.rows, self.wrong.join("\n  "));
        self.rows
    }
}
