//! The page of metrics: families written from the parts' own numbers at the moment of a scrape.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::part::Part;

/// What every family's name begins with.
const PREFIX: &str = "millrace";
/// The format of the page.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A sample's labels.
pub type Labels<'a> = Vec<(&'static str, &'a str)>;

/// Where a part writes its families.
#[derive(Debug)]
pub struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    /// Writes what only grows; `_total` is put behind the name.
    ///
    /// # Errors
    /// When the page cannot be written to.
    pub fn counter<'s>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'s>, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in samples {
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&value, None)?;
        }
        Ok(())
    }

    /// Writes what goes up and down.
    ///
    /// # Errors
    /// When the page cannot be written to.
    pub fn gauge<'s>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'s>, f64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in samples {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    /// Writes distributions of seconds.
    ///
    /// # Errors
    /// When the page cannot be written to.
    pub fn histogram<'s>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'s>, &'s Histogram)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, histogram) in samples {
            let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(histogram.counts).collect();
            let (sum, count) = (histogram.sum, histogram.count());
            family
                .encode_family(&labels)?
                .encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }
        Ok(())
    }
}

/// Upper bounds of a histogram's buckets, in seconds; one more has none.
const BOUNDS: [f64; 12] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0];

/// How long something took, counted by length.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    counts: [u64; BOUNDS.len() + 1],
    sum: f64,
}

impl Histogram {
    /// Counts one more; less than nothing counts as nothing.
    pub fn record(&mut self, seconds: f64) {
        let seconds = seconds.max(0.0);
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        self.counts[bucket] += 1;
        self.sum += seconds;
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The seconds of all together.
    pub fn sum(&self) -> f64 {
        self.sum
    }
}

/// A count as a gauge's value.
#[expect(clippy::cast_precision_loss, reason = "counts of what exists now are far below 2^53")]
pub fn value(count: u64) -> f64 {
    count as f64
}

/// Writes the page of all parts.
pub(crate) fn page(program: &str, parts: &[Arc<dyn Part>]) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix(PREFIX);
    let collector = Parts { program: program.to_owned(), parts: parts.to_vec() };
    registry.register_collector(Box::new(collector));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

/// The page of one part, as a test reads it.
#[doc(hidden)]
pub fn text_of(part: Arc<dyn Part>) -> String {
    page("test", &[part]).expect("a string takes all text")
}

#[derive(Debug)]
struct Parts {
    program: String,
    parts: Vec<Arc<dyn Part>>,
}

impl Collector for Parts {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        let build =
            vec![("program", self.program.as_str()), ("version", env!("CARGO_PKG_VERSION"))];
        page.gauge("build", "The program and its version; always 1", [(build, 1.0)])?;
        self.parts.iter().try_for_each(|part| part.write_metrics(&mut page))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::State;

    #[derive(Debug)]
    struct Counts(Histogram);

    impl Part for Counts {
        fn states(&self) -> Vec<State> {
            Vec::new()
        }

        fn write_metrics(&self, page: &mut Page<'_>) -> fmt::Result {
            page.counter("taken", "Frames taken", [(vec![("stream", "a\"b")], 7)])?;
            page.gauge("open", "Nothing yet", [])?;
            page.histogram("latency_seconds", "Latency", [(vec![("model", "m")], &self.0)])
        }
    }

    #[test]
    fn the_page_has_every_family_with_its_samples() {
        let mut histogram = Histogram::default();
        [-3.0, 0.2, 0.25, 4_000.0].into_iter().for_each(|seconds| histogram.record(seconds));
        let text = page("test", &[Arc::new(Counts(histogram))]).unwrap();
        for line in [
            "# TYPE millrace_taken counter",
            "millrace_taken_total{stream=\"a\\\"b\"} 7",
            "# TYPE millrace_open gauge",
            "millrace_latency_seconds_bucket{le=\"0.05\",model=\"m\"} 1",
            "millrace_latency_seconds_bucket{le=\"0.25\",model=\"m\"} 3",
            "millrace_latency_seconds_bucket{le=\"+Inf\",model=\"m\"} 4",
            "millrace_latency_seconds_count{model=\"m\"} 4",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
