//! Faults over HTTP, for this machine only.
//!
//! `GET /cameras`, `POST` and `DELETE /cameras/{mount}/faults`, and `POST` and `DELETE /refuse` for the whole
//! server. A request whose `Host` is not this machine's own is refused, so that no web page can reach it by
//! rebinding a name, and a body must be JSON, so that none can post a form.

#![allow(
    clippy::unused_async,
    reason = "handlers are async, whether they wait for anything or not"
)]

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::error::FaultError;
use crate::fault::Fault;
use crate::server::{CameraStatus, Site};

/// Bytes of a request's body.
const MAX_BODY: usize = 16 * 1_024;

/// Serves until `stop`.
pub(crate) async fn serve(listener: TcpListener, site: Arc<Site>, stop: CancellationToken) {
    let serving = axum::serve(listener, routes(site)).into_future();
    if let Some(Err(error)) = stop.run_until_cancelled(serving).await {
        warn!(%error, "serve control");
    }
}

fn routes(site: Arc<Site>) -> Router {
    Router::new()
        .route("/cameras", get(list))
        .route("/cameras/{mount}/faults", post(set_fault).delete(clear_faults))
        .route("/refuse", post(refuse).delete(accept))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(only_this_machine))
        .with_state(site)
}

async fn only_this_machine(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    if host.is_some_and(is_this_machine) {
        return next.run(request).await;
    }
    let body = Json(json!({ "error": "read host: not this machine's own name" }));
    (StatusCode::FORBIDDEN, body).into_response()
}

fn is_this_machine(host: &str) -> bool {
    let port = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
    let name = port.map_or(host, |(name, _)| name);
    matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

async fn list(State(site): State<Arc<Site>>) -> Json<Vec<CameraStatus>> {
    Json(site.status())
}

async fn set_fault(
    State(site): State<Arc<Site>>,
    Path(mount): Path<String>,
    Json(fault): Json<Fault>,
) -> Result<Json<CameraStatus>, FaultError> {
    let camera = site.camera(&mount)?;
    camera.set_fault(&fault)?;
    Ok(Json(site.status_of(camera)))
}

async fn clear_faults(
    State(site): State<Arc<Site>>,
    Path(mount): Path<String>,
) -> Result<Json<CameraStatus>, FaultError> {
    let camera = site.camera(&mount)?;
    camera.clear_faults();
    Ok(Json(site.status_of(camera)))
}

async fn refuse(State(site): State<Arc<Site>>) -> StatusCode {
    site.open.send_replace(false);
    StatusCode::NO_CONTENT
}

async fn accept(State(site): State<Arc<Site>>) -> StatusCode {
    site.open.send_replace(true);
    StatusCode::NO_CONTENT
}

impl IntoResponse for FaultError {
    fn into_response(self) -> Response {
        let unknown = self.is_unknown_camera();
        let status = if unknown { StatusCode::NOT_FOUND } else { StatusCode::UNPROCESSABLE_ENTITY };
        (status, Json(json!({ "error": self.to_string() }))).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_hosts() {
        for host in ["localhost", "127.0.0.1:8555", "[::1]:8555", "[::1]"] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example:8555", "127.0.0.1:x", "", "10.0.0.1"] {
            assert!(!is_this_machine(host), "{host}");
        }
    }
}
