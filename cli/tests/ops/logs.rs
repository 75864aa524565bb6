use super::house::House;

#[tokio::test]
async fn a_log_is_what_the_program_wrote() {
    let house = House::open().await;
    let run = house.enqueue("printf 'one\\n\\n  two\\tü\\n'; echo three >&2");
    house.ops(&["run", "wait", &run]).success();
    let log = house.ops(&["run", "logs", &run]).success();
    assert!(log.contains("one\n\n  two\tü\n") && log.contains("three\n"), "{log:?}");
    assert_eq!(house.ops(&["run", "logs", &run, "--level", "warn"]).success(), "three\n");
    // The run has ended, so following it ends as well.
    assert_eq!(house.ops(&["run", "logs", "-f", &run]).success(), log);
    let lines = house.ops(&["run", "logs", &run, "-o", "jsonl"]).success();
    assert!(lines.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{lines}");
}

#[tokio::test]
async fn a_log_is_followed_while_it_is_written() {
    let house = House::open().await;
    let folder = tempfile::tempdir().unwrap();
    let gate = folder.path().join("go");
    let run =
        house.enqueue(&format!("echo waiting; while ! test -e {}; do sleep 0.05; done; echo done", gate.display()));
    let mut logs = house.start(&["run", "logs", "-f", &run]);
    assert_eq!(logs.line(), "waiting\n");
    std::fs::write(gate, "").unwrap();
    assert_eq!(logs.line(), "done\n");
    assert_eq!(logs.end().code, Some(0));
}
