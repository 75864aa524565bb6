//! Everything that can go wrong, each with what to do about it.

use std::io;
use std::path::PathBuf;

/// Why PostgreSQL could not be found, started, stopped or spoken to.
#[derive(Debug, thiserror::Error)]
pub enum DevpgError {
    /// A folder that was named by the user lacks one of the programs.
    #[error(
        "{source_of_choice} names {folder}, which has no program `{program}`: name the folder that holds initdb, postgres and pg_ctl, for example /usr/lib/postgresql/17/bin"
    )]
    ProgramMissing {
        /// Where the choice came from, such as `--pg-bin`.
        source_of_choice: &'static str,
        /// The folder that was named.
        folder: PathBuf,
        /// The first program that it lacks.
        program: &'static str,
    },

    /// No folder with PostgreSQL's server programs was found.
    #[error("no PostgreSQL server programs (initdb, postgres, pg_ctl) found: {}, or name their folder with --pg-bin or OPS_PG_BIN", install_hint(.install))]
    ProgramsNotFound {
        /// The command that installs them here, if this system is known.
        install: Option<String>,
    },

    /// One of PostgreSQL's programs could not be run.
    #[error(
        "cannot run {program} as {account}: {source}; see that this user may enter and read its folder, or choose another with --pg-bin"
    )]
    Spawn {
        /// The program's path.
        program: PathBuf,
        /// The user that it was to run as.
        account: String,
        /// What the system said.
        source: io::Error,
    },

    /// A file or folder could not be used.
    #[error("cannot {action} {path}: {source}; check that it is writable and that the disk is not full")]
    Io {
        /// What was attempted, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// Another living process owns the cluster.
    #[error("the cluster in {folder} belongs to another running process ({}): stop that one first, or choose another data folder", owner(.pid))]
    Owned {
        /// The cluster's home.
        folder: PathBuf,
        /// The owner's process id, if it could be read.
        pid: Option<i32>,
    },

    /// The folder is a PostgreSQL data folder that something else made.
    #[error("{folder} is itself a PostgreSQL data folder that was not made here: choose another data folder")]
    ForeignFolder {
        /// The folder that was named.
        folder: PathBuf,
    },

    /// Running as root without a user to drop to.
    #[error(
        "PostgreSQL refuses to run as root, and this system has neither a user `postgres` nor `nobody`: create one (useradd --system postgres) or run as an ordinary user"
    )]
    NoAccount,

    /// The data folder is of another major version than the programs.
    #[error(
        "the cluster in {folder} was made by PostgreSQL {found}, but the programs in {bin} are PostgreSQL {expected}: name those of version {found} with --pg-bin, or move the folder away to begin anew"
    )]
    Version {
        /// The cluster's home.
        folder: PathBuf,
        /// The major version that made the data folder.
        found: String,
        /// The folder of the programs in use.
        bin: PathBuf,
        /// Their major version.
        expected: String,
    },

    /// initdb failed.
    #[error("initdb could not make a cluster in {folder}: {output}")]
    Init {
        /// The cluster's home.
        folder: PathBuf,
        /// What initdb said last.
        output: String,
    },

    /// The server ended while starting, or did not accept connections in time.
    #[error("PostgreSQL did not start ({reason}); its log {log} ends with: {tail}")]
    Start {
        /// How it failed.
        reason: String,
        /// The log file.
        log: PathBuf,
        /// The last lines of the log since this start.
        tail: String,
    },

    /// The port that this cluster must keep is taken by another program.
    #[error("port {port} of this cluster is taken by another program: stop that program, then start again")]
    PortTaken {
        /// The loopback port.
        port: u16,
    },

    /// The server survived even SIGKILL for the time allowed.
    #[error(
        "PostgreSQL (pid {pid}) did not end in time: it may hang in the kernel; look at it with ps, then end it by hand"
    )]
    Stop {
        /// The postmaster's process id.
        pid: i32,
    },

    /// The operation needs a running server.
    #[error("the cluster in {folder} is not running: restart it first")]
    NotRunning {
        /// The cluster's home.
        folder: PathBuf,
    },

    /// The server refused a connection or a statement.
    #[error("cannot {action}: {source}; the server's log is {log}")]
    Database {
        /// What was attempted, as a verb.
        action: String,
        /// The log file.
        log: PathBuf,
        /// What the driver said.
        source: sqlx::Error,
    },
}

impl DevpgError {
    /// For `map_err`: wraps an I/O error with what was attempted on which path.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

fn install_hint(install: &Option<String>) -> String {
    match install {
        Some(command) => format!("install them with `{command}`"),
        None => "install PostgreSQL's server package".to_owned(),
    }
}

fn owner(pid: &Option<i32>) -> String {
    pid.map_or_else(|| "pid unknown".to_owned(), |pid| format!("pid {pid}"))
}
