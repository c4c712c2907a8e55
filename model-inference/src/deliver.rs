//! Rows to the delivery stream: `Ok` only when every row was accepted; what failed is sent again, and that alone.

use std::time::Duration;

use services::delivery::{DeliveryStream, MAX_BATCH_BYTES, MAX_BATCH_RECORDS};
use services::retry::{Backoff, WaitsFor};
use services::{DetectionRow, ErrorKind, PortError};

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
        let mut progress = match outcomes.len() {
            came if came < sent => Progress::Again(missing(sent - came)),
            _ => Progress::Accepted,
        };
        let mut outcomes = outcomes.into_iter().take(sent);
        let mut errors = Vec::new();
        self.rows.retain(|_| match outcomes.next() {
            Some(outcome) => outcome.map_err(|error| errors.push(error)).is_err(),
            None => true,
        });
        for error in errors {
            progress = worse(progress, error);
        }
        progress
    }
}

fn missing(rows: usize) -> PortError {
    let cause = format!("{} got no outcome", services::counted(rows, "row"));
    PortError::because(ErrorKind::Unavailable, "deliver rows", cause)
}

fn worse(progress: Progress, error: PortError) -> Progress {
    match progress {
        Progress::Refused(first) => Progress::Refused(first),
        _ => asked(error),
    }
}

/// Denied and missing are somebody's mistake that somebody will mend (credentials expire): rows wait for it.
fn asked(error: PortError) -> Progress {
    if WaitsFor::Resource.covers(&error) {
        Progress::Again(error)
    } else {
        Progress::Refused(error)
    }
}

/// Delivers rows, waiting and trying again for as long as the stream is away, full or denied; `on_trouble` hears of it.
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
            Err(error) => asked(error),
        };
        match progress {
            Progress::Accepted => backoff.reset(),
            Progress::Again(error) => {
                on_trouble(&error);
                backoff.pause().await;
            }
            Progress::Refused(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::tests::row;

    fn outstanding(rows: u64) -> Outstanding {
        Outstanding { rows: (0..rows).map(row).collect() }
    }

    fn seqs(outstanding: &Outstanding) -> Vec<u64> {
        outstanding.rows.iter().map(|row| row.stamp.seq.0).collect()
    }

    fn error(kind: ErrorKind) -> Result<(), PortError> {
        Err(PortError::because(kind, "deliver rows", "no"))
    }

    #[test]
    fn a_call_takes_no_more_rows_and_bytes_than_the_stream_does() {
        assert_eq!(outstanding(1_200).next().len(), MAX_BATCH_RECORDS);
        let mut long = outstanding(5);
        let megabyte = "x".repeat(1 << 20);
        long.rows.iter_mut().for_each(|row| row.extra = Some(megabyte.clone()));
        assert_eq!(long.next().len(), 3, "three and their keys are under 4 MiB, four are not");
    }

    #[test]
    fn what_was_not_accepted_stays() {
        let mut rows = outstanding(5);
        let outcomes = vec![Ok(()), error(ErrorKind::Unavailable), Ok(())];
        assert!(matches!(rows.settle(3, outcomes), Progress::Again(_)));
        assert_eq!(seqs(&rows), [1, 3, 4]);
    }

    #[test]
    fn a_row_without_an_outcome_was_not_accepted() {
        let mut rows = outstanding(3);
        assert!(matches!(rows.settle(3, vec![Ok(())]), Progress::Again(_)));
        assert_eq!(seqs(&rows), [1, 2]);
    }

    #[test]
    fn rows_wait_for_permission_and_not_for_what_will_never_be() {
        for (kind, waits) in [
            (ErrorKind::Denied, true),
            (ErrorKind::NotFound, true),
            (ErrorKind::Full, true),
            (ErrorKind::Invalid, false),
            (ErrorKind::Corrupt, false),
        ] {
            let progress = outstanding(1).settle(1, vec![error(kind)]);
            assert_eq!(matches!(progress, Progress::Again(_)), waits, "{kind:?}");
        }
    }

    #[test]
    fn a_refusal_counts_more_than_a_delay() {
        let mut rows = outstanding(3);
        let outcomes = vec![error(ErrorKind::Invalid), error(ErrorKind::Unavailable), Ok(())];
        assert!(matches!(rows.settle(3, outcomes), Progress::Refused(_)));
        assert_eq!(seqs(&rows), [0, 1]);
    }
}
