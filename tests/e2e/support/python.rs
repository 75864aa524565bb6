//! The example worker of tests/python, driven by commands. It prints what happens to it.

use std::path::Path;
use std::process::Stdio;

use proto::v1::*;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::{Fixture, in_time, tool};

/// A controlled worker: it prints what happens to it.
pub struct PythonWorker {
    child: Child,
    commands: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl PythonWorker {
    /// Starts the worker, and waits for its Welcome.
    pub async fn start(fixture: &Fixture, slots: usize) -> Self {
        Self::speaking(fixture, slots, None).await
    }

    /// Starts it with another contract than that of proto/: a descriptor set.
    pub async fn speaking(fixture: &Fixture, slots: usize, contract: Option<&Path>) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/controlled.py");
        let mut command = Command::new(tool("python/bin/python"));
        command.arg("-B").arg(script).arg(fixture.address()).arg(slots.to_string());
        command.envs(contract.map(|path| ("OPS_CONTRACT", path)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("python runs");
        let commands = child.stdin.take().expect("it is piped");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut worker = Self { child, commands, lines };
        worker.sees("welcome").await;
        worker
    }

    async fn next(&mut self) -> Option<Value> {
        let line = in_time("a line of the Python worker", self.lines.next_line()).await.expect("it prints text")?;
        Some(serde_json::from_str(&line).expect("it prints JSON"))
    }

    /// Skips other events until this one.
    pub async fn sees(&mut self, what: &str) -> Value {
        loop {
            let seen = self.next().await.unwrap_or_else(|| panic!("the worker ended before it saw: {what}"));
            if seen["what"] == what {
                return seen;
            }
        }
    }

    pub async fn command(&mut self, command: &str) {
        self.commands.write_all(format!("{command}\n").as_bytes()).await.expect("the worker reads its commands");
    }

    /// Waits until the worker has ended well, and returns what it saw until then.
    pub async fn ends(mut self) -> Vec<Value> {
        let mut seen = Vec::new();
        while let Some(line) = self.next().await {
            seen.push(line);
        }
        assert!(self.child.wait().await.expect("it ends").success(), "the worker failed; it saw {seen:?}");
        assert_eq!(seen.last().map(|seen| &seen["what"]), Some(&Value::from("left")));
        seen
    }
}

/// What a worker saw of one kind.
pub fn in_kind<'a>(seen: &'a [Value], what: &str) -> Vec<&'a Value> {
    seen.iter().filter(|it| it["what"] == what).collect()
}

/// What a run has logged.
pub async fn events(fixture: &Fixture, run_id: &str) -> Vec<String> {
    let request = ListRunEventsRequest { run_id: run_id.to_owned(), page_size: 100, ..Default::default() };
    let events = fixture.runs().list_run_events(request).await.expect("the run is there").into_inner().events;
    events.into_iter().map(|event| event.message).collect()
}
