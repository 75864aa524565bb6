//! The life of runs on a stream: accepted, executed and reported; lost, cancelled and drained.

use std::{sync::atomic::Ordering, time::Duration};

use proto::v1::{self, connect_request::Frame as FromWorker, connect_response::Frame as ToWorker, outcome::Outcome};
use tonic::Status;
use worker::DrainedBy;

use crate::{
    fake::FakeServer,
    scene::{MINUTE, Running, lease, outcome, welcome},
};

#[tokio::test]
async fn a_run_is_accepted_executed_and_reported_and_its_slot_is_free_again() {
    let mut server = FakeServer::start().await;
    let running = Running::start(&server, 2, MINUTE);
    let mut stream = server.accept().await;
    assert_eq!(stream.hello.kinds, ["flood", "keep", "large", "log", "obey", "panic", "wait"]);
    stream.welcome(welcome(&[])).await;
    stream.wait_for_credit(2).await;
    stream.give(&lease(1), "panic").await;
    let report = stream.report().await;
    let Outcome::Failed(failed) = outcome(&report) else { panic!("not failed") };
    let error = failed.error.as_ref().unwrap();
    assert_eq!((error.r#type.as_str(), error.message.as_str()), ("Panic", "boom"));
    stream.acknowledge_report(&lease(1)).await;
    stream.wait_for_credit(3).await;
    let summary = running.shut_down(stream).await;
    assert_eq!((summary.started, summary.failed, summary.unreported, summary.connects), (1, 1, 0, 1));
}

#[tokio::test]
async fn after_a_lost_stream_started_runs_go_on_reports_are_sent_again_and_no_run_is_executed_twice() {
    let mut server = FakeServer::start().await;
    let running = Running::start(&server, 3, MINUTE);
    let mut stream = server.accept().await;
    stream.welcome(welcome(&[])).await;
    stream.give(&lease(1), "wait").await;
    // This run is accepted and not started.
    stream.assign(&lease(2), "wait").await;
    stream.expect(|frame| matches!(frame, FromWorker::Accepts(_)).then_some(())).await;
    drop(stream);

    let mut stream = server.accept().await;
    let resume = stream.hello.resume.clone().unwrap();
    assert_eq!((resume.worker_id.as_str(), resume.secret.as_str(), resume.held), ("w1", "s1", vec![lease(1)]));
    stream.welcome(welcome(&[lease(1)])).await;
    stream.wait_for_credit(2).await;
    assert_eq!(stream.credit, 2, "one slot of three is still busy");
    stream.start(&lease(2)).await;
    stream.assign(&lease(1), "wait").await;
    stream.start(&lease(1)).await;
    running.scene.gate.add_permits(10);
    assert_eq!(stream.report().await.run_id, lease(1).run_id);
    drop(stream);

    let mut stream = server.accept().await;
    assert_eq!(stream.hello.resume.clone().unwrap().held, [lease(1)]);
    stream.welcome(welcome(&[lease(1)])).await;
    assert!(matches!(outcome(&stream.report().await), Outcome::Succeeded(_)));
    stream.acknowledge_report(&lease(1)).await;
    let scene = running.scene.clone();
    let summary = running.shut_down(stream).await;
    assert_eq!((summary.started, summary.succeeded, summary.lost, summary.connects), (1, 1, 0, 3));
    assert_eq!(scene.started.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_grant_that_is_not_valid_after_a_resume_is_killed_and_not_reported() {
    let mut server = FakeServer::start().await;
    let running = Running::start(&server, 2, MINUTE);
    let mut stream = server.accept().await;
    stream.welcome(welcome(&[])).await;
    stream.give(&lease(1), "wait").await;
    stream.give(&lease(2), "wait").await;
    drop(stream);
    let stream = server.accept().await;
    stream.welcome(welcome(&[lease(2)])).await;
    running.scene.dropped.acquire().await.unwrap().forget();
    drop(stream);
    // The server no longer knows the worker, so all grants are lost.
    let mut stream = server.accept().await;
    stream.welcome(v1::Welcome { worker_id: "w2".into(), ..welcome(&[lease(2)]) }).await;
    running.scene.dropped.acquire().await.unwrap().forget();
    stream.wait_for_credit(2).await;
    let summary = running.shut_down(stream).await;
    assert_eq!((summary.started, summary.lost, summary.succeeded), (2, 2, 0));
    assert_eq!(summary.worker_id.as_deref(), Some("w2"));
}

#[tokio::test]
async fn a_report_whose_answer_was_lost_counts_if_the_next_welcome_says_so() {
    let mut server = FakeServer::start().await;
    let running = Running::start(&server, 2, MINUTE);
    let mut stream = server.accept().await;
    stream.welcome(welcome(&[])).await;
    stream.give(&lease(1), "wait").await;
    stream.give(&lease(2), "wait").await;
    running.scene.gate.add_permits(2);
    for _ in 0..2 {
        stream.report().await;
    }
    drop(stream);
    let mut stream = server.accept().await;
    let settled = [(lease(1), true), (lease(2), false)].map(|(lease, accepted)| v1::RunReportResult {
        run_id: lease.run_id,
        fence: lease.fence,
        accepted,
        ..Default::default()
    });
    stream.welcome(v1::Welcome { settled: settled.to_vec(), ..welcome(&[]) }).await;
    stream.wait_for_credit(2).await;
    let summary = running.shut_down(stream).await;
    assert_eq!((summary.started, summary.succeeded, summary.lost), (2, 1, 1));
}

#[tokio::test]
async fn a_handler_is_killed_when_no_heartbeat_was_acknowledged_for_a_lease_and_its_attempt_counts() {
    let mut server = FakeServer::start().await;
    let running = Running::start(&server, 1, MINUTE);
    let mut stream = server.accept().await;
    stream.answers_heartbeats = false;
    let lease_timeout = Some(prost_types::Duration { seconds: 0, nanos: 200_000_000 });
    stream.welcome(v1::Welcome { lease_timeout, ..welcome(&[]) }).await;
    stream.give(&lease(1), "wait").await;
    running.scene.dropped.acquire().await.unwrap().forget();
    // The stream itself lives.
    let report = stream.report().await;
    assert!(matches!(outcome(&report), Outcome::Failed(it) if it.error.as_ref().unwrap().r#type == "HeartbeatTimeout"));
    // The worker repeats the report until it is acknowledged.
    drop(stream);
    let mut stream = server.accept().await;
    assert_eq!(stream.hello.resume.clone().unwrap().held, [lease(1)]);
    stream.welcome(welcome(&[lease(1)])).await;
    assert_eq!(stream.report().await, report);
    stream.acknowledge_report(&lease(1)).await;
    stream.wait_for_credit(1).await;
    let summary = running.shut_down(stream).await;
    assert_eq!((summary.started, summary.failed, summary.lost), (1, 1, 0));
}

#[tokio::test]
async fn a_stream_without_answers_is_left() {
    let mut server = FakeServer::start().await;
    let _running = Running::start(&server, 1, MINUTE);
    let mut stream = server.accept().await;
    stream.answers_heartbeats = false;
    let heartbeat_interval = Some(prost_types::Duration { seconds: 0, nanos: 50_000_000 });
    stream.welcome(v1::Welcome { heartbeat_interval, ..welcome(&[]) }).await;
    let again = server.accept().await;
    assert_eq!(again.hello.resume.unwrap().worker_id, "w1");
}

#[tokio::test]
async fn a_flood_of_log_lines_stays_within_its_credits_and_delays_no_heartbeat_report_or_cancel() {
    let mut server = FakeServer::start().await;
    let running = Running::start(&server, 2, MINUTE);
    let mut stream = server.accept().await;
    let heartbeat_interval = Some(prost_types::Duration { seconds: 0, nanos: 50_000_000 });
    stream.welcome(v1::Welcome { heartbeat_interval, ..welcome(&[]) }).await;
    stream.give(&lease(1), "flood").await;
    let mut entries = 0;
    let mut heartbeats = 0;
    // No line is acknowledged, and heartbeats that name the run still come.
    stream
        .expect(|frame| {
            match frame {
                FromWorker::Events(events) => entries += events.entries.len(),
                FromWorker::Heartbeat(heartbeat) => heartbeats += heartbeat.leases.len(),
                _ => {}
            }
            (heartbeats >= 3 && entries >= 10).then_some(())
        })
        .await;
    assert_eq!(entries, 10);
    stream.give(&lease(2), "wait").await;
    running.scene.gate.add_permits(1);
    assert_eq!(stream.report().await.run_id, lease(2).run_id, "only the log of the other run waits");
    stream.acknowledge_report(&lease(2)).await;
    let (lease, grace) = (lease(1), Some(prost_types::Duration { seconds: 0, nanos: 0 }));
    let cancel = v1::RunCancel { run_id: lease.run_id.clone(), fence: 1, reason: "enough".into(), grace };
    stream.send(ToWorker::Cancels(v1::Cancels { cancels: vec![cancel] })).await;
    let acked =
        stream.expect(|frame| if let FromWorker::CancelAcks(it) = frame { Some(it.leases) } else { None }).await;
    assert_eq!(acked, std::slice::from_ref(&lease));
    // A free slot means that the handler is gone.
    stream.wait_for_credit(4).await;
    // Its log is acknowledged, so the report does not wait for it.
    let all = v1::EventsAck {
        run_id: lease.run_id.clone(),
        fence: 1,
        through_seq: i64::MAX,
        credits: 10,
        ..Default::default()
    };
    stream.send(ToWorker::EventsAck(all)).await;
    assert!(matches!(outcome(&stream.report().await), Outcome::Cancelled(_)));
    stream.acknowledge_report(&lease).await;
    assert_eq!(running.shut_down(stream).await.cancelled, 1);
}

#[tokio::test]
async fn a_report_follows_the_acknowledgement_of_its_log() {
    let mut server = FakeServer::start().await;
    let running = Running::start(&server, 1, MINUTE);
    let mut stream = server.accept().await;
    stream.welcome(welcome(&[])).await;
    stream.give(&lease(1), "log").await;
    let events = stream.expect(|frame| if let FromWorker::Events(it) = frame { Some(it) } else { None }).await;
    assert_eq!((events.first_seq, events.entries.len()), (1, 1));
    running.scene.dropped.acquire().await.unwrap().forget();
    // A free slot means that the worker has seen the end of the handler.
    stream
        .expect(|frame| match frame {
            FromWorker::Reports(_) => panic!("the report came before its log was acknowledged"),
            FromWorker::Credit(credit) => (credit.total == 2).then_some(()),
            _ => None,
        })
        .await;
    stream.acknowledge_events(&events).await;
    stream.report().await;
    stream.acknowledge_report(&lease(1)).await;
    assert_eq!(running.shut_down(stream).await.succeeded, 1);
}

#[tokio::test]
async fn at_shutdown_credit_is_given_back_and_running_handlers_finish() {
    let mut server = FakeServer::start().await;
    let mut running = Running::start(&server, 2, MINUTE);
    let mut stream = server.accept().await;
    stream.welcome(welcome(&[])).await;
    stream.wait_for_credit(2).await;
    stream.give(&lease(1), "wait").await;
    running.wait_for_start().await;
    running.shutdown.cancel();
    let mut stream = server.accept().await;
    stream.welcome(welcome(&[lease(1)])).await;
    // The worker does not accept a run that still comes.
    stream.assign(&lease(2), "wait").await;
    running.scene.gate.add_permits(1);
    let report = stream
        .expect(|frame| match frame {
            FromWorker::Accepts(_) | FromWorker::Credit(_) => panic!("a leaving worker takes no work"),
            FromWorker::Reports(mut reports) => reports.reports.pop(),
            _ => None,
        })
        .await;
    assert_eq!(report.run_id, lease(1).run_id);
    stream.acknowledge_report(&lease(1)).await;
    let summary = running.shut_down(stream).await;
    assert_eq!((summary.drained_by, summary.succeeded, summary.started), (DrainedBy::Shutdown, 1, 1));
}

#[tokio::test]
async fn a_handler_that_does_not_finish_within_the_drain_timeout_is_stopped_and_reported() {
    let mut server = FakeServer::start().await;
    let mut running = Running::start(&server, 1, Duration::ZERO);
    let mut stream = server.accept().await;
    stream.welcome(welcome(&[])).await;
    stream.give(&lease(1), "obey").await;
    running.wait_for_start().await;
    running.shutdown.cancel();
    let report = stream.report().await;
    let Outcome::Failed(failed) = outcome(&report) else { panic!("not failed") };
    assert_eq!((failed.error.as_ref().unwrap().r#type.as_str(), failed.permanent), ("WorkerShutdown", false));
    stream.acknowledge_report(&lease(1)).await;
    assert_eq!(running.shut_down(stream).await.failed, 1);
}

#[tokio::test]
async fn a_run_that_was_accepted_before_the_shutdown_is_still_executed() {
    let mut server = FakeServer::start().await;
    let running = Running::start(&server, 1, MINUTE);
    let mut stream = server.accept().await;
    stream.welcome(welcome(&[])).await;
    stream.assign(&lease(1), "log").await;
    stream.expect(|frame| matches!(frame, FromWorker::Accepts(_)).then_some(())).await;
    running.shutdown.cancel();
    running.scene.gate.add_permits(1);
    stream.start(&lease(1)).await;
    let events = stream.expect(|frame| if let FromWorker::Events(it) = frame { Some(it) } else { None }).await;
    stream.acknowledge_events(&events).await;
    stream.report().await;
    stream.acknowledge_report(&lease(1)).await;
    assert_eq!(running.shut_down(stream).await.succeeded, 1);
}

#[tokio::test]
async fn an_operators_drain_waits_for_handlers_whatever_the_drain_timeout_is() {
    let mut server = FakeServer::start().await;
    let mut running = Running::start(&server, 1, Duration::ZERO);
    let mut stream = server.accept().await;
    stream.welcome(welcome(&[])).await;
    stream.give(&lease(1), "obey").await;
    stream.send(ToWorker::Drain(v1::Drain { reason: v1::DrainReason::Operator.into() })).await;
    running.status.wait_for(|status| status.is_draining).await.unwrap();
    running.scene.gate.add_permits(1);
    assert!(matches!(outcome(&stream.report().await), Outcome::Succeeded(_)));
    stream.acknowledge_report(&lease(1)).await;
    stream.expect(|frame| matches!(frame, FromWorker::Goodbye(_)).then_some(())).await;
    drop(stream);
    assert_eq!(running.result().await.unwrap().drained_by, DrainedBy::Operator);
}

#[tokio::test]
async fn a_shutdown_during_an_operators_drain_is_bounded() {
    let mut server = FakeServer::start().await;
    let mut running = Running::start(&server, 1, Duration::ZERO);
    let mut stream = server.accept().await;
    stream.welcome(welcome(&[])).await;
    stream.give(&lease(1), "obey").await;
    stream.send(ToWorker::Drain(v1::Drain { reason: v1::DrainReason::Operator.into() })).await;
    running.status.wait_for(|status| status.is_draining).await.unwrap();
    running.shutdown.cancel();
    let report = stream.report().await;
    let Outcome::Failed(failed) = outcome(&report) else { panic!("not failed") };
    assert_eq!(failed.error.as_ref().unwrap().r#type, "WorkerShutdown");
    stream.acknowledge_report(&lease(1)).await;
    assert_eq!(running.shut_down(stream).await.drained_by, DrainedBy::Operator);
}

#[tokio::test]
async fn a_worker_that_the_server_refuses_ends_with_the_reason() {
    let mut server = FakeServer::start().await;
    let running = Running::start(&server, 1, MINUTE);
    let stream = server.accept().await;
    stream.refuse(Status::invalid_argument("labels: expected up to 32, got 33")).await;
    let error = running.result().await.unwrap_err();
    assert_eq!(error.to_string(), "refused by the server: InvalidArgument: labels: expected up to 32, got 33");
}

#[tokio::test]
async fn calls_of_handlers_have_another_connection_than_the_stream() {
    let mut server = FakeServer::start().await;
    let running = Running::start(&server, 1, MINUTE);
    let mut stream = server.accept().await;
    stream.welcome(welcome(&[])).await;
    stream.give(&lease(1), "keep").await;
    assert_ne!(server.artifact().await, stream.peer);
    stream.report().await;
    stream.acknowledge_report(&lease(1)).await;
    running.shut_down(stream).await;
}
