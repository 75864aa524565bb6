//! With which status the program exits. Scripts rely on these numbers.

use std::process::ExitCode;

use proto::v1::{Run, RunStatus};

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
    /// The run that was waited for failed.
    RunFailed = 5,
    /// The run that was waited for was cancelled.
    RunCancelled = 6,
    /// A second signal: 128 and the number of SIGINT, as shells count.
    Interrupted = 130,
}

impl Exit {
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
