//! Who is well, and since when: what is done to the database and to each server, as the lab knows it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::fault::Target;
use super::plan::{SERVERS, Step};

/// What earlier faults have done is over after this: workers have found their way back.
const AFTERMATH: Duration = Duration::from_secs(8);

/// Kept while faults come and go.
#[derive(Debug)]
pub(super) struct Disturbances {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    database: Patient,
    servers: [Patient; SERVERS],
    /// Since when nobody can be answered by the database, if that is so.
    away: Option<Instant>,
    /// Everything that can cost a worker its stream, besides the database.
    others: Patient,
    /// How many faults have begun, of the database or others.
    begun: u64,
}

#[derive(Debug, Clone, Copy)]
struct Patient {
    troubles: usize,
    since: Instant,
}

impl Patient {
    fn begin(&mut self) {
        self.troubles += 1;
    }

    fn end(&mut self) {
        self.troubles -= 1;
        self.since = Instant::now();
    }

    fn well_since(&self) -> Option<Instant> {
        (self.troubles == 0).then_some(self.since)
    }
}

impl Disturbances {
    pub(super) fn new() -> Self {
        let well = Patient { troubles: 0, since: Instant::now() };
        let state = State { database: well, servers: [well; SERVERS], away: None, others: well, begun: 0 };
        Self { state: Mutex::new(state) }
    }

    pub(super) fn begin(&self, step: &Step) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.patients(step).for_each(Patient::begin);
        state.begun += u64::from(step.fault.target() != Target::Client);
    }

    pub(super) fn end(&self, step: &Step) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.patients(step).for_each(Patient::end);
    }

    /// From now on the database answers nobody.
    pub(super) fn away(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).away = Some(Instant::now());
    }

    /// It may answer again.
    pub(super) fn back(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).away = None;
    }

    pub(super) fn away_since(&self) -> Option<Instant> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).away
    }

    /// Since when a server has had nothing to complain of; `None` = it has.
    pub(super) fn well_since(&self, server: usize) -> Option<Instant> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Some(state.database.well_since()?.max(state.servers[server].well_since()?))
    }

    /// How many faults have begun, if no other is at work and no other's consequences are.
    pub(super) fn alone(&self) -> Option<u64> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = state.others.well_since().is_some_and(|since| since.elapsed() > AFTERMATH);
        (is_over && state.database.troubles == 1).then_some(state.begun)
    }

    /// Whether nothing has begun since so many had.
    pub(super) fn alone_since(&self, begun: u64) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).begun == begun
    }
}

impl State {
    /// Whom a deed is done to.
    fn patients(&mut self, step: &Step) -> impl Iterator<Item = &mut Patient> {
        let Self { database, servers, others, .. } = self;
        let aim = step.fault.target();
        let is_database = aim == Target::Database;
        let is_server = matches!(aim, Target::Server | Target::DatabaseLink);
        let is_other = is_server || aim == Target::Worker || (is_database && !step.fault.action().ends_postgres());
        let server = servers.get_mut(step.index).filter(|_| is_server);
        let database = Some(database).filter(|_| is_database);
        [server, database, Some(others).filter(|_| is_other)].into_iter().flatten()
    }
}
