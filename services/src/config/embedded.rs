//! What the configuration says to the embedded adapters.

use super::schema::Config;
use crate::backend::EmbeddedOptions;
use crate::delivery::{DeliveryOptions, FilingPolicy};
use crate::queue::QueueOptions;

impl Config {
    /// How the embedded backend behaves.
    pub fn embedded_options(&self) -> EmbeddedOptions {
        let filing = FilingPolicy {
            max_rows: self.delivery.max_rows,
            max_age: self.delivery.max_age.duration(),
            ..FilingPolicy::default()
        };
        EmbeddedOptions {
            queue: QueueOptions {
                max_receives: self.queue.max_receives,
                max_bytes: self.queue.max_bytes.bytes(),
            },
            delivery: DeliveryOptions {
                max_buffered_bytes: self.delivery.max_bytes.bytes(),
                filing,
            },
            ..EmbeddedOptions::default()
        }
    }
}
