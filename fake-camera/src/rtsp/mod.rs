//! RTSP 1.0 (RFC 2326), the server's side: what to answer to each request, without I/O.

mod auth;
mod conversation;
mod sdp;
mod transport;

pub(crate) use conversation::{Conversation, Directory, Effect, Secrets, View, mount_of};
pub(crate) use sdp::StreamFacts;
#[cfg(any(test, fuzzing))]
pub(crate) use sdp::describe;
pub(crate) use transport::Lane;
