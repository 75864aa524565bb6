//! Creates the data folder, completely or not at all: a killed initdb leaves a folder that looks usable.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::account::Account;
use crate::error::DevpgError;
use crate::home::{Home, create_private, sync_folder};
use crate::options::Primary;
use crate::programs::Programs;
use crate::{random, spawn};

const UNFINISHED: &str = "init-";

/// Makes sure that the home has a data folder of these programs' version. The caller holds the owner's lock.
pub(crate) async fn ensure(
    programs: &Programs,
    account: &Account,
    home: &Home,
    durable: bool,
    primary: Option<&Primary>,
) -> Result<(), DevpgError> {
    remove_unfinished(home)?;
    if home.pgdata().exists() {
        return check_version(programs, home);
    }
    let folder = home.path().join(format!("{UNFINISHED}{}", random::hex::<4>()?));
    create_private(&folder)?;
    account.own(&folder)?;
    let made = match primary {
        Some(primary) => copy(programs, account, home, &folder, primary).await,
        None => make(programs, account, home, &folder, durable).await,
    };
    let _ = fs::remove_dir_all(&folder);
    made
}

/// Runs initdb in `folder` and moves the result to its place.
async fn make(
    programs: &Programs,
    account: &Account,
    home: &Home,
    folder: &Path,
    durable: bool,
) -> Result<(), DevpgError> {
    let (password, pgdata, output) = (folder.join("password"), folder.join("pgdata"), folder.join("output"));
    write_password(&password, account)?;

    let mut command = program(programs, "initdb", account, folder);
    command.args(["--username=postgres", "--encoding=UTF8", "--locale=C"]);
    // Only trusted users may enter the socket's folder, but everybody on this machine can connect by TCP.
    command.args(["--auth-local=trust", "--auth-host=scram-sha-256"]);
    command.arg("--pwfile").arg(&password).arg("--pgdata").arg(&pgdata);
    if !durable {
        command.arg("--no-sync");
    }
    let log = File::create(&output).map_err(DevpgError::io("create", &output))?;
    command.stderr(log.try_clone().map_err(DevpgError::io("open", &output))?).stdout(log);

    tracing::info!(home = %home.path().display(), account = account.name(), "making a cluster");
    let status = run(programs, account, command, "initdb").await?;
    if !status {
        let output = tail(&fs::read_to_string(&output).unwrap_or_default());
        return Err(DevpgError::Init { folder: home.path().to_owned(), output });
    }
    let kept = pgdata.join("superuser.password");
    fs::rename(&password, &kept).map_err(DevpgError::io("move", &password))?;
    fs::rename(&pgdata, home.pgdata()).map_err(DevpgError::io("move", &pgdata))?;
    if durable { sync_folder(home.path()) } else { Ok(()) }
}

/// Copies the files of a running primary into `folder`, and moves them to their place. The password is among them.
async fn copy(
    programs: &Programs,
    account: &Account,
    home: &Home,
    folder: &Path,
    primary: &Primary,
) -> Result<(), DevpgError> {
    let (pgdata, output) = (folder.join("pgdata"), folder.join("output"));
    let mut command = program(programs, "pg_basebackup", account, folder);
    command.args([
        "--username=postgres",
        "--write-recovery-conf",
        "--wal-method=stream",
        "--checkpoint=fast",
        "--no-sync",
    ]);
    command
        .arg("--host")
        .arg(&primary.socket_dir)
        .arg("--port")
        .arg(primary.port.to_string())
        .arg("--pgdata")
        .arg(&pgdata);
    let log = File::create(&output).map_err(DevpgError::io("create", &output))?;
    command.stderr(log.try_clone().map_err(DevpgError::io("open", &output))?).stdout(log);
    if !run(programs, account, command, "pg_basebackup").await? {
        let output = tail(&fs::read_to_string(&output).unwrap_or_default());
        return Err(DevpgError::Init { folder: home.path().to_owned(), output });
    }
    fs::rename(&pgdata, home.pgdata()).map_err(DevpgError::io("move", &pgdata))
}

/// A command for one of PostgreSQL's programs, without the environment's folders, ports, passwords and languages. The
/// time zone is set, because initdb takes time to find it.
pub(crate) fn program(programs: &Programs, name: &str, account: &Account, current_dir: &Path) -> Command {
    let mut command = Command::new(programs.path(name));
    for (key, _) in std::env::vars_os() {
        let text = key.to_string_lossy();
        if text.starts_with("PG") || text.starts_with("LC_") || text == "LANG" {
            command.env_remove(&key);
        }
    }
    command.env("LC_ALL", "C").env("TZ", "UTC").current_dir(current_dir);
    account.apply(&mut command);
    command
}

/// The last lines of a program's output.
pub(crate) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(8)..].join(" | ")
}

async fn run(programs: &Programs, account: &Account, command: Command, name: &str) -> Result<bool, DevpgError> {
    let failed = |source| DevpgError::Spawn { program: programs.path(name), account: account.name(), source };
    // initdb ends with this process, so that it does not write into a folder that the next owner removes.
    let mut child = spawn::spawn(command, Some(Signal::SIGKILL)).await.map_err(failed)?;
    let status = child.exit.wait_for(Option::is_some).await.ok().and_then(|status| *status);
    Ok(status.is_some_and(|status| status.success()))
}

fn write_password(path: &Path, account: &Account) -> Result<(), DevpgError> {
    let password = random::hex::<24>()?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(path).map_err(DevpgError::io("create", path))?;
    // The umask may have reduced the mode above.
    file.set_permissions(Permissions::from_mode(0o600))
        .and_then(|()| writeln!(file, "{password}"))
        .and_then(|()| file.sync_all())
        .map_err(DevpgError::io("write", path))?;
    account.own(path)
}

fn check_version(programs: &Programs, home: &Home) -> Result<(), DevpgError> {
    let path = home.pgdata().join("PG_VERSION");
    let found = fs::read_to_string(&path).map_err(DevpgError::io("read", &path))?.trim().to_owned();
    let expected = programs.major_version()?;
    if found == expected {
        return Ok(());
    }
    Err(DevpgError::Version { folder: home.path().to_owned(), found, bin: programs.bin().to_owned(), expected })
}

pub(crate) fn remove_unfinished(home: &Home) -> Result<(), DevpgError> {
    let entries = fs::read_dir(home.path()).map_err(DevpgError::io("read", home.path()))?;
    for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(UNFINISHED)) {
        tracing::warn!(folder = %entry.path().display(), "removing an initdb that was interrupted");
        fs::remove_dir_all(entry.path()).map_err(DevpgError::io("remove", entry.path()))?;
    }
    Ok(())
}
