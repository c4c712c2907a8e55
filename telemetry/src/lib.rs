//! What a process tells of itself: logs, health, metrics and traces; and how it ends.
//!
//! The parts of a program tell how they are and count what they do behind [`Part`]; [`Telemetry`] serves that under
//! `/healthz`, `/readyz` and `/metrics`, asking the parts when it is asked. [`trace`] follows a bundle of frames from
//! process to process, [`logging`] writes events, [`stop`] turns signals into a drain that has a bound;
//! [`program`] puts a program around its work.

mod backlog;
mod connections;
mod error;
mod feed;
mod health;
mod http;
pub mod logging;
pub mod metrics;
mod part;
pub mod program;
mod service;
pub mod stop;
pub mod trace;

pub use error::TelemetryError;
pub use health::{State, Verdict};
pub use part::Part;
pub use service::Telemetry;
