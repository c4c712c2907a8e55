//! What the configuration says to the embedded adapters.

use super::schema::{Config, KeepConfig};
use super::value::{Size, Span};
use crate::backend::EmbeddedOptions;
use crate::delivery::{DeliveryOptions, FilingPolicy};
use crate::keep::Keep;
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
            keep: self.retention.rows.into(),
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::time::Duration;

    use super::super::{Overrides, parse};
    use super::*;

    fn keep(rows: &str) -> Result<Keep, String> {
        let text = format!("[retention]\nrows = {{ {rows} }}\n");
        parse(Some((&text, Path::new("m.toml"))), &BTreeMap::new(), &Overrides::default())
            .map(|config| config.embedded_options().delivery.filing.keep)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn rows_leave_when_it_is_asked_for() {
        assert_eq!(keep(""), Ok(Keep::default()));
        let age = Some(Duration::from_secs(365 * 86_400));
        assert_eq!(keep("age = \"365d\""), Ok(Keep { age, bytes: None }));
        let both = Keep { age: age.map(|age| age / 365), bytes: Some(20 << 30) };
        assert_eq!(keep("age = \"1d\", bytes = \"20GiB\""), Ok(both));
    }

    #[test]
    fn rows_on_aws_are_the_bucket_s_to_remove() {
        let text = "backend = \"aws\"\nretention.rows.age = \"7d\"\n";
        let read =
            parse(Some((text, Path::new("m.toml"))), &BTreeMap::new(), &Overrides::default());
        let error = read.unwrap_err().to_string();
        assert!(error.contains("key \"retention.rows\"") && error.contains("rows_days"), "{error}");
    }
}
