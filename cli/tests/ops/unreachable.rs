use std::net::TcpListener;

use super::program::{Running, command, ops};

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
            ended.stderr.contains("Connection refused") && ended.stderr.contains("hint: --database-url"),
            "{ended:?}"
        );
        assert!(!ended.stderr.contains("secret"), "{ended:?}");
    }
}
