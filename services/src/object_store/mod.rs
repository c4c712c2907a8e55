//! Port: where frames' bytes lie until somebody asks for them.
//!
//! # Contract
//! * `put` is atomic and durable: after `Ok` every reader sees the whole object, also after a power cut; before
//!   it, or after an error, nobody sees a part. Putting a key again replaces the object: writers make keys from
//!   frame ids, so a second put writes the same bytes.
//! * `get` after `Ok` of `put` gives the bytes put. A range past the end of the object is an error
//!   ([`ErrorKind::Invalid`]), not a short read: a truncated object must not look like a small frame.
//! * `list` gives keys in byte order, a page at a time.
//! * `delete` of what is not there is `Ok`.
//! * Keys follow S3's rules narrowed to what every store takes: see [`check_key`].
//! * Nobody retries inside: the caller decides by [`PortError::is_retryable`].
//!
//! [`ErrorKind::Invalid`]: crate::ErrorKind::Invalid

#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod folder;
mod listing;
pub mod retention;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::{ErrorKind, PortError};

pub use folder::FolderStore;

/// The longest key, in bytes (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html>).
pub const MAX_KEY_BYTES: usize = 1_024;

/// A store of immutable byte strings under keys. The module tells its contract.
#[async_trait]
pub trait ObjectStore: fmt::Debug + Send + Sync {
    /// Stores an object.
    async fn put(&self, key: &str, body: Bytes) -> Result<(), PortError>;

    /// Reads an object, or the bytes `range` of it.
    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Bytes, PortError>;

    /// Tells an object's size.
    async fn head(&self, key: &str) -> Result<ObjectMeta, PortError>;

    /// Lists up to `limit` objects whose keys start with `prefix`, after the key `after`, in byte order.
    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ObjectMeta>, PortError>;

    /// Removes an object; one that is not there is removed already.
    async fn delete(&self, key: &str) -> Result<(), PortError>;
}

/// What is known of an object without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Its key.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
}

/// An object store under the name that messages and rows know it by.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// The name in a message's `payload.object.bucket`.
    pub name: String,
    /// What a row's `object_uri` starts with, without a slash at its end: `s3://name` or `file:///folder`.
    pub uri: String,
    /// The store itself.
    pub store: Arc<dyn ObjectStore>,
}

impl Bucket {
    /// The URI of an object in this bucket.
    pub fn object_uri(&self, key: &str) -> String {
        format!("{}/{key}", self.uri)
    }
}

/// Checks a key against the rules of every store.
///
/// # Errors
/// [`ErrorKind::Invalid`] when it is empty, over [`MAX_KEY_BYTES`], starts or ends with `/`, has an empty, `.` or
/// `..` part, or a character outside `a-z A-Z 0-9 - _ . = /` (a subset of S3's safe characters).
pub fn check_key(key: &str) -> Result<(), PortError> {
    let refuse = |why: String| {
        let shown: String = key.chars().take(120).collect();
        Err(PortError::because(ErrorKind::Invalid, format!("check object key {shown:?}"), why))
    };
    if key.len() > MAX_KEY_BYTES {
        return refuse(format!("{} bytes, at most {MAX_KEY_BYTES} are allowed", key.len()));
    }
    if let Some(found) = key
        .chars()
        .find(|&c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '=' | '/')))
    {
        return refuse(format!("character {found:?} is not allowed"));
    }
    if let Some(part) = key.split('/').find(|part| matches!(*part, "" | "." | "..")) {
        return refuse(format!("part {part:?} is not allowed"));
    }
    Ok(())
}
