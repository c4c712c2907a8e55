//! What the configuration says to the embedded adapters.

use super::schema::{Config, KeepConfig};
use super::value::{Size, Span};
use crate::backend::EmbeddedOptions;
use crate::delivery::{DeliveryOptions, FilingPolicy};
use crate::object_store::retention::Keep;
use crate::queue::QueueOptions;

impl Config {
    /// How the embedded backend behaves.
    pub fn embedded_options(&self) -> EmbeddedOptions {
        let standard = FilingPolicy::default();
        let filing = FilingPolicy {
            // A full buffer takes no rows: its files are made before that.
            max_bytes: standard.max_bytes.min(self.delivery.max_bytes.bytes() / 2),
            max_rows: self.delivery.max_rows,
            max_age: self.delivery.max_age.duration(),
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
            keep_objects: self.retention.objects.into(),
            ..EmbeddedOptions::default()
        }
    }
}

impl From<KeepConfig> for Keep {
    fn from(keep: KeepConfig) -> Self {
        Self { age: keep.age.map(Span::duration), bytes: keep.bytes.map(Size::bytes) }
    }
}
