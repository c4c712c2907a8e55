//! Objects in an S3 bucket.
//!
//! S3's own promises are the contract's: a put is whole or not there, and every read after it sees it
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/Welcome.html#ConsistencyModel>). The SDK checks what it
//! reads and sends by CRC32. What S3 does otherwise is mended here: a range past the end of an object is cut short
//! by S3, and refused here.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::Object;
use aws_sdk_s3::{Client, Config};
use bytes::Bytes;
use services::object_store::{Bucket, ObjectMeta, ObjectStore, check_key};
use services::{ErrorKind, PortError};

use crate::error::{chain, port_error, words};
use crate::timeouts_to_send;

/// Most keys of one page (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html>).
const MAX_PAGE_KEYS: usize = 1_000;

/// Objects in a bucket.
#[derive(Clone)]
pub struct S3Store {
    client: Client,
    bucket: String,
}

impl S3Store {
    /// Opens the store in a bucket that is there, in the client's region, and may be listed: who may not list it is
    /// told of every missing object that access is denied
    /// (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html>).
    ///
    /// # Errors
    /// When it is not, with S3's own words: the answer to a listing has some, that to `HeadBucket` has none.
    pub async fn open(client: Client, bucket: &str) -> Result<Self, PortError> {
        client.list_objects_v2().bucket(bucket).max_keys(1).send().await.map_err(|error| {
            port_error(format!("open bucket {bucket:?}"), "s3:ListObjectsV2", &error)
        })?;
        Ok(Self { client, bucket: bucket.to_owned() })
    }

    /// The store under the name that messages know it by.
    pub fn into_bucket(self) -> Bucket {
        let (name, uri) = (self.bucket.clone(), format!("s3://{}", self.bucket));
        Bucket { name, uri, store: Arc::new(self) }
    }

    fn attempt(&self, verb: &str, key: &str) -> String {
        format!("{verb} object {key:?} in bucket {:?}", self.bucket)
    }

    /// The error of a call about one object.
    fn failed<E>(
        &self,
        verb: &str,
        key: &str,
        call: &str,
    ) -> impl FnOnce(SdkError<E, HttpResponse>) -> PortError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let (attempt, call) = (self.attempt(verb, key), call.to_owned());
        move |error| match error.code() {
            // Nothing is known of the object: it may well be there when somebody has mended this.
            Some("NoSuchBucket") => {
                PortError::because(ErrorKind::Unavailable, attempt, words(&call, &error))
            }
            _ => port_error(attempt, &call, &error),
        }
    }

    async fn get_whole(&self, key: &str) -> Result<Bytes, PortError> {
        let call = self.client.get_object().bucket(&self.bucket).key(key).send();
        let found = call.await.map_err(self.failed("get", key, "s3:GetObject"))?;
        self.read(key, found.body).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, PortError> {
        let asked = format!("bytes={}-{}", range.start, range.end - 1);
        let call = self.client.get_object().bucket(&self.bucket).key(key).range(asked).send();
        let found = call.await.map_err(self.failed("get", key, "s3:GetObject"))?;
        let len = found.content_length.and_then(|len| u64::try_from(len).ok());
        if len != Some(range.end - range.start) {
            let part = found.content_range.unwrap_or_else(|| "the whole object".to_owned());
            return Err(self.wrong_range(key, &range, &format!("answered with {part}")));
        }
        self.read(key, found.body).await
    }

    /// Of an object that reaches so far, the bytes in a range that has none: S3 has no words for such a range.
    async fn get_nothing(&self, key: &str, range: Range<u64>) -> Result<Bytes, PortError> {
        let size = self.head(key).await?.size;
        if range.end > size {
            return Err(self.wrong_range(key, &range, &format!("of an object of {size}")));
        }
        Ok(Bytes::new())
    }

    fn wrong_range(&self, key: &str, range: &Range<u64>, found: &str) -> PortError {
        let cause = format!("s3:GetObject: bytes {range:?}: {found}");
        PortError::because(ErrorKind::Invalid, self.attempt("get", key), cause)
    }

    async fn read(&self, key: &str, body: ByteStream) -> Result<Bytes, PortError> {
        let read = body.collect().await.map_err(|error| {
            let cause = format!("s3:GetObject: {}", chain(&error));
            PortError::because(ErrorKind::Unavailable, self.attempt("get", key), cause)
        })?;
        Ok(read.into_bytes())
    }

    async fn page(
        &self,
        prefix: &str,
        after: Option<&str>,
        token: Option<String>,
        keys: usize,
    ) -> Result<ListObjectsV2Output, PortError> {
        let keys = i32::try_from(keys.min(MAX_PAGE_KEYS)).expect("a page's keys are few");
        let call = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix);
        let call = call.set_start_after(after.map(str::to_owned)).set_continuation_token(token);
        call.max_keys(keys).send().await.map_err(|error| {
            let attempt = format!("list objects {prefix:?} in bucket {:?}", self.bucket);
            port_error(attempt, "s3:ListObjectsV2", &error)
        })
    }
}

impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Store").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

#[async_trait]
impl ObjectStore for S3Store {
    async fn put(&self, key: &str, body: Bytes) -> Result<(), PortError> {
        check_key(key)?;
        let timeouts = timeouts_to_send(self.client.config().timeout_config(), body.len());
        let patience = Config::builder().timeout_config(timeouts);
        let call = self.client.put_object().bucket(&self.bucket).key(key).body(body.into());
        let call = call.customize().config_override(patience).send();
        call.await.map_err(self.failed("put", key, "s3:PutObject"))?;
        Ok(())
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Bytes, PortError> {
        check_key(key)?;
        match range {
            None => self.get_whole(key).await,
            Some(range) if range.start < range.end => self.get_range(key, range).await,
            Some(range) if range.start == range.end => self.get_nothing(key, range).await,
            Some(range) => Err(self.wrong_range(key, &range, "it ends before it starts")),
        }
    }

    async fn head(&self, key: &str) -> Result<ObjectMeta, PortError> {
        check_key(key)?;
        let call = self.client.head_object().bucket(&self.bucket).key(key).send();
        let found = call.await.map_err(self.failed("look at", key, "s3:HeadObject"))?;
        Ok(ObjectMeta { key: key.to_owned(), size: size(found.content_length) })
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ObjectMeta>, PortError> {
        let mut found: Vec<ObjectMeta> = Vec::new();
        let mut token = None;
        while found.len() < limit {
            let page = self.page(prefix, after, token, limit - found.len()).await?;
            token = page.next_continuation_token;
            found.extend(page.contents.unwrap_or_default().into_iter().filter_map(meta));
            if token.is_none() {
                break;
            }
        }
        Ok(found)
    }

    async fn delete(&self, key: &str) -> Result<(), PortError> {
        check_key(key)?;
        let call = self.client.delete_object().bucket(&self.bucket).key(key).send();
        call.await.map_err(self.failed("delete", key, "s3:DeleteObject"))?;
        Ok(())
    }
}

/// An object of a listing, unless its key is none of ours, such as a folder that the console made.
fn meta(object: Object) -> Option<ObjectMeta> {
    let key = object.key.filter(|key| check_key(key).is_ok())?;
    Some(ObjectMeta { key, size: size(object.size) })
}

fn size(told: Option<i64>) -> u64 {
    told.and_then(|size| u64::try_from(size).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
