use std::net::TcpListener;

use super::program::ops;

#[test]
fn a_server_that_is_not_there_is_told_with_what_to_do() {
    // A port that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = format!("http://{address}");
    for verb in [&["run", "get", "x"][..], &["session", "list"], &["worker", "list"], &["run", "watch"]] {
        let ended = ops(&[verb, &["--server", &server]].concat());
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
        assert!(ended.stderr.starts_with(&format!("error: can not reach the server at {server}: ")), "{ended:?}");
        assert!(ended.stderr.contains("hint: is it running") && ended.stderr.contains("`ops dev`"), "{ended:?}");
    }
}

#[test]
fn a_postgresql_that_is_not_there_is_told_with_what_to_do() {
    let empty = tempfile::tempdir().unwrap();
    let bin = empty.path().to_str().unwrap();
    let ended = ops(&["dev", "--listen", "127.0.0.1:0", "--data-dir", bin, "--pg-bin", bin]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.starts_with(&format!("error: --pg-bin names {bin}, which has no program")), "{ended:?}");
}
