//! A client.

use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::history::Recorder;
use crate::workload::caller::Caller;
use crate::workload::known::Known;

/// A client: enqueues, cancels, reads and waits, by random choice.
#[derive(Debug)]
pub struct Client {
    pub(super) name: String,
    pub(super) caller: Caller,
    pub(super) known: Arc<Known>,
    pub(super) recorder: Recorder,
    pub(super) rng: StdRng,
    /// A number that makes calls and keys unique, together with the name.
    pub(super) number: u64,
}

impl Client {
    pub fn new(name: &str, caller: Caller, known: Arc<Known>, recorder: Recorder, seed: u64) -> Self {
        Self { name: name.to_owned(), caller, known, recorder, rng: StdRng::seed_from_u64(seed), number: 0 }
    }

    /// A name that is unique in the run.
    pub(super) fn unique(&mut self, what: &str) -> String {
        self.number += 1;
        format!("{}-{what}{}", self.name, self.number)
    }
}
