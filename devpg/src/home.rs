//! The folder with all files of one cluster.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::account::Account;
use crate::error::DevpgError;

/// The parent of all homes if this process is root. The server's user can enter it, unlike `/root`.
const ROOTS_HOMES: &str = "/var/lib/ops";

/// The home of the cluster of `data_dir`: `data_dir` itself, or, when this process is root,
/// `/var/lib/ops/<its last component>-<hash of its canonical path>`.
///
/// # Errors
///
/// [`DevpgError::Io`] when the path can not be made absolute.
pub fn home_of(data_dir: &Path) -> Result<PathBuf, DevpgError> {
    let canonical = canonical(data_dir)?;
    if !nix::unistd::geteuid().is_root() {
        return Ok(canonical);
    }
    let name = canonical.file_name().unwrap_or_default().to_string_lossy();
    let plain = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
    let name = plain.skip_while(|c| *c == '_').take(24).collect::<String>();
    let hash = fnv1a(canonical.as_os_str().as_encoded_bytes()) & 0xff_ffff_ffff;
    Ok(Path::new(ROOTS_HOMES).join(format!("{name}-{hash:010x}")))
}

/// The folder of one cluster.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    path: PathBuf,
}

impl Home {
    /// Creates the home of `data_dir` if it does not exist.
    pub(crate) fn prepare(data_dir: &Path, account: &Account) -> Result<Self, DevpgError> {
        if data_dir.join("PG_VERSION").exists() {
            return Err(DevpgError::ForeignFolder { folder: data_dir.to_owned() });
        }
        create_private(data_dir)?;
        let home = Self { path: home_of(data_dir)? };
        if account.is_other() {
            create_enterable(Path::new(ROOTS_HOMES))?;
            create_enterable(&home.path)?;
            // A user who looks into the named folder finds the path of the cluster here.
            write(&data_dir.join("cluster"), &format!("{}\n", home.path.display()))?;
        }
        Ok(home)
    }

    /// Takes an existing folder as a home.
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Removes every file of the cluster, and the folder if nothing else is in it. The caller holds the owner's lock.
    pub(crate) fn remove(&self, data_dir: &Path) -> Result<(), DevpgError> {
        for folder in [self.pgdata(), self.socket()] {
            if let Err(error) = fs::remove_dir_all(&folder)
                && error.kind() != io::ErrorKind::NotFound
            {
                return Err(DevpgError::io("remove", folder)(error));
            }
        }
        for file in [self.endpoint(), self.log(), self.old_log(), self.lock(), data_dir.join("cluster")] {
            let _ = fs::remove_file(file);
        }
        let _ = fs::remove_dir(&self.path);
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn pgdata(&self) -> PathBuf {
        self.path.join("pgdata")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("postgres.log")
    }

    /// The previous log.
    pub(crate) fn old_log(&self) -> PathBuf {
        self.path.join("postgres.log.1")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        lock_file(&self.path)
    }

    pub(crate) fn endpoint(&self) -> PathBuf {
        self.path.join("endpoint")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path.join("socket")
    }

    /// The superuser's password. It is in the data folder, so that it is moved and removed together with the cluster.
    pub(crate) fn password(&self) -> PathBuf {
        self.pgdata().join("superuser.password")
    }
}

/// The file that the owner of the cluster in `home` locks.
pub(crate) fn lock_file(home: &Path) -> PathBuf {
    home.join("owner.lock")
}

/// Creates a folder that only its owner may enter; one that exists stays as it is.
pub(crate) fn create_private(path: &Path) -> Result<(), DevpgError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(DevpgError::io("create", path))
}

/// Creates a folder that the server's user may pass through, whatever the umask.
pub(crate) fn create_enterable(path: &Path) -> Result<(), DevpgError> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o755)))
        .map_err(DevpgError::io("create", path))
}

/// Writes a small file completely or not at all.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), DevpgError> {
    let new = path.with_extension("new");
    fs::write(&new, text).and_then(|()| fs::rename(&new, path)).map_err(DevpgError::io("write", path))
}

/// Makes a folder's entries durable, such as a rename in it.
pub(crate) fn sync_folder(path: &Path) -> Result<(), DevpgError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(DevpgError::io("sync", path))
}

/// Resolves links even if the last components do not exist yet, so that the name is the same before and after their
/// creation.
fn canonical(path: &Path) -> Result<PathBuf, DevpgError> {
    let absolute = std::path::absolute(path).map_err(DevpgError::io("resolve", path))?;
    for ancestor in absolute.ancestors() {
        if let (Ok(real), Ok(rest)) = (fs::canonicalize(ancestor), absolute.strip_prefix(ancestor)) {
            return Ok(if rest.as_os_str().is_empty() { real } else { real.join(rest) });
        }
    }
    Ok(absolute)
}

/// A hash that is the same in all versions of Rust. The standard library does not promise that.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
