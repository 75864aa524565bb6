//! Spans: of calls, and of what batches did with runs that stand in a trace.
//!
//! A call has a `tracing` span, so that what happens within it is its child. A batch serves runs of many traces, and only its
//! commit tells which: their spans are made afterwards, with the times at which it all happened.

use std::time::{Instant, SystemTime};

use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, TraceContextExt, TraceFlags, TraceId, TraceState, Tracer, TracerProvider,
};
use opentelemetry::{Context, InstrumentationScope, KeyValue, global};
use tracing::{Level, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::domain::{GrantKey, Run, RunStatus, TraceParent};

/// Whether somebody takes spans: a subscriber that wants those of the target `otel`. Costs next to nothing when not.
pub fn are_taken() -> bool {
    tracing::span_enabled!(target: "otel", Level::TRACE)
}

/// Where the current span stands, if it is kept.
pub fn current() -> Option<TraceParent> {
    if !are_taken() {
        return None;
    }
    let context = Span::current().context();
    let span = context.span().span_context().clone();
    let parent = || TraceParent::new(span.trace_id().to_bytes(), span.span_id().to_bytes(), span.trace_flags().to_u8());
    (span.is_valid() && span.is_sampled()).then(parent)
}

/// The time, for who makes spans of it later; nothing if nobody takes them.
pub fn clock() -> Option<SystemTime> {
    are_taken().then(SystemTime::now)
}

/// A batch that began then has given these runs to workers.
pub fn claimed(runs: &[Run], began: Option<SystemTime>) {
    let Some(began) = began else { return };
    for run in runs {
        if let Some(parent) = run.spec.traceparent.filter(TraceParent::is_sampled) {
            let mut attributes = of_grant("claim", "receive", run.grant_key());
            attributes.push(KeyValue::new("messaging.destination.name", run.spec.lane.as_str()));
            attributes.push(KeyValue::new("ops.run.kind", run.spec.kind.clone()));
            emit("claim", parent, began, attributes);
        }
    }
}

/// A report that was handed in then ended a grant, and its run went to this status.
pub fn reported(grant: GrantKey, status: RunStatus, parent: TraceParent, handed_in: Instant) {
    if parent.is_sampled() && are_taken() {
        let mut attributes = of_grant("report", "settle", grant);
        attributes.push(KeyValue::new("ops.run.status", status.as_str()));
        emit("report", parent, SystemTime::now() - handed_in.elapsed(), attributes);
    }
}

fn of_grant(operation: &'static str, sort: &'static str, grant: GrantKey) -> Vec<KeyValue> {
    vec![
        KeyValue::new("messaging.system", "ops"),
        KeyValue::new("messaging.operation.name", operation),
        KeyValue::new("messaging.operation.type", sort),
        KeyValue::new("messaging.message.id", grant.run_id.to_string()),
        KeyValue::new("ops.run.fence", grant.fence),
    ]
}

fn emit(name: &'static str, parent: TraceParent, began: SystemTime, attributes: Vec<KeyValue>) {
    let tracer = global::tracer_provider().tracer_with_scope(InstrumentationScope::builder("ops").build());
    let span =
        tracer.span_builder(name).with_kind(SpanKind::Internal).with_start_time(began).with_attributes(attributes);
    // Dropped, it has ended now.
    drop(span.start_with_context(&tracer, &remote(parent)));
}

/// The context of a span elsewhere.
pub fn remote(parent: TraceParent) -> Context {
    let (trace_id, span_id) = (TraceId::from_bytes(parent.trace_id), SpanId::from_bytes(parent.span_id));
    let flags = TraceFlags::new(parent.flags());
    Context::new().with_remote_span_context(SpanContext::new(trace_id, span_id, flags, true, TraceState::default()))
}
