//! Spans of calls. All work within a call is a child of its span. The engine has the spans of runs.

use engine::domain::TraceParent;
use engine::telemetry::spans::remote;
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Status codes of gRPC after which a call counts as an error of the server: unknown, deadline exceeded, unimplemented,
/// internal, unavailable, data loss.
const SERVER_ERRORS: [usize; 6] = [2, 4, 12, 13, 14, 15];

/// The names of gRPC's status codes, by their numbers.
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

/// The span of a unary call, `ops.v1.RunService/EnqueueRun`.
pub fn of_call(method: &str, caller: Option<TraceParent>) -> Span {
    let span = tracing::trace_span!(
        target: "otel", parent: None, "call", otel.name = method, otel.kind = "server", rpc.system.name = "grpc",
        rpc.method = method, rpc.response.status_code = Empty, otel.status_code = Empty
    );
    if let Some(caller) = caller {
        // This fails only for a span that has begun, or that no exporter takes.
        let _ = span.set_parent(remote(caller));
    }
    span
}

/// The name of a status code of gRPC.
pub fn status_word(code: usize) -> &'static str {
    STATUS_WORDS.get(code).unwrap_or(&"UNKNOWN")
}

/// Records the gRPC status code with which a call was answered.
pub fn answered(span: &Span, code: usize) {
    span.record("rpc.response.status_code", status_word(code));
    if SERVER_ERRORS.contains(&code) {
        span.record("otel.status_code", "ERROR");
    }
}
