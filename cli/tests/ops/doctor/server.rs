//! Findings about servers, and about addresses to listen on.

use std::{
    io::{Read, Write},
    net::TcpListener,
    thread,
};

use super::{examine, ids, one, sql, until};
use crate::ops::fixture::Fixture;

#[tokio::test]
async fn a_missing_server_one_without_its_database_and_another_program_have_different_findings() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (found, _) = examine(&["--server", &closed.to_string()]);
    assert_eq!(ids(&found), ["server-refused"]);
    let refused = one(&found, "server-refused");
    assert!(refused.what.contains(&format!("nobody listens at {closed}")), "{refused:?}");
    assert!(refused.mend.contains(&format!("`ops serve --listen {closed}`")), "{refused:?}");
    assert!(refused.mend.contains(&format!("0.0.0.0:{}", closed.port())), "{refused:?}");
    assert_eq!(ids(&examine(&["--server", "nowhere.invalid:1"]).0), ["server-dns"]);

    let mut fixture = Fixture::with_own_postgresql().await;
    fixture.serve(&[]);
    fixture.ops(&["session", "list"]).success();
    let address = fixture.address().to_owned();
    while !fixture.servers[0].is_ready() {}
    assert_eq!(examine(&["--server", &address]).0, []);
    fixture.postgresql().kill_hard().await.unwrap();
    while fixture.servers[0].is_ready() {}
    let (found, _) = examine(&["--server", &format!("{address},{closed}")]);
    assert_eq!(ids(&found), ["server-not-ready", "server-refused"], "each server is examined");
    assert!(one(&found, "server-not-ready").what.contains("the database does not answer"), "{found:?}");
}

#[tokio::test]
async fn a_repair_that_fails_is_found_until_it_succeeds_again() {
    let mut fixture = Fixture::empty().await;
    fixture.serve(&[]);
    while !fixture.servers[0].is_ready() {}
    let (url, address) = (fixture.database_url(), fixture.address().to_owned());
    let look = || examine(&["--server", &address]).0;
    assert_eq!(look(), []);
    sql(&url, "REVOKE DELETE ON ops.session_deltas FROM ops_engine").await;
    fixture.enqueue("true");
    let failing = one(&until(look, |ids| ids == ["repair-failing"]), "repair-failing");
    assert!(failing.what.contains("the last try of the repair counters failed"), "{failing:?}");
    assert!(failing.mend.contains("repair=counters"), "{failing:?}");
    fixture.servers[0].process.journal.wait_for("permission denied for table session_deltas");
    sql(&url, "GRANT DELETE ON ops.session_deltas TO ops_engine").await;
    until(look, |ids| ids.is_empty());
}

#[test]
fn a_repair_that_has_not_succeeded_for_long_is_an_error() {
    let server = other_program_with(|request| match request {
        request if request.starts_with("GET /metrics ") => {
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n\
             ops_repair_age_seconds{repair=\"poll\"} 0.7\nops_repair_age_seconds{repair=\"recovery\"} 341.2\n\
             ops_repair_failing{repair=\"recovery\"} 1\nops_repair_failures_total{repair=\"recovery\"} 340\n"
        }
        _ => "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"status\":\"alive\"}",
    });
    let (found, ended) = examine(&["--server", &server]);
    let overdue = one(&found, "repair-overdue");
    assert_eq!(overdue.severity, "error");
    assert!(overdue.what.contains("recovery has not succeeded for 341 s; 340 of its tries have failed"), "{overdue:?}");
    assert!(ended.stdout.contains("\"repairs\": \"1 of 2 succeed\""), "{ended:?}");
}

/// Starts a program that answers every request with this text.
fn other_program(answer: &'static str) -> String {
    other_program_with(move |_| answer)
}

/// Starts a program that answers each request as the function says.
fn other_program_with(answer: impl Fn(&str) -> &'static str + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // The client may disconnect before it has read everything.
            let mut request = [0; 1024];
            let length = stream.read(&mut request).unwrap_or_default();
            let request = String::from_utf8_lossy(&request[..length]);
            let _ = stream.write_all(answer(&request).as_bytes());
        }
    });
    address
}

#[test]
fn a_program_that_answers_otherwise_is_not_an_ops_server() {
    for answer in ["220 mail.example ESMTP\r\n", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"] {
        assert_eq!(ids(&examine(&["--server", &other_program(answer)]).0), ["not-a-server"], "{answer}");
    }
    // A program that answers /healthz but no call, as an HTTP/1.1 proxy does. Its clock is wrong.
    let health = other_program(
        "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nConnection: close\r\n\r\n{\"status\":\"alive\",\"version\":\"0.0.1\"}",
    );
    let (found, _) = examine(&["--server", &health]);
    assert_eq!(ids(&found), ["server-grpc", "server-clock", "server-version"]);
    assert!(one(&found, "server-clock").what.contains("behind ours"), "{found:?}");
}

#[tokio::test]
async fn an_address_to_listen_on_is_free_taken_or_of_another_machine() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    assert_eq!(examine(&["--listen", &free]).0, []);
    let taken = other_program("");
    let (found, _) = examine(&["--listen", &taken]);
    assert_eq!(ids(&found), ["listen-taken"]);
    assert!(one(&found, "listen-taken").mend.contains("ss -ltnp"), "{found:?}");
    assert_eq!(ids(&examine(&["--listen", "192.0.2.1:7070"]).0), ["listen-address"]);
}
