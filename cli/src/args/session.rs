//! `ops session ...`

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use proto::v1;

use super::{
    target::{Output, Target},
    values::{JsonInput, duration},
};

/// Creates, lists and closes sessions, which are groups of runs.
#[derive(Args, Debug)]
pub(crate) struct SessionArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) output: Output,
    #[command(subcommand)]
    pub(crate) verb: SessionVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SessionVerb {
    /// Create a session
    Create(SessionCreate),
    /// List sessions, the newest first
    List(SessionList),
    /// Show one session with its exact counters
    Get {
        /// The session's id
        session_id: String,
    },
    /// Close a session: it takes no more runs, and is completed when its last run has ended
    Close {
        /// The session's id
        session_id: String,
    },
    /// Cancel a session: its waiting runs are cancelled at once, its running ones are asked to stop
    Cancel(SessionCancel),
}

#[derive(Args, Debug)]
pub(crate) struct SessionCreate {
    /// The name, for people; 1 to 200 characters
    pub(crate) name: String,
    /// A description
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) description: String,
    /// The person or program that asks for it
    #[arg(long, value_name = "WHO", default_value = "", hide_default_value = true)]
    pub(crate) triggered_by: String,
    /// A JSON object to keep with it: the text itself, @FILE, or - for standard input
    #[arg(long, value_name = "JSON", allow_hyphen_values = true)]
    pub(crate) context: Option<JsonInput>,
    /// Makes the call repeatable for 24 hours: a repeated call answers with the first session
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) request_id: String,
}

#[derive(Args, Debug)]
pub(crate) struct SessionList {
    /// Only these statuses
    #[arg(long, value_enum, value_delimiter = ',', value_name = "STATUS,..")]
    pub(crate) status: Vec<SessionStatus>,
    /// How many at the most
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
}

#[derive(Args, Debug)]
pub(crate) struct SessionCancel {
    /// The session's id
    pub(crate) session_id: String,
    /// The reason; shown on each of its runs
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
    /// How long runs may take to stop before their workers kill them [default: the server's, 5s]
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub(crate) grace: Option<Duration>,
}

/// The status of a session.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum SessionStatus {
    Active,
    Completed,
    Cancelled,
}

impl From<SessionStatus> for v1::SessionStatus {
    fn from(status: SessionStatus) -> Self {
        match status {
            SessionStatus::Active => Self::Active,
            SessionStatus::Completed => Self::Completed,
            SessionStatus::Cancelled => Self::Cancelled,
        }
    }
}
