//! `/healthz`, `/readyz` and `/metrics` over HTTP, to everyone who reaches the address.

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::connections::{self, Limits};
use crate::error::TelemetryError;
use crate::health::{Report, State, health, readiness};
use crate::metrics;
use crate::part::Part;

/// What is asked about.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) program: &'static str,
    pub(crate) parts: Arc<[Arc<dyn Part>]>,
    /// Cancelled when the process begins to end.
    pub(crate) draining: CancellationToken,
}

/// Listens on the address.
///
/// # Errors
/// When it is none, or somebody else listens there.
pub(crate) async fn bind(address: &str) -> Result<TcpListener, TelemetryError> {
    let listening = TcpListener::bind(address).await;
    listening.map_err(|cause| TelemetryError::Listen { address: address.to_owned(), cause })
}

/// Answers until the task is dropped.
pub(crate) async fn serve(listener: TcpListener, site: Site) {
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_page))
        .with_state(site);
    connections::serve(listener, router, Limits::default()).await;
}

async fn healthz(Shared(site): Shared<Site>) -> Response {
    answer(health(&site.states(), site.draining.is_cancelled()))
}

async fn readyz(Shared(site): Shared<Site>) -> Response {
    site.refresh().await;
    answer(readiness(&site.states(), site.draining.is_cancelled()))
}

async fn metrics_page(Shared(site): Shared<Site>) -> Response {
    site.refresh().await;
    match metrics::page(site.program, &site.parts) {
        Ok(page) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], page).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn answer(report: Report) -> Response {
    let status = if report.ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report)).into_response()
}

impl Site {
    async fn refresh(&self) {
        // A drain may have cut the ways to the backend, and what is asked then is not whether they work.
        if !self.draining.is_cancelled() {
            for part in &*self.parts {
                part.refresh().await;
            }
        }
    }

    fn states(&self) -> Vec<State> {
        self.parts.iter().flat_map(|part| part.states()).collect()
    }
}
