use std::{net::TcpListener, thread};

use super::{
    doctor::{as_role, sound::bare_cluster, sql},
    program::{Running, command, ops},
};

#[test]
fn the_error_about_a_missing_server_says_what_to_do() {
    // No program listens on a port that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = format!("http://{address}");
    for verb in [&["run", "get", "x"][..], &["session", "list"], &["worker", "list"], &["run", "watch"]] {
        let ended = ops(&[verb, &["--server", &server]].concat());
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(8), ""), "{ended:?}");
        assert!(ended.stderr.starts_with(&format!("error: can not reach the server at {server}: ")), "{ended:?}");
        assert!(ended.stderr.contains("hint: is it running") && ended.stderr.contains("`ops dev`"), "{ended:?}");
    }
}

/// A peer that closes each connection at once, as a proxy without a server behind it does.
fn peer_that_hangs_up() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // The thread ends with the process of the tests.
    thread::spawn(move || listener.incoming().for_each(drop));
    format!("http://{address}")
}

#[test]
fn a_connection_that_breaks_is_no_success() {
    const ID: &str = "01900000-0000-7000-8000-000000000000";
    let server = peer_that_hangs_up();
    for verb in [
        &["session", "create", "x"][..],
        &["session", "list"],
        &["session", "close", ID],
        &["run", "enqueue", "--session", ID, "--lane", "A", "--wait", "--", "true"],
        &["run", "list"],
        &["run", "get", ID],
        &["run", "cancel", ID],
        &["run", "watch"],
        &["run", "logs", ID],
        &["worker", "drain", ID],
    ] {
        // How the connection breaks depends on who is faster: as a reset, an end or a broken pipe.
        for _ in 0..3 {
            let mut command = command(verb);
            command.env("OPS_SERVER", &server);
            let ended = Running::of(command).end();
            assert_eq!((ended.code, ended.stdout.as_str()), (Some(8), ""), "{verb:?} {ended:?}");
            assert!(ended.stderr.starts_with("error: "), "{verb:?} {ended:?}");
            assert!(ended.stderr.contains("hint: "), "{verb:?} {ended:?}");
        }
    }
}

#[test]
fn the_error_about_a_missing_postgresql_says_what_to_do() {
    let empty = tempfile::tempdir().unwrap();
    let bin = empty.path().to_str().unwrap();
    let dev = ["dev", "--listen", "127.0.0.1:0", "--data-dir", bin];
    let mut by_environment = command(&dev);
    by_environment.env("OPS_PG_BIN", bin);
    for ended in [ops(&[&dev[..], &["--pg-bin", bin]].concat()), Running::of(by_environment).end()] {
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
        let expected =
            format!("error: --pg-bin or OPS_PG_BIN names {bin}, which has no program `initdb`: name the folder");
        assert!(ended.stderr.starts_with(&expected), "{ended:?}");
    }
    assert_eq!(std::fs::read_dir(bin).unwrap().count(), 0, "nothing was created");
}

#[test]
fn the_error_about_a_missing_database_says_what_to_do_and_hides_the_password() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("postgres://someone:secret@{address}/ops");
    for verb in [&["serve", "--listen", "127.0.0.1:0"][..], &["migrate"]] {
        let ended = ops(&[verb, &["--database-url", &url]].concat());
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
        assert!(
            ended.stderr.contains("Connection refused")
                && ended.stderr.contains(&format!("(database ops at {address}, role someone)")),
            "{ended:?}"
        );
        for named in ["`ops doctor`", "--database-url-file", "--database-url"] {
            assert!(ended.stderr.contains(named), "{named} {ended:?}");
        }
        assert!(!ended.stderr.contains("secret"), "{ended:?}");
    }
}

#[tokio::test]
async fn the_error_about_a_database_that_refuses_names_it_and_no_line_of_postgresql() {
    let cluster = bare_cluster().await;
    let url = cluster.url("ops");
    sql(&url, "CREATE ROLE plain LOGIN CREATEROLE").await;
    for (url, said) in [
        (as_role(&url, "plain"), "in database ops: CREATE SCHEMA ops AUTHORIZATION ops_owner;"),
        (url.replace("/ops?", "/missing?"), "database \"missing\" does not exist (3D000)"),
        (as_role(&url, "nobody"), "role \"nobody\" does not exist (28000)"),
    ] {
        for verb in [&["serve", "--listen", "127.0.0.1:0"][..], &["migrate"]] {
            let ended = ops(&[verb, &["--database-url", &url]].concat());
            assert_eq!(ended.code, Some(1), "{ended:?}");
            assert!(ended.stderr.contains(said) && ended.stderr.contains("(database "), "{ended:?}");
            assert!(!ended.stderr.contains(" at line "), "{ended:?}");
            assert!(ended.stderr.contains("hint: `ops doctor`"), "{ended:?}");
        }
    }
}
