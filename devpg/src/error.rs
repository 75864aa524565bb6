//! The errors of this crate, each with what to do about it.

use std::io;
use std::path::PathBuf;

/// The reason why PostgreSQL was not found, or did not start, stop or answer.
#[derive(Debug, thiserror::Error)]
pub enum DevpgError {
    /// The user named a folder that lacks one of the programs.
    #[error(
        "{source_of_choice} names {folder}, which has no program `{program}`: name the folder that holds initdb, postgres and pg_ctl, for example /usr/lib/postgresql/17/bin"
    )]
    ProgramMissing {
        /// The source of the choice, such as `--pg-bin`.
        source_of_choice: &'static str,
        /// The named folder.
        folder: PathBuf,
        /// The first missing program.
        program: &'static str,
    },

    /// No folder with PostgreSQL's server programs was found.
    #[error("no PostgreSQL server programs (initdb, postgres, pg_ctl) found: {}, or name their folder with --pg-bin or OPS_PG_BIN", install_advice(.install))]
    ProgramsNotFound {
        /// The command that installs them on this system, if it is known.
        install: Option<String>,
    },

    /// One of PostgreSQL's programs did not run.
    #[error(
        "cannot run {program} as {account}: {source}; see that this user may enter and read its folder, or choose another with --pg-bin"
    )]
    Spawn {
        /// The program's path.
        program: PathBuf,
        /// The user for the program.
        account: String,
        /// The system's error.
        source: io::Error,
    },

    /// A file or folder could not be used.
    #[error("cannot {action} {path}: {source}; check that it is writable and that the disk is not full")]
    Io {
        /// The attempted action, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
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

    /// The folder is a PostgreSQL data folder that devpg did not create.
    #[error("{folder} is itself a PostgreSQL data folder that was not made here: choose another data folder")]
    ForeignFolder {
        /// The named folder.
        folder: PathBuf,
    },

    /// This process is root, and there is no user to drop to.
    #[error(
        "PostgreSQL refuses to run as root, and this system has neither a user `postgres` nor `nobody`: create one (useradd --system postgres) or run as an ordinary user"
    )]
    NoAccount,

    /// The data folder has another major version than the programs.
    #[error(
        "the cluster in {folder} was made by PostgreSQL {found}, but the programs in {bin} are PostgreSQL {expected}: name those of version {found} with --pg-bin, or move the folder away to begin anew"
    )]
    Version {
        /// The cluster's home.
        folder: PathBuf,
        /// The major version of the data folder.
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
        /// The last lines of initdb's output.
        output: String,
    },

    /// The server ended while starting, or did not accept connections in time.
    #[error("PostgreSQL did not start ({reason}); its log {log} ends with: {tail}")]
    Start {
        /// The kind of failure.
        reason: String,
        /// The log file.
        log: PathBuf,
        /// The last lines of the log since this start.
        tail: String,
    },

    /// Another program has taken the port that this cluster must keep.
    #[error("port {port} of this cluster is taken by another program: stop that program, then start again")]
    PortTaken {
        /// The loopback port.
        port: u16,
    },

    /// The server outlived SIGKILL for the allowed time.
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
        /// The attempted action, as a verb.
        action: String,
        /// The log file.
        log: PathBuf,
        /// The driver's error.
        source: sqlx::Error,
    },
}

impl DevpgError {
    /// For `map_err`: adds the action and the path to an I/O error.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

fn install_advice(install: &Option<String>) -> String {
    match install {
        Some(command) => format!("install them with `{command}`"),
        None => "install PostgreSQL's server package".to_owned(),
    }
}

fn owner(pid: &Option<i32>) -> String {
    pid.map_or_else(|| "pid unknown".to_owned(), |pid| format!("pid {pid}"))
}
