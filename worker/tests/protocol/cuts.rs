//! A proxy between worker and server that cuts a stream because of what it carries.

use std::{collections::BTreeMap, time::Duration};

use proto::v1::{self, connect_request::Frame as FromWorker, connect_response::Frame as ToWorker, outcome::Outcome};
use tokio::time::timeout;

use crate::{
    fake::{FakeServer, FakeStream},
    scene::{LARGE_BYTES, MINUTE, Running, lease, outcome, welcome},
};

/// The server answers once nothing more has come for this time: what a worker sends ahead of answers is cut before them.
const PAUSE: Duration = Duration::from_millis(200);

type Reports = BTreeMap<String, v1::RunReport>;

fn bytes(report: &v1::RunReport) -> usize {
    match outcome(report) {
        Outcome::Succeeded(succeeded) => match &succeeded.result {
            Some(v1::succeeded::Result::ResultJson(text)) => text.len(),
            _ => 0,
        },
        _ => 0,
    }
}

/// Gives these runs to the worker on its first stream.
async fn begin(server: &mut FakeServer, kinds: &[&str]) -> (FakeStream, Running) {
    let running = Running::start(server, kinds.len(), MINUTE);
    let mut stream = server.accept().await;
    stream.welcome(welcome(&[])).await;
    for (run, kind) in (1..).zip(kinds) {
        stream.give(&lease(run), kind).await;
    }
    (stream, running)
}

/// Acknowledges the reports of a stream, until `passes` refuses one: then the stream is cut. True if all reports are there.
async fn acknowledge(
    stream: &mut FakeStream,
    reports: &mut Reports,
    count: usize,
    mut passes: impl FnMut(&v1::RunReport) -> bool,
) -> bool {
    let mut waiting: Vec<v1::RunReport> = Vec::new();
    loop {
        match timeout(PAUSE, stream.next()).await {
            Ok(Some(FromWorker::Reports(frame))) => {
                if !frame.reports.iter().all(&mut passes) {
                    return false;
                }
                waiting.extend(frame.reports);
            }
            Ok(Some(FromWorker::Heartbeat(_))) => {
                stream.send(ToWorker::HeartbeatAck(v1::HeartbeatAck::default())).await;
            }
            Ok(Some(_)) => {}
            Ok(None) => panic!("the worker ended the stream"),
            Err(_) => {
                for report in waiting.drain(..) {
                    let lease = v1::Lease { run_id: report.run_id.clone(), fence: report.fence };
                    stream.acknowledge_report(&lease).await;
                    reports.insert(report.run_id.clone(), report);
                }
                if reports.len() == count {
                    return true;
                }
            }
        }
    }
}

/// Serves streams until all reports are there. Returns them, and how many streams were cut.
async fn serve(
    server: &mut FakeServer,
    mut stream: FakeStream,
    count: usize,
    most_cuts: usize,
    mut proxy: impl FnMut() -> Box<dyn FnMut(&v1::RunReport) -> bool>,
) -> (FakeStream, Reports) {
    let mut reports = Reports::new();
    for _ in 0..=most_cuts {
        if acknowledge(&mut stream, &mut reports, count, proxy()).await {
            return (stream, reports);
        }
        drop(stream);
        stream = server.accept().await;
        let standing = stream.hello.resume.clone().expect("it resumes").held;
        stream.welcome(welcome(&standing)).await;
    }
    panic!("{} of {count} reports after {most_cuts} cuts", reports.len());
}

#[tokio::test]
async fn a_stream_that_is_cut_after_a_mebibyte_brings_some_reports_each_time() {
    let mut server = FakeServer::start().await;
    let (stream, running) = begin(&mut server, &["large"; 6]).await;
    running.scene.gate.add_permits(6);
    let proxy = || -> Box<dyn FnMut(&v1::RunReport) -> bool> {
        let mut carried = 0;
        Box::new(move |report| {
            carried += bytes(report);
            carried <= 1 << 20
        })
    };
    let (stream, reports) = serve(&mut server, stream, 6, 4, proxy).await;
    assert!(reports.values().all(|report| bytes(report) > LARGE_BYTES), "each is the result");
    let summary = running.shut_down(stream).await;
    assert_eq!((summary.succeeded, summary.lost, summary.unreported), (6, 0, 0));
}

#[tokio::test]
async fn a_report_that_can_not_pass_fails_its_run_and_the_others_go_on() {
    let mut server = FakeServer::start().await;
    let (stream, running) = begin(&mut server, &["wait", "large", "wait"]).await;
    running.scene.gate.add_permits(3);
    let proxy = || -> Box<dyn FnMut(&v1::RunReport) -> bool> { Box::new(|report| bytes(report) < LARGE_BYTES) };
    let (stream, reports) = serve(&mut server, stream, 3, 8, proxy).await;
    for (id, report) in &reports {
        match outcome(report) {
            Outcome::Succeeded(_) => assert_ne!(*id, lease(2).run_id),
            Outcome::Failed(failed) => {
                let error = failed.error.as_ref().unwrap();
                assert_eq!(
                    (id, error.r#type.as_str(), failed.permanent),
                    (&lease(2).run_id, "ReportNotDelivered", true)
                );
                assert!(error.message.contains(" bytes "), "{}", error.message);
            }
            other => panic!("{other:?}"),
        }
    }
    let summary = running.shut_down(stream).await;
    assert_eq!((summary.succeeded, summary.failed, summary.lost), (2, 1, 0));
}
