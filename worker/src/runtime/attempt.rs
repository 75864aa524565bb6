//! One attempt: the handler in a task of its own, its timeout, and how it stops.

use std::{any::Any, sync::Arc, time::Duration};

use serde_json::Value;
use tokio::{
    task::{JoinError, JoinSet},
    time,
};

use tracing::Instrument;

use crate::{
    api::{
        context::RunContext,
        failure::{Failure, HandlerError},
        handler::Handler,
        shortage::is_shortage_panic,
        stop::{Stop, StopCause, StopReason},
    },
    grant::outcome::Outcome,
};

/// The grace of a handler after the run's timeout, and after the worker's drain timeout.
pub(crate) const STOP_GRACE: Duration = Duration::from_secs(5);
/// A handler that kills at the end of the grace, such as the shell, has this time to clean up and return its outcome.
pub(crate) const ABORT_MARGIN: Duration = Duration::from_secs(1);
/// An aborted handler ends at its next await. If it blocks its thread, its outcome is reported after this time.
pub(crate) const ABORT_TIMEOUT: Duration = Duration::from_secs(2);

/// Executes one attempt. Dropping the future kills the handler.
pub(crate) async fn attempt(handler: Arc<dyn Handler>, ctx: RunContext) -> Outcome {
    let stop = ctx.stop_switch();
    // In a task of its own, a panic or a blocked thread does not reach the timers here. Dropping the set aborts the task.
    let mut task = JoinSet::new();
    let handlers_ctx = ctx.clone();
    task.spawn(async move { handler.run(handlers_ctx).await }.in_current_span());
    let deadline = ctx.deadline();
    let timed_out = async {
        match deadline {
            Some(deadline) => time::sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = task.join_next() => return outcome(ended, &stop),
        () = timed_out => stop.request(timeout_reason(&ctx)),
        _ = stop.requested() => {}
    }
    let grace = stop.requested().await.grace;
    if let Ok(ended) = time::timeout(grace + ABORT_MARGIN, task.join_next()).await {
        return outcome(ended, &stop);
    }
    task.abort_all();
    if time::timeout(ABORT_TIMEOUT, task.join_next()).await.is_err() {
        tracing::error!(run_id = ctx.run_id(), kind = ctx.kind(), "handler blocks its thread and can not be aborted");
    }
    Outcome::of(None, stop.reason())
}

fn timeout_reason(ctx: &RunContext) -> StopReason {
    let timeout = humantime::format_duration(ctx.info().timeout.unwrap_or_default());
    StopReason {
        cause: StopCause::Timeout,
        reason: format!("the attempt took longer than {timeout}"),
        grace: STOP_GRACE,
    }
}

fn outcome(ended: Option<Result<Result<Value, HandlerError>, JoinError>>, stop: &Stop) -> Outcome {
    let returned = match ended {
        Some(Ok(returned)) => Some(returned),
        Some(Err(error)) => match error.try_into_panic() {
            Ok(panic) => Some(Err(match panic_message(&*panic) {
                message if is_shortage_panic(&message) => HandlerError::Shortage(message),
                message => HandlerError::Failed(Box::new(Failure::new("Panic", message))),
            })),
            Err(_aborted) => None,
        },
        None => None,
    };
    Outcome::of(returned, stop.reason())
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a message".into())
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use serde_json::json;

    use super::*;
    use crate::api::{probe::Probe, run_info::RunInfo};

    struct Scripted(&'static str);

    #[async_trait]
    impl Handler for Scripted {
        async fn run(&self, ctx: RunContext) -> Result<Value, HandlerError> {
            match self.0 {
                "panic" => panic!("boom {}", 1),
                // What the runtime says if it can not start a thread for blocking work.
                "lacks a thread" => panic!("OS can't spawn worker thread: Resource temporarily unavailable"),
                "obey" => {
                    ctx.cancelled().await;
                    Err(HandlerError::Cancelled)
                }
                "finish" => {
                    ctx.cancelled().await;
                    Ok(json!("done"))
                }
                _ => std::future::pending().await,
            }
        }
    }

    fn start(script: &'static str, timeout: Option<Duration>) -> (impl Future<Output = Outcome>, Arc<Stop>) {
        let (ctx, _probe) = Probe::new(RunInfo { timeout, ..RunInfo::default() });
        let stop = ctx.stop_switch();
        (attempt(Arc::new(Scripted(script)), ctx), stop)
    }

    fn cancel(grace: Duration) -> StopReason {
        StopReason { cause: StopCause::Cancel, reason: "enough".into(), grace }
    }

    #[tokio::test]
    async fn a_panic_is_a_failure_with_its_message() {
        let (attempt, _stop) = start("panic", None);
        let Outcome::Failed(failure) = attempt.await else { panic!("not failed") };
        assert_eq!((failure.error_type.as_str(), failure.message.as_str()), ("Panic", "boom 1"));
    }

    #[tokio::test]
    async fn a_thread_that_can_not_be_started_is_no_failure_of_the_run() {
        let (attempt, _stop) = start("lacks a thread", None);
        let Outcome::GivenBack { reason, .. } = attempt.await else { panic!("not given back") };
        assert!(reason.contains("temporarily unavailable"), "{reason}");
    }

    #[tokio::test]
    async fn a_cancelled_handler_may_still_succeed() {
        let (attempt, stop) = start("finish", None);
        stop.request(cancel(Duration::from_secs(60)));
        assert_eq!(attempt.await, Outcome::Succeeded("\"done\"".into()));
    }

    #[tokio::test]
    async fn a_handler_that_ignores_a_cancel_is_aborted_after_the_grace() {
        let (attempt, stop) = start("ignore", None);
        stop.request(cancel(Duration::ZERO));
        assert_eq!(attempt.await, Outcome::Cancelled(None));
    }

    #[tokio::test]
    async fn an_attempt_that_takes_too_long_fails_with_timeout() {
        let (attempt, _stop) = start("obey", Some(Duration::from_millis(1)));
        let Outcome::Failed(failure) = attempt.await else { panic!("not failed") };
        assert_eq!(failure.error_type, "Timeout");
        assert_eq!(failure.message, "the attempt took longer than 1ms");
    }
}
