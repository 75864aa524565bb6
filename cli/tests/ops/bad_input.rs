use std::{collections::BTreeMap, fs};

use nix::unistd::Pid;

use super::{fixture::Fixture, gate::eventually, table};

/// The most memory by which allocator and pools of a busy server may differ between two passes. One megabyte for each
/// connection of a pass would be 700 MiB, one kilobyte for each frame of its floods 600 MiB.
const MEMORY_ALLOWANCE_KIB: u64 = 48 * 1024;
/// The runtime keeps idle threads for blocking work for ten seconds.
const THREADS_ALLOWANCE: usize = 2;

/// The resources of a process.
#[derive(Debug)]
struct Taken {
    resident_kib: u64,
    threads: usize,
    /// Sockets of clients. The pool keeps connections to the database.
    sockets_of_clients: usize,
}

fn taken(pid: Pid, port: &str) -> Taken {
    let of = |path: &str| fs::read_to_string(format!("/proc/{pid}/{path}")).unwrap();
    let status: BTreeMap<String, String> = of("status")
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(k, v)| (k.into(), v.trim().into()))
        .collect();
    let port = format!(":{:04X}", port.parse::<u16>().unwrap());
    // Established sockets whose local port is the server's.
    let is_client = |line: &&str| {
        let words: Vec<_> = line.split_whitespace().collect();
        words.get(1).is_some_and(|local| local.ends_with(&port)) && words.get(3) == Some(&"01")
    };
    Taken {
        resident_kib: status["VmRSS"].trim_end_matches(" kB").parse().unwrap(),
        threads: fs::read_dir(format!("/proc/{pid}/task")).unwrap().count(),
        sockets_of_clients: of("net/tcp").lines().filter(is_client).count(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_leaves_nothing_behind_in_the_server() {
    let mut fixture = Fixture::empty().await;
    fixture.serve(&[]);
    let server = &fixture.servers[0];
    let (pid, address) = (server.process.pid(), server.address.trim_start_matches("http://").to_owned());
    let port = address.rsplit(':').next().unwrap();

    // The first pass fills pools and caches.
    table::all(&address).await;
    eventually("the clients have gone", || taken(pid, port).sockets_of_clients == 0).await;
    let before = taken(pid, port);
    let files = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let rows = table::all(&address).await;
    eventually("the clients have gone", || taken(pid, port).sockets_of_clients == 0).await;
    let after = taken(pid, port);
    println!("{rows} rows: {before:?} before, {after:?} after");

    assert!(after.resident_kib <= before.resident_kib + MEMORY_ALLOWANCE_KIB, "{before:?}, {after:?}");
    assert!(after.threads <= before.threads + THREADS_ALLOWANCE, "{before:?}, {after:?}");
    // The connection pool may have grown to its limit.
    let now = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    assert!(now <= files + 20, "{files} files were open, now there are {now}");
    let defects = server.process.journal.events("request failed by a defect");
    assert!(defects.is_empty(), "{defects:?}");
    let said = format!("{:#?}", server.process.journal);
    assert!(!said.contains("panicked"), "{said}");
}
