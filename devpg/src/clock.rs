//! A clock that jumps, for a server under test: the machine's time and an offset, by libfaketime.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::error::DevpgError;
use crate::options::ClusterOptions;

/// The clock of one server. Timers and waits are not changed by it.
#[derive(Debug)]
pub struct Clock {
    library: PathBuf,
    offset: PathBuf,
}

impl Clock {
    /// A clock that keeps its offset in this folder, which the server's user must be able to enter. `None` if libfaketime is not
    /// installed.
    ///
    /// # Errors
    ///
    /// [`DevpgError::Io`] when the folder can not be written.
    pub fn in_folder(folder: &Path) -> Result<Option<Self>, DevpgError> {
        let libraries = fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
        let mut places = libraries.chain([PathBuf::from("/usr/lib")]).map(|it| it.join("faketime/libfaketime.so.1"));
        let Some(library) = places.find(|it| it.exists()) else { return Ok(None) };
        let clock = Self { library, offset: folder.join("clock") };
        clock.set(0)?;
        Ok(Some(clock))
    }

    /// Sets the clock this many seconds ahead of the machine's, or back.
    ///
    /// # Errors
    ///
    /// [`DevpgError::Io`] when the file can not be written.
    pub fn set(&self, seconds: i64) -> Result<(), DevpgError> {
        let new = self.offset.with_extension("new");
        fs::write(&new, format!("{seconds:+}\n"))
            .and_then(|()| fs::set_permissions(&new, Permissions::from_mode(0o644)))
            // The server must not read half of it.
            .and_then(|()| fs::rename(&new, &self.offset))
            .map_err(DevpgError::io("write", &self.offset))
    }
}

impl ClusterOptions {
    /// The server has this clock.
    #[must_use]
    pub fn clock(self, clock: &Clock) -> Self {
        let Clock { library, offset } = clock;
        let variables = [
            ("LD_PRELOAD", library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", offset.display().to_string()),
            // Otherwise the processes of the server would jump one after the other.
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ];
        variables.into_iter().fold(self, |options, (name, value)| options.environment(name, value))
    }
}
