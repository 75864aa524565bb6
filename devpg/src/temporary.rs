//! Temporary homes. They are removed when their owner ends, even by SIGKILL.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::account::Account;
use crate::endpoint::Endpoint;
use crate::error::DevpgError;
use crate::home::Home;
use crate::lock::OwnerLock;
use crate::postmaster::Postmaster;
use crate::{processes, random, segment};

const PREFIX: &str = "ops-pg-test-";
const DEFAULT: &str = "/tmp";
/// A file system in memory, on Linux.
const MEMORY: &str = "/dev/shm";
/// The least free space there. In containers it is often tiny, and tests with much data must fit.
const ROOM: u64 = 4 << 30;
/// The prefix of a folder without a lock. The other name keeps it from looking abandoned.
const NEW_PREFIX: &str = ".ops-pg-test-";
/// A folder without a lock of at least this age is abandoned.
const ABANDONED: Duration = Duration::from_secs(3600);

/// The watchdog. It waits until the owner's end closes its standard input and the server has ended, then removes the
/// folders. If the kernel does not end the server with its owner ($1), the watchdog does.
const WATCHDOG: &str = r#"
cat >/dev/null
pid=$(head -n 1 "$2/pgdata/postmaster.pid" 2>/dev/null)
[ "$1" = end ] && [ -n "$pid" ] && kill -QUIT "$pid" 2>/dev/null
tries=0
while [ -e "$2/pgdata/postmaster.pid" ] && [ $tries -lt 50 ]; do tries=$((tries + 1)); sleep 0.1; done
sockets=$(sed -n 2p "$2/endpoint" 2>/dev/null)
[ -n "$sockets" ] && rm -f -- "$sockets"/.s.PGSQL.* && rmdir -- "$sockets" 2>/dev/null
while [ -e "$2" ] && [ $tries -lt 100 ]; do rm -rf -- "$2" 2>/dev/null || sleep 0.1; tries=$((tries + 1)); done
"#;

/// A new private home. Its drop removes it.
#[derive(Debug)]
pub(crate) struct TemporaryHome {
    path: PathBuf,
    watchdog: Option<Child>,
}

impl TemporaryHome {
    /// Removes homes of dead owners, and creates and locks a new home: in `parent`, or in the best place.
    pub(crate) fn create(account: &Account, wanted: Option<&Path>) -> Result<(Self, OwnerLock), DevpgError> {
        for parent in parents() {
            sweep(&parent);
        }
        let fits = || parents().into_iter().find(|it| is_usable(it, account)).unwrap_or_else(|| PathBuf::from(DEFAULT));
        let parent = wanted.map_or_else(fits, Path::to_owned);
        let name = random::hex::<5>()?;
        let new = parent.join(format!("{NEW_PREFIX}{name}"));
        // Not recursive: the folder must not exist, because in /tmp another user could have created it.
        DirBuilder::new().mode(0o700).create(&new).map_err(DevpgError::io("create", &new))?;
        if account.is_other() {
            fs::set_permissions(&new, Permissions::from_mode(0o755)).map_err(DevpgError::io("open up", &new))?;
        }
        let lock = OwnerLock::take(&new)?;
        let path = parent.join(format!("{PREFIX}{name}"));
        fs::rename(&new, &path).map_err(DevpgError::io("rename", &new))?;
        let watchdog = start_watchdog(&path);
        Ok((Self { path, watchdog }, lock))
    }

    pub(crate) fn home(&self) -> Home {
        Home::at(self.path.clone())
    }
}

impl Drop for TemporaryHome {
    fn drop(&mut self) {
        remove(&self.home());
        if let Some(mut watchdog) = self.watchdog.take() {
            drop(watchdog.stdin.take());
            let _ = watchdog.wait();
        }
    }
}

/// The candidate places, in this order: the user's folder for temporary files, then memory, because a database has
/// about 300 files and many file systems take a millisecond for each.
fn parents() -> Vec<PathBuf> {
    let wanted = std::env::var_os("TMPDIR").map(PathBuf::from);
    let all = wanted.into_iter().chain([PathBuf::from(MEMORY), PathBuf::from(DEFAULT)]);
    all.filter_map(|path| fs::canonicalize(path).ok()).collect()
}

fn is_usable(parent: &Path, account: &Account) -> bool {
    // The user that root drops to may not be able to enter TMPDIR.
    let open = |it: &Path| fs::metadata(it).is_ok_and(|it| it.mode() & 0o001 != 0);
    let enterable = !account.is_other() || parent.ancestors().all(open);
    let roomy = parent != Path::new(MEMORY) || room(parent) >= ROOM;
    parent.is_dir() && enterable && roomy
}

#[cfg(target_os = "linux")]
fn room(path: &Path) -> u64 {
    nix::sys::statvfs::statvfs(path).map_or(0, |it| it.blocks_available() * it.fragment_size())
}

#[cfg(not(target_os = "linux"))]
fn room(_path: &Path) -> u64 {
    0
}

fn start_watchdog(home: &Path) -> Option<Child> {
    let server = if cfg!(target_os = "linux") { "wait" } else { "end" };
    let mut command = Command::new("/bin/sh");
    command.args(["-c", WATCHDOG, "ops-pg-watchdog", server]).arg(home);
    // A process group of its own, because the Ctrl-C that ends the tests must not end the watchdog.
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0).current_dir("/");
    command.spawn().inspect_err(|error| tracing::warn!(%error, "no watchdog: the next start will clean up")).ok()
}

/// Removes homes of dead owners whose watchdog did not run, as when the machine was switched off.
fn sweep(parent: &Path) {
    let me = nix::unistd::geteuid().as_raw();
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let (name, path) = (entry.file_name().to_string_lossy().into_owned(), entry.path());
        let mine = fs::symlink_metadata(&path).is_ok_and(|it| it.is_dir() && it.uid() == me);
        if mine && name.starts_with(PREFIX) {
            sweep_one(&Home::at(path));
        } else if mine && name.starts_with(NEW_PREFIX) && is_old(&path) {
            let _ = fs::remove_dir_all(path);
        }
    }
}

fn sweep_one(home: &Home) {
    let Ok(_lock) = OwnerLock::take(home.path()) else { return };
    tracing::info!(folder = %home.path().display(), "removing a temporary cluster whose owner is dead");
    for pid in processes::servers_of(&home.pgdata()) {
        Postmaster::adopted(pid, home.pgdata()).end_now();
    }
    if let Some(endpoint) = Endpoint::recorded(home) {
        endpoint.remove_socket_dir(home);
    }
    remove(home);
}

/// Retries while another process, such as a watchdog, removes files from the same folder.
fn remove(home: &Home) {
    segment::remove(&home.pgdata());
    for _ in 0..10 {
        match fs::remove_dir_all(home.path()) {
            Err(error) if home.path().exists() => {
                tracing::debug!(folder = %home.path().display(), %error, "a temporary cluster is not removed yet");
            }
            _ => return,
        }
    }
}

fn is_old(path: &Path) -> bool {
    let modified = fs::metadata(path).and_then(|it| it.modified());
    modified.is_ok_and(|it| it.elapsed().is_ok_and(|age| age > ABANDONED))
}
