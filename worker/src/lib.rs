//! The worker runtime: one stream to a server, over which the worker takes runs, keeps them alive, cancels them and reports
//! them; and the handlers that execute them. It knows only the contract (`ops.v1`).
//!
//! In reading order: the public API (`api`), the loop that owns all state (`runtime`), the grants that the
//! worker holds (`grant`), the logs on their way to the server (`log`), the connection (`dial`), and
//! telemetry (`telemetry`).

mod api;
mod runtime;

mod grant;
mod log;

mod dial;
mod telemetry;

pub use api::{
    artifact::{ArtifactContent, ArtifactError},
    config::{Lane, WorkerConfig},
    context::RunContext,
    error::WorkerError,
    failure::{Failure, HandlerError},
    handler::Handler,
    log_entry::{Content, Level, LogEntry},
    probe::Probe,
    run_info::RunInfo,
    shortage::is_shortage,
    status::{DrainedBy, WorkerStatus, WorkerSummary},
    stop::{StopCause, StopReason},
    worker::{Worker, WorkerBuilder},
};
pub use telemetry::monitor::Monitor;
