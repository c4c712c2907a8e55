//! What a process does at the moment, per stream, and the line that says it.

use std::collections::BTreeMap;

use model_inference::status::{Latency, ModelState, ModelStatus};
use receive_video::StreamState;
use services::{ModelName, StreamId, counted};

/// One stream, all its models together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamStatus {
    /// The stream's id.
    pub stream: String,
    /// Its state in words.
    pub state: String,
    /// Access units that arrived per second, lately.
    pub fps: f64,
    /// Access units that arrived.
    pub received: u64,
    /// Frames taken.
    pub taken: u64,
    /// Frames on their way to a model: in the spool or in the queue.
    pub queued: u64,
    /// Frames answered by this process.
    pub inferred: u64,
    /// Rows delivered by this process.
    pub rows: u64,
    /// From capture to answer, lately, in milliseconds: half of the answers took no longer than the first, 99 %
    /// no longer than the second. None is below 0: where the clocks of two machines differ by more than an answer takes,
    /// `state` says so. A file that is read ahead of its time line has none.
    pub latency: Option<(i64, i64)>,
}

/// Puts together what the receiver and the workers of a process say about each stream.
pub fn combine(
    received: &BTreeMap<StreamId, receive_video::StreamStatus>,
    inferred: &BTreeMap<ModelName, ModelStatus>,
) -> Vec<StreamStatus> {
    let answered = inferred.values().flat_map(|model| model.streams.keys());
    let mut streams: Vec<&StreamId> = received.keys().chain(answered).collect();
    streams.sort();
    streams.dedup();
    streams.into_iter().map(|id| one(id, received.get(id), inferred)).collect()
}

fn one(
    id: &StreamId,
    received: Option<&receive_video::StreamStatus>,
    inferred: &BTreeMap<ModelName, ModelStatus>,
) -> StreamStatus {
    let mut status = StreamStatus { stream: id.to_string(), ..StreamStatus::default() };
    let mut latency = Latency::default();
    let mut answered = 0;
    for counts in inferred.values().filter_map(|model| model.streams.get(id)) {
        status.inferred += counts.inferred;
        status.rows += counts.rows;
        answered += counts.ended();
        latency.merge(&counts.latency);
    }
    let skews = inferred.values().filter_map(|model| model.streams.get(id)?.skew);
    let skew = skews.max_by_key(|skew| skew.millis).map(|skew| skew.to_string());
    status.latency = latency.percentile(50).zip(latency.percentile(99));
    if let Some(received) = received {
        status.fps = received.fps;
        status.received = received.received;
        status.taken = received.taken;
        status.queued = received.taken.saturating_sub(received.shed + answered);
    }
    let asked = |(name, model): &(&ModelName, &ModelStatus)| {
        received.is_some_and(|received| received.accounts.contains_key(*name))
            || model.streams.contains_key(id)
    };
    let troubles = inferred.iter().filter(asked).filter_map(model_trouble);
    let words = received.map(words_of).into_iter().chain(troubles);
    status.state = words.chain(skew).collect::<Vec<_>>().join("; ");
    status
}

fn words_of(received: &receive_video::StreamStatus) -> String {
    let words = match (&received.words, received.state) {
        (words, _) if !words.is_empty() => words.clone(),
        (_, StreamState::Playing) => "playing".to_owned(),
        (_, state) => format!("{state:?}").to_lowercase(),
    };
    match &received.away {
        Some(away) => format!("{words}; {away}, {} spooled", counted(received.spooled, "bundle")),
        None => words,
    }
}

fn model_trouble((name, model): (&ModelName, &ModelStatus)) -> Option<String> {
    match (&model.state, &model.trouble) {
        (ModelState::Failed(why), _) => Some(format!("model {name}: {why}")),
        (ModelState::Loading, _) => Some(format!("model {name} is being loaded")),
        (_, Some(trouble)) => Some(format!("model {name} waits: {trouble}")),
        _ => None,
    }
}

impl StreamStatus {
    /// The status in a line: the numbers first, the state in words last.
    pub fn line(&self, name_width: usize) -> String {
        let Self { stream, state, fps, taken, queued, inferred, rows, .. } = self;
        let latency = match self.latency {
            None => "-".to_owned(),
            Some((p50, p99)) => format!("p50 {} p99 {}", rounded(p50), rounded(p99)),
        };
        format!(
            "{stream:<name_width$} {fps:5.1} fps in {taken:>5} taken {queued:>3} queued {inferred:>5} inferred \
             {rows:>6} rows  {latency:<20} {state}"
        )
    }

    /// The status in two lines, for a narrow terminal: the numbers, then the state in words.
    pub fn two_lines(&self) -> [String; 2] {
        let Self { stream, state, fps, taken, queued, inferred, rows, .. } = self;
        let latency = match self.latency {
            None => String::new(),
            Some((p50, p99)) => format!(" p50/p99 {}/{}", rounded(p50), rounded(p99)),
        };
        let numbers = format!(
            "{stream} {fps:.1} fps in {taken} taken {queued} queued {inferred} inferred {rows} rows{latency}"
        );
        [numbers, format!("  {state}")]
    }
}

/// Many streams as one.
pub fn summed(streams: &[StreamStatus]) -> StreamStatus {
    let sum = |count: fn(&StreamStatus) -> u64| streams.iter().map(count).sum();
    StreamStatus {
        stream: format!("{} streams", streams.len()),
        state: states(streams),
        fps: streams.iter().map(|status| status.fps).sum(),
        received: sum(|status| status.received),
        taken: sum(|status| status.taken),
        queued: sum(|status| status.queued),
        inferred: sum(|status| status.inferred),
        rows: sum(|status| status.rows),
        latency: streams.iter().filter_map(|status| status.latency).max_by_key(|(_, p99)| *p99),
    }
}

/// How many streams are in which state, the commonest first.
fn states(streams: &[StreamStatus]) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for status in streams {
        match counts.iter_mut().find(|(state, _)| *state == status.state) {
            Some((_, count)) => *count += 1,
            None => counts.push((&status.state, 1)),
        }
    }
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let shown: Vec<String> =
        counts.iter().take(3).map(|(state, count)| format!("{count} {state}")).collect();
    shown.join(", ")
}

fn rounded(millis: i64) -> String {
    match millis {
        ..10_000 => format!("{millis} ms"),
        _ => format!("{} s", millis / 1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> StreamStatus {
        StreamStatus {
            stream: "gate".into(),
            state: "streaming".into(),
            fps: 25.02,
            received: 750,
            taken: 30,
            queued: 2,
            inferred: 28,
            rows: 171,
            latency: Some((148, 12_300)),
        }
    }

    #[test]
    fn a_line_says_numbers_and_state() {
        assert_eq!(
            gate().line(6),
            "gate    25.0 fps in    30 taken   2 queued    28 inferred    171 rows  p50 148 ms p99 12 s  streaming"
        );
    }

    #[test]
    fn a_narrow_terminal_has_the_numbers_in_one_line_and_the_state_in_another() {
        let [numbers, state] = gate().two_lines();
        assert_eq!(
            numbers,
            "gate 25.0 fps in 30 taken 2 queued 28 inferred 171 rows p50/p99 148 ms/12 s"
        );
        assert!(numbers.len() <= 80);
        assert_eq!(state, "  streaming");
    }

    #[test]
    fn a_clock_that_is_ahead_of_the_answers_is_told_beside_the_stream_s_state() {
        use model_inference::status::{Skew, StreamCounts};
        let skew = Skew { clock: services::CaptureClock::Rtcp, millis: 3_200 };
        let mut counts = StreamCounts { skew: Some(skew), ..StreamCounts::default() };
        counts.latency.record(0);
        let stream = StreamId::new("gate").unwrap();
        let mut model = ModelStatus { state: ModelState::Ready, ..ModelStatus::default() };
        model.streams.insert(stream, counts);
        let models = BTreeMap::from([(ModelName::new("eye").unwrap(), model)]);
        let line = combine(&BTreeMap::new(), &models)[0].line(4);
        assert!(line.contains("p50 0 ms p99 0 ms"), "{line}");
        assert!(
            line.contains("the clock of its camera or receiver is 3.200 s or more ahead"),
            "{line}"
        );
    }

    #[test]
    fn a_stream_says_what_is_wrong_with_the_models_that_it_asks_and_with_no_other() {
        let [eye, nose] = ["eye", "nose"].map(|name| ModelName::new(name).unwrap());
        let [gate, yard] = ["gate", "yard"].map(|id| StreamId::new(id).unwrap());
        let asks = |model: &ModelName| receive_video::StreamStatus {
            accounts: BTreeMap::from([(model.clone(), services::Account::default())]),
            ..receive_video::StreamStatus::default()
        };
        let received = BTreeMap::from([(gate, asks(&eye)), (yard, asks(&nose))]);
        let state = ModelState::Failed("no such file".to_owned());
        let failed = ModelStatus { state, ..ModelStatus::default() };
        let models = BTreeMap::from([(eye, failed), (nose, ModelStatus::default())]);
        let states: Vec<String> =
            combine(&received, &models).into_iter().map(|stream| stream.state).collect();
        assert!(states[0].ends_with("; model eye: no such file"), "{states:?}");
        assert!(!states[1].contains("eye"), "{states:?}");
    }

    #[test]
    fn many_streams_are_summed() {
        let away = StreamStatus { state: "camera away".into(), latency: None, ..gate() };
        let line = summed(&[gate(), gate(), away]).line(0);
        assert!(line.starts_with("3 streams  75.1 fps in    90 taken"), "{line}");
        assert!(line.ends_with("2 streaming, 1 camera away"), "{line}");
    }
}
