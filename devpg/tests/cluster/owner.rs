//! An owner in a process of its own, so that a test can kill it: this test binary, run again for one test.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use devpg::{Cluster, ClusterOptions, DevpgError, Programs};
use tempfile::TempDir;

const WHAT: &str = "DEVPG_TEST_OWNS";
const BIN: &str = "DEVPG_TEST_BIN";
const LINE: &str = "cluster:";

/// What a running owner prints about its cluster.
pub(crate) struct Owner {
    process: Child,
    pub(crate) server: i32,
    pub(crate) port: u16,
    pub(crate) home: PathBuf,
}

impl Owner {
    /// Starts an owner of the cluster in `folder`, or of a temporary one, and waits until it is ready.
    pub(crate) fn start(folder: Option<&Path>) -> Self {
        let mut process = Self::launch(folder, None);
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = lines.map(Result::unwrap).find_map(|line| Some(line.split_once(LINE)?.1.to_owned())).unwrap();
        let fields: Vec<&str> = line.split('|').collect();
        let [server, port, home] = fields[..] else { panic!("{line}") };
        Self { process, server: server.parse().unwrap(), port: port.parse().unwrap(), home: home.into() }
    }

    /// Starts an owner and does not wait.
    pub(crate) fn launch(folder: Option<&Path>, bin: Option<&Path>) -> Child {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "owner::owns_a_cluster_until_its_input_ends", "--nocapture"]);
        command.env(WHAT, folder.unwrap_or(Path::new("temporary"))).stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some(bin) = bin {
            command.env(BIN, bin);
        }
        command.spawn().unwrap()
    }

    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Does nothing unless run by [`Owner::launch`].
#[tokio::test]
async fn owns_a_cluster_until_its_input_ends() {
    let Some(what) = std::env::var_os(WHAT) else { return };
    let programs = Programs::find(std::env::var_os(BIN).as_deref().map(Path::new)).unwrap();
    let options = if what == "temporary" { ClusterOptions::temporary() } else { ClusterOptions::in_folder(&what) };
    let cluster = Cluster::start(&programs, options).await.unwrap();
    if what == "temporary" {
        // The hardest case: a stopped process can not end.
        cluster.pause().await.unwrap();
    }
    let (pid, port, home) = (cluster.postmaster_pid().unwrap(), cluster.port(), cluster.home().display());
    // One write, because the other tests of this process print too.
    let line = format!("\n{LINE}{pid}|{port}|{home}\n");
    std::io::stdout().write_all(line.as_bytes()).unwrap();
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

/// A data folder that is removed together with its cluster, wherever that is.
pub(crate) struct DataDir {
    parent: TempDir,
}

impl DataDir {
    pub(crate) fn new() -> Self {
        Self { parent: enterable_folder() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.parent.path().join("pg")
    }

    pub(crate) async fn cluster(&self) -> Result<Cluster, DevpgError> {
        let options = ClusterOptions::in_folder(self.path()).setting("shared_buffers", "16MB");
        Cluster::start(&Programs::find(None).unwrap(), options).await
    }

    pub(crate) async fn remove(self) {
        let home = devpg::home_of(&self.path()).unwrap();
        devpg::remove(&self.path()).await.unwrap();
        assert!(!home.exists());
    }
}

/// A folder that the user can enter to whom root drops.
pub(crate) fn enterable_folder() -> TempDir {
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// Waits for a condition in a process that is not our child.
pub(crate) fn soon(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come true");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a process exists and is more than a zombie.
pub(crate) fn lives(pid: i32) -> bool {
    let output = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output().unwrap();
    let state = String::from_utf8(output.stdout).unwrap();
    !state.trim().is_empty() && !state.starts_with('Z')
}
