//! What the end-to-end tests share: the programs as processes, a folder to run them in, a proxy before AWS's
//! endpoint, and waiting with a deadline.
//!
//! The tests drive the programs as a user does: by configuration file, command line, signals and SQL.

pub mod aws;
mod backend;
mod process;
mod proxy;
mod site;
mod store;
mod wait;

pub use backend::Backend;
pub use process::{Program, program};
pub use proxy::{Proxy, Seen};
pub use site::{Site, is_left_out, shared_media, shared_tool, skipped};
pub use store::Store;
pub use wait::eventually;
