//! What is measured, one file each.

use anyhow::Result;
use futures::future::LocalBoxFuture;

use crate::figure::Figure;
use crate::house::Bench;

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

/// Something that can be measured.
pub struct Scenario {
    pub name: &'static str,
    /// What its figures mean.
    pub about: &'static str,
    /// It takes minutes.
    pub is_long: bool,
    /// It is measured only if it is named.
    pub is_apart: bool,
    pub measure: for<'b> fn(&'b Bench) -> LocalBoxFuture<'b, Result<Vec<Figure>>>,
}

/// A scenario, by the module that has its `measure` and `ABOUT`; and which of its flags are set.
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

/// So many a second.
fn rate(count: usize, since: std::time::Instant) -> f64 {
    count as f64 / since.elapsed().as_secs_f64()
}
