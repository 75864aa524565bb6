//! `ops run ...`

use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use proto::v1;

use super::{
    target::{Output, Target},
    values::{JsonInput, Label, Lane, duration, moment},
};

/// Enqueues, watches and cancels runs.
#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) output: Output,
    #[command(subcommand)]
    pub(crate) verb: RunVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunVerb {
    /// Enqueue a run; with --wait, wait for its end and exit with its status
    Enqueue(Box<RunEnqueue>),
    /// Show one run
    Get {
        /// The run's id
        run_id: String,
    },
    /// List runs, the newest first
    List(RunList),
    /// Watch one run until it has ended, and exit with its status; or watch all runs that match
    Watch(RunWatch),
    /// Wait until a run has ended, show it, and exit with its status
    Wait(RunWait),
    /// Ask a run to stop
    Cancel(RunCancel),
    /// Print a run's log, with a program's output byte for byte
    Logs(RunLogs),
}

#[derive(Args, Debug)]
#[command(group = ArgGroup::new("where").args(["session", "new_session"]).required(true))]
#[command(group = ArgGroup::new("what").args(["kind", "command"]).required(true))]
#[command(after_help = "\
Examples:
  ops run enqueue --session ID --lane A --wait -- make test
  ops run enqueue --new-session nightly --lane B --kind shell --params '{\"argv\":[\"date\"]}'

Exit status with --wait: 0 succeeded, 5 failed, 6 cancelled, 3 timeout; the others are those of `ops --help`.")]
pub(crate) struct RunEnqueue {
    /// The session to enqueue into
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<String>,
    /// Create a session of this name first
    #[arg(long, value_name = "NAME")]
    pub(crate) new_session: Option<String>,
    /// The lane
    #[arg(long, value_enum, ignore_case = true)]
    pub(crate) lane: Lane,
    /// Higher goes first
    #[arg(long, default_value_t = 0, allow_hyphen_values = true, value_name = "N")]
    pub(crate) priority: i32,
    /// The kind of work, by which workers choose
    #[arg(long)]
    pub(crate) kind: Option<String>,
    /// Its input, a JSON object: the text itself, @FILE, or - for standard input [default: {}]
    #[arg(long, value_name = "JSON", allow_hyphen_values = true, conflicts_with = "command")]
    pub(crate) params: Option<JsonInput>,
    /// A label; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub(crate) labels: Vec<Label>,
    /// How many times it may be started [default: the server's, 1]
    #[arg(long, value_name = "N")]
    pub(crate) max_attempts: Option<i32>,
    /// How long an attempt may take [default: no limit]
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub(crate) timeout: Option<Duration>,
    /// Start no earlier than this: RFC 3339, or + and a duration from now [default: at once]
    #[arg(long, value_parser = moment, value_name = "TIME")]
    pub(crate) run_after: Option<DateTime<Utc>>,
    /// Makes the call repeatable for 24 hours: a repeated call answers with the first run
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) request_id: String,
    /// Wait for its end
    #[arg(long)]
    pub(crate) wait: bool,
    /// How long --wait waits; the run continues afterwards [default: no limit]
    #[arg(long, requires = "wait", value_parser = duration, value_name = "DURATION")]
    pub(crate) wait_timeout: Option<Duration>,
    /// Enqueue kind `shell` with this command
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

/// A filter of runs.
#[derive(Args, Clone, Debug)]
pub(crate) struct Filter {
    /// Only this session
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<String>,
    /// Only these lanes
    #[arg(long, value_enum, ignore_case = true, value_delimiter = ',', value_name = "LANE,..")]
    pub(crate) lane: Vec<Lane>,
    /// Only these statuses
    #[arg(long, value_enum, value_delimiter = ',', value_name = "STATUS,..")]
    pub(crate) status: Vec<RunStatus>,
    /// Only these kinds
    #[arg(long, value_delimiter = ',', value_name = "KIND,..")]
    pub(crate) kind: Vec<String>,
    /// Only runs with this label; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub(crate) labels: Vec<Label>,
}

#[derive(Args, Debug)]
pub(crate) struct RunList {
    #[command(flatten)]
    pub(crate) filter: Filter,
    /// How many at the most
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
}

#[derive(Args, Debug)]
#[command(after_help = "\
A watch resumes after a lost connection. With a run's id the exit status is the run's: 0 succeeded, 5 failed, 6 cancelled.")]
pub(crate) struct RunWatch {
    /// The run's id; without it, all runs that match are watched until Ctrl-C
    #[arg(conflicts_with_all = ["session", "lane", "status", "kind", "labels", "snapshot", "resume_token"])]
    pub(crate) run_id: Option<String>,
    #[command(flatten)]
    pub(crate) filter: Filter,
    /// Show the runs that match now before their changes
    #[arg(long)]
    pub(crate) snapshot: bool,
    /// Resume an earlier watch with the same filter
    #[arg(long, value_name = "TOKEN", conflicts_with = "snapshot")]
    pub(crate) resume_token: Option<String>,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Exit status: 0 succeeded, 5 failed, 6 cancelled, 3 timeout; the others are those of `ops --help`."
)]
pub(crate) struct RunWait {
    /// The run's id
    pub(crate) run_id: String,
    /// How long to wait [default: no limit]
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub(crate) timeout: Option<Duration>,
}

#[derive(Args, Debug)]
pub(crate) struct RunCancel {
    /// The run's id
    pub(crate) run_id: String,
    /// Why
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
    /// How long the run may take to stop before its worker kills it [default: the server's, 5s]
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub(crate) grace: Option<Duration>,
}

#[derive(Args, Debug)]
pub(crate) struct RunLogs {
    /// The run's id
    pub(crate) run_id: String,
    /// Print new events too, until the run has ended
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only this level and above
    #[arg(long, value_enum)]
    pub(crate) level: Option<Level>,
}

/// The status of a run.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum RunStatus {
    Queued,
    Claimed,
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

impl From<RunStatus> for v1::RunStatus {
    fn from(status: RunStatus) -> Self {
        match status {
            RunStatus::Queued => Self::Queued,
            RunStatus::Claimed => Self::Claimed,
            RunStatus::Running => Self::Running,
            RunStatus::Succeeded => Self::Succeeded,
            RunStatus::Failed => Self::Failed,
            RunStatus::Cancelled => Self::Cancelled,
        }
    }
}

/// The level of an event.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

impl From<Level> for v1::EventLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warn => Self::Warn,
            Level::Error => Self::Error,
        }
    }
}
