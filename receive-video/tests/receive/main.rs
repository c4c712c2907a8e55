//! The receiver from source to queue: files, cameras with faults, crashes.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "what helps a test may do as a test does"
)]

mod cameras;
mod crash;
mod encoded;
mod faults;
mod files;
mod groups;
mod gstreamer;
mod hostile;
mod secure;
mod shipping;
mod site;
mod undecodable;
mod unruly;
