use super::{fixture::Fixture, program::Running};

#[test]
fn help_into_a_closed_pipe_ends_quietly() {
    let mut help = Running::start(&["run", "enqueue", "--help"]);
    help.close_stdout();
    let ended = help.end();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
}

#[tokio::test]
async fn a_watch_whose_reader_closes_the_pipe_ends_quietly() {
    let fixture = Fixture::open().await;
    let mut watch = fixture.start(&["run", "watch", "-o", "jsonl"]);
    // The watch prints a change with each run.
    fixture.enqueue("true");
    assert!(watch.line().starts_with('{'));
    watch.close_stdout();
    fixture.enqueue("true");
    let ended = watch.end();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
}
