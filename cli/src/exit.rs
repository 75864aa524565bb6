//! With which status the program exits. Scripts rely on these numbers.

use std::process::ExitCode;

use proto::v1::{Run, RunStatus};
use tonic::Code;

/// The exit status of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// What was asked was done; for a run that was waited for: it succeeded.
    Success = 0,
    /// Something went wrong, and standard error says what.
    Error = 1,
    /// The command line can not be understood. Also what clap exits with.
    Usage = 2,
    /// The time to wait is over.
    Timeout = 3,
    /// The server knows who calls, or does not, and refuses.
    NotAllowed = 4,
    /// The run that was waited for failed.
    RunFailed = 5,
    /// The run that was waited for was cancelled.
    RunCancelled = 6,
    /// There is no such thing, or what is there stands against it.
    NotFoundOrConflict = 7,
    /// The server can not be reached, or can not answer now; the same later may succeed.
    Unavailable = 8,
    /// A second signal: 128 and the number of SIGINT, as shells count.
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
    /// What a call ended with that the server, or the way to it, refused.
    pub(crate) fn of_code(code: Code) -> Self {
        match code {
            Code::Ok => Self::Success,
            Code::Unauthenticated | Code::PermissionDenied => Self::NotAllowed,
            Code::NotFound | Code::AlreadyExists | Code::FailedPrecondition | Code::Aborted => Self::NotFoundOrConflict,
            // The server refuses for want of room only for now, and says when to try again.
            Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded => Self::Unavailable,
            Code::InvalidArgument
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Internal
            | Code::DataLoss
            | Code::Cancelled
            | Code::Unknown => Self::Error,
        }
    }

    /// How a run ended, or nothing if it has not.
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
