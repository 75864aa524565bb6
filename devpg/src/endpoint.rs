//! Where the server listens: a loopback port and the folder of its Unix socket.

use std::fs::{self, DirBuilder};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::account::Account;
use crate::error::DevpgError;
use crate::home::{Home, write};
use crate::random;

/// The longest socket path that every system allows: 107 bytes on Linux, 103 on macOS.
const LONGEST_SOCKET_PATH: usize = 103;

/// The ports lie below the range for outgoing connections, so that no connection takes the port during a restart.
const FIRST_PORT: u16 = 15_000;
const LAST_PORT: u16 = 32_000;

/// A port and a socket folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) port: u16,
    pub(crate) socket_dir: PathBuf,
}

impl Endpoint {
    /// The endpoint of the last start if it is still usable, else a new one. Afterwards the socket folder exists. Only
    /// the server's user and root may enter it, which protects the socket, as it asks for no password.
    pub(crate) fn choose(home: &Home, account: &Account, wanted: Option<u16>) -> Result<Self, DevpgError> {
        let recorded = Self::recorded(home);
        let kept = [wanted, recorded.as_ref().map(|it| it.port)].into_iter().flatten().find(|port| is_free(*port));
        let port = match kept {
            Some(port) => port,
            None => free_port()?,
        };
        let socket_dir = socket_dir(home, account, recorded.map(|it| it.socket_dir))?;
        let chosen = Self { port, socket_dir };
        write(&home.endpoint(), &format!("{}\n{}\n", chosen.port, chosen.socket_dir.display()))?;
        Ok(chosen)
    }

    pub(crate) fn recorded(home: &Home) -> Option<Self> {
        let text = fs::read_to_string(home.endpoint()).ok()?;
        let mut lines = text.lines();
        Some(Self { port: lines.next()?.parse().ok()?, socket_dir: lines.next()?.into() })
    }

    /// Removes the socket folder if it is outside of the home.
    pub(crate) fn remove_socket_dir(&self, home: &Home) {
        if self.socket_dir != home.socket() {
            let _ = fs::remove_dir_all(&self.socket_dir);
        }
    }

    /// Creates the socket folder if it is missing, and removes the files of a killed server. Its lock file names a pid;
    /// another program with this pid would keep the next server from starting.
    pub(crate) fn open_socket_dir(&self, account: &Account) -> Result<(), DevpgError> {
        create_or_check(&self.socket_dir, account)?;
        let entries = fs::read_dir(&self.socket_dir).map_err(DevpgError::io("read", &self.socket_dir))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            fs::remove_file(&path).map_err(DevpgError::io("remove", &path))?;
        }
        Ok(())
    }
}

pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn free_port() -> Result<u16, DevpgError> {
    for _ in 0..100 {
        let random = u64::from_str_radix(&random::hex::<6>()?, 16).unwrap_or_default();
        let offset = random % u64::from(LAST_PORT - FIRST_PORT);
        let port = FIRST_PORT + u16::try_from(offset).unwrap_or_default();
        if is_free(port) {
            return Ok(port);
        }
    }
    let any = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    any.map(|address| address.port()).map_err(DevpgError::io("find a free port on", "127.0.0.1"))
}

fn socket_dir(home: &Home, account: &Account, recorded: Option<PathBuf>) -> Result<PathBuf, DevpgError> {
    let own = home.socket();
    if own.join(".s.PGSQL.65535").as_os_str().len() <= LONGEST_SOCKET_PATH {
        create_or_check(&own, account)?;
        return Ok(own);
    }
    if let Some(recorded) = recorded.filter(|it| *it != own && create_or_check(it, account).is_ok()) {
        return Ok(recorded);
    }
    // The user's runtime folder, if there is one. Not root's, which the user that root drops to can not enter.
    let runtime =
        std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|it| !account.is_other() && it.is_dir());
    let parent = runtime.filter(|it| it.as_os_str().len() < 60).unwrap_or_else(|| PathBuf::from("/tmp"));
    let short = parent.join(format!("ops-pg-{}", random::hex::<5>()?));
    create_or_check(&short, account)?;
    Ok(short)
}

/// In `/tmp` another user may have created a folder of this name: it must be new, or ours and closed to others.
fn create_or_check(path: &Path, account: &Account) -> Result<(), DevpgError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => account.own(path),
        Err(_) => {
            let found = fs::symlink_metadata(path).map_err(DevpgError::io("create", path))?;
            let closed = found.is_dir() && found.uid() == account.uid().as_raw() && found.mode() & 0o077 == 0;
            let foreign = || std::io::Error::other("it exists, and belongs to or is open to other users");
            if closed { Ok(()) } else { Err(DevpgError::io("use the socket folder", path)(foreign())) }
        }
    }
}
