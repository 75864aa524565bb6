//! The exit statuses of the program. Scripts rely on these numbers.

use std::process::ExitCode;

use proto::v1::{Run, RunStatus};
use tonic::Code;

/// The exit status of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// The command succeeded. So did the run, if the command waited for one.
    Success = 0,
    /// An error without a status of its own. Standard error says which.
    Error = 1,
    /// The command line or the configuration is wrong. clap uses the same number.
    Usage = 2,
    /// A wait reached its time limit.
    Timeout = 3,
    /// The caller is not authenticated, or may not do this.
    NotAllowed = 4,
    /// The command waited for a run, which failed.
    RunFailed = 5,
    /// The command waited for a run, which was cancelled.
    RunCancelled = 6,
    /// Not found, or in conflict with what exists.
    NotFoundOrConflict = 7,
    /// The server can not be reached, or can not answer now. The same command may succeed later.
    Unavailable = 8,
    /// A second signal: 128 plus the number of SIGINT, as in shells.
    Interrupted = 130,
}

/// The table, for the help.
pub(crate) const TABLE: &str = "\
Exit status:
  0  done; of a run that was waited for: it succeeded
  1  an error that is none of those below
  2  the command line or the configuration is wrong
  3  the time to wait is over
  4  not allowed: unauthenticated, or permission denied
  5  the run that was waited for failed
  6  the run that was waited for was cancelled
  7  not found, or a conflict: it exists already, is closed, has changed
  8  unavailable: the server can not be reached, or can not serve for now; try again later";

impl Exit {
    /// The exit status for a call that failed with this code.
    pub(crate) fn of_code(code: Code) -> Self {
        match code {
            Code::Ok => Self::Success,
            Code::Unauthenticated | Code::PermissionDenied => Self::NotAllowed,
            Code::NotFound | Code::AlreadyExists | Code::FailedPrecondition => Self::NotFoundOrConflict,
            // A server without room, or with another call in the way, refuses only for now, and says when to try again.
            Code::Unavailable | Code::ResourceExhausted | Code::Aborted | Code::DeadlineExceeded => Self::Unavailable,
            Code::InvalidArgument
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Internal
            | Code::DataLoss
            | Code::Cancelled
            | Code::Unknown => Self::Error,
        }
    }

    /// The exit status for the end of a run; none if it has not ended.
    pub(crate) fn of_run(run: &Run) -> Option<Self> {
        match run.status() {
            RunStatus::Succeeded => Some(Self::Success),
            RunStatus::Failed => Some(Self::RunFailed),
            RunStatus::Cancelled => Some(Self::RunCancelled),
            RunStatus::Unspecified | RunStatus::Queued | RunStatus::Claimed | RunStatus::Running => None,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_run_that_has_ended_gives_an_exit_status() {
        let exit = |status: RunStatus| Exit::of_run(&Run { status: status.into(), ..Run::default() });
        assert_eq!(exit(RunStatus::Succeeded), Some(Exit::Success));
        assert_eq!(exit(RunStatus::Failed), Some(Exit::RunFailed));
        assert_eq!(exit(RunStatus::Cancelled), Some(Exit::RunCancelled));
        assert_eq!(exit(RunStatus::Running), None);
        assert_eq!(exit(RunStatus::Queued), None);
    }
}
