//! Leftovers of killed owners and servers, and how the next owner handles them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use devpg::{Cluster, ClusterOptions, DevpgError, Programs};

use crate::owner::{DataDir, Owner, enterable_folder, lives, soon};

#[tokio::test]
async fn a_server_whose_owner_was_killed_is_adopted_by_the_next() {
    let folder = DataDir::new();
    let owner = Owner::start(Some(&folder.path()));
    let (server, port, home) = (owner.server, owner.port, owner.home.clone());
    owner.kill();
    let cluster = folder.cluster().await.unwrap();
    assert_eq!((cluster.postmaster_pid(), cluster.port(), cluster.home()), (Some(server), port, home.as_path()));
    cluster.create_database("works").await.unwrap();
    cluster.stop().await.unwrap();
    assert!(!lives(server));
    assert_eq!(cluster.postmaster_pid(), None);
    drop(cluster);

    let again = folder.cluster().await.unwrap();
    assert_eq!(again.port(), port, "the port is kept across a restart");
    assert!(matches!(again.create_database("works").await, Err(DevpgError::Database { .. })), "the data is kept");
    again.stop().await.unwrap();
    drop(again);
    folder.remove().await;
}

#[tokio::test]
async fn a_second_owner_is_refused_with_folder_and_pid() {
    let folder = DataDir::new();
    let owner = Owner::start(Some(&folder.path()));
    let error = folder.cluster().await.unwrap_err();
    let DevpgError::Owned { folder: home, pid } = &error else { panic!("{error}") };
    assert_eq!(*home, owner.home);
    assert!(pid.is_some_and(|pid| lives(pid) && pid != owner.server));
    assert!(error.to_string().contains(&owner.home.display().to_string()), "{error}");
    let server = owner.server;
    owner.kill();
    folder.remove().await;
    assert!(!lives(server), "removing a cluster ends the server that was left");
}

#[tokio::test]
async fn a_stale_pid_file_does_not_bar_the_server() {
    let folder = DataDir::new();
    let cluster = folder.cluster().await.unwrap();
    cluster.stop().await.unwrap();
    let file = cluster.data_dir().join("postmaster.pid");
    drop(cluster);
    // Our own pid stands for a program that has the pid of a dead server. 4194305 is larger than every pid.
    for pid in [std::process::id(), 4_194_305] {
        fs::write(&file, format!("{pid}\n/nowhere\n1\n1\n/nowhere\n127.0.0.1\n")).unwrap();
        let cluster = folder.cluster().await.unwrap();
        cluster.stop().await.unwrap();
    }
    folder.remove().await;
}

#[tokio::test]
async fn an_initdb_that_was_killed_midway_is_done_again() {
    let (folder, bin) = (DataDir::new(), enterable_folder());
    let programs = Programs::find(None).unwrap();
    for program in ["postgres", "pg_ctl"] {
        std::os::unix::fs::symlink(programs.path(program), bin.path().join(program)).unwrap();
    }
    // Leaves a folder that looks like a data folder, and hangs. Its pid is in its working folder.
    let script = "#!/bin/sh\nmkdir pgdata\necho 15 >pgdata/PG_VERSION\necho $$ >pid\nexec sleep 1000\n";
    fs::write(bin.path().join("initdb"), script).unwrap();
    fs::set_permissions(bin.path().join("initdb"), fs::Permissions::from_mode(0o755)).unwrap();

    let mut owner = Owner::launch(Some(&folder.path()), Some(bin.path()));
    let home = devpg::home_of(&folder.path()).unwrap();
    let mut initdb = None;
    soon("initdb hangs", || {
        let unfinished = fs::read_dir(&home).into_iter().flatten().flatten().map(|entry| entry.path().join("pid"));
        initdb = unfinished.filter_map(|pid| fs::read_to_string(pid).ok()?.trim().parse::<i32>().ok()).next();
        initdb.is_some()
    });
    owner.kill().unwrap();
    owner.wait().unwrap();
    soon("initdb ends with its owner", || !lives(initdb.unwrap()));

    let cluster = folder.cluster().await.unwrap();
    cluster.create_database("works").await.unwrap();
    cluster.stop().await.unwrap();
    let names = fs::read_dir(&home).unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap());
    assert!(!names.into_iter().any(|name| name.starts_with("init-")));
    drop(cluster);
    folder.remove().await;
}

#[tokio::test]
async fn a_temporary_cluster_goes_with_an_owner_that_is_killed() {
    let owner = Owner::start(None);
    let (server, home) = (owner.server, owner.home.clone());
    assert!(lives(server) && home.exists());
    owner.kill();
    soon("the server ends", || !lives(server));
    soon("its folder goes", || !home.exists());
}

#[tokio::test]
async fn an_abandoned_temporary_home_is_removed_at_the_next_start() {
    let programs = Programs::find(None).unwrap();
    let first = Cluster::start(&programs, ClusterOptions::temporary()).await.unwrap();
    let abandoned = first.home().with_file_name(format!("ops-pg-test-abandoned-{}", std::process::id()));
    fs::create_dir(&abandoned).unwrap();
    fs::write(abandoned.join("owner.lock"), "1\n").unwrap();
    let cluster = Cluster::start(&programs, ClusterOptions::temporary()).await.unwrap();
    assert!(first.home().exists(), "one that is in use stays");
    assert!(!abandoned.exists());
    let (server, home) = (cluster.postmaster_pid().unwrap(), cluster.home().to_owned());
    drop(cluster);
    assert!(!lives(server) && !home.exists(), "a dropped temporary cluster leaves nothing");
}

#[tokio::test]
async fn foreign_folders_and_other_versions_are_refused() {
    let folder = DataDir::new();
    fs::create_dir(folder.path()).unwrap();
    fs::write(folder.path().join("PG_VERSION"), "15\n").unwrap();
    assert!(matches!(folder.cluster().await, Err(DevpgError::ForeignFolder { .. })));
    fs::remove_file(folder.path().join("PG_VERSION")).unwrap();

    let pgdata = devpg::home_of(&folder.path()).unwrap().join("pgdata");
    fs::create_dir_all(&pgdata).unwrap();
    fs::write(pgdata.join("PG_VERSION"), "9.6\n").unwrap();
    let error = folder.cluster().await.unwrap_err();
    assert!(error.to_string().contains("was made by PostgreSQL 9.6"), "{error}");
    folder.remove().await;
}
