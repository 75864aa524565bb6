//! The history and the final database, indexed for the proofs.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::history::{Event, Folder, GrantRow, Outcome, RunRow, SessionRow, What, key_of};

/// The history, and the final database.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// In the order of time.
    pub events: &'a [Event],
    pub runs: BTreeMap<Uuid, &'a RunRow>,
    /// By the key of the request.
    pub keys: BTreeMap<&'a str, Vec<&'a RunRow>>,
    /// Grants that ended without ending their run.
    pub grants: BTreeMap<(Uuid, i64), &'a GrantRow>,
    pub sessions: BTreeMap<Uuid, &'a SessionRow>,
    /// In the order of their start.
    pub executions: Vec<Execution<'a>>,
    /// The outcomes of handlers, by their unique token.
    pub ends: BTreeMap<&'a str, End<'a>>,
    /// How many histories have a torn last line.
    pub torn: usize,
}

/// One execution of a handler.
#[derive(Debug, Clone, Copy)]
pub struct Execution<'a> {
    pub run: Uuid,
    pub fence: i64,
    pub attempt: i32,
    pub key: &'a str,
    pub began: &'a Event,
    pub ended: Option<&'a Event>,
}

/// The outcome of an execution.
#[derive(Debug, Clone, Copy)]
pub struct End<'a> {
    pub run: Uuid,
    pub fence: i64,
    pub outcome: Outcome,
    pub event: &'a Event,
}

impl<'a> Evidence<'a> {
    pub fn of(folder: &'a Folder) -> Self {
        let mut keys: BTreeMap<&str, Vec<&RunRow>> = BTreeMap::new();
        for run in &folder.end.runs {
            keys.entry(key_of(run).unwrap_or_default()).or_default().push(run);
        }
        let mut evidence = Self {
            events: &folder.events,
            runs: folder.end.runs.iter().map(|run| (run.id, run)).collect(),
            keys,
            grants: folder.end.grants.iter().map(|grant| ((grant.run, grant.fence), grant)).collect(),
            sessions: folder.end.sessions.iter().map(|session| (session.id, session)).collect(),
            executions: Vec::new(),
            ends: BTreeMap::new(),
            torn: folder.torn.len(),
        };
        evidence.follow_executions();
        evidence
    }

    fn follow_executions(&mut self) {
        // The end belongs to the last start of the same grant by the same actor.
        let mut open: BTreeMap<(&str, Uuid, i64), usize> = BTreeMap::new();
        for event in self.events {
            match &event.what {
                What::ExecutionBegan { run, fence, attempt, key } => {
                    open.insert((&event.actor, *run, *fence), self.executions.len());
                    let (run, fence, attempt) = (*run, *fence, *attempt);
                    self.executions.push(Execution { run, fence, attempt, key, began: event, ended: None });
                }
                What::ExecutionEnded { run, fence, token, outcome } => {
                    self.ends.insert(token, End { run: *run, fence: *fence, outcome: *outcome, event });
                    if let Some(index) = open.remove(&(event.actor.as_str(), *run, *fence)) {
                        self.executions[index].ended = Some(event);
                    }
                }
                _ => {}
            }
        }
    }

    /// All events about a run.
    pub fn about(&self, run: Uuid) -> Vec<Event> {
        self.events.iter().filter(|event| concerns(&event.what, run)).cloned().collect()
    }

    /// The first event of a kind.
    pub fn first(&self, wanted: impl Fn(&What) -> bool) -> Option<&'a Event> {
        self.events.iter().find(|event| wanted(&event.what))
    }
}

fn concerns(what: &What, id: Uuid) -> bool {
    match what {
        What::EnqueueAnswered { ids, .. } => ids.contains(&id),
        What::SqlEnqueued { id: enqueued, .. } => *enqueued == Some(id),
        What::CancelAsked { run }
        | What::CancelAnswered { run, .. }
        | What::CancelFailed { run, .. }
        | What::RunSeen { run, .. }
        | What::WatchSaw { run, .. }
        | What::WatchDeleted { run, .. }
        | What::WatchLeftFilter { run, .. }
        | What::WatchDue { run }
        | What::ExecutionBegan { run, .. }
        | What::ExecutionEnded { run, .. }
        | What::ReportAnswered { run, .. } => *run == id,
        What::SessionCreated { .. }
        | What::EnqueueAsked { .. }
        | What::EnqueueRefused { .. }
        | What::SqlAsked { .. }
        | What::CountersSeen { .. }
        | What::WatchOpened { .. }
        | What::WatchBookmark { .. }
        | What::WatchLost { .. }
        | What::WatchSettled { .. }
        | What::WorkerBegan { .. }
        | What::FaultBegan { .. }
        | What::FaultEnded { .. }
        | What::ServerStarted { .. }
        | What::ServerEnded { .. }
        | What::Quiet
        | What::Settled { .. } => false,
    }
}
