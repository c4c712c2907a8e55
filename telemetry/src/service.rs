//! Telemetry of one process: started by its configuration, ended when everything else has.

use std::net::SocketAddr;
use std::sync::Arc;

use services::Ports;
use services::config::TelemetryConfig;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::backlog::Queues;
use crate::error::TelemetryError;
use crate::feed::Feed;
use crate::http::{Site, bind, serve};
use crate::part::Part;
use crate::trace::Exporter;

/// The telemetry of a process.
#[derive(Debug)]
pub struct Telemetry {
    serving: Option<(SocketAddr, AbortOnDropHandle<()>)>,
    exporter: Option<Exporter>,
}

impl Telemetry {
    /// Starts what the configuration asks for: the server over `parts` and the queues, the exporter of traces.
    /// `draining` is cancelled when the process begins to end.
    ///
    /// # Errors
    /// Names the address that cannot be listened on, or the endpoint that is none.
    pub async fn start(
        program: &'static str,
        config: &TelemetryConfig,
        ports: &Ports,
        parts: Vec<Arc<dyn Part>>,
        draining: CancellationToken,
    ) -> Result<Self, TelemetryError> {
        let exporter = Exporter::start(program, config)?;
        let Some(address) = &config.listen else { return Ok(Self { serving: None, exporter }) };
        let listener = bind(address).await?;
        let refuse = |cause| TelemetryError::Listen { address: address.clone(), cause };
        let local = listener.local_addr().map_err(refuse)?;
        tracing::info!(address = %local, "health and metrics are served");
        let queues: Arc<dyn Part> = Arc::new(Queues::new(ports));
        let feed: Arc<dyn Part> = Arc::new(Feed(Arc::clone(&ports.feed)));
        let parts = parts.into_iter().chain([queues, feed]).collect();
        let site = Site { program, parts, draining };
        let serving = AbortOnDropHandle::new(tokio::spawn(serve(listener, site)));
        Ok(Self { serving: Some((local, serving)), exporter })
    }

    /// Where health and metrics are served.
    pub fn address(&self) -> Option<SocketAddr> {
        self.serving.as_ref().map(|(address, _)| *address)
    }

    /// Sends the traces that are left, within 2 s, and ends the server.
    pub async fn finish(self) {
        if let Some(exporter) = self.exporter {
            exporter.flush().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use services::{EmbeddedOptions, open_embedded};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;
    use crate::trace::Span;

    async fn start(config: &TelemetryConfig, draining: &CancellationToken) -> Telemetry {
        let data = tempfile::tempdir().unwrap();
        let options = EmbeddedOptions::default();
        let ports = open_embedded(data.path(), [], &options).unwrap().ports;
        Telemetry::start("test", config, &ports, Vec::new(), draining.clone()).await.unwrap()
    }

    async fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn readiness_turns_with_the_first_signal_and_health_does_not() {
        let listen = Some("127.0.0.1:0".to_owned());
        let config = TelemetryConfig { listen, ..TelemetryConfig::default() };
        let draining = CancellationToken::new();
        let telemetry = start(&config, &draining).await;
        let address = telemetry.address().unwrap();
        assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200"));
        draining.cancel();
        let answer = get(address, "/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("\"draining\""), "{answer}");
        assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        assert!(get(address, "/metrics").await.contains("millrace_build{program=\"test\""));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_endpoint_that_does_not_answer_holds_the_end_up_no_longer_than_it_may() {
        // It takes connections and says nothing.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let otlp = Some(format!("http://{}", silent.local_addr().unwrap()));
        let config = TelemetryConfig { otlp, ..TelemetryConfig::default() };
        let telemetry = start(&config, &CancellationToken::new()).await;
        let span = Span::root("take", std::time::SystemTime::now());
        assert!(span.traceparent().ends_with("-01"), "sampled");
        drop(span);
        let told = Instant::now();
        telemetry.finish().await;
        // By itself the exporter waits for an answer for 5 s.
        assert!(told.elapsed() < Duration::from_secs(5), "{:?}", told.elapsed());
    }

    #[tokio::test]
    async fn what_is_not_to_be_sampled_is_not() {
        let otlp = Some("http://127.0.0.1:9".to_owned());
        let config = TelemetryConfig { otlp, trace_ratio: 0.0, ..TelemetryConfig::default() };
        let _telemetry = start(&config, &CancellationToken::new()).await;
        let span = Span::root("take", std::time::SystemTime::now());
        assert!(span.traceparent().ends_with("-00"), "{}", span.traceparent());
        assert!(span.child("part").traceparent().ends_with("-00"));
    }
}
