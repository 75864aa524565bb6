//! Spans of claims and reports, for runs that have a trace.
//!
//! A batch serves runs of many traces, and only its commit shows which. So their spans are made afterwards, with the real times.

use std::time::{Instant, SystemTime};

use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, TraceContextExt, TraceFlags, TraceId, TraceState, Tracer, TracerProvider,
};
use opentelemetry::{Context, InstrumentationScope, KeyValue, global};
use tracing::{Level, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::domain::{GrantKey, Run, RunStatus, TraceParent};

/// Whether a subscriber takes spans of the target `otel`. If none does, this costs next to nothing.
pub fn are_taken() -> bool {
    tracing::span_enabled!(target: "otel", Level::TRACE)
}

/// The current span and its trace, if it is sampled.
pub fn current() -> Option<TraceParent> {
    if !are_taken() {
        return None;
    }
    let context = Span::current().context();
    let span = context.span().span_context().clone();
    let parent = || TraceParent::new(span.trace_id().to_bytes(), span.span_id().to_bytes(), span.trace_flags().to_u8());
    (span.is_valid() && span.is_sampled()).then(parent)
}

/// The time, for spans that are made later; `None` if no subscriber takes spans.
pub fn clock() -> Option<SystemTime> {
    are_taken().then(SystemTime::now)
}

/// Makes the spans of a claim that began at `began` and gave these runs to workers.
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

/// Makes the span of a report that ended a grant. The run got this status.
pub fn reported(grant: GrantKey, status: RunStatus, parent: TraceParent, submitted: Instant) {
    if parent.is_sampled() && are_taken() {
        let mut attributes = of_grant("report", "settle", grant);
        attributes.push(KeyValue::new("ops.run.status", status.as_str()));
        emit("report", parent, SystemTime::now() - submitted.elapsed(), attributes);
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
    // The drop ends the span now.
    drop(span.start_with_context(&tracer, &remote(parent)));
}

/// The context of a span of another process.
pub fn remote(parent: TraceParent) -> Context {
    let (trace_id, span_id) = (TraceId::from_bytes(parent.trace_id), SpanId::from_bytes(parent.span_id));
    let flags = TraceFlags::new(parent.flags());
    Context::new().with_remote_span_context(SpanContext::new(trace_id, span_id, flags, true, TraceState::default()))
}
