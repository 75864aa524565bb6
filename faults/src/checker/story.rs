//! A run as the proofs read it: what happened, and the database at the end by its keys.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::history::{Event, Folder, RunRow, SessionRow};

/// What happened, and what it led to.
#[derive(Debug)]
pub struct Story<'a> {
    /// In the order of time.
    pub events: &'a [Event],
    pub runs: BTreeMap<Uuid, &'a RunRow>,
    pub sessions: BTreeMap<Uuid, &'a SessionRow>,
    /// How many actors were ended in the middle of a line.
    pub torn: usize,
}

impl<'a> Story<'a> {
    pub fn of(folder: &'a Folder) -> Self {
        Self {
            events: &folder.events,
            runs: folder.end.runs.iter().map(|run| (run.id, run)).collect(),
            sessions: folder.end.sessions.iter().map(|session| (session.id, session)).collect(),
            torn: folder.torn.len(),
        }
    }
}
