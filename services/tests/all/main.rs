//! The messages' text, and the embedded queue against a model and against killed processes.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "what helps a test may do as a test does"
)]

mod messages;
mod queue_model;
mod queue_processes;
