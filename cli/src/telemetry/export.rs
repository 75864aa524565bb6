//! The export of spans to a collector by OTLP over gRPC. A thread of its own sends batches. Nothing waits for it: spans
//! that do not fit into its queue are dropped.

use std::time::Duration;

use opentelemetry::{KeyValue, global, trace::TracerProvider};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider},
};
use tonic::transport::Uri;
use tracing::Level;
use tracing_subscriber::{Layer, Registry, filter::Targets};

use super::logged::LoggedExporter;
use crate::{args::traces::TraceArgs, config::redacted, errors::UsageError};

/// The number of spans that may wait for the collector: those of a busy second at a usual ratio.
const QUEUE: usize = 4_096;
/// The time between two batches, unless one is full earlier.
const INTERVAL: Duration = Duration::from_secs(1);
/// The time limit for one batch. The batch is dropped after it.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// The time limit for the last spans, at the end of the process.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// The export. Its end sends the last spans.
#[derive(Debug, Default)]
pub(crate) struct Spans(Option<SdkTracerProvider>);

impl Spans {
    /// Sends the remaining spans, if the collector takes them in time. It blocks, so call it outside of the runtime.
    pub(crate) fn finish(self) {
        if let Some(provider) = self.0
            && let Err(error) = provider.shutdown_with_timeout(FLUSH_TIMEOUT)
        {
            tracing::debug!(%error, "the last spans were not sent");
        }
    }
}

/// Starts the export if an endpoint is configured. Returns the tracing layer that feeds it.
pub(super) fn start(
    args: &TraceArgs,
    usual_name: &'static str,
) -> Result<(Spans, Option<impl Layer<Registry> + Send + Sync + use<>>), UsageError> {
    let Some(endpoint) = args.otlp_endpoint.as_deref().filter(|endpoint| !endpoint.is_empty()) else {
        return Ok((Spans::default(), None));
    };
    // A URL may have a password.
    let shown = if endpoint.contains('@') { redacted(endpoint) } else { endpoint.to_owned() };
    let wrong = |why: String| UsageError::new(format!("--otlp-endpoint {shown}: {why}"));
    let uri: Uri =
        endpoint.parse().map_err(|error| wrong(format!("expected a URL such as http://host:4317: {error}")))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
        return Err(wrong("expected a URL such as http://host:4317".to_owned()));
    }
    let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).with_timeout(EXPORT_TIMEOUT);
    let exporter = exporter.build().map_err(|error| wrong(error.to_string()))?;
    let batches = BatchConfigBuilder::default().with_max_queue_size(QUEUE).with_scheduled_delay(INTERVAL).build();
    let processor = BatchSpanProcessor::builder(LoggedExporter::new(exporter)).with_batch_config(batches).build();
    let name = args.service_name.clone().filter(|name| !name.is_empty()).unwrap_or_else(|| usual_name.to_owned());
    let resource = Resource::builder()
        .with_service_name(name)
        .with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", uuid::Uuid::new_v4().to_string()),
        ])
        .build();
    let provider = SdkTracerProvider::builder()
        .with_span_processor(processor)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(args.trace_ratio))))
        .with_resource(resource)
        .build();
    global::set_tracer_provider(provider.clone());
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("ops"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_level(false)
        .with_tracked_inactivity(false)
        .with_filter(Targets::new().with_target("otel", Level::TRACE));
    Ok((Spans(Some(provider)), Some(layer)))
}
