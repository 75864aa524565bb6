//! The real grpcurl, which knows only the server's address and learns the rest by reflection.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::Fixture;

/// The timeout for an answer that comes at once; only a hang reaches it.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The path of a program that `make tools` has installed.
pub fn tool(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools").join(path);
    assert!(path.exists(), "{} is missing: run `make tools` (`make test` does)", path.display());
    path
}

/// Calls a fixture's first server.
pub struct Grpcurl {
    address: String,
    /// The contract that replaces the server's own.
    contract: Option<PathBuf>,
}

impl Grpcurl {
    pub fn of(fixture: &Fixture) -> Self {
        Self { address: fixture.address(), contract: None }
    }

    /// A grpcurl that uses this contract, a descriptor set, instead of reflection.
    pub fn speaking(fixture: &Fixture, contract: &Path) -> Self {
        Self { address: fixture.address(), contract: Some(contract.to_owned()) }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(tool("bin/grpcurl"));
        if let Some(contract) = &self.contract {
            command.arg("-protoset").arg(contract);
        }
        command.arg("-plaintext").args(arguments).kill_on_drop(true);
        command
    }

    /// What grpcurl prints for `list` or `describe`.
    pub async fn text(&self, arguments: &[&str]) -> String {
        let mut all = vec![self.address.as_str()];
        all.extend(arguments);
        let output = self.command(&all).output().await.expect("grpcurl runs");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("grpcurl prints text")
    }

    /// One call with one request: the answer, or what grpcurl says about the error.
    pub async fn try_call(&self, method: &str, request: Value) -> Result<Value, String> {
        let request = request.to_string();
        let output = self.command(&["-d", &request, &self.address, method]).output().await.expect("grpcurl runs");
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(serde_json::from_slice(&output.stdout).expect("grpcurl prints JSON"))
    }

    pub async fn call(&self, method: &str, request: Value) -> Value {
        self.try_call(method, request).await.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// Begins a call whose requests are typed into grpcurl while its answers are read.
    pub fn talk(&self, method: &str) -> Talk {
        let mut command = self.command(&["-d", "@", &self.address, method]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("grpcurl runs");
        let stdin = child.stdin.take();
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        Talk { child, stdin, lines }
    }
}

/// An open call.
pub struct Talk {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Talk {
    pub async fn say(&mut self, request: Value) {
        let stdin = self.stdin.as_mut().expect("nothing was ended yet");
        stdin.write_all(format!("{request}\n").as_bytes()).await.expect("grpcurl reads");
        stdin.flush().await.expect("grpcurl reads");
    }

    /// Sends the last request. For a method with one request, grpcurl reads no answer before that.
    pub async fn say_all(&mut self, request: Value) {
        self.say(request).await;
        self.stdin = None;
    }

    /// The next answer, or `None` when the server has ended the call. grpcurl closes each with a brace alone on its line.
    pub async fn next(&mut self) -> Option<Value> {
        let mut text = String::new();
        loop {
            let line = tokio::time::timeout(TIMEOUT, self.lines.next_line()).await;
            match line.unwrap_or_else(|_| panic!("no answer within {TIMEOUT:?}")).expect("grpcurl prints text") {
                None if text.trim().is_empty() => return None,
                None => panic!("grpcurl ended within an answer: {text}"),
                Some(line) => text.push_str(&line),
            }
            if let Ok(value) = serde_json::from_str(&text) {
                return Some(value);
            }
            text.push('\n');
        }
    }

    /// The next answer, which must be of this kind.
    pub async fn frame(&mut self, kind: &str) -> Value {
        let mut answer = self.next().await.unwrap_or_else(|| panic!("the server ended the call, expected {kind}"));
        assert!(answer.get(kind).is_some(), "expected {kind}, got {answer}");
        answer[kind].take()
    }

    /// Ends the requests. Returns whether the call then ends well.
    pub async fn end(mut self) -> bool {
        self.stdin = None;
        let answer = self.next().await;
        assert!(answer.is_none(), "expected the end of the call, got {answer:?}");
        self.child.wait().await.expect("grpcurl ends").success()
    }
}
