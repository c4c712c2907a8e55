//! What the end-to-end tests share: the programs as processes, a folder to run them in, and waiting with a deadline.
//!
//! The tests drive the programs as a user does: by configuration file, command line, signals and SQL.

mod process;
mod site;
mod wait;

pub use process::{Program, program};
pub use site::{Site, shared_media, shared_tool, skipped};
pub use wait::eventually;
