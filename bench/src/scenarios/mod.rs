//! The scenarios, a file each.

use anyhow::Result;
use futures::future::LocalBoxFuture;

use crate::deployment::Bench;
use crate::figure::Figure;

mod backlog;
mod cancel;
mod drain;
mod enqueue;
mod fill;
mod history;
mod idle;
mod latency;
mod life;
mod peers;
mod replicas;
mod sql;
mod start;
mod streams;
mod sustained;
mod watch;
mod xmin;

/// A measurement.
pub struct Scenario {
    pub name: &'static str,
    /// The meaning of its figures.
    pub about: &'static str,
    /// Takes minutes.
    pub is_long: bool,
    /// Runs only if it is named.
    pub is_apart: bool,
    pub measure: for<'b> fn(&'b Bench) -> LocalBoxFuture<'b, Result<Vec<Figure>>>,
}

/// A scenario from the module with its `measure` and `ABOUT`, with these flags set.
macro_rules! scenario {
    ($name:ident $(, $flag:ident)?) => {
        Scenario {
            $($flag: true,)?
            ..Scenario {
                name: stringify!($name),
                about: $name::ABOUT,
                is_long: false,
                is_apart: false,
                measure: |bench| Box::pin($name::measure(bench)),
            }
        }
    };
}

/// All scenarios, in the order of the report.
pub const SCENARIOS: &[Scenario] = &[
    scenario!(sql),
    scenario!(enqueue),
    scenario!(drain),
    scenario!(life),
    scenario!(latency),
    scenario!(cancel),
    scenario!(watch),
    scenario!(replicas),
    scenario!(idle),
    scenario!(start),
    scenario!(backlog, is_long),
    scenario!(history, is_long),
    scenario!(xmin, is_long),
    scenario!(sustained, is_long),
    scenario!(streams, is_long),
    scenario!(peers, is_apart),
];
