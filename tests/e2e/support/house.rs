//! A database of its own, servers on it, and clients of them.

use std::time::Duration;

use proto::v1::artifact_service_client::ArtifactServiceClient;
use proto::v1::run_service_client::RunServiceClient;
use proto::v1::session_service_client::SessionServiceClient;
use proto::v1::worker_service_client::WorkerServiceClient;
use proto::v1::*;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

/// A database that is migrated, with servers on it. What is started here ends with it.
pub struct House {
    pub database: devpg::testing::TestDatabase,
    pub servers: Vec<Server>,
}

/// A server on a port of its own.
pub struct Server {
    pub url: String,
    pub channel: Channel,
    stop: CancellationToken,
    task: JoinSet<Result<(), server::Error>>,
}

impl House {
    /// One server with the default settings.
    pub async fn new() -> Self {
        Self::with(1, |_| {}).await
    }

    /// Some servers, configured.
    pub async fn with(servers: usize, configure: impl Fn(&mut server::Config)) -> Self {
        let database =
            devpg::testing::database("ops_e2e", async |url: String| server::migrate(&server::Config::new(url)).await)
                .await;
        let mut house = Self { database, servers: Vec::new() };
        for _ in 0..servers {
            house.add_server(&configure).await;
        }
        house
    }

    /// Starts one more server.
    pub async fn add_server(&mut self, configure: &impl Fn(&mut server::Config)) {
        let mut config = server::Config::new(&self.database.url);
        config.migrate = false;
        configure(&mut config);
        self.servers.push(Server::start(config).await);
    }

    pub fn sessions(&self) -> SessionServiceClient<Channel> {
        SessionServiceClient::new(self.channel())
    }

    pub fn runs(&self) -> RunServiceClient<Channel> {
        RunServiceClient::new(self.channel())
    }

    pub fn workers(&self) -> WorkerServiceClient<Channel> {
        WorkerServiceClient::new(self.channel())
    }

    pub fn artifacts(&self) -> ArtifactServiceClient<Channel> {
        ArtifactServiceClient::new(self.channel())
    }

    pub fn channel(&self) -> Channel {
        self.servers[0].channel.clone()
    }

    /// A connection to the database as its superuser, past all walls.
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

    /// A new run of this kind, with default settings.
    pub async fn enqueue(&self, session: &str, kind: &str) -> Run {
        self.enqueue_spec(spec(session, kind)).await.expect("it is enqueued")
    }

    pub async fn enqueue_spec(&self, spec: RunSpec) -> Result<Run, tonic::Status> {
        let request = EnqueueRunRequest { run: Some(spec) };
        Ok(self.runs().enqueue_run(request).await?.into_inner().run.expect("it is answered"))
    }

    pub async fn get(&self, run_id: &str) -> Run {
        let request = GetRunRequest { run_id: run_id.to_owned() };
        self.runs().get_run(request).await.expect("the run is there").into_inner().run.expect("it is answered")
    }

    /// Waits until a run has ended.
    pub async fn ended(&self, run_id: &str) -> Run {
        loop {
            let wait_timeout = Some(prost_types::Duration { seconds: 60, nanos: 0 });
            let request = WaitRunRequest { run_id: run_id.to_owned(), wait_timeout };
            let run = self.runs().wait_run(request).await.expect("the run is there").into_inner().run;
            let run = run.expect("it is answered");
            if run.finish_time.is_some() {
                return run;
            }
        }
    }
}

/// What a run of this kind in lane A is.
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
        let endpoint = tonic::transport::Endpoint::from_shared(url.clone()).expect("a URL");
        let channel = endpoint.connect_timeout(Duration::from_secs(10)).connect().await.expect("the server answers");
        Self { url, channel, stop, task }
    }

    /// Asks the server to end, and waits until it has.
    pub async fn stop(mut self) {
        self.stop.cancel();
        let ended = self.task.join_next().await.expect("the server runs");
        ended.expect("the server does not panic").expect("the server ends well");
    }
}
