//! Access units in, durable frame batches out: cameras, files and the scene, sampled for each model, bundled,
//! stored and handed to the queues.
//!
//! Data flows `source` → `stage` (`sample`, `decode`, `bundle`) → `store`. Each stream has its own connection, thread,
//! spool and shippers, so that one bad camera delays no other.

mod bundle;
mod decode;
mod feed;
mod inbox;
mod own_thread;
mod pipeline;
mod probe;
mod report;
mod retention;
mod retry;
pub mod sample;
pub mod source;
mod stage;
pub mod status;
pub mod store;
mod stream;

pub use pipeline::run;
pub use probe::{ProbeReport, probe};
pub use retention::Retention;
pub use source::check_source;
pub use status::{StatusBoard, StreamState, StreamStatus};
