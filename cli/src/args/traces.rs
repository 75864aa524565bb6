//! The options of traces.

use clap::Args;

use super::values::ratio;

/// The options of traces. Without an endpoint, spans are not exported.
#[derive(Args, Clone, Debug)]
pub(crate) struct TraceArgs {
    /// Collector that takes spans by OTLP over gRPC, as http://HOST:4317 [default: none]
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    pub(crate) otlp_endpoint: Option<String>,
    /// The ratio of new traces to keep, from 0 to 1; a trace that began elsewhere is kept if its caller keeps it
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG", value_name = "RATIO", default_value = "1", value_parser = ratio)]
    pub(crate) trace_ratio: f64,
    /// Name of the process in spans [default: ops-server, ops-worker or ops-dev]
    #[arg(long, env = "OTEL_SERVICE_NAME", value_name = "NAME")]
    pub(crate) service_name: Option<String>,
}
