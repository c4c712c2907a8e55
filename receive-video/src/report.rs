//! What the receiver tells whoever watches it: the state of each stream, and its numbers.

use std::collections::BTreeMap;
use std::fmt;

use services::{Account, StreamId};
use telemetry::metrics::{Labels, Page, value};
use telemetry::{Part, State, Verdict};

use crate::status::{StatusBoard, StreamState, StreamStatus};

/// All states, in the order in which a stream comes through them.
const STATES: [StreamState; 6] = [
    StreamState::Starting,
    StreamState::Connecting,
    StreamState::Playing,
    StreamState::Waiting,
    StreamState::Ended,
    StreamState::Refused,
];

type Streams = BTreeMap<StreamId, StreamStatus>;

impl Part for StatusBoard {
    fn states(&self) -> Vec<State> {
        self.snapshot().iter().map(|(id, status)| state(id, status)).collect()
    }

    fn write_metrics(&self, page: &mut Page<'_>) -> fmt::Result {
        let streams = self.snapshot();
        write_accounts(page, &streams)?;
        write_shipping(page, &streams)?;
        write_states(page, &streams)
    }
}

/// A stream alone never makes the receiver unready; a store or queue that is away does.
fn state(id: &StreamId, status: &StreamStatus) -> State {
    let words = match status.words.as_str() {
        "" => name(status.state).to_owned(),
        words => words.to_owned(),
    };
    let (words, verdict) = match (&status.away, status.state) {
        (Some(away), _) => (format!("{words}; {away}"), Verdict::Unready),
        (None, StreamState::Playing | StreamState::Ended) if status.trouble.is_none() => {
            (words, Verdict::Good)
        }
        (None, _) => (words, Verdict::Troubled),
    };
    State { kind: "streams", name: id.to_string(), words, verdict }
}

/// The loss equation, as far as the receiver knows it.
fn write_accounts(page: &mut Page<'_>, streams: &Streams) -> fmt::Result {
    page.counter(
        "received",
        "Access units that arrived",
        each(streams, |account| account.received),
    )?;
    page.counter("taken", "Frames stored for a model", each(streams, |account| account.taken))?;
    page.counter(
        "skipped",
        "Access units that were not asked for or could not be, by reason",
        each_reason(streams, |account| &account.skipped),
    )?;
    page.counter(
        "undecodable",
        "Access units that the decoder refused",
        each(streams, |account| account.undecodable),
    )?;
    page.gauge(
        "pending",
        "Access units in the decoder or an open bundle",
        each(streams, |account| account.pending).map(|(labels, count)| (labels, value(count))),
    )?;
    page.counter(
        "shed",
        "Taken frames given up before they reached the queue, by reason",
        each_reason(streams, |account| &account.shed),
    )
}

fn write_shipping(page: &mut Page<'_>, streams: &Streams) -> fmt::Result {
    let counts = |count: fn(&StreamStatus) -> u64| {
        streams.iter().map(move |(id, status)| (labels(id), count(status)))
    };
    let gauges = |gauge: fn(&StreamStatus) -> f64| {
        streams.iter().map(move |(id, status)| (labels(id), gauge(status)))
    };
    page.counter(
        "shipped_bundles",
        "Bundles handed to the queues",
        counts(|status| status.shipped),
    )?;
    page.counter(
        "stream_events",
        "Reconnects and jumps of clocks",
        counts(|status| status.events),
    )?;
    page.gauge("spool_bundles", "Bundles in the spool", gauges(|status| value(status.spooled)))?;
    page.gauge("spool_bytes", "Bytes in the spool", gauges(|status| value(status.spool_bytes)))?;
    page.gauge(
        "stream_fps",
        "Access units per second over the last seconds",
        gauges(|status| status.fps),
    )?;
    page.gauge(
        "stream_backend_away",
        "1 while store or queue do not take the stream's bundles, else 0",
        gauges(|status| f64::from(u8::from(status.away.is_some()))),
    )
}

fn write_states(page: &mut Page<'_>, streams: &Streams) -> fmt::Result {
    let samples = streams.iter().flat_map(|(id, status)| {
        STATES.map(|state| {
            let labels = vec![("stream", id.as_str()), ("state", name(state))];
            (labels, f64::from(u8::from(state == status.state)))
        })
    });
    page.gauge("stream_state", "1 for the state that the stream is in, else 0", samples)?;
    let troubles = streams.iter().filter_map(|(id, status)| {
        let labels = vec![("stream", id.as_str()), ("reason", status.trouble?)];
        Some((labels, 1.0))
    });
    page.gauge("stream_trouble", "1 for what keeps the stream from giving frames", troubles)
}

fn each(streams: &Streams, count: fn(&Account) -> u64) -> impl Iterator<Item = (Labels<'_>, u64)> {
    accounts(streams).map(move |(labels, account)| (labels, count(account)))
}

fn each_reason(
    streams: &Streams,
    counts: fn(&Account) -> &BTreeMap<String, u64>,
) -> impl Iterator<Item = (Labels<'_>, u64)> {
    accounts(streams).flat_map(move |(labels, account)| {
        counts(account).iter().map(move |(reason, count)| {
            let labels = labels.iter().copied().chain([("reason", reason.as_str())]);
            (labels.collect(), *count)
        })
    })
}

fn accounts(streams: &Streams) -> impl Iterator<Item = (Labels<'_>, &Account)> {
    streams.iter().flat_map(|(id, status)| {
        status.accounts.iter().map(move |(model, account)| {
            (vec![("stream", id.as_str()), ("model", model.as_str())], account)
        })
    })
}

fn labels(id: &StreamId) -> Labels<'_> {
    vec![("stream", id.as_str())]
}

fn name(state: StreamState) -> &'static str {
    match state {
        StreamState::Starting => "starting",
        StreamState::Connecting => "connecting",
        StreamState::Playing => "playing",
        StreamState::Waiting => "waiting",
        StreamState::Ended => "ended",
        StreamState::Refused => "refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: StreamState, words: &str, away: Option<&str>) -> StreamStatus {
        let (words, away) = (words.to_owned(), away.map(str::to_owned));
        StreamStatus { state, words, away, ..StreamStatus::default() }
    }

    #[test]
    fn a_camera_that_refuses_is_trouble_and_a_backend_that_is_away_makes_unready() {
        let gate = StreamId::new("gate").unwrap();
        let verdict = |status| state(&gate, &status).verdict;
        assert_eq!(verdict(status(StreamState::Playing, "", None)), Verdict::Good);
        assert_eq!(verdict(status(StreamState::Refused, "401", None)), Verdict::Troubled);
        let keyless = status(StreamState::Playing, "playing; no key frame yet for 4 s", None);
        let keyless = StreamStatus { trouble: Some("no-key-frame"), ..keyless };
        assert_eq!(verdict(keyless), Verdict::Troubled);
        let away = state(&gate, &status(StreamState::Playing, "", Some("queue is away")));
        assert_eq!(away.verdict, Verdict::Unready);
        assert_eq!(away.words, "playing; queue is away");
    }
}
