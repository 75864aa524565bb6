//! A small file system for the PostgreSQL of a run, which a fault can fill.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::statvfs::statvfs;

/// Enough for a cluster and the writes of half a minute.
const SIZE: &str = "size=448m,mode=0755";

/// The size of a page, the smallest unit that PostgreSQL can use.
const LEAST: i64 = 4_096;

/// Gives this process private mounts, which vanish with its last process, however that ends. Call it while the process
/// has one thread.
///
/// # Errors
///
/// The system forbids it; it allows only root.
pub fn own_mounts() -> nix::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
}

/// A mounted file system.
#[derive(Debug)]
pub(super) struct Disk {
    path: PathBuf,
}

/// Unmounts, so that the run can remove its folder.
impl Drop for Disk {
    fn drop(&mut self) {
        if let Err(errno) = umount2(&self.path, MntFlags::MNT_DETACH) {
            tracing::warn!(%errno, path = %self.path.display(), "a file system stays mounted");
        }
    }
}

impl Disk {
    /// Mounts a file system in the run's folder; none if the system forbids it.
    pub(super) fn mount(folder: &Path) -> Result<Option<Self>> {
        // PostgreSQL's own user must be able to enter.
        fs::set_permissions(folder, Permissions::from_mode(0o711))?;
        let path = folder.join("disk");
        fs::create_dir_all(&path)?;
        match mount(Some("tmpfs"), &path, Some("tmpfs"), MsFlags::empty(), Some(SIZE)) {
            Ok(()) => Ok(Some(Self { path })),
            Err(errno) => {
                tracing::warn!(%errno, "no file system could be mounted: statements fail as on a full disk");
                fs::remove_dir(&path)?;
                Ok(None)
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes all free space in ever smaller pieces, because the system reports the free space only roughly.
    pub(super) fn fill(&self) -> io::Result<()> {
        let balloon = File::create(self.balloon())?;
        let left = statvfs(&self.path)?;
        let mut piece = i64::try_from(left.blocks_available() * left.fragment_size()).unwrap_or(i64::MAX);
        let mut length = 0;
        while piece >= LEAST {
            match fallocate(&balloon, FallocateFlags::empty(), length, piece) {
                Ok(()) => length += piece,
                Err(Errno::ENOSPC) => piece /= 2,
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// Frees the space.
    pub(super) fn empty(&self) -> io::Result<()> {
        match fs::remove_file(self.balloon()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn balloon(&self) -> PathBuf {
        self.path.join("balloon")
    }
}
