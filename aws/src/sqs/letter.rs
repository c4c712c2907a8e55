//! Dead letters ↔ messages of a dead-letter queue: reason, receives and time of death are message attributes.

use std::collections::HashMap;

use aws_sdk_sqs::types::{Message, MessageAttributeValue, MessageSystemAttributeName};
use services::queue::{DeadLetter, LetterId, MAX_MESSAGE_BYTES};
use services::{CaptureTime, counted};

use super::translate::sent_at;

/// Most bytes of a reason: what explains a failure is at its beginning.
const MAX_REASON_BYTES: usize = 4_096;

const REASON: &str = "reason";
const RECEIVES: &str = "receives";
const DIED_AT: &str = "died_at";
/// Bytes of a dead letter's attributes but for the reason: names, types and numbers all count
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html>).
const OTHER_ATTRIBUTE_BYTES: usize = 96;

/// What a dead letter carries besides its body; nothing when the body leaves no room for it.
pub(super) fn letter_attributes(
    body: &str,
    reason: &str,
    receives: u32,
    died_at: CaptureTime,
) -> HashMap<String, MessageAttributeValue> {
    let room = MAX_MESSAGE_BYTES.saturating_sub(body.len() + OTHER_ATTRIBUTE_BYTES);
    let reason = allowed(reason, room.min(MAX_REASON_BYTES));
    if reason.is_empty() {
        return HashMap::new();
    }
    let attributes = [
        (REASON, "String", reason),
        (RECEIVES, "Number", receives.to_string()),
        (DIED_AT, "Number", died_at.0.to_string()),
    ];
    let attribute = |(name, of_type, value): (&str, &str, String)| {
        let value = MessageAttributeValue::builder().data_type(of_type).string_value(value);
        value.build().ok().map(|value| (name.to_owned(), value))
    };
    attributes.into_iter().filter_map(attribute).collect()
}

/// Tells whether SQS takes a character
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>).
fn is_allowed(c: char) -> bool {
    let is_control = c < ' ' && !matches!(c, '\t' | '\n' | '\r');
    !is_control && !matches!(c, '\u{fffe}' | '\u{ffff}')
}

/// The beginning of a text, of at most `max` bytes, without characters that SQS refuses.
fn allowed(text: &str, max: usize) -> String {
    let text = if text.is_empty() { "no reason was given" } else { text };
    let mut kept = String::new();
    for c in text.chars().map(|c| if is_allowed(c) { c } else { char::REPLACEMENT_CHARACTER }) {
        if kept.len() + c.len_utf8() > max {
            break;
        }
        kept.push(c);
    }
    kept
}

/// A dead letter as it was buried, or as far as it is known when SQS itself gave it up after `max_receives`.
pub(super) fn letter(message: &Message, max_receives: u32) -> Option<DeadLetter> {
    let text = |name| {
        let attribute = message.message_attributes()?.get(name)?;
        attribute.string_value().map(str::to_owned)
    };
    let source = message
        .attributes()
        .map(|known| known.contains_key(&MessageSystemAttributeName::DeadLetterQueueSourceArn));
    let (reason, receives) = match text(REASON) {
        Some(reason) => (reason, text(RECEIVES).and_then(|count| count.parse().ok()).unwrap_or(0)),
        None if source == Some(true) => {
            (format!("received {} and never answered", counted(max_receives, "time")), max_receives)
        }
        None => ("it came with no reason".to_owned(), 0),
    };
    let died_at = text(DIED_AT).and_then(|micros| micros.parse().ok());
    let died_at = died_at.unwrap_or_else(|| sent_at(message).unwrap_or_default() * 1_000);
    Some(DeadLetter {
        id: LetterId(message.message_id()?.to_owned()),
        body: message.body().unwrap_or_default().to_owned(),
        reason,
        receives,
        died_at: CaptureTime(died_at),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_comes_back_as_it_was_buried() {
        let attributes = letter_attributes("{}", "no \u{0} JSON\n", 3, CaptureTime(1_000_005));
        let message = Message::builder()
            .message_id("m1")
            .body("{}")
            .set_message_attributes(Some(attributes))
            .build();
        let expected = DeadLetter {
            id: LetterId("m1".to_owned()),
            body: "{}".to_owned(),
            reason: "no \u{fffd} JSON\n".to_owned(),
            receives: 3,
            died_at: CaptureTime(1_000_005),
        };
        assert_eq!(letter(&message, 5), Some(expected));
    }

    #[test]
    fn a_letter_that_sqs_gave_up_says_how_often_it_was_received() {
        let message = Message::builder()
            .message_id("m1")
            .body("{}")
            .attributes(MessageSystemAttributeName::DeadLetterQueueSourceArn, "arn:aws:sqs:::q")
            .attributes(MessageSystemAttributeName::SentTimestamp, "1500")
            .build();
        let letter = letter(&message, 5).unwrap();
        assert_eq!(letter.reason, "received 5 times and never answered");
        assert_eq!((letter.receives, letter.died_at), (5, CaptureTime(1_500_000)));
    }

    #[test]
    fn a_reason_never_makes_a_letter_too_large() {
        let attributes = letter_attributes("{}", &"ü".repeat(9_000), 3, CaptureTime(i64::MAX));
        assert_eq!(attributes[REASON].string_value().unwrap().len(), MAX_REASON_BYTES);
        for free in [0, OTHER_ATTRIBUTE_BYTES, OTHER_ATTRIBUTE_BYTES + 1, OTHER_ATTRIBUTE_BYTES + 9]
        {
            let body = "x".repeat(MAX_MESSAGE_BYTES - free);
            let attributes = letter_attributes(&body, "not JSON", u32::MAX, CaptureTime(i64::MIN));
            let bytes = attributes.iter().map(|(name, value)| {
                name.len() + value.data_type().len() + value.string_value().unwrap().len()
            });
            assert!(bytes.sum::<usize>() <= free, "{free}: {attributes:?}");
            assert_eq!(attributes.is_empty(), free <= OTHER_ATTRIBUTE_BYTES);
        }
    }
}
