//! Finds the folder that holds PostgreSQL's server programs.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use crate::error::DevpgError;
use crate::install::install_command;

const NEEDED: [&str; 3] = ["initdb", "postgres", "pg_ctl"];

/// A folder that holds `initdb`, `postgres` and `pg_ctl`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    bin: PathBuf,
}

impl Programs {
    /// Searches `explicit` (the user's `--pg-bin`), `OPS_PG_BIN`, `pg_config --bindir`, the newest
    /// `/usr/lib/postgresql/*/bin`, `PATH`, and the folders of other packages, in this order.
    ///
    /// # Errors
    ///
    /// [`DevpgError::ProgramMissing`] when one of the first two, which the user named, lacks a program: another folder
    /// would be another PostgreSQL. [`DevpgError::ProgramsNotFound`] when no folder is left.
    pub fn find(explicit: Option<&Path>) -> Result<Self, DevpgError> {
        let from_env = env::var_os("OPS_PG_BIN").filter(|value| !value.is_empty()).map(PathBuf::from);
        let named = [("--pg-bin or OPS_PG_BIN", explicit.map(Path::to_owned)), ("OPS_PG_BIN", from_env)];
        if let Some((source, folder)) = named.into_iter().find_map(|(source, folder)| Some((source, folder?))) {
            return Self::named(source, folder);
        }
        let path = env::var_os("PATH");
        let candidates = pg_config_bindir()
            .into_iter()
            .chain(newest_first(Path::new("/usr/lib/postgresql"), ""))
            .chain(path.iter().flat_map(env::split_paths))
            // The folders of PostgreSQL's packages for Red Hat and of Homebrew's versioned packages, which are not in
            // PATH.
            .chain(newest_first(Path::new("/usr"), "pgsql-"))
            .chain(newest_first(Path::new("/opt/homebrew/opt"), "postgresql@"))
            .chain(newest_first(Path::new("/usr/local/opt"), "postgresql@"));
        let found = candidates.filter_map(|folder| fs::canonicalize(folder).ok()).find(|it| missing(it).is_none());
        match found {
            Some(bin) => {
                tracing::debug!(bin = %bin.display(), "found PostgreSQL");
                Ok(Self { bin })
            }
            None => Err(DevpgError::ProgramsNotFound { install: install_command() }),
        }
    }

    fn named(source_of_choice: &'static str, folder: PathBuf) -> Result<Self, DevpgError> {
        match missing(&folder) {
            Some(program) => Err(DevpgError::ProgramMissing { source_of_choice, folder, program }),
            None => Ok(Self { bin: fs::canonicalize(&folder).map_err(DevpgError::io("enter", folder))? }),
        }
    }

    /// Their folder, as an absolute path.
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// The path of one program, such as `psql`; only `initdb`, `postgres` and `pg_ctl` are known to exist.
    pub fn path(&self, program: &str) -> PathBuf {
        self.bin.join(program)
    }

    /// The major version as PostgreSQL writes it into a data folder, such as `17`.
    ///
    /// # Errors
    ///
    /// [`DevpgError::Spawn`] when `postgres --version` can not be run.
    pub fn major_version(&self) -> Result<String, DevpgError> {
        let program = self.path("postgres");
        let output = Command::new(&program).arg("--version").stdin(Stdio::null()).output().map_err(|source| {
            DevpgError::Spawn { program: program.clone(), account: "this user".to_owned(), source }
        })?;
        Ok(major_of(&String::from_utf8_lossy(&output.stdout)))
    }
}

/// Reads `postgres (PostgreSQL) 15.8 (Debian 15.8-0)` as `15`; a beta such as `18beta1` is `18`.
fn major_of(version_line: &str) -> String {
    let number = version_line.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    number.unwrap_or_default().chars().take_while(char::is_ascii_digit).collect()
}

fn missing(folder: &Path) -> Option<&'static str> {
    NEEDED.into_iter().find(|program| !is_executable(&folder.join(program)))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
}

fn pg_config_bindir() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    Some(PathBuf::from(text.trim_end()))
}

/// The `bin` folders below versioned folders such as Debian's, ordered by number: 17 before 9.6.
fn newest_first(root: &Path, prefix: &str) -> Vec<PathBuf> {
    let versions = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let mut versions: Vec<(Vec<u32>, OsString)> =
        versions.filter_map(|name| Some((numbers(name.to_str()?.strip_prefix(prefix)?)?, name))).collect();
    versions.sort_by(|a, b| b.cmp(a));
    versions.into_iter().map(|(_, name)| root.join(name).join("bin")).collect()
}

fn numbers(version: &str) -> Option<Vec<u32>> {
    version.split('.').map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_sorted_as_numbers() {
        let root = tempfile::tempdir().unwrap();
        for version in ["9.6", "15", "10", "9.10", "backup"] {
            fs::create_dir_all(root.path().join(version)).unwrap();
        }
        let order: Vec<_> = newest_first(root.path(), "")
            .into_iter()
            .map(|bin| bin.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(order, ["15", "10", "9.10", "9.6"]);
    }

    #[test]
    fn a_named_folder_without_the_programs_is_an_error_that_names_both() {
        let error = Programs::find(Some(Path::new("/nowhere/bin"))).unwrap_err().to_string();
        assert!(
            error.starts_with("--pg-bin or OPS_PG_BIN names /nowhere/bin, which has no program `initdb`"),
            "{error}"
        );
    }

    #[test]
    fn the_major_version_is_read_from_any_version_line() {
        assert_eq!(major_of("postgres (PostgreSQL) 15.8 (Debian 15.8-0+deb12u1)\n"), "15");
        assert_eq!(major_of("postgres (PostgreSQL) 18beta1"), "18");
    }
}
