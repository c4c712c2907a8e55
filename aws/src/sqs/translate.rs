//! The port's words ↔ those of SQS, without any I/O.

use std::time::Duration;

use aws_sdk_sqs::types::{BatchResultErrorEntry, Message, MessageSystemAttributeName};
use serde::Deserialize;
use services::queue::{Outcome, Receipt, Received};
use services::{ErrorKind, PortError};
use sha2::{Digest as _, Sha256};

use crate::error::kind_of;

/// Longest wait of one poll
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html>).
const MAX_POLL_SECONDS: u64 = 20;
/// Longest lease
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html>).
const MAX_LEASE_SECONDS: u64 = 12 * 60 * 60;
/// Whole seconds to wait in the next poll: 20 at most, 0 when half a second or less is left.
pub(super) fn poll_seconds(left: Duration) -> i32 {
    let seconds = Duration::from_millis(499).saturating_add(left).as_secs();
    i32::try_from(seconds.min(MAX_POLL_SECONDS)).unwrap_or(i32::MAX)
}

/// Whole seconds of a lease, at least as long as it was asked for.
///
/// # Errors
/// [`ErrorKind::Invalid`] when it is longer than SQS grants.
pub(super) fn lease_seconds(lease: Duration) -> Result<i32, PortError> {
    let seconds = lease.as_secs().saturating_add(u64::from(lease.subsec_nanos() > 0));
    i32::try_from(seconds).ok().filter(|_| seconds <= MAX_LEASE_SECONDS).ok_or_else(|| {
        let cause = format!("{seconds} s, at most {MAX_LEASE_SECONDS} s are allowed");
        PortError::because(ErrorKind::Invalid, "check lease", cause)
    })
}

/// A batch entry's id, by its place.
pub(super) fn entry_id(place: usize) -> String {
    place.to_string()
}

/// The outcome of each of `count` entries, whatever the order in which the answer tells them.
pub(super) fn outcomes<'a>(
    attempt: &str,
    count: usize,
    succeeded: impl Iterator<Item = &'a str>,
    failed: &[BatchResultErrorEntry],
) -> Vec<Outcome> {
    let mut outcomes: Vec<Outcome> = (0..count).map(|_| Err(untold(attempt))).collect();
    let place = |id: &str| id.parse::<usize>().ok().filter(|place| *place < count);
    succeeded.filter_map(place).for_each(|place| outcomes[place] = Ok(()));
    for entry in failed {
        if let Some(place) = place(entry.id()) {
            outcomes[place] = Err(refused(attempt, entry));
        }
    }
    outcomes
}

fn untold(attempt: &str) -> PortError {
    PortError::because(
        ErrorKind::Unavailable,
        attempt,
        "the answer does not tell what became of it",
    )
}

fn refused(attempt: &str, entry: &BatchResultErrorEntry) -> PortError {
    let (code, status) = (entry.code(), if entry.sender_fault() { 400 } else { 500 });
    let words = match entry.message() {
        Some(message) => format!("{code}: {message}"),
        None => code.to_owned(),
    };
    PortError::because(kind_of(code, status), attempt, words)
}

/// The same failure of a call that names a lease: there, a wrong parameter is a receipt whose lease has ended
/// (<https://repost.aws/knowledge-center/sqs-receipt-handle-error>).
pub(super) fn of_lease(outcome: Outcome) -> Outcome {
    outcome.map_err(|error| match error.kind() {
        ErrorKind::Invalid => {
            let words = error.to_string();
            PortError::because(ErrorKind::NotFound, "find lease", words)
        }
        _ => error,
    })
}

/// The group of a message in a FIFO queue: its stream. A message that names none waits for no other.
pub(super) fn group(body: &str) -> String {
    #[derive(Deserialize)]
    struct Head {
        stream: String,
    }
    let is_allowed = |c: char| c.is_ascii_graphic();
    let stream = serde_json::from_str(body).map(|head: Head| head.stream).unwrap_or_default();
    let fits = (1..=128).contains(&stream.len()) && stream.chars().all(is_allowed);
    if fits { stream } else { deduplication_id(&[body]) }
}

/// The id by which a FIFO queue knows a message that is sent again after an unclear answer.
pub(super) fn deduplication_id(parts: &[&str]) -> String {
    let mut digest = Sha256::new();
    parts.iter().for_each(|part| digest.update(part.as_bytes()));
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A received message with its id; `None` when it has no receipt, so that nobody could answer it.
pub(super) fn received(message: Message) -> Option<(String, Received)> {
    let receives = number(&message, &MessageSystemAttributeName::ApproximateReceiveCount);
    let receipt = Receipt(message.receipt_handle?);
    let id = message.message_id.unwrap_or_else(|| receipt.0.clone());
    let body = message.body.unwrap_or_default();
    Some((id, Received { receipt, body, receives: receives.unwrap_or(1) }))
}

/// When a message was sent, by the clock of SQS.
///
/// # Units
/// UTC milliseconds.
pub(crate) fn sent_at(message: &Message) -> Option<i64> {
    number(message, &MessageSystemAttributeName::SentTimestamp)
}

fn number<T: std::str::FromStr>(message: &Message, name: &MessageSystemAttributeName) -> Option<T> {
    message.attributes()?.get(name)?.parse().ok()
}

/// Where a queue's messages go that were received too often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Redrive {
    pub(super) account: String,
    pub(super) name: String,
    pub(super) max_receives: u32,
}

impl Redrive {
    /// Reads a `RedrivePolicy`; `None` when it is none.
    pub(super) fn parse(policy: &str) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Policy {
            dead_letter_target_arn: String,
            max_receive_count: serde_json::Value,
        }
        let policy: Policy = serde_json::from_str(policy).ok()?;
        // AWS writes a number, and gives back a text where somebody wrote one.
        let count = policy.max_receive_count;
        let max_receives = match count.as_str() {
            Some(text) => text.parse().ok()?,
            None => u32::try_from(count.as_u64()?).ok()?,
        };
        let mut arn = policy.dead_letter_target_arn.splitn(6, ':').skip(4).map(str::to_owned);
        Some(Self { account: arn.next()?, name: arn.next()?, max_receives })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(id: &str, code: &str, sender_fault: bool) -> BatchResultErrorEntry {
        let entry = BatchResultErrorEntry::builder().id(id).code(code).sender_fault(sender_fault);
        entry.build().unwrap()
    }

    fn kinds(outcomes: &[Outcome]) -> Vec<Option<ErrorKind>> {
        outcomes.iter().map(|outcome| outcome.as_ref().err().map(PortError::kind)).collect()
    }

    #[test]
    fn a_poll_waits_whole_seconds_and_twenty_at_most() {
        let millis = [0, 200, 500, 501, 1_000, 1_499, 1_600, 19_800, 60_000];
        let polls: Vec<_> =
            millis.into_iter().map(|wait| poll_seconds(Duration::from_millis(wait))).collect();
        assert_eq!(polls, [0, 0, 0, 1, 1, 1, 2, 20, 20]);
    }

    #[test]
    fn a_lease_is_rounded_up_and_twelve_hours_at_most() {
        assert_eq!(lease_seconds(Duration::from_millis(1)).unwrap(), 1);
        assert_eq!(lease_seconds(Duration::from_secs(30)).unwrap(), 30);
        assert_eq!(lease_seconds(Duration::from_secs(43_200)).unwrap(), 43_200);
        let error = lease_seconds(Duration::from_millis(43_200_001)).unwrap_err();
        assert_eq!(error.to_string(), "check lease: 43201 s, at most 43200 s are allowed");
    }

    #[test]
    fn each_entry_finds_its_outcome_whatever_the_order() {
        let failures = [
            failed("3", "InternalError", false),
            failed("1", "InvalidMessageContents", true),
            failed("7", "InternalError", false),
        ];
        let outcomes = outcomes("send", 5, ["4", "0", "no number"].into_iter(), &failures);
        let (invalid, away) = (Some(ErrorKind::Invalid), Some(ErrorKind::Unavailable));
        assert_eq!(kinds(&outcomes), [None, invalid, away, away, None]);
        let untold = outcomes[2].as_ref().unwrap_err().to_string();
        assert_eq!(untold, "send: the answer does not tell what became of it");
    }

    #[test]
    fn an_entry_that_is_throttled_is_worth_another_try_whoever_is_blamed() {
        let outcomes =
            outcomes("send", 1, [].into_iter(), &[failed("0", "RequestThrottled", true)]);
        assert_eq!(kinds(&outcomes), [Some(ErrorKind::Unavailable)]);
    }

    #[test]
    fn the_group_is_the_stream_where_there_is_one() {
        assert_eq!(group(r#"{"v":1,"stream":"gate","frames":[]}"#), "gate");
        for body in ["not JSON", r#"{"stream":""}"#, r#"{"stream":"two words"}"#] {
            assert_eq!(group(body), deduplication_id(&[body]));
        }
    }

    #[test]
    fn a_redrive_policy_is_read_with_its_count_as_number_or_text() {
        let expected =
            Redrive { account: "000000000000".into(), name: "q-dead".into(), max_receives: 5 };
        for count in ["5", "\"5\""] {
            let policy = format!(
                r#"{{"deadLetterTargetArn":"arn:aws:sqs:eu-north-1:000000000000:q-dead","maxReceiveCount":{count}}}"#
            );
            assert_eq!(Redrive::parse(&policy), Some(expected.clone()));
        }
        assert_eq!(Redrive::parse("{}"), None);
    }
}
