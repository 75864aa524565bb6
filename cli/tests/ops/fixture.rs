//! The fixture of a test: a database, servers on it, and workers, each a process. Its drop ends the processes that still
//! run: the workers first, the database last.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use devpg::{Cluster, ClusterOptions, Programs, testing::TestDatabase};
use nix::sys::signal::Signal;

use super::{
    client::Client,
    program::{Ended, Running, command, ops},
};

/// The fields are dropped in this order.
#[derive(Debug)]
pub struct Fixture {
    pub workers: Vec<Running>,
    pub servers: Vec<Server>,
    database: Database,
    folder: tempfile::TempDir,
}

/// A server, and its arguments to start it again in the same place.
#[derive(Debug)]
pub struct Server {
    pub process: Running,
    pub address: String,
    listen: String,
    args: Vec<String>,
}

impl Server {
    /// The answer of `/readyz`. A server that does not answer is not ready.
    pub fn is_ready(&self) -> bool {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(&self.listen)?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            write!(stream, "GET /readyz HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.listen)?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 "))
    }
}

#[derive(Debug)]
enum Database {
    /// A database on the cluster that all tests share.
    Shared(TestDatabase),
    /// A database on a cluster that this test may kill.
    Own(Box<Cluster>),
}

impl Fixture {
    /// One server, and one worker with two slots.
    pub async fn open() -> Self {
        let mut fixture = Self::empty().await;
        fixture.serve(&[]);
        fixture.work(&["--name", "tester", "--slots", "2"]);
        fixture
    }

    /// A database without servers.
    pub async fn empty() -> Self {
        let database = devpg::testing::database("migrated", async |url| {
            let done = ops(&["migrate", "--database-url", &url]);
            if done.code == Some(0) { Ok(()) } else { Err(done.stderr) }
        })
        .await;
        Self::on(Database::Shared(database))
    }

    /// A database without servers, on a PostgreSQL of its own.
    pub async fn with_own_postgresql() -> Self {
        let programs = Programs::find(None).unwrap();
        let cluster = Box::pin(Cluster::start(&programs, ClusterOptions::temporary())).await.unwrap();
        cluster.create_database("ops").await.unwrap();
        Self::on(Database::Own(Box::new(cluster)))
    }

    fn on(database: Database) -> Self {
        Self { workers: Vec::new(), servers: Vec::new(), database, folder: tempfile::tempdir().unwrap() }
    }

    /// A folder into which the runs of this test write. Every user may write there.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its own PostgreSQL.
    pub fn postgresql(&self) -> &Cluster {
        match &self.database {
            Database::Own(cluster) => cluster,
            Database::Shared(_) => panic!("this test shares its PostgreSQL"),
        }
    }

    /// Starts a server with these settings, and returns when it accepts connections.
    pub fn serve(&mut self, args: &[&str]) {
        let listen = format!("127.0.0.1:{}", free_port());
        let args = args.iter().map(ToString::to_string).collect::<Vec<_>>();
        let (process, address) = self.start_server(&listen, &args);
        self.servers.push(Server { process, address, listen, args });
    }

    /// Kills a server, and returns when it has ended.
    pub fn kill_server(&mut self, index: usize) -> Absent {
        let Server { process, listen, args, .. } = self.servers.remove(index);
        process.kill();
        Absent { listen, args }
    }

    /// Stops a server in order, as a restart does, and returns how it ended.
    pub fn end_server(&mut self, index: usize) -> (Absent, Ended) {
        let Server { process, listen, args, .. } = self.servers.remove(index);
        process.signal(Signal::SIGTERM);
        (Absent { listen, args }, process.end())
    }

    /// Starts a server again with the same arguments and address.
    pub fn serve_again(&mut self, absent: Absent) {
        let Absent { listen, args } = absent;
        let (process, address) = self.start_server(&listen, &args);
        self.servers.push(Server { process, address, listen, args });
    }

    /// The URL of its database.
    pub fn database_url(&self) -> String {
        match &self.database {
            Database::Shared(database) => database.url.clone(),
            Database::Own(cluster) => cluster.url("ops"),
        }
    }

    fn start_server(&self, listen: &str, args: &[String]) -> (Running, String) {
        let url = self.database_url();
        let mut all = vec!["serve", "--database-url", &url, "--listen", listen];
        all.extend(args.iter().map(String::as_str));
        let process = Running::start(&all);
        let line = process.journal.wait_for("listening on ");
        (process, line.trim_start_matches("listening on ").to_owned())
    }

    /// Starts a worker with these settings, for all current servers.
    pub fn work(&mut self, args: &[&str]) {
        let addresses: Vec<_> = self.servers.iter().map(|server| server.address.as_str()).collect();
        self.work_for(&addresses.join(","), args);
    }

    /// Starts a worker with these settings, for these servers.
    pub fn work_for(&mut self, servers: &str, args: &[&str]) {
        self.workers.push(Running::start(&[&["worker", "--server", servers][..], args].concat()));
    }

    /// The address of the first server.
    pub fn address(&self) -> &str {
        &self.servers[0].address
    }

    /// A client of the first server.
    pub fn client(&self) -> Client {
        Client::of(self.address())
    }

    /// Runs an operator's verb on the first server, and waits for its end.
    pub fn ops(&self, args: &[&str]) -> Ended {
        let mut command = command(args);
        command.env("OPS_SERVER", self.address());
        Running::of(command).end()
    }

    /// Starts an operator's verb on the first server.
    pub fn start(&self, args: &[&str]) -> Running {
        let mut command = command(args);
        command.env("OPS_SERVER", self.address());
        Running::of(command)
    }

    /// The id of a new session.
    pub fn session(&self) -> String {
        self.ops(&["session", "create", "test", "-o", "id"]).success().trim_end().to_owned()
    }

    /// The id of a new run of this shell script, in a session of its own.
    pub fn enqueue(&self, script: &str) -> String {
        self.enqueue_with(script, &[])
    }

    /// The id of a new run of this shell script, enqueued with more arguments.
    pub fn enqueue_with(&self, script: &str, args: &[&str]) -> String {
        let enqueue = ["run", "enqueue", "--new-session", "test", "--lane", "A", "-o", "id"];
        self.ops(&[&enqueue[..], args, &["--", "sh", "-c", script]].concat()).success().trim_end().to_owned()
    }

    /// Waits for the first line that a run logs.
    pub fn first_line(&self, run: &str) -> String {
        self.start(&["run", "logs", "-f", run]).line().trim_end().to_owned()
    }

    /// Stops the worker and the server in order, and returns how they ended.
    pub fn close(mut self) -> (Ended, Ended) {
        let (worker, server) = (self.workers.remove(0), self.servers.remove(0).process);
        worker.signal(Signal::SIGTERM);
        let worker = worker.end();
        server.signal(Signal::SIGINT);
        (worker, server.end())
    }
}

/// A server that was killed.
#[derive(Debug)]
pub struct Absent {
    pub listen: String,
    args: Vec<String>,
}

/// A port that stays free while a killed server is away. It lies below the range for outgoing connections and for other
/// tests, and no other test of this process gets it.
fn free_port() -> u16 {
    const FIRST: u16 = 10_000;
    const PORTS: u16 = 5_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test processes that run at the same time begin at different ports.
    let begin = u16::try_from(std::process::id() % u32::from(PORTS)).unwrap();
    loop {
        let offset = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = FIRST + offset % PORTS;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
