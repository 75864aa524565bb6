//! Whether a worker itself lacks something, or something is wrong with its run.

use std::io;

use nix::errno::Errno;

/// Whether the error says that this process or this machine lacks file descriptors, processes or memory. The same call may succeed
/// later, or in another worker, so it says nothing about the run. A handler returns
/// [`HandlerError::Shortage`](crate::HandlerError::Shortage) for it.
pub fn is_shortage(error: &io::Error) -> bool {
    const SHORTAGES: [Errno; 5] = [Errno::EMFILE, Errno::ENFILE, Errno::EAGAIN, Errno::ENOMEM, Errno::ENOBUFS];
    error.raw_os_error().is_some_and(|code| SHORTAGES.contains(&Errno::from_raw(code)))
}

/// Whether a panic says the same: an async runtime panics if it can not start a thread for blocking work.
pub(crate) fn is_shortage_panic(message: &str) -> bool {
    message.contains("OS can't spawn worker thread") || message.contains("failed to spawn thread")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_worker_lacks_is_a_shortage() {
        let of = |errno: Errno| is_shortage(&io::Error::from(errno));
        assert!([Errno::EMFILE, Errno::ENFILE, Errno::EAGAIN, Errno::ENOMEM].into_iter().all(of));
        assert!(![Errno::E2BIG, Errno::ENOENT, Errno::EACCES, Errno::ENOEXEC, Errno::ECONNREFUSED].into_iter().any(of));
        assert!(!is_shortage(&io::Error::other("no code")));
    }
}
