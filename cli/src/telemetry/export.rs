//! Spans go to a collector by OTLP over gRPC, in batches, from a thread of their own. Nothing waits for it: what does not fit
//! into its queue is dropped.

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

use super::watchful::Watchful;
use crate::{args::traces::TraceArgs, errors::UsageError};

/// Spans that may wait for the collector: what a busy second makes at a usual ratio.
const QUEUE: usize = 4_096;
/// Between two batches, unless one is full before.
const INTERVAL: Duration = Duration::from_secs(1);
/// A collector that takes longer does not get the batch.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the process stays for its last spans.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// The end of the way out: sends the last spans.
#[derive(Debug, Default)]
pub(crate) struct Spans(Option<SdkTracerProvider>);

impl Spans {
    /// Sends what is there, as far as the collector takes it in time. Not to be called inside the runtime, which it blocks.
    pub(crate) fn finish(self) {
        if let Some(provider) = self.0
            && let Err(error) = provider.shutdown_with_timeout(FLUSH_TIMEOUT)
        {
            tracing::debug!(%error, "the last spans were not sent");
        }
    }
}

/// Makes the way out, if an endpoint is named, and the layer that hands spans to it.
pub(super) fn start(
    args: &TraceArgs,
    usual_name: &'static str,
) -> Result<(Spans, Option<impl Layer<Registry> + Send + Sync + use<>>), UsageError> {
    let Some(endpoint) = args.otlp_endpoint.as_deref().filter(|endpoint| !endpoint.is_empty()) else {
        return Ok((Spans::default(), None));
    };
    let wrong = |why: String| UsageError::new(format!("--otlp-endpoint {endpoint}: {why}"));
    let uri: Uri =
        endpoint.parse().map_err(|error| wrong(format!("expected a URL such as http://host:4317: {error}")))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
        return Err(wrong("expected a URL such as http://host:4317".to_owned()));
    }
    let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).with_timeout(EXPORT_TIMEOUT);
    let exporter = exporter.build().map_err(|error| wrong(error.to_string()))?;
    let batches = BatchConfigBuilder::default().with_max_queue_size(QUEUE).with_scheduled_delay(INTERVAL).build();
    let processor = BatchSpanProcessor::builder(Watchful::new(exporter)).with_batch_config(batches).build();
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
