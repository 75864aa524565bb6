use devpg::{Cluster, ClusterOptions, Programs};

use super::{examine, until};
use crate::ops::{
    fixture::Fixture,
    program::{Running, ops},
};

/// A cluster with sound settings.
pub async fn sound_cluster(settings: &[(&str, &str)]) -> Cluster {
    let cluster = cluster(settings).await;
    ops(&["migrate", "--database-url", &cluster.url("ops")]).success();
    cluster
}

/// A cluster with sound settings and an empty database.
pub async fn bare_cluster() -> Cluster {
    cluster(&[]).await
}

async fn cluster(settings: &[(&str, &str)]) -> Cluster {
    let mut options = ClusterOptions::temporary()
        .setting("fsync", "on")
        .setting("full_page_writes", "on")
        .setting("autovacuum", "on")
        .setting("idle_in_transaction_session_timeout", "10min");
    for (name, value) in settings {
        options = options.setting(*name, *value);
    }
    let cluster = Box::pin(Cluster::start(&Programs::find(None).unwrap(), options)).await.unwrap();
    cluster.create_database("ops").await.unwrap();
    cluster
}

#[tokio::test]
async fn a_sound_database_and_server_have_no_findings() {
    let cluster = sound_cluster(&[]).await;
    let url = cluster.url("ops");
    let server = Running::start(&["serve", "--database-url", &url, "--listen", "127.0.0.1:0"]);
    let address = server.journal.wait_for("listening on ").trim_start_matches("listening on ").to_owned();
    let listen = address.trim_start_matches("http://");
    // The server is ready as soon as it has reached its database once.
    let args = ["--database-url", &url, "--server", &address, "--listen", listen];
    until(|| examine(&args).0, |ids| ids.is_empty());
    let printed = ops(&[&["doctor"], &args[..]].concat()).success();
    assert!(printed.ends_with("\nnothing is wrong\n"), "{printed}");
    for seen in ["PostgreSQL ", "connections ", "schema ", "state        ready", "a server listens there"] {
        assert!(printed.contains(seen), "{seen}: {printed}");
    }
}

#[tokio::test]
async fn the_database_is_found_where_the_server_would_find_it() {
    let fixture = Fixture::empty().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("url"), fixture.database_url()).unwrap();
    let file = folder.path().join("ops.toml");
    std::fs::write(&file, "[serve]\ndatabase-url-file = \"url\"\ndatabase-connections = 9999\n").unwrap();
    let (findings, ended) = examine(&["--config", file.to_str().unwrap()]);
    let room = super::one(&findings, "max-connections");
    assert!(room.what.contains("one server may want 9999"), "{ended:?}");
}

#[test]
fn without_anything_to_examine_it_says_how_to_name_it() {
    let ended = ops(&["doctor"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{ended:?}");
    assert!(ended.stderr.contains("--database-url") && ended.stderr.contains("--server"), "{ended:?}");
}
