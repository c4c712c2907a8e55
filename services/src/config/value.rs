//! Durations and sizes as people write them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

/// A length of time, written as `"1.5s"`, `"500ms"`, `"10 min"`, `"7d"`, or a number of seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(Duration);

/// Most that a span may be: no key means a time that adding it to another one could break.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);

impl Span {
    /// The span of so many milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// The span as a duration.
    pub const fn duration(self) -> Duration {
        self.0
    }
}

/// A text that is no duration of at most a hundred years.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSpan {
    /// It is none at all.
    #[error("not a duration such as \"1.5s\" or \"500ms\"")]
    Unreadable,
    /// It is longer.
    #[error("not a duration of at most 100 years")]
    TooLong,
}

impl FromStr for Span {
    type Err = InvalidSpan;

    fn from_str(text: &str) -> Result<Self, InvalidSpan> {
        if let Ok(seconds) = text.trim().parse::<f64>() {
            return of_seconds(seconds);
        }
        // A day has 24 hours, for no zone is meant.
        let signed = text
            .trim()
            .parse::<jiff::Span>()
            .and_then(|span| span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()));
        let signed = signed.map_err(|_| InvalidSpan::Unreadable)?;
        bounded(Duration::try_from(signed).map_err(|_| InvalidSpan::Unreadable)?)
    }
}

fn of_seconds(seconds: f64) -> Result<Span, InvalidSpan> {
    if seconds.is_finite() && seconds > LONGEST.as_secs_f64() {
        return Err(InvalidSpan::TooLong);
    }
    bounded(Duration::try_from_secs_f64(seconds).map_err(|_| InvalidSpan::Unreadable)?)
}

fn bounded(duration: Duration) -> Result<Span, InvalidSpan> {
    if duration <= LONGEST { Ok(Span(duration)) } else { Err(InvalidSpan::TooLong) }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SpanVisitor;
        impl Visitor<'_> for SpanVisitor {
            type Value = Span;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as \"1.5s\", \"500ms\" or a number of seconds")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
                text.parse().map_err(|error| refused(&error, de::Unexpected::Str(text), &self))
            }

            fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Span, E> {
                let unexpected = de::Unexpected::Signed(seconds);
                let seconds =
                    u64::try_from(seconds).map_err(|_| E::invalid_value(unexpected, &self))?;
                self.visit_u64(seconds)
            }

            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Span, E> {
                let unexpected = de::Unexpected::Unsigned(seconds);
                bounded(Duration::from_secs(seconds))
                    .map_err(|error| refused(&error, unexpected, &self))
            }

            fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Span, E> {
                let unexpected = de::Unexpected::Float(seconds);
                of_seconds(seconds).map_err(|error| refused(&error, unexpected, &self))
            }
        }

        fn refused<E: de::Error>(
            error: &InvalidSpan,
            unexpected: de::Unexpected<'_>,
            wanted: &SpanVisitor,
        ) -> E {
            match error {
                InvalidSpan::Unreadable => E::invalid_value(unexpected, wanted),
                InvalidSpan::TooLong => {
                    E::invalid_value(unexpected, &"a duration of at most 100 years")
                }
            }
        }

        deserializer.deserialize_any(SpanVisitor)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "a duration such as \"1.5s\", \"500ms\", or a number of seconds",
            "type": ["string", "number"],
            "minimum": 0
        })
    }
}

/// A number of bytes, written as `"256 MiB"`, `"1 GB"` or a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

impl Size {
    /// The size of so many bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The size in bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let factor: u64 = match unit.trim() {
            "" | "B" => 1,
            "kB" | "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(factor).map(Self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SizeVisitor;
        impl Visitor<'_> for SizeVisitor {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as \"256 MiB\", \"1 GB\" or a number of bytes")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                Size::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }

            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<Size, E> {
                u64::try_from(bytes)
                    .map(Size)
                    .map_err(|_| E::invalid_value(de::Unexpected::Signed(bytes), &self))
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Size, E> {
                Ok(Size(bytes))
            }
        }
        deserializer.deserialize_any(SizeVisitor)
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "a number of bytes such as \"256 MiB\", \"1 GB\", or a number",
            "type": ["string", "integer"],
            "minimum": 0
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_of_more_than_a_hundred_years_is_refused_as_too_long() {
        for text in ["4644040730000721", "1e300", "36501d"] {
            assert_eq!(text.parse::<Span>(), Err(InvalidSpan::TooLong), "{text}");
        }
        for text in ["inf", "nan", "-1", "-1s", "soon"] {
            assert_eq!(text.parse::<Span>(), Err(InvalidSpan::Unreadable), "{text}");
        }
        assert_eq!("36500d".parse(), Ok(Span(LONGEST)));
        let error = serde_json::from_str::<Span>("4644040730000721").unwrap_err().to_string();
        assert!(error.contains("expected a duration of at most 100 years"), "{error}");
    }
}
