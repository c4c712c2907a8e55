//! Finished spans to an OTLP endpoint over HTTP: in batches, from a thread of its own, never in anybody's way.
//!
//! Spans wait in a queue of 2,048; past it they are dropped (`OTEL_BSP_*` and `OTEL_EXPORTER_OTLP_HEADERS` are
//! obeyed). Whether the endpoint takes them changes nothing but a line in the log.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::global;
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use services::config::TelemetryConfig;
use services::stop::FLUSH;
use tokio::runtime::Handle;

use crate::error::TelemetryError;

/// Longest wait for the endpoint's answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The exporter of this process's spans.
#[derive(Debug)]
pub struct Exporter(SdkTracerProvider);

impl Exporter {
    /// Starts sending this process's spans, if the configuration says where to. The last exporter that was started
    /// gets them all.
    ///
    /// # Errors
    /// When the endpoint is no URL.
    pub fn start(
        program: &'static str,
        config: &TelemetryConfig,
    ) -> Result<Option<Self>, TelemetryError> {
        let Some(endpoint) = &config.otlp else { return Ok(None) };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Client::new(endpoint))
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .with_timeout(PATIENCE)
            .build()
            .map_err(|cause| TelemetryError::Traces { endpoint: endpoint.clone(), cause })?;
        let root = Sampler::TraceIdRatioBased(config.trace_ratio);
        let provider = SdkTracerProvider::builder()
            .with_resource(Resource::builder().with_service_name(program).build())
            .with_sampler(Sampler::ParentBased(Box::new(root)))
            .with_batch_exporter(exporter)
            .build();
        global::set_tracer_provider(provider.clone());
        Ok(Some(Self(provider)))
    }

    /// Sends the spans that are left, within [`FLUSH`].
    pub async fn flush(self) {
        let flushing = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(FLUSH));
        if let Ok(Err(error)) = flushing.await {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

/// Sends requests on the process's runtime, for a caller that has none.
#[derive(Debug)]
struct Client {
    http: HyperClient,
    runtime: Handle,
    endpoint: String,
    is_away: AtomicBool,
}

impl Client {
    fn new(endpoint: &str) -> Self {
        Self {
            http: HyperClient::with_default_connector(PATIENCE, None),
            runtime: Handle::current(),
            endpoint: endpoint.to_owned(),
            is_away: AtomicBool::new(false),
        }
    }

    /// Says once that the endpoint is away, and once that it is back.
    fn report(&self, sent: &Result<Response<Bytes>, HttpError>) {
        let trouble = match sent {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(response.status().to_string()),
            Err(error) => Some(error.to_string()),
        };
        let was_away = self.is_away.swap(trouble.is_some(), Ordering::Relaxed);
        match trouble {
            Some(trouble) if !was_away => {
                tracing::warn!(endpoint = self.endpoint, error = trouble, "traces are not sent");
            }
            None if was_away => tracing::info!(endpoint = self.endpoint, "traces are sent again"),
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let http = self.http.clone();
        let sending = self.runtime.spawn(async move { http.send_bytes(request).await });
        let sent = sending.await.unwrap_or_else(|error| Err(error.into()));
        self.report(&sent);
        sent
    }
}
