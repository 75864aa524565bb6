//! A database for one test, servers on it, and clients of them.

use std::time::Duration;

use client::{Client, RetryBudget, Settings};
use proto::v1::artifact_service_client::ArtifactServiceClient;
use proto::v1::run_service_client::RunServiceClient;
use proto::v1::session_service_client::SessionServiceClient;
use proto::v1::worker_service_client::WorkerServiceClient;
use proto::v1::*;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use super::{eventually, in_time};

/// A migrated database with servers on it. All of it ends when it is dropped.
pub struct Fixture {
    pub database: devpg::testing::TestDatabase,
    pub servers: Vec<Server>,
}

/// A server on a port of its own.
pub struct Server {
    pub url: String,
    pub client: Client,
    stop: CancellationToken,
    task: JoinSet<Result<(), server::Error>>,
}

impl Fixture {
    /// One server with the default settings.
    pub async fn new() -> Self {
        Self::with(1, |_| {}).await
    }

    /// Some servers that wait so long for locks that a test sees each wait: batches of many callers for 10 s.
    pub async fn waiting_long_for_locks(servers: usize) -> Self {
        Self::with(servers, |config| config.database.deadline = Duration::from_secs(2_000)).await
    }

    /// Some servers, configured.
    pub async fn with(servers: usize, configure: impl Fn(&mut server::Config)) -> Self {
        let database =
            devpg::testing::database("ops_e2e", async |url: String| server::migrate(&server::Config::new(url)).await)
                .await;
        let mut fixture = Self { database, servers: Vec::new() };
        for _ in 0..servers {
            fixture.add_server(&configure).await;
        }
        fixture
    }

    /// Starts one more server.
    pub async fn add_server(&mut self, configure: &impl Fn(&mut server::Config)) {
        let mut config = server::Config::new(&self.database.url);
        config.migrate = false;
        configure(&mut config);
        self.servers.push(Server::start(config).await);
    }

    pub fn sessions(&self) -> SessionServiceClient<Channel> {
        self.servers[0].sessions()
    }

    pub fn runs(&self) -> RunServiceClient<Channel> {
        self.servers[0].runs()
    }

    pub fn workers(&self) -> WorkerServiceClient<Channel> {
        self.servers[0].workers()
    }

    pub fn artifacts(&self) -> ArtifactServiceClient<Channel> {
        self.servers[0].client.artifacts()
    }

    /// Host and port of the first server.
    pub fn address(&self) -> String {
        self.servers[0].url.trim_start_matches("http://").to_owned()
    }

    /// A connection to the database as its superuser.
    pub async fn sql(&self) -> sqlx::PgConnection {
        use sqlx::Connection;
        sqlx::PgConnection::connect(&self.database.url).await.expect("the test database answers")
    }

    /// A new session.
    pub async fn session(&self) -> String {
        let request = CreateSessionRequest { name: "test".into(), ..Default::default() };
        let answer = self.sessions().create_session(request).await.expect("a session is created");
        answer.into_inner().session.expect("it is answered").id
    }

    /// A session as it is now.
    pub async fn session_now(&self, session: &str) -> Session {
        let request = GetSessionRequest { session_id: session.to_owned() };
        self.sessions().get_session(request).await.expect("it is there").into_inner().session.expect("it is answered")
    }

    /// Closes a session.
    pub async fn close(&self, session: &str) -> Session {
        let request = CloseSessionRequest { session_id: session.to_owned() };
        self.sessions().close_session(request).await.expect("it is there").into_inner().session.expect("answered")
    }

    /// A new run of this kind, with default settings.
    pub async fn enqueue(&self, session: &str, kind: &str) -> Run {
        self.enqueue_spec(spec(session, kind)).await.expect("it is enqueued")
    }

    pub async fn enqueue_spec(&self, spec: RunSpec) -> Result<Run, tonic::Status> {
        let request = EnqueueRunRequest { run: Some(spec) };
        Ok(self.runs().enqueue_run(request).await?.into_inner().run.expect("it is answered"))
    }

    /// Many new runs of this kind, in one transaction.
    pub async fn enqueue_many(&self, session: &str, kind: &str, runs: usize) -> Vec<String> {
        let runs = vec![spec(session, kind); runs];
        self.runs().enqueue_runs(EnqueueRunsRequest { runs }).await.expect("they are enqueued").into_inner().run_ids
    }

    /// Asks a run to stop, with a grace of 5 s.
    pub async fn cancel(&self, run_id: &str) -> Run {
        let request = CancelRunRequest { run_id: run_id.to_owned(), reason: "no more".into(), grace: None };
        self.runs().cancel_run(request).await.expect("the run is there").into_inner().run.expect("it is answered")
    }

    pub async fn get(&self, run_id: &str) -> Run {
        let request = GetRunRequest { run_id: run_id.to_owned() };
        self.runs().get_run(request).await.expect("the run is there").into_inner().run.expect("it is answered")
    }

    /// Waits until the database has the start of a run: the worker gets it earlier.
    pub async fn running(&self, run_id: &str) -> Run {
        eventually("the start is written", async || {
            Some(self.get(run_id).await).filter(|run| run.status() == RunStatus::Running)
        })
        .await
    }

    /// Waits until a run has ended.
    pub async fn ended(&self, run_id: &str) -> Run {
        let ended = self.servers[0].client.wait_run(run_id, None, RetryBudget::new(Duration::ZERO));
        let ended = in_time("the end of a run", ended).await.expect("the run is there");
        ended.expect("a wait without a limit ends with the run")
    }
}

/// A run of this kind in lane A.
pub fn spec(session: &str, kind: &str) -> RunSpec {
    RunSpec { session_id: session.to_owned(), lane: Lane::A.into(), kind: kind.to_owned(), ..Default::default() }
}

impl Server {
    pub async fn start(config: server::Config) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let stop = CancellationToken::new();
        let mut task = JoinSet::new();
        task.spawn(server::run(listener, config, stop.clone()));
        let client = dial(&url).await;
        Self { url, client, stop, task }
    }

    pub fn sessions(&self) -> SessionServiceClient<Channel> {
        self.client.sessions()
    }

    pub fn runs(&self) -> RunServiceClient<Channel> {
        self.client.runs()
    }

    pub fn workers(&self) -> WorkerServiceClient<Channel> {
        self.client.workers()
    }

    /// A second connection, for calls that would delay the first.
    pub async fn dial(&self) -> Client {
        dial(&self.url).await
    }

    /// Asks the server to end, and waits until it has.
    pub async fn stop(mut self) {
        self.stop.cancel();
        let ended = self.task.join_next().await.expect("the server runs");
        ended.expect("the server does not panic").expect("the server ends well");
    }
}

/// Without pings, because some tests stop a server for a long time.
async fn dial(url: &str) -> Client {
    let settings = Settings { connect_timeout: Duration::from_secs(10), pings: None, ..Settings::default() };
    Client::connect(url, &settings).await.expect("the server answers")
}
