//! The user that PostgreSQL's programs run as.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::unistd::{Uid, User, geteuid};

use crate::error::DevpgError;

/// The server's user: our own, or the user that root drops to, because PostgreSQL refuses to run as root.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    drop_to: Option<User>,
}

impl Account {
    /// This process's user; for root, `postgres` or else `nobody`.
    pub(crate) fn choose() -> Result<Self, DevpgError> {
        if !geteuid().is_root() {
            return Ok(Self { drop_to: None });
        }
        let known = ["postgres", "nobody"].into_iter().find_map(|name| User::from_name(name).ok().flatten());
        Ok(Self { drop_to: Some(known.ok_or(DevpgError::NoAccount)?) })
    }

    /// Whether the server has another user than this process, which is root. Then that user must be able to enter the
    /// cluster's folder.
    pub(crate) fn is_other(&self) -> bool {
        self.drop_to.is_some()
    }

    pub(crate) fn uid(&self) -> Uid {
        self.drop_to.as_ref().map_or_else(geteuid, |user| user.uid)
    }

    pub(crate) fn name(&self) -> String {
        self.drop_to.as_ref().map_or_else(|| "this user".to_owned(), |user| format!("user `{}`", user.name))
    }

    /// Gives a folder or file to this user.
    pub(crate) fn own(&self, path: &Path) -> Result<(), DevpgError> {
        let Some(user) = &self.drop_to else { return Ok(()) };
        chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).map_err(DevpgError::io("give away", path))
    }

    /// Makes the command run as this user. The standard library also clears the supplementary groups when it leaves
    /// root, and does so before any `pre_exec`.
    pub(crate) fn apply(&self, command: &mut Command) {
        if let Some(user) = &self.drop_to {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
    }
}
