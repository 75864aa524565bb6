//! The file postmaster.pid, in which a server describes itself.

use std::fs;
use std::path::{Path, PathBuf};

use nix::unistd::Pid;

/// The lines of postmaster.pid that devpg needs. pg_ctl reads the same format, which has not changed since PostgreSQL
/// 10.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PidFile {
    pub(crate) pid: Pid,
    pub(crate) port: Option<u16>,
    pub(crate) socket_dir: Option<PathBuf>,
    /// The id of its System V shared memory.
    pub(crate) segment: Option<i32>,
}

impl PidFile {
    pub(crate) fn path(pgdata: &Path) -> PathBuf {
        pgdata.join("postmaster.pid")
    }

    /// Reads it, if there is one with at least a pid in it.
    pub(crate) fn read(pgdata: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(Self::path(pgdata)).ok()?)
    }

    /// Lines: pid, data folder, start time, port, socket folder, listen address, shared memory, status.
    fn parse(text: &str) -> Option<Self> {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        // A single-user server writes its pid with a minus sign.
        let pid = lines.first()?.parse::<i32>().ok()?.checked_abs().filter(|pid| *pid > 1)?;
        let socket_dir = lines.get(4).filter(|line| !line.is_empty()).map(PathBuf::from);
        let port = lines.get(3).and_then(|line| line.parse().ok());
        let segment = lines.get(6).and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
        Some(Self { pid: Pid::from_raw(pid), port, socket_dir, segment })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_may_be_complete_partial_or_garbage() {
        let complete = "411\n/d\n1700000000\n5433\n/tmp/s\n127.0.0.1\n 123 4\nready   \n";
        let read = PidFile::parse(complete).unwrap();
        assert_eq!((read.pid.as_raw(), read.port, read.socket_dir), (411, Some(5433), Some(PathBuf::from("/tmp/s"))));
        assert_eq!(read.segment, Some(4));
        assert_eq!(PidFile::parse("411\n").unwrap().port, None);
        assert_eq!(PidFile::parse(""), None);
        assert_eq!(PidFile::parse("0\n"), None);
    }
}
