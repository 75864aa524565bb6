//! The span of an attempt. It exists if a subscriber takes spans of the target `otel`, such as one that exports them.

use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};
use tracing::{Span, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::{
    api::run_info::RunInfo,
    grant::{key::GrantKey, outcome::Outcome},
};

/// The span of an attempt: in the trace of its run, or the root of a new trace.
pub(crate) fn of_attempt(info: &RunInfo, key: GrantKey) -> Span {
    let span = tracing::trace_span!(
        target: "otel", parent: None, "run", otel.kind = "consumer", messaging.system = "ops",
        messaging.operation.name = "run", messaging.operation.type = "process", messaging.message.id = info.run_id,
        ops.run.kind = info.kind, ops.run.fence = key.fence, ops.run.attempt = info.attempt, ops.run.outcome = Empty,
        otel.status_code = Empty, error.type = Empty
    );
    if let Some(parent) = info.traceparent.as_deref().and_then(remote).filter(|_| !span.is_disabled()) {
        // It fails only if no layer exports spans.
        let _ = span.set_parent(parent);
    }
    span
}

/// Records how an attempt ended.
pub(crate) fn ended(span: &Span, outcome: &Outcome) {
    let word = match outcome {
        Outcome::Succeeded(_) => "succeeded",
        Outcome::Failed(_) => "failed",
        Outcome::Cancelled(_) => "cancelled",
        Outcome::Snoozed(_) => "snoozed",
        Outcome::GivenBack { .. } => "given_back",
    };
    span.record("ops.run.outcome", word);
    if let Outcome::Failed(failure) = outcome {
        span.record("otel.status_code", "ERROR").record("error.type", failure.error_type.as_str());
    }
}

/// The `traceparent` of a sampled span.
pub(crate) fn traceparent(span: &Span) -> Option<String> {
    if span.is_disabled() {
        return None;
    }
    let context = span.context();
    let span = context.span().span_context().clone();
    (span.is_valid() && span.is_sampled())
        .then(|| format!("00-{}-{}-{:02x}", span.trace_id(), span.span_id(), span.trace_flags()))
}

/// The parent that a `traceparent` of version 00 names.
fn remote(traceparent: &str) -> Option<Context> {
    let mut parts = traceparent.split('-').skip(1);
    let trace_id = TraceId::from_hex(parts.next()?).ok()?;
    let span_id = SpanId::from_hex(parts.next()?).ok()?;
    let flags = u8::from_str_radix(parts.next()?, 16).ok()?;
    let span = SpanContext::new(trace_id, span_id, TraceFlags::new(flags), true, TraceState::default());
    span.is_valid().then(|| Context::new().with_remote_span_context(span))
}
