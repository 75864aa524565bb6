use uuid::Uuid;

use crate::services::worker::frames::*;
use engine::domain::Outcome;

const RUN: &str = "01980000-0000-7000-8000-000000000001";

fn read(frame: In) -> Result<WorkerFrame, EngineError> {
    worker_frame(v1::ConnectRequest { frame: Some(frame) }, &Limits::default())
}

fn read_hello(hello_in: v1::Hello) -> Result<Hello, EngineError> {
    hello(v1::ConnectRequest { frame: Some(In::Hello(hello_in)) }, &Limits::default())
}

fn good_hello() -> v1::Hello {
    v1::Hello { protocol_version: 1, name: "w".into(), lanes: vec![v1::Lane::A.into()], ..Default::default() }
}

fn report(run_id: &str, fence: i64, outcome: Option<v1::outcome::Outcome>) -> v1::RunReport {
    v1::RunReport { run_id: run_id.into(), fence, outcome: Some(v1::Outcome { outcome }) }
}

fn grant(fence: i64) -> GrantKey {
    GrantKey { run_id: RUN.parse::<Uuid>().expect("an id"), fence }
}

#[test]
fn the_first_frame_is_hello_and_no_later_one() {
    assert!(read_hello(good_hello()).is_ok());
    let credit = v1::ConnectRequest { frame: Some(In::Credit(v1::Credit { total: 1 })) };
    assert!(matches!(hello(credit, &Limits::default()), Err(EngineError::Refused(Refusal::ProtocolViolation(_)))));
    assert!(matches!(
        hello(v1::ConnectRequest::default(), &Limits::default()),
        Err(EngineError::Refused(Refusal::ProtocolViolation(_)))
    ));
    assert!(matches!(read(In::Hello(good_hello())), Err(EngineError::Refused(Refusal::ProtocolViolation(_)))));
}

#[test]
fn a_bad_hello_names_all_its_violations() {
    let bad = v1::Hello {
        resume: Some(v1::Resume {
            worker_id: "x".into(),
            secret: String::new(),
            held: vec![v1::Lease::default()],
            sequence: -1,
        }),
        ..Default::default()
    };
    let Err(EngineError::Invalid(violations)) = read_hello(bad) else { panic!("expected violations") };
    let fields: Vec<&str> = violations.0.iter().map(|violation| violation.field.as_str()).collect();
    let expected = [
        "hello.protocol_version",
        "hello.lanes",
        "hello.name",
        "hello.resume.worker_id",
        "hello.resume.secret",
        "hello.resume.held[0].run_id",
        "hello.resume.held[0].fence",
        "hello.resume.sequence",
    ];
    assert_eq!(fields, expected);
}

#[test]
fn an_empty_or_negative_frame_ends_the_stream() {
    assert!(matches!(worker_frame(v1::ConnectRequest::default(), &Limits::default()), Err(EngineError::Invalid(_))));
    assert!(matches!(read(In::Credit(v1::Credit { total: -1 })), Err(EngineError::Invalid(_))));
    let most = read(In::Credit(v1::Credit { total: i64::MAX }));
    assert!(matches!(most, Ok(WorkerFrame::Credit(i64::MAX))));
}

#[test]
fn a_bad_report_is_refused_alone() {
    let good = report(RUN, 1, Some(v1::outcome::Outcome::Succeeded(v1::Succeeded::default())));
    let bad = report(RUN, 2, Some(v1::outcome::Outcome::Failed(v1::Failed::default())));
    let none = v1::RunReport { run_id: RUN.into(), fence: 3, outcome: None };
    let Ok(WorkerFrame::Reports(reports)) = read(In::Reports(v1::Reports { reports: vec![good, bad, none] })) else {
        panic!("expected reports")
    };
    let result = "null".to_owned();
    assert_eq!(reports[0], Ok(Report { grant: grant(1), outcome: Outcome::Succeeded { result } }));
    for (index, fence, field) in
        [(1, 2, "reports.reports[1].outcome.failed.error"), (2, 3, "reports.reports[2].outcome")]
    {
        let refused = reports[index].as_ref().expect_err("refused");
        assert_eq!(refused.subject, grant(fence));
        assert_eq!(refused.violations.0[0].field, field);
    }
}

#[test]
fn a_report_that_can_not_be_answered_ends_the_stream() {
    let bad = v1::Reports { reports: vec![report("", 1, None)] };
    assert!(matches!(read(In::Reports(bad)), Err(EngineError::Invalid(_))));
}

#[test]
fn a_fence_of_zero_refuses_its_report_or_its_events_alone() {
    for fence in [0, -1] {
        let Ok(WorkerFrame::Reports(reports)) =
            read(In::Reports(v1::Reports { reports: vec![report(RUN, fence, None)] }))
        else {
            panic!("expected reports")
        };
        let refused = reports[0].as_ref().expect_err("refused");
        assert_eq!(
            (refused.subject, refused.violations.0[0].field.as_str()),
            (grant(fence), "reports.reports[0].fence")
        );
        let events = v1::RunEvents { run_id: RUN.into(), fence, first_seq: 1, entries: vec![Default::default()] };
        let Ok(WorkerFrame::Events(Err(refused))) = read(In::Events(events)) else { panic!("expected a refusal") };
        assert_eq!((refused.subject.grant, refused.violations.0[0].field.as_str()), (grant(fence), "events.fence"));
    }
}

#[test]
fn bad_events_are_refused_alone() {
    let events = v1::RunEvents { run_id: RUN.into(), fence: i64::MAX, first_seq: 0, entries: vec![] };
    let Ok(WorkerFrame::Events(Err(refused))) = read(In::Events(events)) else { panic!("expected a refusal") };
    assert_eq!((refused.subject.grant, refused.subject.count), (grant(i64::MAX), 0));
    assert_eq!(refused.violations.0.len(), 2);
}

#[test]
fn grants_are_named_once_and_in_order() {
    let leases = [2, 1, 2].map(|fence| v1::Lease { run_id: RUN.into(), fence }).to_vec();
    let progress = [0.1, 0.2]
        .map(|fraction| v1::RunProgress {
            run_id: RUN.into(),
            fence: 1,
            progress: Some(v1::Progress { fraction, message: String::new() }),
        })
        .to_vec();
    let Ok(WorkerFrame::Heartbeat(heartbeat)) =
        read(In::Heartbeat(v1::WorkerHeartbeat { leases, progress, pause: None }))
    else {
        panic!("expected a heartbeat")
    };
    assert_eq!(heartbeat.grants, [grant(1), grant(2)]);
    assert_eq!(heartbeat.progress.len(), 1);
    assert_eq!(heartbeat.progress[0].1.fraction, 0.2);
}
