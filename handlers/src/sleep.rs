//! `sleep`: waits, to try things out.

use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{self, Instant};
use worker::{Handler, HandlerError, RunContext};

use crate::duration::DurationParam;

/// The kind under which it is registered.
pub const KIND: &str = "sleep";
/// How often it reports progress.
const STEP: Duration = Duration::from_millis(500);

/// Waits for `duration`, and reports its progress. A cancel stops it at once.
///
/// The result is `{"slept_ms": 2000}`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sleep;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SleepParams {
    duration: DurationParam,
}

/// The params, as JSON Schema.
pub fn params_schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": false,
        "required": ["duration"],
        "properties": {
            "duration": {
                "description": "How long: seconds, or text such as \"1m 30s\".",
                "type": ["number", "string"],
                "minimum": 0
            }
        }
    })
}

#[async_trait]
impl Handler for Sleep {
    async fn run(&self, ctx: RunContext) -> Result<Value, HandlerError> {
        let duration = ctx.params::<SleepParams>()?.duration.0;
        let start = Instant::now();
        let end = start + duration;
        loop {
            let slept = start.elapsed();
            if slept >= duration {
                return Ok(json!({ "slept_ms": u64::try_from(slept.as_millis()).unwrap_or(u64::MAX) }));
            }
            ctx.progress(slept.as_secs_f64() / duration.as_secs_f64(), format!("slept {} s", slept.as_secs()));
            tokio::select! {
                () = time::sleep_until(end.min(Instant::now() + STEP)) => {}
                _ = ctx.cancelled() => return Err(HandlerError::Cancelled),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use worker::{Probe, StopCause, StopReason};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_sleeps_and_reports_its_progress() {
        let (ctx, probe) = Probe::with_params(json!({ "duration": "2s" }));
        assert_eq!(Sleep.run(ctx).await.unwrap()["slept_ms"], 2000);
        assert_eq!(probe.progress(), Some((0.75, "slept 1 s".into())));
    }

    #[tokio::test]
    async fn a_cancel_ends_it() {
        let (ctx, probe) = Probe::with_params(json!({ "duration": 1000 }));
        let grace = Duration::from_secs(5);
        probe.stop(StopReason { cause: StopCause::Cancel, reason: String::new(), grace });
        assert_eq!(Sleep.run(ctx).await, Err(HandlerError::Cancelled));
    }

    #[tokio::test]
    async fn unknown_fields_are_refused() {
        let (ctx, _probe) = Probe::with_params(json!({ "duration": 1, "until": 2 }));
        let Err(HandlerError::Failed(failure)) = Sleep.run(ctx).await else { panic!("it ran") };
        assert!(failure.message.starts_with("params.until: unknown field `until`"), "{}", failure.message);
    }
}
