//! The faults that are active: whether the database and each server are disturbed, and since when they are not.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::fault::Target;
use super::plan::{SERVERS, Step};

/// After this time the effects of a fault are over: workers have found a server.
const AFTERMATH: Duration = Duration::from_secs(8);

/// Updated when a fault begins and ends.
#[derive(Debug)]
pub(super) struct Disturbances {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    database: Part,
    servers: [Part; SERVERS],
    /// Since when the database answers no client; none while it answers.
    away: Option<Instant>,
    /// All faults that can cost a worker its stream, besides those of the database.
    others: Part,
    /// How many faults have begun that can cost a stream.
    begun: u64,
}

#[derive(Debug, Clone, Copy)]
struct Part {
    faults: usize,
    since: Instant,
}

impl Part {
    fn begin(&mut self) {
        self.faults += 1;
    }

    fn end(&mut self) {
        self.faults -= 1;
        self.since = Instant::now();
    }

    fn undisturbed_since(&self) -> Option<Instant> {
        (self.faults == 0).then_some(self.since)
    }
}

impl Disturbances {
    pub(super) fn new() -> Self {
        let undisturbed = Part { faults: 0, since: Instant::now() };
        let state =
            State { database: undisturbed, servers: [undisturbed; SERVERS], away: None, others: undisturbed, begun: 0 };
        Self { state: Mutex::new(state) }
    }

    pub(super) fn begin(&self, step: &Step) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.parts_hit(step).for_each(Part::begin);
        state.begun += u64::from(step.fault.target() != Target::Client);
    }

    pub(super) fn end(&self, step: &Step) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.parts_hit(step).for_each(Part::end);
    }

    /// The database answers no client from now on.
    pub(super) fn away(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).away = Some(Instant::now());
    }

    /// The database may answer again.
    pub(super) fn back(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).away = None;
    }

    pub(super) fn away_since(&self) -> Option<Instant> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).away
    }

    /// Since when no fault disturbs a server or the database; none while one does.
    pub(super) fn undisturbed_since(&self, server: usize) -> Option<Instant> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Some(state.database.undisturbed_since()?.max(state.servers[server].undisturbed_since()?))
    }

    /// How many faults have begun, if one of the database is the only one that is active or has effects.
    pub(super) fn alone(&self) -> Option<u64> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = state.others.undisturbed_since().is_some_and(|since| since.elapsed() > AFTERMATH);
        (is_over && state.database.faults == 1).then_some(state.begun)
    }

    /// Whether no fault has begun since then.
    pub(super) fn alone_since(&self, begun: u64) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).begun == begun
    }
}

impl State {
    /// The parts that a fault disturbs.
    fn parts_hit(&mut self, step: &Step) -> impl Iterator<Item = &mut Part> {
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
