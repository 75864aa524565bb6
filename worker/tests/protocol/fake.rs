//! A server that a test scripts, frame by frame.

use std::{net::SocketAddr, pin::Pin, time::Duration};

use proto::v1::{
    self, ConnectRequest, ConnectResponse,
    artifact_service_server::{ArtifactService, ArtifactServiceServer},
    connect_request::Frame as FromWorker,
    connect_response::Frame as ToWorker,
    worker_service_server::{WorkerService, WorkerServiceServer},
};
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet, time};
use tokio_stream::{
    Stream,
    wrappers::{ReceiverStream, TcpListenerStream},
};
use tonic::{Request, Response, Status, Streaming};

/// The time limit of a wait, longer than any step of these tests.
const TIMEOUT: Duration = Duration::from_secs(20);
const FRAMES: usize = 100;

/// The server. Its drop ends it.
pub struct FakeServer {
    pub address: SocketAddr,
    streams: mpsc::Receiver<FakeStream>,
    artifacts: mpsc::Receiver<SocketAddr>,
    serving: JoinSet<()>,
}

/// The server's end of one stream.
pub struct FakeStream {
    pub hello: v1::Hello,
    /// The worker's end of the connection.
    pub peer: SocketAddr,
    inbound: Streaming<ConnectRequest>,
    outbound: mpsc::Sender<Result<ConnectResponse, Status>>,
    /// Whether `expect` answers heartbeats.
    pub answers_heartbeats: bool,
    /// The latest credit.
    pub credit: i64,
}

impl FakeServer {
    pub async fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap()).await
    }

    pub async fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tx, streams) = mpsc::channel(FRAMES);
        let (artifact_tx, artifacts) = mpsc::channel(FRAMES);
        let mut serving = JoinSet::new();
        let server = tonic::transport::Server::builder()
            .add_service(WorkerServiceServer::new(Service { streams: tx }))
            .add_service(ArtifactServiceServer::new(Artifacts { calls: artifact_tx }));
        serving.spawn(async move { server.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap() });
        Self { address, streams, artifacts, serving }
    }

    /// Ends the server and all its connections. Then no server listens at its address.
    pub async fn stop(mut self) -> SocketAddr {
        self.serving.shutdown().await;
        self.address
    }

    /// The worker's end of the connection of the next artifact.
    pub async fn artifact(&mut self) -> SocketAddr {
        time::timeout(TIMEOUT, self.artifacts.recv()).await.expect("no artifact came").unwrap()
    }

    /// The next stream of the worker, after its `Hello`.
    pub async fn accept(&mut self) -> FakeStream {
        let mut stream = time::timeout(TIMEOUT, self.streams.recv()).await.expect("no stream came").unwrap();
        match stream.next().await {
            Some(FromWorker::Hello(hello)) => stream.hello = hello,
            other => panic!("expected Hello, got {other:?}"),
        }
        stream
    }
}

impl FakeStream {
    pub async fn send(&self, frame: ToWorker) {
        self.outbound.send(Ok(ConnectResponse { frame: Some(frame) })).await.unwrap();
    }

    pub async fn refuse(&self, status: Status) {
        self.outbound.send(Err(status)).await.unwrap();
    }

    pub async fn welcome(&self, welcome: v1::Welcome) {
        self.send(ToWorker::Welcome(welcome)).await;
    }

    /// Assigns a run, waits until the worker accepts it, and starts it.
    pub async fn give(&mut self, lease: &v1::Lease, kind: &str) {
        self.assign(lease, kind).await;
        let accepted =
            self.expect(|frame| if let FromWorker::Accepts(it) = frame { Some(it.leases) } else { None }).await;
        assert_eq!(accepted, std::slice::from_ref(lease));
        self.start(lease).await;
    }

    pub async fn assign(&self, lease: &v1::Lease, kind: &str) {
        let run = v1::Run {
            id: lease.run_id.clone(),
            kind: kind.into(),
            params_json: "{}".into(),
            max_attempts: 1,
            ..Default::default()
        };
        let assignment = v1::Assignment { run: Some(run), fence: lease.fence, ..Default::default() };
        self.send(ToWorker::Assignments(v1::Assignments { assignments: vec![assignment] })).await;
    }

    pub async fn start(&self, lease: &v1::Lease) {
        let start = v1::Start { run_id: lease.run_id.clone(), fence: lease.fence, attempt: 1 };
        self.send(ToWorker::Starts(v1::Starts { starts: vec![start] })).await;
    }

    pub async fn acknowledge_report(&self, lease: &v1::Lease) {
        let result = v1::RunReportResult {
            run_id: lease.run_id.clone(),
            fence: lease.fence,
            accepted: true,
            ..Default::default()
        };
        self.send(ToWorker::ReportAcks(v1::ReportAcks { results: vec![result] })).await;
    }

    pub async fn acknowledge_events(&self, events: &v1::RunEvents) {
        let count = events.entries.len();
        let ack = v1::EventsAck {
            run_id: events.run_id.clone(),
            fence: events.fence,
            through_seq: events.first_seq + count as i64 - 1,
            credits: count as u32,
            ..Default::default()
        };
        self.send(ToWorker::EventsAck(ack)).await;
    }

    /// The next frame of any kind; `None` at the half-close.
    pub async fn next(&mut self) -> Option<FromWorker> {
        let message = time::timeout(TIMEOUT, self.inbound.message()).await.expect("no frame came");
        message.ok().flatten().and_then(|request| request.frame)
    }

    /// The first frame that is wanted. Others are handled or skipped.
    pub async fn expect<T>(&mut self, mut wanted: impl FnMut(FromWorker) -> Option<T>) -> T {
        loop {
            let frame = self.next().await.expect("the worker ended the stream");
            if let FromWorker::Credit(credit) = &frame {
                assert!(credit.total > self.credit, "credit only rises");
                self.credit = credit.total;
            }
            if self.answers_heartbeats && matches!(frame, FromWorker::Heartbeat(_)) {
                self.send(ToWorker::HeartbeatAck(v1::HeartbeatAck::default())).await;
            }
            if let Some(found) = wanted(frame) {
                return found;
            }
        }
    }

    pub async fn report(&mut self) -> v1::RunReport {
        let one = |frame| if let FromWorker::Reports(mut it) = frame { it.reports.pop() } else { None };
        self.expect(one).await
    }

    pub async fn wait_for_credit(&mut self, total: i64) {
        if self.credit < total {
            self.expect(|frame| matches!(frame, FromWorker::Credit(credit) if credit.total >= total).then_some(()))
                .await;
        }
    }
}

struct Service {
    streams: mpsc::Sender<FakeStream>,
}

#[tonic::async_trait]
impl WorkerService for Service {
    type ConnectStream = Pin<Box<dyn Stream<Item = Result<ConnectResponse, Status>> + Send>>;

    async fn connect(
        &self,
        request: Request<Streaming<ConnectRequest>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        let (outbound, frames) = mpsc::channel(FRAMES);
        let peer = request.remote_addr().expect("it came over TCP");
        let (inbound, hello) = (request.into_inner(), v1::Hello::default());
        let stream = FakeStream { hello, peer, inbound, outbound, answers_heartbeats: true, credit: 0 };
        self.streams.send(stream).await.map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(Box::pin(ReceiverStream::new(frames))))
    }

    async fn claim(&self, _: Request<v1::ClaimRequest>) -> Result<Response<v1::ClaimResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn heartbeat(&self, _: Request<v1::HeartbeatRequest>) -> Result<Response<v1::HeartbeatResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn report_run(&self, _: Request<v1::ReportRunRequest>) -> Result<Response<v1::ReportRunResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn append_run_events(
        &self,
        _: Request<v1::AppendRunEventsRequest>,
    ) -> Result<Response<v1::AppendRunEventsResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn list_workers(
        &self,
        _: Request<v1::ListWorkersRequest>,
    ) -> Result<Response<v1::ListWorkersResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn undrain_worker(
        &self,
        _: Request<v1::UndrainWorkerRequest>,
    ) -> Result<Response<v1::UndrainWorkerResponse>, Status> {
        Err(Status::unimplemented("not used"))
    }

    async fn drain_worker(
        &self,
        _: Request<v1::DrainWorkerRequest>,
    ) -> Result<Response<v1::DrainWorkerResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

struct Artifacts {
    calls: mpsc::Sender<SocketAddr>,
}

#[tonic::async_trait]
impl ArtifactService for Artifacts {
    async fn create_artifact(
        &self,
        request: Request<v1::CreateArtifactRequest>,
    ) -> Result<Response<v1::CreateArtifactResponse>, Status> {
        let peer = request.remote_addr().expect("it came over TCP");
        self.calls.send(peer).await.map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(v1::CreateArtifactResponse::default()))
    }

    async fn get_artifact(
        &self,
        _: Request<v1::GetArtifactRequest>,
    ) -> Result<Response<v1::GetArtifactResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn list_artifacts(
        &self,
        _: Request<v1::ListArtifactsRequest>,
    ) -> Result<Response<v1::ListArtifactsResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}
