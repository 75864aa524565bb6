//! The small System V shared memory segment that a killed server leaves. Only its next start would remove it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::unistd::Pid;

use crate::pidfile::PidFile;

/// Removes the segment of a killed server that will not start again, because the system has room for a few thousand
/// only. Does nothing if the segment is used, or perhaps another server's, or if this is not Linux.
pub(crate) fn remove(pgdata: &Path) {
    let Some(PidFile { pid, segment: Some(segment), .. }) = PidFile::read(pgdata) else { return };
    let table = fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
    if table.lines().any(|line| is_unused(line, segment, pid)) {
        let mut command = Command::new("ipcrm");
        let removed = command.arg("-m").arg(segment.to_string()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        tracing::debug!(segment, ?removed, "removed the shared memory of a killed server");
    }
}

/// Columns: key, shmid, perms, size, cpid, lpid, nattch.
fn is_unused(line: &str, segment: i32, creator: Pid) -> bool {
    let columns: Vec<&str> = line.split_whitespace().take(7).collect();
    let [_, id, _, _, created_by, _, attached] = columns[..] else { return false };
    id == segment.to_string() && created_by == creator.to_string() && attached == "0"
}

#[cfg(test)]
mod tests {
    use nix::unistd::Pid;

    use super::is_unused;

    #[test]
    fn only_the_unused_segment_of_this_server_counts() {
        let line = "    820853         12   600                    56 11308 11323      0   101   104   101   104";
        assert!(is_unused(line, 12, Pid::from_raw(11308)));
        assert!(!is_unused(line, 13, Pid::from_raw(11308)));
        assert!(!is_unused(line, 12, Pid::from_raw(11309)));
        assert!(!is_unused(&line.replace("     0   101", "     6   101"), 12, Pid::from_raw(11308)));
    }
}
