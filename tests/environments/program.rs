//! Starts a program that listens on a port, and ends it with the test.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use devpg::spawn::{Child, spawn};
use nix::sys::signal::{Signal, kill, killpg};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::support::eventually;

/// How many ports are tried, if another program takes the chosen one first.
const PORTS: usize = 5;

/// A running program, with a folder of its own for its configuration and its log.
pub struct Program {
    /// Where it listens, as HOST:PORT.
    pub address: String,
    folder: TempDir,
    child: Child,
}

impl Program {
    /// Starts a program on a free port, and returns when it accepts connections. `command` gets the folder and the port, writes the
    /// configuration, and says what to run.
    pub async fn start(name: &str, command: impl Fn(&Path, u16) -> Command) -> Self {
        let mut said = String::new();
        for _ in 0..PORTS {
            let folder = open_folder();
            let port = free_port();
            let mut command = command(folder.path(), port);
            let log = std::fs::File::create(folder.path().join("log")).expect("a log");
            command.stdout(log.try_clone().expect("a log")).stderr(log);
            // The kernel ends it with this process.
            let child = spawn(command, Some(Signal::SIGTERM));
            let child = child.await.unwrap_or_else(|error| panic!("{name} does not run: {error}: `make environments`"));
            let program = Self { address: format!("127.0.0.1:{port}"), folder, child };
            if program.accepts_connections(name).await {
                return program;
            }
            said = program.log();
        }
        panic!("{name} does not start: {said}");
    }

    /// Whether it accepts connections, or has ended.
    async fn accepts_connections(&self, name: &str) -> bool {
        eventually(&format!("{name} accepts connections"), async || {
            if self.child.exit.borrow().is_some() {
                return Some(false);
            }
            TcpStream::connect(&self.address).await.ok().map(|_| true)
        })
        .await
    }

    /// What it has printed.
    pub fn log(&self) -> String {
        let text = std::fs::read(self.folder.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Sends it a signal, such as SIGHUP after a change of its configuration.
    pub fn signal(&self, signal: Signal) {
        kill(self.child.pid, signal).expect("it runs");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It leads a process group of its own.
        let _ = killpg(self.child.pid, Signal::SIGKILL);
    }
}

/// The path of an installed program.
pub fn installed(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian has servers where not everybody looks for programs.
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")]);
    let found = folders.map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is missing: run `make environments`, which installs it"))
}

/// Runs it as the user of PostgreSQL in these tests, because some programs refuse to run as root.
pub fn as_user_of_postgres(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    let cluster = std::fs::metadata(devpg::testing::shared().data_dir()).expect("the cluster has its folder");
    let own = std::fs::metadata("/proc/self").expect("this process has its folder");
    if own.uid() != cluster.uid() {
        command.uid(cluster.uid()).gid(cluster.gid());
    }
}

/// Writes a file that every user may read.
pub fn write(path: &Path, text: impl AsRef<OsStr>) {
    std::fs::write(path, text.as_ref().as_encoded_bytes()).expect("it is written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).expect("it is ours");
}

/// A new folder that every user may enter.
pub fn open_folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).expect("it is ours");
    folder
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("it is bound").port()
}
