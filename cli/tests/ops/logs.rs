use super::{fixture::Fixture, gate::Gate};

#[tokio::test]
async fn a_log_is_the_text_that_the_program_wrote() {
    let fixture = Fixture::open().await;
    let run = fixture.enqueue("printf 'one\\n\\n  two\\tü\\n'; echo three >&2");
    fixture.ops(&["run", "wait", &run]).success();
    let log = fixture.ops(&["run", "logs", &run]).success();
    assert!(log.contains("one\n\n  two\tü\n") && log.contains("three\n"), "{log:?}");
    assert_eq!(fixture.ops(&["run", "logs", &run, "--level", "warn"]).success(), "three\n");
    // The run has ended, so the follow ends too.
    assert_eq!(fixture.ops(&["run", "logs", "-f", &run]).success(), log);
    let lines = fixture.ops(&["run", "logs", &run, "-o", "jsonl"]).success();
    assert!(lines.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{lines}");
}

#[tokio::test]
async fn a_log_is_the_bytes_that_the_program_wrote_followed_or_read_afterwards() {
    let fixture = Fixture::open().await;
    let mut gate = Gate::new(fixture.folder(), "gate");
    // Bytes that are not UTF-8, a NUL, a prompt before the end of its line, lines too long for one event, and no
    // newline at the end.
    let long = "x".repeat(40_000);
    let script = format!(
        "printf 'a\\377\\r\\nb\\000c\\n\\377\\n\\n'; printf 'Password: '; {}; printf 'given\\n{long}\\nend'",
        gate.pass()
    );
    let run = fixture.enqueue(&script);
    let mut logs = fixture.start(&["run", "logs", "-f", &run]);
    let begin = b"a\xFF\r\nb\0c\n\xFF\n\nPassword: ";
    assert_eq!(logs.read(begin.len()), begin);
    gate.open();
    let expected = [&begin[..], b"given\n", long.as_bytes(), b"\nend"].concat();
    assert_eq!([&begin[..], &logs.rest_of_stdout()].concat(), expected);
    let mut logs = fixture.start(&["run", "logs", &run]);
    assert_eq!(logs.rest_of_stdout(), expected);
}

#[tokio::test]
async fn a_log_is_followed_while_it_is_written() {
    let fixture = Fixture::open().await;
    let mut gate = Gate::new(fixture.folder(), "gate");
    let run = fixture.enqueue(&format!("echo waiting; {}; echo done", gate.pass()));
    let mut logs = fixture.start(&["run", "logs", "-f", &run]);
    assert_eq!(logs.line(), "waiting\n");
    gate.open();
    assert_eq!(logs.line(), "done\n");
    assert_eq!(logs.end().code, Some(0));
}
