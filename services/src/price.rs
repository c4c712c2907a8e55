//! What AWS charges, in one table, and which way of a payload is the cheaper by it.
//!
//! List prices in dollars, without free tiers, discounts for volume, and taxes. AWS counts gigabytes and terabytes in
//! powers of two.

use serde::Serialize;

use crate::queue::MAX_MESSAGE_BYTES;

/// When the prices were looked up.
pub const AS_OF: &str = "2026-06";
/// The region that they hold for; storage is S3 Standard.
pub const REGION: &str = "us-east-1";

/// Days of a month.
pub const MONTH_DAYS: f64 = 30.0;
/// Days that frames are taken to be kept: how long they really are is the bucket's matter.
pub const RETENTION_DAYS: f64 = 7.0;
/// Bytes of a gigabyte.
pub const GIB: f64 = 1_073_741_824.0;
/// Bytes of a terabyte.
pub const TIB: f64 = 1_024.0 * GIB;

const S3_PRICING: &str = "https://aws.amazon.com/s3/pricing/";
const SQS_PRICING: &str = "https://aws.amazon.com/sqs/pricing/";
const FIREHOSE_PRICING: &str = "https://aws.amazon.com/firehose/pricing/";
const ATHENA_PRICING: &str = "https://aws.amazon.com/athena/pricing/";

/// A price.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Price {
    /// What is paid for.
    pub what: &'static str,
    /// Dollars for `per` of them.
    pub dollars: f64,
    /// How many of the unit the dollars are for.
    pub per: f64,
    /// What is counted.
    pub unit: &'static str,
    /// Where the price is published.
    pub source: &'static str,
}

impl Price {
    /// The dollars for an amount.
    pub fn of(&self, amount: f64) -> f64 {
        amount / self.per * self.dollars
    }
}

/// Writing an object, or listing some.
pub const S3_PUT: Price = price("S3 PUT, LIST", 0.005, 1_000.0, "requests", S3_PRICING);
/// Reading an object, or a range of it.
pub const S3_GET: Price = price("S3 GET", 0.0004, 1_000.0, "requests", S3_PRICING);
/// Keeping objects, the first 50 TB.
pub const S3_STORAGE: Price = price("S3 storage", 0.023, 1.0, "GB-months", S3_PRICING);
/// A call of a standard queue, for each 64 KiB of its messages.
pub const SQS_STANDARD: Price =
    price("SQS standard", 0.4, 1_000_000.0, "requests of 64 KiB", SQS_PRICING);
/// A call of a FIFO queue, for each 64 KiB of its messages.
pub const SQS_FIFO: Price = price("SQS FIFO", 0.5, 1_000_000.0, "requests of 64 KiB", SQS_PRICING);
/// Taking records in, each in steps of 5 KiB, the first 500 TB.
pub const FIREHOSE_INGEST: Price = price("Firehose", 0.029, 1.0, "GB", FIREHOSE_PRICING);
/// Writing them as Parquet.
pub const FIREHOSE_CONVERT: Price =
    price("Firehose to Parquet", 0.018, 1.0, "GB", FIREHOSE_PRICING);
/// Reading the table, at least 10 MB for a query.
pub const ATHENA_SCAN: Price = price("Athena", 5.0, 1.0, "TB read", ATHENA_PRICING);

/// All prices.
pub const PRICES: [Price; 8] = [
    S3_PUT,
    S3_GET,
    S3_STORAGE,
    SQS_STANDARD,
    SQS_FIFO,
    FIREHOSE_INGEST,
    FIREHOSE_CONVERT,
    ATHENA_SCAN,
];

const fn price(
    what: &'static str,
    dollars: f64,
    per: f64,
    unit: &'static str,
    source: &'static str,
) -> Price {
    Price { what, dollars, per, unit, source }
}

/// Bytes of a message that one request pays for.
const SQS_STEP: f64 = 65_536.0;
/// Bytes of a record that are paid for at a time.
const FIREHOSE_STEP: f64 = 5_120.0;
/// Fewest bytes that a query pays for.
const ATHENA_LEAST: f64 = 10.0 * 1_048_576.0;

/// The requests that a call of a queue is charged for, by the bytes of its messages.
pub fn sqs_requests(bytes: f64) -> f64 {
    (bytes / SQS_STEP).ceil().max(1.0)
}

/// The bytes that a record is charged for.
pub fn firehose_bytes(record: f64) -> f64 {
    (record / FIREHOSE_STEP).ceil().max(1.0) * FIREHOSE_STEP
}

/// The terabytes that a query is charged for.
pub fn athena_terabytes(bytes: f64) -> f64 {
    bytes.max(ATHENA_LEAST) / TIB
}

/// The dollars for keeping bytes for some days.
pub fn storage(bytes: f64, days: f64) -> f64 {
    S3_STORAGE.of(bytes / GIB * days / MONTH_DAYS)
}

/// The dollars for bringing one bundle to a worker, by each way that it can take.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PayloadPrices {
    /// As an object: PUT, GET, storage, and a message that names it.
    pub object: f64,
    /// In the message, when the queue takes it.
    pub inline: Option<f64>,
}

impl PayloadPrices {
    /// The prices for `payload` bytes with a message of `envelope` bytes around them, objects kept for
    /// `retention_days`.
    pub fn of(payload: f64, envelope: f64, retention_days: f64) -> Self {
        let kept = storage(payload, retention_days);
        let object = S3_PUT.of(1.0) + S3_GET.of(1.0) + kept + sent_and_received(envelope);
        let message = envelope + base64_bytes(payload);
        let fits = message <= MAX_MESSAGE_BYTES as f64;
        Self { object, inline: fits.then(|| sent_and_received(message)) }
    }

    /// Tells whether the bundle is cheaper in the message. No picture is left behind its rows then.
    pub fn inline_is_cheaper(&self) -> bool {
        self.inline.is_some_and(|inline| inline < self.object)
    }
}

/// Sending and receiving are charged by size; deleting costs the same either way.
fn sent_and_received(message: f64) -> f64 {
    SQS_STANDARD.of(2.0 * sqs_requests(message))
}

/// The length of so many bytes as Base64, which makes four of three.
pub fn base64_bytes(bytes: f64) -> f64 {
    (bytes / 3.0).ceil() * 4.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENVELOPE: f64 = 4_096.0;

    fn is_about(found: f64, expected: f64) -> bool {
        (found - expected).abs() < expected.abs() * 1e-6
    }

    #[test]
    fn a_million_requests_cost_what_the_page_says() {
        for (price, dollars) in [(S3_PUT, 5.0), (S3_GET, 0.4), (SQS_STANDARD, 0.4), (SQS_FIFO, 0.5)]
        {
            assert!(is_about(price.of(1e6), dollars), "{price:?}");
        }
        assert!(is_about(storage(100.0 * GIB, 15.0), 1.15));
    }

    #[test]
    fn what_is_begun_is_paid_for() {
        assert_eq!([0.0, 65_536.0, 65_537.0, 1_048_576.0].map(sqs_requests), [1.0, 1.0, 2.0, 16.0]);
        assert_eq!([0.0, 3_000.0, 5_120.0].map(firehose_bytes), [5_120.0; 3]);
        assert!(is_about(firehose_bytes(5_121.0), 10_240.0));
        assert!(is_about(ATHENA_SCAN.of(athena_terabytes(1.0)), 5.0 / 104_857.6));
        assert!(is_about(ATHENA_SCAN.of(athena_terabytes(TIB)), 5.0));
    }

    #[test]
    fn a_small_payload_is_cheaper_in_the_message() {
        let prices = PayloadPrices::of(30_000.0, ENVELOPE, RETENTION_DAYS);
        assert!(prices.inline_is_cheaper(), "{prices:?}");
        assert!(is_about(prices.inline.unwrap(), 0.8e-6));
    }

    #[test]
    fn a_large_payload_is_cheaper_as_an_object_unless_it_is_kept_for_long() {
        let prices = PayloadPrices::of(700_000.0, ENVELOPE, RETENTION_DAYS);
        assert!(!prices.inline_is_cheaper(), "{prices:?}");
        let kept = PayloadPrices::of(700_000.0, ENVELOPE, 60.0);
        assert!(kept.object > prices.object && kept.inline == prices.inline);
        assert!(kept.inline_is_cheaper(), "{kept:?}");
    }

    #[test]
    fn the_choice_changes_once_as_payloads_grow() {
        let choices: Vec<bool> = (0..=780)
            .map(|kb| {
                PayloadPrices::of(f64::from(kb) * 1e3, ENVELOPE, RETENTION_DAYS).inline_is_cheaper()
            })
            .collect();
        let last_inline = choices.iter().rposition(|inline| *inline).unwrap();
        assert!((400..600).contains(&last_inline), "{last_inline} kB");
        let changes = choices.windows(2).filter(|pair| pair[0] != pair[1]).count();
        // Storage grows evenly and requests in steps, so the two may cross back within a step or two.
        assert!(changes % 2 == 1 && changes <= 5, "{changes} changes");
    }

    #[test]
    fn what_the_queue_does_not_take_is_an_object() {
        let largest = (MAX_MESSAGE_BYTES as f64 - ENVELOPE) / 4.0 * 3.0;
        assert!(PayloadPrices::of(largest, ENVELOPE, 365.0).inline_is_cheaper());
        let prices = PayloadPrices::of(largest + 3.0, ENVELOPE, 365.0);
        assert_eq!((prices.inline, prices.inline_is_cheaper()), (None, false));
    }
}
