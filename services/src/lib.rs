//! What the receiver and the workers share, and nothing else: identities, time, messages, the four ports with
//! their embedded adapters, and the configuration file.
//!
//! Invariant: this crate knows no codec, no protocol of a camera, no model, no SQL engine and no cloud.

pub mod account;
pub mod allocator;
pub mod backend;
pub mod clock;
pub mod config;
mod counted;
pub mod data_folder;
pub mod delivery;
pub mod descriptors;
mod durable;
pub mod error;
pub mod feed;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod id;
mod keep;
pub mod message;
pub mod object_store;
pub mod price;
pub mod queue;
pub mod result;
pub mod retry;
pub mod sqlite;
mod stamp;
pub mod stop;
pub mod time;

pub use account::Account;
pub use backend::{EmbeddedOptions, OpenBackend, Ports, WorkQueue, open_embedded};
pub use clock::{Clock, MadeUpClock};
pub use counted::counted;
pub use data_folder::DataFolder;
pub use error::{ErrorKind, PortError};
pub use id::{Epoch, FrameId, ModelName, Seq, StreamId};
pub use keep::Keep;
pub use message::{DetectionRow, FrameBatch, FrameEntry, FrameFormat, Payload, Status};
pub use result::{Detection, FrameResult, Region};
pub use stamp::Stamp;
pub use time::{CaptureClock, CaptureTime, MediaTime};
