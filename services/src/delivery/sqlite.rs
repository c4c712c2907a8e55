//! The embedded delivery stream: rows are accepted into a durable SQLite buffer, which a [`Filer`] moves on to
//! Parquet files.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use super::buffer;
use super::filing::{Filer, FilingPolicy};
use super::{DeliveryStream, check_batch, untouched};
use crate::clock::Clock;
use crate::error::PortError;
use crate::message::DetectionRow;
use crate::sqlite::Database;

/// How the embedded delivery stream behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryOptions {
    /// Most bytes of rows, as JSON, that wait to be filed; beyond it rows are refused as `Full`.
    pub max_buffered_bytes: u64,
    /// When rows become a file.
    pub filing: FilingPolicy,
}

impl Default for DeliveryOptions {
    fn default() -> Self {
        Self { max_buffered_bytes: 1_024 * 1_024 * 1_024, filing: FilingPolicy::default() }
    }
}

/// A delivery stream into the table of one folder; any number of processes may deliver to it.
#[derive(Clone, Debug)]
pub struct BufferedDelivery {
    database: Arc<Database>,
    max_buffered_bytes: u64,
    clock: Clock,
}

impl BufferedDelivery {
    /// Opens the delivery stream into the table in the folder `table`, making both if need be. Blocks.
    ///
    /// # Errors
    /// When the folder is not writable, or the buffer is damaged or something else.
    pub fn open(table: &Path, max_buffered_bytes: u64, clock: Clock) -> Result<Self, PortError> {
        let database = untouched::open(table)?;
        Ok(Self { database: Arc::new(database), max_buffered_bytes, clock })
    }

    /// Opens the delivery stream and the filer of its rows. Blocks.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with_filer(
        table: &Path,
        options: &DeliveryOptions,
        clock: &Clock,
    ) -> Result<(Self, Filer), PortError> {
        let delivery = Self::open(table, options.max_buffered_bytes, clock.clone())?;
        Ok((delivery, Filer::open(table, options.filing.clone(), clock.clone())?))
    }
}

#[async_trait]
impl DeliveryStream for BufferedDelivery {
    async fn put(&self, rows: &[DetectionRow]) -> Result<Vec<Result<(), PortError>>, PortError> {
        let records = check_batch(rows)?;
        let (bodies, outcomes) = split(records);
        let (max_bytes, now) = (self.max_buffered_bytes, self.clock.now());
        self.database
            .run(move |database| buffer::insert(database, &bodies, now, max_bytes))
            .await?;
        Ok(outcomes)
    }
}

/// Parts the records that are accepted from the outcomes of all.
fn split(records: Vec<Result<String, PortError>>) -> (Vec<String>, Vec<Result<(), PortError>>) {
    let mut bodies = Vec::with_capacity(records.len());
    let outcomes = records.into_iter().map(|record| record.map(|body| bodies.push(body))).collect();
    (bodies, outcomes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::clock::MadeUpClock;
    use crate::config::Overrides;
    use crate::delivery::MAX_BATCH_BYTES;
    use crate::delivery::contract::Delivered;
    use crate::delivery::tests::{frame_ids, row};
    use crate::error::ErrorKind;
    use crate::time::CaptureTime;

    struct InFolder {
        table: tempfile::TempDir,
        stream: BufferedDelivery,
    }

    #[async_trait]
    impl Delivered for InFolder {
        fn stream(&self) -> &dyn DeliveryStream {
            &self.stream
        }

        async fn frame_ids(&self) -> Vec<String> {
            frame_ids(self.table.path())
        }
    }

    fn open(max_buffered_bytes: u64) -> InFolder {
        let table = tempfile::tempdir().unwrap();
        let stream =
            BufferedDelivery::open(table.path(), max_buffered_bytes, Clock::system()).unwrap();
        InFolder { table, stream }
    }

    crate::delivery_contract!(|| open(u64::MAX));

    #[tokio::test]
    async fn a_full_buffer_refuses_rows_until_some_are_filed() {
        let folder = open(700);
        folder.stream.put(&[row("gate", 0, 0)]).await.unwrap();
        let error = folder.stream.put(&[row("gate", 1, 0)]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Full, "{error}");
        assert!(error.is_retryable());

        let policy = FilingPolicy::default();
        let filer = Filer::open(folder.table.path(), policy, Clock::system()).unwrap();
        assert_eq!(filer.file_due().await.unwrap().files, 0, "the row is young");
        assert_eq!(filer.file_all().await.unwrap().files, 1);
        folder.stream.put(&[row("gate", 1, 0)]).await.unwrap();
        assert_eq!(frame_ids(folder.table.path()).len(), 2);
    }

    /// With a file due at 8 MiB whatever the bound, nothing was filed before `max_age`.
    #[tokio::test]
    async fn the_least_buffer_takes_the_largest_puts_and_files_them() {
        let text =
            ("delivery.max_bytes = \"8 MiB\"\ndelivery.max_age = \"24h\"", Path::new("m.toml"));
        let config = crate::config::parse(Some(text), &BTreeMap::new(), &Overrides::default());
        let options = config.unwrap().embedded_options().delivery;
        let table = tempfile::tempdir().unwrap();
        let clock = MadeUpClock::at(CaptureTime(1_795_262_000_000_000));
        let (stream, filer) =
            BufferedDelivery::open_with_filer(table.path(), &options, &clock.clock()).unwrap();
        let largest = MAX_BATCH_BYTES / 5 - 1_000;
        let mut files = 0;
        for put in 0..8 {
            // Every other one is smaller, so that hours leave rows behind that fill no file.
            let extra = Some("x".repeat(if put % 2 == 0 { largest } else { largest / 2 }));
            let rows: Vec<_> = (0..5)
                .map(|place| DetectionRow { extra: extra.clone(), ..row("gate", put, place) })
                .collect();
            assert!(stream.put(&rows).await.unwrap().iter().all(Result::is_ok));
            files += filer.file_due().await.unwrap().files;
            clock.advance(Duration::from_secs(3_600));
        }
        assert!(files > 0);
        assert_eq!(frame_ids(table.path()).len(), 8 * 5);
    }

    #[test]
    fn a_table_that_was_never_delivered_to_is_not_found() {
        let table = tempfile::tempdir().unwrap();
        let error = crate::delivery::snapshot(&buffer::buffer_path(table.path())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}
