//! A small good history with every kind of event. A test breaks one thing in it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::json;
use uuid::Uuid;

use crate::history::{
    Asked, Counters, Event, FaultClass, Filter, FinalState, Folder, GrantRow, Outcome, Plan, RunRow, SessionRow,
    Status, Verdict, What,
};

pub const SESSION: Uuid = Uuid::from_u128(0x5e55);
/// A run that was tried twice, and succeeded.
pub const TWICE: Uuid = Uuid::from_u128(0xa);
/// A run that was cancelled while it ran.
pub const CANCELLED: Uuid = Uuid::from_u128(0xb);
/// A run that SQL enqueued. It was parked, and cancelled in the end.
pub const PARKED: Uuid = Uuid::from_u128(0xc);
/// A run with one attempt, whose worker died.
pub const LOST: Uuid = Uuid::from_u128(0xd);

/// The history, with an event a second.
pub fn good() -> Folder {
    let whats = whats();
    let events = whats.into_iter().zip(1..).map(|((actor, what), second)| Event {
        at_us: second * 1_000_000,
        actor: actor.to_owned(),
        what,
    });
    Folder {
        path: PathBuf::new(),
        plan: Plan { seed: 7, seconds: 30, version: String::new(), faults: Vec::new() },
        events: events.collect(),
        torn: Vec::new(),
        end: end(),
    }
}

fn whats() -> Vec<(&'static str, What)> {
    let mut whats = asked_for();
    whats.extend(executed());
    whats.extend(settled());
    whats
}

fn asked_for() -> Vec<(&'static str, What)> {
    let asked = |call: &str, request_id: Option<&str>, keys: &[(&str, i32)]| What::EnqueueAsked {
        call: call.into(),
        session: SESSION,
        request_id: request_id.map(Into::into),
        runs: keys.iter().map(|(key, max)| Asked { key: (*key).into(), max_attempts: *max }).collect(),
    };
    let answered = |call: &str, ids: &[Uuid]| What::EnqueueAnswered { call: call.into(), ids: ids.to_vec() };
    let refused = |call: &str, definite| What::EnqueueRefused {
        call: call.into(),
        code: "UNAVAILABLE".into(),
        reason: String::new(),
        definite,
    };
    vec![
        ("c1", What::SessionCreated { session: SESSION }),
        ("c1", What::WatchOpened { watcher: "all".into(), filter: Filter::default(), resumed: false }),
        ("c1", What::WatchOpened { watcher: "ended".into(), filter: only_cancelled(), resumed: false }),
        ("c1", asked("1", None, &[("twice", 3)])),
        ("c1", answered("1", &[TWICE])),
        ("c1", asked("2", Some("r"), &[("cancelled", 1), ("lost", 1)])),
        ("c1", refused("2", false)),
        ("c1", asked("3", Some("r"), &[("cancelled", 1), ("lost", 1)])),
        ("c1", answered("3", &[CANCELLED, LOST])),
        ("c1", asked("4", None, &[("refused", 1)])),
        ("c1", refused("4", true)),
        ("c1", asked("5", None, &[("in-doubt-1", 1), ("in-doubt-2", 1)])),
        ("c1", refused("5", false)),
        ("c2", What::SqlAsked { session: SESSION, key: "parked".into() }),
        ("c2", sql("parked", Some(PARKED), Some(true))),
        ("c2", What::SqlAsked { session: SESSION, key: "rolled-back".into() }),
        ("c2", sql("rolled-back", None, Some(false))),
    ]
}

fn executed() -> Vec<(&'static str, What)> {
    let fault = |fault, target: &str| What::FaultBegan { fault, target: target.into(), detail: String::new() };
    let over = |fault, target: &str| What::FaultEnded { fault, target: target.into() };
    let began = |run, fence, attempt, key: &str| What::ExecutionBegan { run, fence, attempt, key: key.into() };
    let ended = |run, fence, token: &str, outcome| What::ExecutionEnded { run, fence, token: token.into(), outcome };
    let answer = |run, fence, token: &str, verdict| What::ReportAnswered { run, fence, token: token.into(), verdict };
    vec![
        ("w1-1", What::WorkerBegan { worker: "w1-1".into(), process: 1 }),
        ("w1-1", began(TWICE, 1, 1, "twice")),
        ("all", saw(TWICE, 1, Status::Queued, 0, 0)),
        ("all", saw(TWICE, 3, Status::Running, 1, 1)),
        ("w1-1", ended(TWICE, 1, "t1", Outcome::Retry)),
        ("w1-1", answer(TWICE, 1, "t1", Verdict::Accepted)),
        ("w2-1", began(TWICE, 2, 2, "twice")),
        ("w2-1", ended(TWICE, 2, "t2", Outcome::Succeeded)),
        ("w2-1", answer(TWICE, 2, "t2", Verdict::Accepted)),
        ("all", saw(TWICE, 7, Status::Succeeded, 2, 2)),
        ("c1", What::CountersSeen { session: SESSION, counters: counters(4, 1, 0) }),
        ("w1-1", began(CANCELLED, 1, 1, "cancelled")),
        ("c1", What::CancelAsked { run: CANCELLED }),
        ("c1", What::CancelAnswered { run: CANCELLED, status: Status::Running }),
        ("w1-1", ended(CANCELLED, 1, "t3", Outcome::Cancelled)),
        ("all", saw(CANCELLED, 5, Status::Cancelled, 1, 1)),
        ("ended", watched("ended", CANCELLED, 5, Status::Cancelled, 1, 1)),
        ("w2-1", began(LOST, 1, 1, "lost")),
        ("lab", fault(FaultClass::WorkerKilled, "w2-1")),
        ("lab", over(FaultClass::WorkerKilled, "w2-1")),
        ("all", saw(LOST, 4, Status::Failed, 1, 1)),
    ]
}

fn settled() -> Vec<(&'static str, What)> {
    let answered = |status| What::CancelAnswered { run: PARKED, status };
    vec![
        ("lab", What::Quiet),
        ("all", saw(PARKED, 1, Status::Queued, 0, 0)),
        ("lab", What::WatchDue { run: PARKED }),
        ("c2", answered(Status::Cancelled)),
        ("all", saw(PARKED, 2, Status::Cancelled, 0, 0)),
        ("ended", watched("ended", PARKED, 2, Status::Cancelled, 0, 0)),
        ("c1", What::RunSeen { run: TWICE, status: Status::Succeeded, revision: 7, fence: 2, attempt: 2 }),
        ("c1", What::CountersSeen { session: SESSION, counters: counters(4, 1, 3) }),
        ("all", What::WatchBookmark { watcher: "all".into() }),
        ("all", What::WatchSettled { watcher: "all".into() }),
        ("ended", What::WatchSettled { watcher: "ended".into() }),
        ("lab", What::Settled { in_time: true }),
    ]
}

pub fn sql(key: &str, id: Option<Uuid>, committed: Option<bool>) -> What {
    What::SqlEnqueued { session: SESSION, key: key.into(), id, committed }
}

pub fn saw(run: Uuid, revision: i64, status: Status, fence: i64, attempt: i32) -> What {
    watched("all", run, revision, status, fence, attempt)
}

fn watched(watcher: &str, run: Uuid, revision: i64, status: Status, fence: i64, attempt: i32) -> What {
    What::WatchSaw { watcher: watcher.into(), run, revision, status, attempt, fence }
}

fn only_cancelled() -> Filter {
    Filter { statuses: vec![Status::Cancelled], ..Filter::default() }
}

/// `ended` more runs than those that succeeded: one failed, the rest were cancelled.
pub fn counters(total: i64, succeeded: i64, ended: i64) -> Counters {
    let failed = i64::from(ended > 0);
    Counters { total, succeeded, failed, cancelled: ended - failed }
}

fn end() -> FinalState {
    let row = |id, key: &str, status, (fence, attempt, max_attempts), revision, source: &str| RunRow {
        id,
        session: SESSION,
        labels: BTreeMap::from([("key".to_owned(), key.to_owned())]),
        lane: "A".into(),
        kind: "test".into(),
        status,
        wait_reason: None,
        attempt,
        max_attempts,
        fence,
        revision,
        worker: None,
        claimed_by: None,
        result: None,
        error: None,
        outcome_source: Some(source.into()),
        cancel_requested: false,
        cancel_confirmed: None,
    };
    let mut twice = row(TWICE, "twice", Status::Succeeded, (2, 2, 3), 7, "worker");
    twice.result = Some(json!({"token": "t2"}));
    let mut cancelled = row(CANCELLED, "cancelled", Status::Cancelled, (1, 1, 1), 5, "worker");
    cancelled.error = Some(json!({"type": "Stopped", "context": {"token": "t3"}}));
    cancelled.cancel_requested = true;
    let mut parked = row(PARKED, "parked", Status::Cancelled, (0, 0, 1), 2, "cancel");
    parked.cancel_requested = true;
    let mut lost = row(LOST, "lost", Status::Failed, (1, 1, 1), 4, "recovery");
    lost.error = Some(json!({"type": "HeartbeatTimeout", "context": {}}));
    FinalState {
        runs: vec![twice, cancelled, parked, lost],
        grants: vec![GrantRow {
            run: TWICE,
            fence: 1,
            worker: Uuid::nil(),
            attempt: 1,
            outcome_source: "worker".into(),
            error: Some(json!({"context": {"token": "t1"}})),
        }],
        sessions: vec![SessionRow {
            id: SESSION,
            status: "active".into(),
            total: 4,
            succeeded: 1,
            failed: 1,
            cancelled: 2,
        }],
    }
}
