//! `shell`: executes a program in a process group of its own.

use std::{
    collections::BTreeMap, io, os::unix::process::ExitStatusExt, process::ExitStatus, process::Stdio, time::Duration,
};

use async_trait::async_trait;
use nix::errno::Errno;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt,
    process::{ChildStdin, Command},
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;
use worker::{Handler, HandlerError, RunContext, is_shortage};

use super::{
    environment::{EnvName, withheld},
    output::{Stream, Tail, pump},
    spawner::{self, Spawned},
};
use crate::duration::DurationParam;

/// The kind under which it is registered.
pub const KIND: &str = "shell";
/// How long processes that the program left behind may keep its output open.
const LEFTOVER_GRACE: Duration = Duration::from_secs(1);
/// The grace of the program after its `timeout`.
const TIMEOUT_GRACE: Duration = Duration::from_secs(5);

/// Executes a program. Its output becomes the run's log, line by line: stdout with level info, stderr with level warn. Exit
/// status 0 succeeds with `{"exit_code": 0, "duration_ms": 12}`; any other fails with type `ExitStatus`.
///
/// The log keeps the output byte by byte. Each event has the data `{"stream": "stdout"}` or `"stderr"`. A text event is one
/// line without its newline; a carriage return before the newline stays. With `"partial": true` in its data no newline follows:
/// the line continues in the next event of the same stream (it is longer than 16 KiB, or was shown before it ended), or the
/// output ended without a newline. Output that is not UTF-8 or has a NUL comes as bytes, with the newline if there is one.
///
/// The program gets the worker's environment without what belongs to the worker (see docs/handlers.md), plus `OPS_RUN_ID`,
/// `OPS_ATTEMPT` and, if the run belongs to a trace, `TRACEPARENT`.
///
/// On a cancel, its whole process group gets SIGTERM and, after the grace, SIGKILL. Exit status 0 after that counts as
/// cancelled, and not as a success. When the program ends, the handler kills what is left of its group.
///
/// A program that can not be started because this worker lacks file descriptors, processes or memory is a
/// [`HandlerError::Shortage`]; one that no worker could start fails permanently with type `SpawnFailed`.
#[derive(Clone, Debug, Default)]
pub struct Shell {
    pass_env: Vec<EnvName>,
}

impl Shell {
    /// Programs get these variables too, although they are the worker's own.
    pub fn passing(pass_env: Vec<EnvName>) -> Self {
        Self { pass_env }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShellParams {
    command: Option<String>,
    argv: Option<Vec<String>>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    cwd: Option<String>,
    timeout: Option<DurationParam>,
    stdin: Option<String>,
}

/// The params, as JSON Schema.
pub fn params_schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": false,
        "oneOf": [{ "required": ["command"] }, { "required": ["argv"] }],
        "properties": {
            "command": { "description": "Executed by /bin/sh -c.", "type": "string", "minLength": 1 },
            "argv": {
                "description": "A program and its arguments, executed without a shell.",
                "type": "array", "items": { "type": "string" }, "minItems": 1
            },
            "env": {
                "description": "Variables that are added to the environment.",
                "type": "object", "additionalProperties": { "type": "string" }
            },
            "cwd": { "description": "The working directory.", "type": "string" },
            "timeout": {
                "description": "After this time it is stopped and fails: seconds, or text such as \"1m 30s\".",
                "type": ["number", "string"], "minimum": 0
            },
            "stdin": { "description": "Its standard input. Default: empty.", "type": "string" }
        }
    })
}

/// Why the program ended.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    ByItself,
    AskedToStop,
    TimedOut(Duration),
}

#[async_trait]
impl Handler for Shell {
    async fn run(&self, ctx: RunContext) -> Result<Value, HandlerError> {
        let params: ShellParams = ctx.params()?;
        let program = params.program()?;
        let begin = Instant::now();
        let started = spawner::spawn(params.command(&program, &ctx, &self.pass_env)).await;
        let mut spawned = started.map_err(|error| params.not_started(&program, &error))?;
        let (stdin, stdout) = (spawned.child.stdin.take(), spawned.child.stdout.take());
        let stderr = spawned.child.stderr.take();
        let (all_read, closing) = (CancellationToken::new(), CancellationToken::new());
        let output = async {
            let (_, stderr, ()) = tokio::join!(
                pump(&ctx, Stream::Stdout, stdout, &closing),
                pump(&ctx, Stream::Stderr, stderr, &closing),
                feed(stdin, params.stdin.as_deref().unwrap_or_default(), &closing),
            );
            all_read.cancel();
            stderr
        };
        let timeout = params.timeout.map(|timeout| timeout.0);
        let life = async {
            let ended = live(&ctx, &mut spawned, timeout, &all_read).await;
            closing.cancel();
            ended
        };
        let (ended, stderr) = tokio::join!(life, output);
        let (status, end) = ended?;
        outcome(status, end, &stderr, begin.elapsed())
    }
}

impl ShellParams {
    /// The program and its arguments.
    fn program(&self) -> Result<Vec<String>, HandlerError> {
        for name in self.env.keys() {
            if name.is_empty() || name.contains('=') {
                let message = format!("params.env: expected names without `=`, got {name:?}");
                return Err(HandlerError::invalid_params(message));
            }
        }
        match (&self.command, &self.argv) {
            (Some(command), None) if !command.is_empty() => Ok(vec!["/bin/sh".into(), "-c".into(), command.clone()]),
            (Some(_), None) => Err(HandlerError::invalid_params("params.command: expected a command, got \"\"")),
            (None, Some(argv)) if argv.first().is_some_and(|program| !program.is_empty()) => Ok(argv.clone()),
            (None, Some(_)) => Err(HandlerError::invalid_params("params.argv: expected a program, got none")),
            (None, None) => Err(HandlerError::invalid_params("params: expected `command` or `argv`, got neither")),
            (Some(_), Some(_)) => Err(HandlerError::invalid_params("params: expected `command` or `argv`, got both")),
        }
    }

    /// Why the program could not be started.
    fn not_started(&self, program: &[String], error: &io::Error) -> HandlerError {
        if is_shortage(error) {
            return HandlerError::Shortage(format!("no process could be started: {error}"));
        }
        let failed = HandlerError::failed("SpawnFailed", format!("{}: {error}", program[0]))
            .with_context(json!({ "program": program[0], "cwd": self.cwd }));
        if is_of_the_run(error) { failed.permanent() } else { failed }
    }

    fn command(&self, program: &[String], ctx: &RunContext, pass_env: &[EnvName]) -> Command {
        let mut command = Command::new(&program[0]);
        command.args(&program[1..]);
        for name in withheld(std::env::vars_os().map(|(name, _)| name), pass_env) {
            command.env_remove(name);
        }
        if let Some(parent) = ctx.traceparent() {
            command.env("TRACEPARENT", parent);
        }
        command.env("OPS_RUN_ID", ctx.run_id()).env("OPS_ATTEMPT", ctx.attempt().to_string()).envs(&self.env);
        if let Some(cwd) = &self.cwd {
            command.current_dir(cwd);
        }
        command.stdin(if self.stdin.is_some() { Stdio::piped() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// Whether the program can not be started because of what the run says: every attempt would fail.
fn is_of_the_run(error: &io::Error) -> bool {
    const OF_THE_RUN: [Errno; 8] = [
        Errno::E2BIG,
        Errno::ENOENT,
        Errno::EACCES,
        Errno::ENOEXEC,
        Errno::ENOTDIR,
        Errno::EISDIR,
        Errno::ELOOP,
        Errno::ENAMETOOLONG,
    ];
    // A NUL in an argument has no code.
    error.kind() == io::ErrorKind::InvalidInput
        || error.raw_os_error().is_some_and(|code| OF_THE_RUN.contains(&Errno::from_raw(code)))
}

/// Waits until the program ends, or stops it. Afterwards its group is gone.
async fn live(
    ctx: &RunContext,
    spawned: &mut Spawned,
    timeout: Option<Duration>,
    all_read: &CancellationToken,
) -> io::Result<(ExitStatus, End)> {
    let Spawned { child, group } = spawned;
    let timed_out = async {
        match timeout {
            Some(timeout) => time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    let (end, grace) = tokio::select! {
        // First look whether the program has ended: then it was not stopped.
        biased;
        status = child.wait() => {
            let status = status?;
            // Processes that it left behind may write for a moment; then they are killed.
            let _in_time = time::timeout(LEFTOVER_GRACE, all_read.cancelled()).await;
            group.kill().await;
            return Ok((status, End::ByItself));
        }
        stop = ctx.cancelled() => (End::AskedToStop, stop.grace),
        () = timed_out => (End::TimedOut(timeout.unwrap_or_default()), TIMEOUT_GRACE),
    };
    let (status, ()) = tokio::join!(child.wait(), group.terminate(grace));
    group.kill().await;
    Ok((status?, end))
}

/// Writes the program's input and closes it. It is no error if the program does not read it.
async fn feed(stdin: Option<ChildStdin>, text: &str, closing: &CancellationToken) {
    if let Some(mut stdin) = stdin {
        tokio::select! {
            _written = stdin.write_all(text.as_bytes()) => {}
            () = closing.cancelled() => {}
        }
    }
}

fn outcome(status: ExitStatus, end: End, stderr: &Tail, took: Duration) -> Result<Value, HandlerError> {
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let tail = stderr.text();
    let context = json!({
        "exit_code": status.code(),
        "signal": status.signal(),
        "stderr_tail": tail,
        "duration_ms": duration_ms,
    });
    if let End::TimedOut(timeout) = end {
        let message = format!("the program took longer than {}", humantime::format_duration(timeout));
        return Err(HandlerError::failed("Timeout", message).with_context(context));
    }
    if status.success() {
        return match end {
            End::ByItself => Ok(json!({ "exit_code": 0, "duration_ms": duration_ms })),
            // It was asked to stop, and stopped in good order. Whether its work is done is unknown.
            _ => Err(HandlerError::Cancelled),
        };
    }
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit {code}"),
        (None, Some(signal)) => match nix::sys::signal::Signal::try_from(signal) {
            Ok(name) => format!("signal {signal} ({name})"),
            Err(_) => format!("signal {signal}"),
        },
        (None, None) => "unknown exit status".into(),
    };
    let message = match tail.lines().last() {
        Some(line) => format!("{how}: {line}"),
        None => how,
    };
    Err(HandlerError::failed("ExitStatus", message).with_context(context))
}
