use super::program::Running;

#[test]
fn help_into_a_closed_pipe_ends_quietly() {
    let mut help = Running::start(&["run", "enqueue", "--help"]);
    help.close_stdout();
    let ended = help.end();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
}
