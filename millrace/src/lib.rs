//! Millrace as a library: the whole of it in one process, and what the commands of the binary are made of.
//!
//! [`Millrace::start`] takes a configuration and runs receiver, workers, store, queues and table in this
//! process; [`audit`] proves from what is on disk that nothing was lost; [`cost`] tells what the same costs on AWS.

pub mod audit;
pub mod cost;
pub mod pace;
mod process;
pub mod status;
pub mod supervise;

pub use process::Millrace;
