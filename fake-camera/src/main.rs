//! `fake-camera`: serves looped files and a synthetic scene as RTSP cameras, with faults on demand.

mod flags;

use std::io::{self, Write};

use anyhow::{Context, Result};
use clap::Parser;
use fake_camera::FakeCamera;
use tracing_subscriber::EnvFilter;

use crate::flags::Flags;

#[tokio::main]
async fn main() -> Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
    let config = Flags::parse().config()?;
    let camera = FakeCamera::start(config).await?;
    announce(&camera).context("write to standard output")?;
    tokio::signal::ctrl_c().await.context("wait for a signal")?;
    camera.stop().await;
    Ok(())
}

/// Prints one line per camera, for people and for scripts that wait for it.
fn announce(camera: &FakeCamera) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for status in camera.status() {
        writeln!(out, "ready {}", status.url)?;
    }
    if let Some(addr) = camera.control_addr() {
        writeln!(out, "control http://{addr}/cameras")?;
    }
    out.flush()
}
