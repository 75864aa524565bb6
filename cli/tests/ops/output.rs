use serde_json::Value;

use super::{
    fixture::Fixture,
    program::{Running, command},
};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[tokio::test]
async fn a_session_and_its_runs_are_printed_in_each_format() {
    let fixture = Fixture::open().await;
    let created =
        json(&fixture.ops(&["session", "create", "a name", "--context", "{\"n\":1}", "-o", "json"]).success());
    let session = created["id"].as_str().unwrap();
    assert_eq!((created["name"].as_str(), created["status"].as_str()), (Some("a name"), Some("SESSION_STATUS_ACTIVE")));
    let ids: Vec<String> = (0..3)
        .map(|number| {
            let enqueue =
                ["run", "enqueue", "--session", session, "--lane", "C", "--kind", "unknown-to-all", "-o", "id"];
            let label = format!("number={number}");
            fixture.ops(&[&enqueue[..], &["--label", &label]].concat()).success().trim_end().to_owned()
        })
        .collect();

    let list = ["run", "list", "--session", session, "-o"];
    let page = json(&fixture.ops(&[&list[..], &["json"]].concat()).success());
    let listed: Vec<_> = page["runs"].as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap()).collect();
    assert_eq!(listed, [&ids[2], &ids[1], &ids[0]]);
    assert_eq!((page["runs"][0]["lane"].as_str(), page["nextPageToken"].as_str()), (Some("LANE_C"), Some("")));
    assert_eq!(page["runs"][0]["labels"]["number"], "2");

    let lines = fixture.ops(&[&list[..], &["jsonl", "--limit", "2"]].concat());
    assert!(lines.stderr.contains("there are more"), "{lines:?}");
    let lines = lines.success();
    assert_eq!(
        lines.lines().map(|line| json(line)["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>(),
        ids[1..].iter().rev().cloned().collect::<Vec<_>>()
    );

    let only = fixture.ops(&[&list[..], &["id", "--label", "number=1"]].concat()).success();
    assert_eq!(only, format!("{}\n", ids[1]));

    let table = fixture.ops(&[&list[..], &["table"]].concat()).success();
    let header: Vec<_> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(header[..3], ["ID", "STATUS", "LANE"]);
    assert!(table.lines().nth(1).unwrap().starts_with(&format!("{}  queued", ids[2])), "{table}");
    assert!(!table.contains('\u{1b}'), "no colour in a pipe: {table}");

    let cancelled = json(&fixture.ops(&["session", "cancel", session, "--reason", "done", "-o", "json"]).success());
    assert_eq!((cancelled["totalRuns"].as_str(), cancelled["cancelledRuns"].as_str()), (Some("3"), Some("3")));
    let runs = json(&fixture.ops(&[&list[..], &["json", "--status", "cancelled"]].concat()).success());
    assert_eq!(runs["runs"][1]["cancellation"]["reason"], "done");
}

/// The lines of this command on a terminal of so many columns.
fn on_a_terminal(fixture: &Fixture, columns: u16, line: &str) -> Vec<String> {
    let program = command(&[]).get_program().to_owned();
    let line = format!("stty cols {columns}; {} --color never {line}", program.display());
    let mut script = std::process::Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).env("OPS_SERVER", fixture.address()).env("TERM", "xterm");
    script.stdin(std::process::Stdio::null());
    let shown = Running::of(script).end().success();
    shown.lines().map(|line| line.trim_end().to_owned()).collect()
}

#[tokio::test]
async fn a_narrow_terminal_gets_whole_ids_and_lines_that_fit() {
    let fixture = Fixture::open().await;
    // Long texts in every column that can have them.
    let run = fixture.enqueue_with("echo out; exit 3", &["--priority", "32000"]);
    assert_eq!(fixture.ops(&["run", "wait", &run]).code, Some(5));
    for name in ["a session with a long name that no narrow terminal can show", "b"] {
        fixture.ops(&["session", "create", name]).success();
    }
    for list in ["run list", "session list", "worker list"] {
        let ids = fixture.ops(&[&list.split(' ').collect::<Vec<_>>()[..], &["-o", "id"]].concat()).success();
        for columns in [60, 80, 100, 120, 200] {
            let shown = on_a_terminal(&fixture, columns, list);
            assert_eq!(shown.len(), 1 + ids.lines().count(), "the header is one line: {shown:#?}");
            for (line, id) in shown[1..].iter().zip(ids.lines()) {
                assert!(line.starts_with(&format!("{id} ")), "{columns}: {shown:#?}");
            }
            for line in &shown {
                assert!(line.chars().count() <= usize::from(columns), "{columns}: {shown:#?}");
            }
            assert!(shown[0].split_whitespace().any(|word| ["STATUS", "STATE"].contains(&word)), "{shown:#?}");
        }
    }
    let wide = on_a_terminal(&fixture, 250, "run list");
    assert!(["PRIORITY", "ATTEMPT", "WORKER", "NOTE"].iter().all(|column| wide[0].contains(column)), "{wide:#?}");
}

#[tokio::test]
async fn workers_are_listed_with_what_they_do() {
    let fixture = Fixture::open().await;
    // A run that has ended proves that the worker is connected.
    assert_eq!(fixture.ops(&["run", "wait", &fixture.enqueue("true")]).code, Some(0));
    let workers = json(&fixture.ops(&["worker", "list", "-o", "json"]).success());
    let worker = &workers["workers"][0];
    assert_eq!((worker["name"].as_str(), worker["state"].as_str()), (Some("tester"), Some("WORKER_STATE_ACTIVE")));
    assert_eq!(worker["kinds"], serde_json::json!(["http", "shell", "sleep"]));
}

#[tokio::test]
async fn the_same_request_id_is_the_same_run() {
    let fixture = Fixture::open().await;
    let enqueue =
        ["run", "enqueue", "--new-session", "n", "--lane", "A", "--kind", "k", "--request-id", "once", "-o", "id"];
    let first = fixture.ops(&enqueue).success();
    assert_eq!(fixture.ops(&enqueue).success(), first);
}
