//! Why telemetry cannot be started.

use std::io;

/// What went wrong when telemetry was started.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The address cannot be listened on.
    #[error("listen on {address:?} for health and metrics (telemetry.listen): {cause}")]
    Listen {
        /// The configured address.
        address: String,
        /// Why.
        cause: io::Error,
    },
    /// The exporter of traces cannot be made.
    #[error("send traces to {endpoint:?} (telemetry.otlp): {cause}")]
    Traces {
        /// The configured endpoint.
        endpoint: String,
        /// Why.
        cause: opentelemetry_otlp::ExporterBuildError,
    },
    /// The filter of events cannot be read.
    #[error(
        "read log filter {filter:?}, wanted one like \"info\" or \"warn,table=debug\": {cause}"
    )]
    Filter {
        /// The filter.
        filter: String,
        /// Why.
        cause: tracing_subscriber::filter::ParseError,
    },
}
