//! A client of a server that may be away for a while.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use proto::v1::{
    CreateSessionRequest, EnqueueRunRequest, GetRunRequest, GetSessionRequest, Lane, ListRunEventsRequest, Run,
    RunFilter, RunSpec, RunStatus, Session, WatchRunsRequest, WatchRunsResponse,
    artifact_service_client::ArtifactServiceClient, run_service_client::RunServiceClient, run_spec::Params,
    session_service_client::SessionServiceClient,
};
use tonic::{Status, Streaming, transport::Channel};

/// The time limit of every wait: much longer than any wait here takes.
const TIMEOUT: Duration = Duration::from_secs(120);
/// The time between two tries while the server is away.
const AGAIN: Duration = Duration::from_millis(50);

#[derive(Clone, Debug)]
pub struct Client {
    pub sessions: SessionServiceClient<Channel>,
    pub runs: RunServiceClient<Channel>,
    pub artifacts: ArtifactServiceClient<Channel>,
}

/// Runs by their ids.
pub type Runs = BTreeMap<String, Run>;

impl Client {
    /// Connects with the first call, and again after a lost connection.
    pub fn of(address: &str) -> Self {
        let settings = client::Settings { pings: None, ..client::Settings::default() };
        let client = client::Client::lazy(address, &settings).unwrap();
        Self { sessions: client.sessions(), runs: client.runs(), artifacts: client.artifacts() }
    }

    /// The id of a new session.
    pub async fn session(&self) -> String {
        let request = CreateSessionRequest { name: "test".to_owned(), ..Default::default() };
        self.sessions.clone().create_session(request).await.unwrap().into_inner().session.unwrap().id
    }

    pub async fn read_session(&self, session: &str) -> Session {
        let request = GetSessionRequest { session_id: session.to_owned() };
        self.sessions.clone().get_session(request).await.unwrap().into_inner().session.unwrap()
    }

    /// The id of a new run.
    pub async fn enqueue(&self, run: RunSpec) -> Result<String, Status> {
        let answer = self.runs.clone().enqueue_run(EnqueueRunRequest { run: Some(run) }).await?;
        Ok(answer.into_inner().run.unwrap().id)
    }

    /// The ids of `count` new runs of this script.
    pub async fn enqueue_many(&self, session: &str, script: &str, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        for _ in 0..count {
            ids.push(self.enqueue(shell(session, script)).await.unwrap());
        }
        ids
    }

    pub async fn get(&self, run: &str) -> Run {
        let request = GetRunRequest { run_id: run.to_owned() };
        self.runs.clone().get_run(request).await.unwrap().into_inner().run.unwrap()
    }

    /// The log of a run, line by line.
    pub async fn log(&self, run: &str) -> String {
        let request = ListRunEventsRequest { run_id: run.to_owned(), ..Default::default() };
        let events = self.runs.clone().list_run_events(request).await.unwrap().into_inner().events;
        events.into_iter().map(|event| format!("{}\n", event.message)).collect()
    }

    /// Watches all runs of this session until they are as wanted, and returns them. It waits while the server is away.
    pub async fn until(&self, session: &str, wanted: impl Fn(&Runs) -> bool) -> Runs {
        let mut runs = Runs::new();
        let watching = async {
            loop {
                if let Ok(mut stream) = self.watch(session).await
                    && follow(&mut stream, &mut runs, &wanted).await
                {
                    return;
                }
                tokio::time::sleep(AGAIN).await;
            }
        };
        if tokio::time::timeout(TIMEOUT, watching).await.is_err() {
            panic!("the runs did not become as wanted: {runs:#?}");
        }
        runs
    }

    /// Waits until these runs of this session have this status.
    pub async fn until_all(&self, session: &str, ids: &[String], status: RunStatus) -> Runs {
        self.until(session, |runs| ids.iter().all(|id| runs.get(id).is_some_and(|run| run.status() == status))).await
    }

    async fn watch(&self, session: &str) -> Result<Streaming<WatchRunsResponse>, Status> {
        let filter = Some(RunFilter { session_id: session.to_owned(), ..Default::default() });
        let request = WatchRunsRequest { filter, include_snapshot: true, ..Default::default() };
        Ok(self.runs.clone().watch_runs(request).await?.into_inner())
    }
}

/// True once the runs are as wanted, false if the stream ends earlier.
async fn follow(stream: &mut Streaming<WatchRunsResponse>, runs: &mut Runs, wanted: &impl Fn(&Runs) -> bool) -> bool {
    while let Ok(Some(message)) = stream.message().await {
        let news = message.event.iter().flat_map(client::runs_of);
        runs.extend(news.map(|run| (run.id.clone(), run.clone())));
        if wanted(runs) {
            return true;
        }
    }
    false
}

/// A run of this shell script.
pub fn shell(session: &str, script: &str) -> RunSpec {
    RunSpec {
        session_id: session.to_owned(),
        lane: Lane::A.into(),
        kind: "shell".to_owned(),
        params: Some(Params::ParamsJson(serde_json::json!({ "command": script }).to_string())),
        ..Default::default()
    }
}

/// The duration between two times.
pub fn between(from: Option<prost_types::Timestamp>, to: Option<prost_types::Timestamp>) -> Duration {
    time(to).duration_since(time(from)).unwrap()
}

/// A time of the API as a time of this machine.
pub fn time(timestamp: Option<prost_types::Timestamp>) -> SystemTime {
    timestamp.unwrap().try_into().unwrap()
}
