//! A program that serves until it is told to stop: what each of them begins with and ends with.

use std::future::Future;
use std::sync::Arc;

use anyhow::Context as _;
use services::config::{Config, TelemetryConfig};
use services::descriptors::{self, Roles};
use services::stop::DRAIN;
use services::{PortError, Ports};
use tokio_util::sync::CancellationToken;

use crate::error::TelemetryError;
use crate::part::Part;
use crate::service::Telemetry;
use crate::stop::{drain_on_signal, drained};

/// A service of a configuration, in one process.
#[derive(Debug)]
pub struct Service {
    name: &'static str,
    telemetry: TelemetryConfig,
    shutdown: CancellationToken,
}

impl Service {
    /// Begins a service in these roles, before anything is opened for it.
    ///
    /// # Errors
    /// When the process may not have as many files open as it needs.
    pub fn begin(name: &'static str, config: &Config, roles: Roles) -> Result<Self, PortError> {
        descriptors::check(config, roles)?;
        let shutdown = CancellationToken::new();
        Ok(Self { name, telemetry: config.telemetry.clone(), shutdown })
    }

    /// Has the first SIGINT or SIGTERM stop it, and the second end the process.
    ///
    /// # Errors
    /// When the system does not let signals be listened for.
    pub fn on_signals(self) -> anyhow::Result<Self> {
        drain_on_signal(self.shutdown.clone()).context("listen for signals")?;
        Ok(self)
    }

    /// A token that stops it when it is cancelled.
    pub fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// Starts telling how its parts are.
    ///
    /// # Errors
    /// As [`Telemetry::start`].
    pub async fn telemetry(
        &self,
        ports: &Ports,
        parts: Vec<Arc<dyn Part>>,
    ) -> Result<Telemetry, TelemetryError> {
        Telemetry::start(self.name, &self.telemetry, ports, parts, self.shutdown()).await
    }

    /// Does its work, and tells how its parts are meanwhile; after a stop, for no longer than [`DRAIN`].
    ///
    /// # Errors
    /// Those of telemetry and of the work, or that it did not end in time.
    pub async fn run(
        self,
        ports: &Ports,
        parts: Vec<Arc<dyn Part>>,
        work: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<()> {
        let telemetry = self.telemetry(ports, parts).await?;
        let ended = drained(self.name, work, &self.shutdown, DRAIN).await;
        telemetry.finish().await;
        ended?
    }
}
