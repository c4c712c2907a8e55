//! The server from the outside: real clients, real sockets on loopback.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests: clippy allows both in test functions only, not in their helpers"
)]

mod client;
mod control;
mod faults;
mod playing;
mod programs;
