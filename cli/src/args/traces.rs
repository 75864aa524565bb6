//! Where spans go.

use clap::Args;

use super::values::ratio;

/// Where spans go: nowhere, unless an endpoint is named.
#[derive(Args, Clone, Debug)]
pub(crate) struct TraceArgs {
    /// Collector that takes spans by OTLP over gRPC, as http://HOST:4317 [default: none]
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    pub(crate) otlp_endpoint: Option<String>,
    /// The share of new traces that is kept, from 0 to 1; a trace that is begun elsewhere is kept as is said there
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG", value_name = "RATIO", default_value = "1", value_parser = ratio)]
    pub(crate) trace_ratio: f64,
    /// What the process is called in spans [default: ops-server, ops-worker or ops-dev]
    #[arg(long, env = "OTEL_SERVICE_NAME", value_name = "NAME")]
    pub(crate) service_name: Option<String>,
}
