//! Chooses the faults and their times by the seed.

use std::collections::HashMap;
use std::ops::Range;

use clap::ValueEnum;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::fault::{Fault, Target};

pub(super) const SERVERS: usize = 2;
pub(super) const WORKERS: usize = 3;
/// The actors besides the workers whose connections faults hit: clients, and two watchers.
pub(super) const CLIENTS: [&str; 8] = ["c1", "c2", "c3", "c4", "c5", "c6", "all", "lanes"];
/// The actors whose connections no fault hits: workers within the lab's process, and the lab itself.
pub(super) const OTHERS: [&str; 3] = ["raw", "unary", "lab"];

/// The first fault waits until there is load.
const CALM_MS: u64 = 1_500;
/// Each seed chooses the longest time between two faults from this range, so some seeds have many faults at once.
const BETWEEN_MS: Range<u64> = 700..3_500;
const LEAST_BETWEEN_MS: u64 = 300;
/// The pause of a target between two faults, so that it recovers now and then.
const RESPITE_MS: u64 = 1_000;

/// One fault of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// Since the start of the load.
    pub(super) after_ms: u64,
    pub(super) for_ms: u64,
    pub(super) fault: Fault,
    /// The index of the target among its kind.
    pub(super) index: usize,
    /// For all further choices of the fault.
    pub(super) seed: u64,
}

/// The faults of a run, in the order of their times. None begins after `seconds`.
pub(super) fn plan(seed: u64, seconds: u64, only: &[Fault]) -> Vec<Step> {
    let mut rng = StdRng::seed_from_u64(seed);
    let faults: Vec<Fault> = if only.is_empty() { Fault::value_variants().to_vec() } else { only.to_vec() };
    let between_ms = LEAST_BETWEEN_MS..rng.random_range(BETWEEN_MS);
    let mut free: HashMap<(Target, usize), u64> = HashMap::new();
    let mut steps = Vec::new();
    let mut after_ms = CALM_MS;
    while after_ms < seconds * 1_000 {
        let fault = faults[rng.random_range(0..faults.len())];
        let targets = match fault.target() {
            Target::Server | Target::DatabaseLink => SERVERS,
            Target::Worker => WORKERS,
            Target::Client => CLIENTS.len(),
            Target::Database => 1,
        };
        let (index, for_ms, seed) = (rng.random_range(0..targets), rng.random_range(fault.lasts()), rng.random());
        // One fault at a time for each target: two would undo each other.
        let until = free.entry((fault.target(), index)).or_default();
        if *until <= after_ms {
            *until = after_ms + for_ms + RESPITE_MS;
            steps.push(Step { after_ms, for_ms, fault, index, seed });
        }
        after_ms += rng.random_range(between_ms.clone());
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_always_gives_the_same_plan_and_another_seed_gives_another() {
        assert_eq!(plan(7, 30, &[]), plan(7, 30, &[]));
        assert_ne!(plan(7, 30, &[]), plan(8, 30, &[]));
    }

    #[test]
    fn no_target_has_two_faults_at_once_and_each_fault_comes_in_some_plan() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..600 {
            let steps = plan(seed, 30, &[]);
            for (at, step) in steps.iter().enumerate() {
                seen.insert(step.fault);
                let same = |other: &&Step| other.fault.target() == step.fault.target() && other.index == step.index;
                let next = steps[at + 1..].iter().find(same);
                assert!(next.is_none_or(|next| next.after_ms >= step.after_ms + step.for_ms), "seed {seed}: {step:?}");
            }
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), Fault::value_variants());
    }

    #[test]
    fn a_plan_has_only_the_faults_that_were_asked_for() {
        let steps = plan(1, 60, &[Fault::WorkerKill]);
        assert!(!steps.is_empty() && steps.iter().all(|step| step.fault == Fault::WorkerKill));
    }
}
