//! The spans that a collector gets from real processes.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    sync::{Arc, Mutex},
};

use nix::sys::signal::Signal;
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use proto::v1::{EnqueueRunRequest, Run, RunStatus};
use tokio::task::JoinSet;
use tonic::{Request, Response, Status, transport::server::TcpIncoming};

use super::{client::shell, fixture::Fixture, gate::eventually};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// A collector. Its drop ends it.
struct Collector {
    address: String,
    seen: Seen,
    _server: JoinSet<Result<(), tonic::transport::Error>>,
}

/// Spans, each with its service.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<(String, Span)>>>);

#[tonic::async_trait]
impl TraceService for Seen {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for group in request.into_inner().resource_spans {
            let service = text(&group.resource.unwrap().attributes, "service.name");
            let spans = group.scope_spans.into_iter().flat_map(|scope| scope.spans);
            self.0.lock().unwrap().extend(spans.map(|span| (service.clone(), span)));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let seen = Seen::default();
        let service = TraceServiceServer::new(seen.clone());
        let mut server = JoinSet::new();
        let builder = tonic::transport::Server::builder().add_service(service);
        server.spawn(builder.serve_with_incoming(TcpIncoming::from(listener)));
        Self { address, seen, _server: server }
    }

    /// The spans of a trace by name.
    fn trace(&self, id: &str) -> BTreeMap<String, (String, Span)> {
        let seen = self.seen.0.lock().unwrap();
        let spans = seen.iter().filter(|(_, span)| hex(&span.trace_id) == id);
        spans.map(|(service, span)| (span.name.clone(), (service.clone(), span.clone()))).collect()
    }

    fn count(&self) -> usize {
        self.seen.0.lock().unwrap().len()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(attributes: &[KeyValue], key: &str) -> String {
    let value = attributes.iter().find(|it| it.key == key).and_then(|it| it.value.clone()?.value);
    match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("{key}: {other:?} in {attributes:?}"),
    }
}

/// Enqueues a script as a caller inside a trace.
async fn enqueue(fixture: &Fixture, session: &str, script: &str, traceparent: Option<&str>) -> Run {
    let mut request = Request::new(EnqueueRunRequest { run: Some(shell(session, script)) });
    if let Some(traceparent) = traceparent {
        request.metadata_mut().insert("traceparent", traceparent.parse().unwrap());
    }
    fixture.client().runs.enqueue_run(request).await.unwrap().into_inner().run.unwrap()
}

/// The spans in the documentation.
fn documented() -> Vec<String> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/observability.md")).unwrap();
    let rows = page.lines().skip_while(|line| !line.starts_with("| Span |")).skip(2);
    rows.map_while(|line| Some(line.strip_prefix("| `")?.split('`').next()?.to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn enqueue_claim_run_and_report_are_one_trace_across_processes() {
    let collector = Collector::start().await;
    // The ratio is 0, so only traces that their caller samples are kept.
    let traces = ["--otlp-endpoint", &collector.address, "--trace-ratio", "0"];
    let mut fixture = Fixture::empty().await;
    fixture.serve(&traces);
    fixture.work(&traces);
    let client = fixture.client();
    let session = client.session().await;
    let unsampled = format!("00-{}-{CALLER}-00", "f".repeat(32));
    let plain = enqueue(&fixture, &session, "true", None).await;
    let unkept = enqueue(&fixture, &session, "echo $TRACEPARENT", Some(&unsampled)).await;
    assert_eq!((plain.traceparent.as_str(), unkept.traceparent.as_str()), ("", unsampled.as_str()));
    let run = enqueue(&fixture, &session, "echo $TRACEPARENT; exit 3", Some(&format!("00-{TRACE}-{CALLER}-01"))).await;

    let names = ["claim", "ops.v1.RunService/EnqueueRun", "report", "run"];
    eventually("the whole trace", || collector.trace(TRACE).keys().eq(names)).await;
    let trace = collector.trace(TRACE);
    let (service, enqueued) = &trace[names[1]];
    assert_eq!((service.as_str(), hex(&enqueued.parent_span_id).as_str()), ("ops-server", CALLER));
    assert_eq!(text(&enqueued.attributes, "rpc.system.name"), "grpc");
    assert_eq!(text(&enqueued.attributes, "rpc.response.status_code"), "OK");
    assert_eq!(run.traceparent, format!("00-{TRACE}-{}-01", hex(&enqueued.span_id)));
    for (name, from) in [("claim", "ops-server"), ("run", "ops-worker"), ("report", "ops-server")] {
        let (service, span) = &trace[name];
        assert_eq!((service.as_str(), &span.parent_span_id), (from, &enqueued.span_id), "{name}");
        assert_eq!(text(&span.attributes, "messaging.message.id"), run.id);
        assert_eq!(text(&span.attributes, "ops.run.fence"), "1");
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano && span.start_time_unix_nano > 0);
    }
    let (_, ran) = &trace["run"];
    assert_eq!(text(&ran.attributes, "ops.run.outcome"), "failed");
    assert_eq!(text(&ran.attributes, "error.type"), "ExitStatus");
    assert_eq!(text(&trace["report"].1.attributes, "ops.run.status"), "failed");
    // A run that this run enqueues is below its span.
    assert_eq!(client.log(&run.id).await, format!("00-{TRACE}-{}-01\n", hex(&ran.span_id)));
    client.until_all(&session, &[plain.id, unkept.id.clone()], RunStatus::Succeeded).await;
    assert_eq!(client.log(&unkept.id).await, format!("{unsampled}\n"));
    assert_eq!(collector.count(), names.len(), "{:?}", collector.seen.0.lock().unwrap());
    assert_eq!(documented(), ["ops.v1.SERVICE/METHOD", "claim", "run", "report"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_spans_are_sent_before_the_process_ends() {
    let collector = Collector::start().await;
    let mut fixture = Fixture::empty().await;
    fixture.serve(&["--otlp-endpoint", &collector.address, "--service-name", "mine"]);
    fixture.session();
    let server = fixture.servers.remove(0).process;
    server.signal(Signal::SIGTERM);
    assert_eq!(server.end().code, Some(0));
    let seen = collector.seen.0.lock().unwrap();
    let names: Vec<_> = seen.iter().map(|(service, span)| (service.as_str(), span.name.as_str())).collect();
    assert_eq!(names, [("mine", "ops.v1.SessionService/CreateSession")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_does_not_answer_delays_no_run() {
    // The kernel accepts connections at one address, but no program reads from them. No program listens at the other.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for collector in [silent.local_addr().unwrap(), gone] {
        let endpoint = format!("http://{collector}");
        let traces = ["--otlp-endpoint", endpoint.as_str()];
        let mut fixture = Fixture::empty().await;
        fixture.serve(&traces);
        fixture.work(&traces);
        let client = fixture.client();
        let session = client.session().await;
        let ids = client.enqueue_many(&session, "true", 30).await;
        client.until_all(&session, &ids, RunStatus::Succeeded).await;
        let (worker, server) = fixture.close();
        assert_eq!((worker.code, server.code), (Some(0), Some(0)), "{worker:?} {server:?}");
    }
}
