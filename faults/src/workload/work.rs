//! A worker process: the real worker runtime, with a handler that records what it does.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use worker::{Handler, HandlerError, Level, RunContext, StopCause, Worker, WorkerConfig};

use super::{End, KIND, Script};
use crate::history::{Outcome, Recorder, What};

/// How long runs may continue after SIGTERM.
const DRAIN: Duration = Duration::from_secs(9);

/// The options of a worker process.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder of the run.
    pub folder: PathBuf,
    /// The name of its history. A worker that is started again has another name.
    pub actor: String,
    pub servers: Vec<String>,
    pub slots: usize,
}

/// Works until `stop`.
///
/// # Errors
///
/// The worker can not be built, or its history can not be written.
pub async fn work(options: Options, stop: CancellationToken) -> Result<()> {
    let recorder = Recorder::create(&options.folder, &options.actor)?;
    recorder.record(What::WorkerBegan { worker: options.actor.clone(), process: std::process::id() })?;
    let mut config = WorkerConfig::new("");
    config.servers = options.servers;
    config.name.clone_from(&options.actor);
    config.slots = options.slots;
    config.drain_timeout = DRAIN;
    let scripted = Scripted { actor: options.actor, recorder: Arc::new(recorder) };
    let summary = Worker::builder(config).handler(KIND, scripted).build()?.run(stop).await?;
    tracing::info!(?summary, "the worker has left");
    Ok(())
}

/// Executes the script in the params.
struct Scripted {
    actor: String,
    recorder: Arc<Recorder>,
}

#[async_trait]
impl Handler for Scripted {
    async fn run(&self, ctx: RunContext) -> Result<Value, HandlerError> {
        let script: Script = ctx.params()?;
        let run = Uuid::parse_str(ctx.run_id())?;
        let (fence, attempt) = (ctx.fence(), ctx.attempt());
        self.recorder.record(What::ExecutionBegan { run, fence, attempt, key: script.key.clone() })?;
        let outcome = match play(&ctx, &script).await {
            None => outcome(script.end, fence, attempt),
            Some(StopCause::Cancel) => Outcome::Cancelled,
            Some(StopCause::Timeout | StopCause::Shutdown) => Outcome::Retry,
        };
        let token = format!("{}/{run}/{fence}", self.actor);
        self.recorder.record(What::ExecutionEnded { run, fence, token: token.clone(), outcome })?;
        answer(outcome, &script, token)
    }
}

/// Waits for the time of the script. Returns the cause if the run is stopped before.
async fn play(ctx: &RunContext, script: &Script) -> Option<StopCause> {
    let end = Instant::now() + Duration::from_millis(script.ms);
    for line in 0..script.logs {
        ctx.log(Level::Info, format!("{} says line {line}", script.key)).await;
    }
    ctx.progress(0.5, "half of it");
    let stop = tokio::select! {
        () = sleep_until(end) => return None,
        stop = ctx.cancelled() => stop,
    };
    sleep(Duration::from_millis(script.stubborn_ms)).await;
    Some(stop.cause)
}

fn outcome(end: End, fence: i64, attempt: i32) -> Outcome {
    match end {
        End::Succeed => Outcome::Succeeded,
        End::Fail => Outcome::Failed,
        End::SucceedAt { attempt: last } if attempt < last => Outcome::Retry,
        End::SnoozeBefore { fence: last, .. } if fence < last => Outcome::Snoozed,
        End::SucceedAt { .. } | End::SnoozeBefore { .. } => Outcome::Succeeded,
    }
}

fn answer(outcome: Outcome, script: &Script, token: String) -> Result<Value, HandlerError> {
    let failed = || HandlerError::failed("Scripted", "as its script says").with_context(json!({ "token": token }));
    match outcome {
        Outcome::Succeeded => Ok(json!({ "token": token, "padding": script.padding })),
        Outcome::Failed => Err(failed().permanent()),
        // A failure after a cancel is kept as the error of the cancelled run, so its token names the execution.
        Outcome::Retry | Outcome::Cancelled => Err(failed()),
        Outcome::Snoozed => {
            let End::SnoozeBefore { delay_ms, .. } = script.end else { return Err(failed()) };
            Err(HandlerError::Snooze(Duration::from_millis(delay_ms)))
        }
    }
}
