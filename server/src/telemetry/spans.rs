//! Spans: of calls, and of what rounds did with runs that stand in a trace.
//!
//! A call has a `tracing` span, so that what happens within it is its child. A round serves runs of many traces, and only its
//! commit tells which: their spans are made afterwards, with the times at which it all happened.

use std::time::{Instant, SystemTime};

use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, TraceContextExt, TraceFlags, TraceId, TraceState, Tracer, TracerProvider,
};
use opentelemetry::{Context, InstrumentationScope, KeyValue, global};
use tracing::field::Empty;
use tracing::{Level, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::domain::{Lease, Run, RunStatus, TraceParent};

/// Status codes of gRPC after which a call counts as an error of the server: unknown, deadline exceeded, unimplemented,
/// internal, unavailable, data loss.
const SERVER_ERRORS: [usize; 6] = [2, 4, 12, 13, 14, 15];

/// The words of gRPC's status codes, by their numbers.
const STATUS_WORDS: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Whether somebody takes spans: a subscriber that wants those of the target `otel`. Costs next to nothing when not.
pub fn are_taken() -> bool {
    tracing::span_enabled!(target: "otel", Level::TRACE)
}

/// The span of a unary call, `ops.v1.RunService/EnqueueRun`.
pub fn of_call(method: &str, caller: Option<TraceParent>) -> Span {
    let span = tracing::trace_span!(
        target: "otel", parent: None, "call", otel.name = method, otel.kind = "server", rpc.system.name = "grpc",
        rpc.method = method, rpc.response.status_code = Empty, otel.status_code = Empty
    );
    if let Some(caller) = caller {
        // It fails only for a span that has begun, or that nobody takes.
        let _ = span.set_parent(remote(caller));
    }
    span
}

/// The word of a status code of gRPC.
pub fn status_word(code: usize) -> &'static str {
    STATUS_WORDS.get(code).unwrap_or(&"UNKNOWN")
}

/// Notes how a call was answered: with a number of gRPC.
pub fn answered(span: &Span, code: usize) {
    span.record("rpc.response.status_code", status_word(code));
    if SERVER_ERRORS.contains(&code) {
        span.record("otel.status_code", "ERROR");
    }
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

/// A round that began then has given these runs to workers.
pub fn claimed(runs: &[Run], began: Option<SystemTime>) {
    let Some(began) = began else { return };
    for run in runs {
        if let Some(parent) = run.traceparent.filter(TraceParent::is_sampled) {
            let mut attributes = of_grant("claim", "receive", Lease { run_id: run.id, fence: run.fence });
            attributes.push(KeyValue::new("messaging.destination.name", run.lane.as_str()));
            attributes.push(KeyValue::new("ops.run.kind", run.kind.clone()));
            emit("claim", parent, began, attributes);
        }
    }
}

/// A report that was handed in then ended a grant, and its run went to this status.
pub fn reported(lease: Lease, status: RunStatus, parent: TraceParent, handed_in: Instant) {
    if parent.is_sampled() && are_taken() {
        let mut attributes = of_grant("report", "settle", lease);
        attributes.push(KeyValue::new("ops.run.status", status.as_str()));
        emit("report", parent, SystemTime::now() - handed_in.elapsed(), attributes);
    }
}

fn of_grant(operation: &'static str, sort: &'static str, lease: Lease) -> Vec<KeyValue> {
    vec![
        KeyValue::new("messaging.system", "ops"),
        KeyValue::new("messaging.operation.name", operation),
        KeyValue::new("messaging.operation.type", sort),
        KeyValue::new("messaging.message.id", lease.run_id.to_string()),
        KeyValue::new("ops.run.fence", lease.fence),
    ]
}

fn emit(name: &'static str, parent: TraceParent, began: SystemTime, attributes: Vec<KeyValue>) {
    let tracer = global::tracer_provider().tracer_with_scope(InstrumentationScope::builder("ops").build());
    let span =
        tracer.span_builder(name).with_kind(SpanKind::Internal).with_start_time(began).with_attributes(attributes);
    // Dropped, it has ended now.
    drop(span.start_with_context(&tracer, &remote(parent)));
}

fn remote(parent: TraceParent) -> Context {
    let (trace_id, span_id) = (TraceId::from_bytes(parent.trace_id), SpanId::from_bytes(parent.span_id));
    let flags = TraceFlags::new(parent.flags());
    Context::new().with_remote_span_context(SpanContext::new(trace_id, span_id, flags, true, TraceState::default()))
}
