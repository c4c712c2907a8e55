//! Rows to the delivery stream: `Ok` only when every row was accepted; what failed is sent again, and that alone.

use std::time::Duration;

use services::delivery::{DeliveryStream, MAX_BATCH_BYTES, MAX_BATCH_RECORDS};
use services::{DetectionRow, PortError};

use crate::backoff::Backoff;

/// The rows of a batch that were not accepted yet.
#[derive(Debug)]
struct Outstanding {
    rows: Vec<DetectionRow>,
}

/// What a call to the delivery stream brought.
#[derive(Debug)]
enum Progress {
    /// All that was sent is accepted.
    Accepted,
    /// Some of it was not, but may be later.
    Again(PortError),
    /// Some of it never will be.
    Refused(PortError),
}

impl Outstanding {
    /// As many rows as one call takes.
    fn next(&self) -> &[DetectionRow] {
        let mut bytes = 0;
        let fits = |row: &&DetectionRow| {
            bytes += serde_json::to_string(row).map_or(0, |record| record.len());
            bytes <= MAX_BATCH_BYTES
        };
        let count = self.rows.iter().take(MAX_BATCH_RECORDS).take_while(fits).count();
        &self.rows[..count.max(1).min(self.rows.len())]
    }

    /// Drops the rows that were accepted, of the `sent` first ones. A row without an outcome was not.
    fn settle(&mut self, sent: usize, outcomes: Vec<Result<(), PortError>>) -> Progress {
        let mut outcomes = outcomes.into_iter().map(Some).chain(std::iter::repeat_with(|| None));
        let mut progress = Progress::Accepted;
        let mut position = 0;
        self.rows.retain(|_| {
            position += 1;
            let outcome = if position <= sent { outcomes.next().flatten() } else { None };
            match outcome {
                Some(Ok(())) => false,
                Some(Err(error)) => {
                    progress = worse(std::mem::replace(&mut progress, Progress::Accepted), error);
                    true
                }
                None => true,
            }
        });
        progress
    }
}

fn worse(progress: Progress, error: PortError) -> Progress {
    match progress {
        Progress::Refused(first) => Progress::Refused(first),
        _ if error.is_retryable() => Progress::Again(error),
        _ => Progress::Refused(error),
    }
}

/// Delivers rows, waiting and trying again for as long as the stream is away or full; `on_trouble` hears of it.
///
/// # Errors
/// When the stream refuses a row in a way that trying again does not change.
///
/// # Cancel safety
/// Rows may have been accepted: delivering all of them again does no harm.
pub(crate) async fn deliver(
    stream: &dyn DeliveryStream,
    rows: Vec<DetectionRow>,
    on_trouble: impl Fn(&PortError),
) -> Result<(), PortError> {
    let mut outstanding = Outstanding { rows };
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
    while !outstanding.rows.is_empty() {
        let sent = outstanding.next();
        let count = sent.len();
        let progress = match stream.put(sent).await {
            Ok(outcomes) => outstanding.settle(count, outcomes),
            Err(error) if error.is_retryable() => Progress::Again(error),
            Err(error) => Progress::Refused(error),
        };
        match progress {
            Progress::Accepted if outstanding.rows.is_empty() => break,
            Progress::Accepted => backoff.reset(),
            Progress::Again(error) => {
                on_trouble(&error);
                tokio::time::sleep(backoff.next()).await;
            }
            Progress::Refused(error) => return Err(error),
        }
    }
    Ok(())
}
