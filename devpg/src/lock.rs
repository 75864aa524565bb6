//! The lock that gives a cluster one owner, also after an owner was killed.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::DevpgError;
use crate::home::lock_file;

/// An exclusive lock on the cluster in a home. It is held until this value drops or the process ends.
///
/// It is a lock of the kernel (flock), so it can not be left behind as a pid file can. Started programs do not inherit
/// it, because the standard library opens files close-on-exec.
#[derive(Debug)]
pub(crate) struct OwnerLock {
    file: File,
}

/// Closing the file is not enough: a program that another thread is just starting holds a copy of the descriptor between fork and exec, and
/// with it the lock.
impl Drop for OwnerLock {
    fn drop(&mut self) {
        if let Err(error) = self.file.unlock() {
            tracing::warn!(%error, "the lock of a cluster could not be released before its file was closed");
        }
    }
}

impl OwnerLock {
    /// Takes the lock at once, or fails with the pid of its owner.
    pub(crate) fn take(home: &Path) -> Result<Self, DevpgError> {
        let path = lock_file(home);
        loop {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            let mut file = options.open(&path).map_err(DevpgError::io("open", &path))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(Self::owned(home, file)),
                Err(TryLockError::Error(source)) => return Err(DevpgError::io("lock", &path)(source)),
            }
            // The last owner may have removed the folder between our open and our lock. Then nobody else can find the
            // file that we have locked, so we try again.
            if is_same_file(&file, &path) {
                write_pid(&mut file).map_err(DevpgError::io("write", &path))?;
                return Ok(Self { file });
            }
        }
    }

    fn owned(home: &Path, mut file: File) -> DevpgError {
        let mut text = String::new();
        let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
        DevpgError::Owned { folder: PathBuf::from(home), pid }
    }
}

fn is_same_file(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(held), Ok(found)) => (held.dev(), held.ino()) == (found.dev(), found.ino()),
        _ => false,
    }
}

fn write_pid(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_owner_is_refused_with_folder_and_pid() {
        let home = tempfile::tempdir().unwrap();
        let first = OwnerLock::take(home.path()).unwrap();
        let error = OwnerLock::take(home.path()).unwrap_err().to_string();
        assert!(error.contains(&home.path().display().to_string()), "{error}");
        assert!(error.contains(&format!("pid {}", std::process::id())), "{error}");
        drop(first);
        OwnerLock::take(home.path()).unwrap();
    }

    #[test]
    fn a_dropped_lock_is_free_although_a_copy_of_its_descriptor_is_still_open() {
        let home = tempfile::tempdir().unwrap();
        let first = OwnerLock::take(home.path()).unwrap();
        let copy = first.file.try_clone().unwrap();
        drop(first);
        OwnerLock::take(home.path()).unwrap();
        drop(copy);
    }
}
