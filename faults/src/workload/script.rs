//! The script of a run, in its params.

use rand::rngs::StdRng;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// The kind of all runs with a script.
pub const KIND: &str = "script";

/// The params of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Names the run independently of its id.
    pub key: String,
    /// How long an attempt takes.
    pub ms: u64,
    /// How many lines it logs.
    pub logs: u32,
    pub end: End,
    /// How long it continues after a cancel.
    pub stubborn_ms: u64,
    /// Makes params and result large.
    pub padding: String,
}

/// How an attempt ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    Succeed,
    /// Without a retry.
    Fail,
    /// Fails in each attempt before this one, then succeeds.
    SucceedAt {
        attempt: i32,
    },
    /// Snoozes in each grant before this one, then succeeds.
    SnoozeBefore {
        fence: i64,
        delay_ms: u64,
    },
}

impl Script {
    /// A random script.
    pub fn choose(key: String, rng: &mut StdRng) -> Self {
        let end = match rng.random_range(0..100) {
            0..70 => End::Succeed,
            70..76 => End::Fail,
            76..90 => End::SucceedAt { attempt: rng.random_range(2..=4) },
            _ => End::SnoozeBefore { fence: rng.random_range(2..=3), delay_ms: rng.random_range(0..800) },
        };
        let ms = match rng.random_range(0..40) {
            0..32 => rng.random_range(0..60),
            32..38 => rng.random_range(60..1_000),
            // Longer than a lease.
            _ => rng.random_range(1_000..5_000),
        };
        let stubborn_ms = if rng.random_ratio(1, 5) { rng.random_range(0..2_000) } else { 0 };
        let padding = if rng.random_ratio(1, 20) { rng.random_range(10_000..60_000) } else { 0 };
        Self { key, ms, logs: rng.random_range(0..4), end, stubborn_ms, padding: "x".repeat(padding) }
    }
}

/// A random number of attempts: mostly enough for the faults of half a minute, sometimes not.
pub(super) fn max_attempts(rng: &mut impl Rng) -> i32 {
    if rng.random_ratio(1, 10) { rng.random_range(1..=2) } else { 20 }
}
