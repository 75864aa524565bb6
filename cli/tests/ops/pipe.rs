use super::{house::House, program::Running};

#[test]
fn help_into_a_closed_pipe_ends_quietly() {
    let mut help = Running::start(&["run", "enqueue", "--help"]);
    help.close_stdout();
    let ended = help.end();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
}

#[tokio::test]
async fn a_watch_whose_reader_has_seen_enough_ends_quietly() {
    let house = House::open().await;
    let mut watch = house.start(&["run", "watch", "-o", "jsonl"]);
    // Bookmarks come every few seconds, changes with each run.
    house.enqueue("true");
    assert!(watch.line().starts_with('{'));
    watch.close_stdout();
    house.enqueue("true");
    let ended = watch.end();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
}
