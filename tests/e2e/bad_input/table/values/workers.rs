//! WorkerService, except Connect.

use proto::v1::*;
use tonic::Code;

use super::super::calls::{Expected, invalid, refused};
use super::grants::{Held, lease, report};
use super::texts::{bad_lines, bad_objects};
use super::times::BAD_DURATIONS;
use super::{NOBODY, Row, no_ids, row};

const CLAIM: &str = "ops.v1.WorkerService/Claim";
const HEARTBEAT: &str = "ops.v1.WorkerService/Heartbeat";
const REPORT: &str = "ops.v1.WorkerService/ReportRun";
const APPEND: &str = "ops.v1.WorkerService/AppendRunEvents";
const LIST: &str = "ops.v1.WorkerService/ListWorkers";
const DRAIN: &str = "ops.v1.WorkerService/DrainWorker";
const UNDRAIN: &str = "ops.v1.WorkerService/UndrainWorker";

pub fn rows(held: &Held) -> Vec<Row> {
    let mut rows = claims();
    rows.extend(heartbeats(held));
    rows.extend(reports(held));
    rows.extend(events(held));
    rows.extend(no_ids(DRAIN, "worker_id", |worker_id| DrainWorkerRequest { worker_id }));
    let drain = DrainWorkerRequest { worker_id: NOBODY.into() };
    rows.push(row("DrainWorker of an unknown worker", DRAIN, drain, refused(Code::NotFound, "WORKER_NOT_FOUND")));
    rows.extend(no_ids(UNDRAIN, "worker_id", |worker_id| UndrainWorkerRequest { worker_id }));
    let undrain = UndrainWorkerRequest { worker_id: NOBODY.into() };
    rows.push(row("UndrainWorker of an unknown worker", UNDRAIN, undrain, refused(Code::NotFound, "WORKER_NOT_FOUND")));
    let list = ListWorkersRequest { states: vec![0, 99], page_size: -1, ..Default::default() };
    rows.push(row("ListWorkers with unknown states", LIST, list, invalid(&["states[0]", "states[1]", "page_size"])));
    rows
}

fn claims() -> Vec<Row> {
    let good = || ClaimRequest { worker_name: "never".into(), kinds: vec!["never".into()], ..Default::default() };
    let mut rows = Vec::new();
    for (what, text) in bad_lines(200) {
        let claim = ClaimRequest { worker_name: text.clone(), kinds: vec![text.clone()], request_id: text, ..good() };
        rows.push(row(
            format!("Claim by a name with {what}"),
            CLAIM,
            claim,
            invalid(&["worker_name", "kinds[0]", "request_id"]),
        ));
    }
    for (what, time) in BAD_DURATIONS {
        let claim = ClaimRequest { wait: Some(time), lease_timeout: Some(time), ..good() };
        rows.push(row(format!("Claim with times that are {what}"), CLAIM, claim, invalid(&["wait", "lease_timeout"])));
    }
    for max_runs in [-1, 1_001, i32::MIN, i32::MAX] {
        rows.push(row(
            format!("Claim of {max_runs}"),
            CLAIM,
            ClaimRequest { max_runs, ..good() },
            invalid(&["max_runs"]),
        ));
    }
    let none = ClaimRequest {
        worker_name: String::new(),
        lanes: vec![0, 5],
        kinds: vec![String::new()],
        ..Default::default()
    };
    rows.push(row(
        "Claim without a worker",
        CLAIM,
        none,
        invalid(&["lanes[0]", "lanes[1]", "worker_name", "kinds[0]"]),
    ));
    rows
}

fn heartbeats(held: &Held) -> Vec<Row> {
    let beat =
        |leases: Vec<Lease>| HeartbeatRequest { worker_id: held.worker_id.clone(), leases, progress: Vec::new() };
    let progress = |fraction, message: &str| {
        let progress = Some(Progress { fraction, message: message.into() });
        let of = RunProgress { run_id: held.lease.run_id.clone(), fence: held.lease.fence, progress };
        HeartbeatRequest { progress: vec![of], ..beat(Vec::new()) }
    };
    let nobody = HeartbeatRequest { worker_id: NOBODY.into(), ..Default::default() };
    let mut rows = vec![
        row("Heartbeat of an unknown worker", HEARTBEAT, nobody, refused(Code::NotFound, "WORKER_NOT_FOUND")),
        row("Heartbeat of 1,001 grants", HEARTBEAT, beat(vec![lease(NOBODY, 1); 1_001]), invalid(&["leases"])),
        row(
            "Heartbeat of no grant",
            HEARTBEAT,
            beat(vec![lease("", 0), lease(NOBODY, -1)]),
            invalid(&["leases[0].run_id", "leases[0].fence", "leases[1].fence"]),
        ),
        row("progress with NUL", HEARTBEAT, progress(0.5, "\0"), invalid(&["progress[0].progress.message"])),
    ];
    rows.extend(no_ids(HEARTBEAT, "worker_id", |worker_id| HeartbeatRequest { worker_id, ..Default::default() }));
    for fraction in [f64::NAN, f64::INFINITY, -0.1, 1.1, f64::MIN] {
        let beat = progress(fraction, "");
        rows.push(row(
            format!("a progress of {fraction}"),
            HEARTBEAT,
            beat,
            invalid(&["progress[0].progress.fraction"]),
        ));
    }
    rows
}

fn reports(held: &Held) -> Vec<Row> {
    use outcome::Outcome as Of;
    let lost = || refused(Code::FailedPrecondition, "LEASE_LOST");
    let conflict = || refused(Code::FailedPrecondition, "OUTCOME_CONFLICT");
    let fine = || Some(Of::Succeeded(Succeeded::default()));
    let of = |outcome| report(&held.worker_id, &held.lease, outcome);
    let by = |worker_id: &str, fence| report(worker_id, &lease(&held.lease.run_id, fence), fine());
    let none = ReportRunRequest { worker_id: held.worker_id.clone(), report: None };
    let nothing = ["report", "report.run_id", "report.fence", "report.outcome"];
    let error = |error: RunError| Some(Of::Failed(Failed { error: Some(error), permanent: false }));
    let snooze = |delay| Some(Of::Snoozed(Snoozed { delay }));
    let mut rows = vec![
        row("no report", REPORT, none, invalid(&nothing)),
        row("a report without an outcome", REPORT, of(None), invalid(&["report.outcome"])),
        row(
            "a report of an unknown grant",
            REPORT,
            report(&held.worker_id, &lease(NOBODY, 1), fine()),
            refused(Code::NotFound, "RUN_NOT_FOUND"),
        ),
        row("a report with a fence of zero", REPORT, by(&held.worker_id, 0), invalid(&["report.fence"])),
        row("a report with a negative fence", REPORT, by(&held.worker_id, i64::MIN), invalid(&["report.fence"])),
        row("a report with a fence of the past", REPORT, by(&held.worker_id, held.lease.fence - 1), conflict()),
        row("a report with a fence of the future", REPORT, by(&held.worker_id, held.lease.fence + 1), lost()),
        row("a report with the last fence", REPORT, by(&held.worker_id, i64::MAX), lost()),
        row("a report for another worker's run", REPORT, by(&held.other_id, held.lease.fence), lost()),
        row("a report by an unknown worker", REPORT, by(NOBODY, held.lease.fence), lost()),
        row(
            "a failure without an error",
            REPORT,
            of(Some(Of::Failed(Failed::default()))),
            invalid(&["report.outcome.failed.error"]),
        ),
        row(
            "an error without a type",
            REPORT,
            of(error(RunError::default())),
            invalid(&["report.outcome.failed.error.type"]),
        ),
        row("a snooze without a time", REPORT, of(snooze(None)), invalid(&["report.outcome.snoozed.delay"])),
    ];
    rows.extend(no_ids(REPORT, "worker_id", |id| report(&id, &held.lease, fine())));
    for (what, delay) in BAD_DURATIONS {
        rows.push(row(
            format!("a snooze that is {what}"),
            REPORT,
            of(snooze(Some(delay))),
            invalid(&["report.outcome.snoozed.delay"]),
        ));
    }
    for (what, text) in bad_objects() {
        let is_value = matches!(what, "no object" | "a number");
        let result = succeeded::Result::ResultJson(text.clone());
        let result = of(Some(Of::Succeeded(Succeeded { result: Some(result) })));
        let context = of(error(RunError { r#type: "E".into(), context_json: text, ..Default::default() }));
        if !is_value {
            rows.push(row(
                format!("a result that is {what}"),
                REPORT,
                result,
                invalid(&["report.outcome.succeeded.result_json"]),
            ));
        }
        rows.push(row(
            format!("an error's context that is {what}"),
            REPORT,
            context,
            invalid(&["report.outcome.failed.error.context_json"]),
        ));
    }
    let nul = RunError { r#type: "E\n".into(), message: "\0".into(), stack: "\0".into(), ..Default::default() };
    let fields = ["type", "message", "stack"].map(|field| format!("report.outcome.failed.error.{field}"));
    rows.push(row("an error with NUL", REPORT, of(error(nul)), invalid(&fields.each_ref().map(String::as_str))));
    rows
}

fn events(held: &Held) -> Vec<Row> {
    let text = |text: &str| EventEntry { content: Some(event_entry::Content::Text(text.into())), ..Default::default() };
    let append = |worker_id: &str, fence, first_seq, entries| AppendRunEventsRequest {
        worker_id: worker_id.into(),
        events: Some(RunEvents { run_id: held.lease.run_id.clone(), fence, first_seq, entries }),
    };
    let of = |first_seq, entries| append(&held.worker_id, held.lease.fence, first_seq, entries);
    let lost = || refused(Code::FailedPrecondition, "LEASE_LOST");
    let odd = EventEntry { level: 99, content: None, data_json: "[]".into() };
    let row = |what: &str, message, expected: Expected| row(what, APPEND, message, expected);
    vec![
        row("no events", of(1, Vec::new()), invalid(&["events.entries"])),
        row("1,001 events", of(1, vec![text("x"); 1_001]), invalid(&["events.entries"])),
        row("events from zero on", of(0, vec![text("x")]), invalid(&["events.first_seq"])),
        row("events from the last number on", of(i64::MAX, vec![text("x")]), invalid(&["events.first_seq"])),
        row("an event with NUL", of(1, vec![text("a\0")]), invalid(&["events.entries[0].text"])),
        row(
            "an event of 64 KiB and more",
            of(1, vec![text(&"x".repeat(65_537))]),
            invalid(&["events.entries[0].text"]),
        ),
        row(
            "an event with every field wrong",
            of(1, vec![odd]),
            invalid(&["events.entries[0].level", "events.entries[0]", "events.entries[0].data_json"]),
        ),
        row("events with an old fence", append(&held.worker_id, held.lease.fence - 1, 1, vec![text("x")]), lost()),
        row("events with the last fence", append(&held.worker_id, i64::MAX, 1, vec![text("x")]), lost()),
        row("events of another worker's run", append(&held.other_id, held.lease.fence, 1, vec![text("x")]), lost()),
    ]
}
