//! The crate from outside: whole models on real pictures, and workers between a real store and a real queue.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "what helps a test may do as a test does"
)]

mod faults;
mod fickle;
mod fresh;
mod heads;
mod loading;
mod overlap;
mod pictures;
mod replicas;
mod support;
mod worker;
