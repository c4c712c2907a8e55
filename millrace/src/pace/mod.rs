//! How each model keeps up with its streams: what waits for it, what comes, what is answered, and where frames spend
//! their time.
//!
//! `trend` decides whether a model is behind, `meter` makes rates of counts, `keeper` puts both together for one model,
//! all without I/O; `watch` asks the queues and the boards.

mod keeper;
mod meter;
mod trend;
mod watch;

use std::time::Duration;

pub use meter::Rates;
pub(crate) use watch::{Boards, Watch};

/// A share of waiting that is worth a word.
const MOSTLY: f64 = 0.5;

/// How one model keeps up with its streams.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelPace {
    /// The model's name.
    pub model: String,
    /// What its workers in this process do, in words; empty where there are none.
    pub state: String,
    /// Messages that wait in its queue; `None` while that is not known.
    pub waiting: Option<u64>,
    /// Whether that is exact; what SQS tells is not.
    pub is_exact: bool,
    /// Age of the oldest message that is not done with, while any waits and where the queue tells.
    pub oldest: Option<Duration>,
    /// What happened lately.
    pub rates: Rates,
    /// Whether its queue grows for good, and has not been worked off since: it is slower than its streams.
    pub is_behind: bool,
}

impl ModelPace {
    /// The figures in a line, the state in words last.
    pub fn line(&self, name_width: usize) -> String {
        let Rates { taken, answered, work, .. } = self.rates;
        let rate = |rate: Option<f64>, what| rate.map(|rate| format!("{rate:6.1} {what}/s"));
        let oldest =
            self.oldest.map_or_else(String::new, |age| format!(", the oldest {}", span(age)));
        let parts = [
            rate(taken, "taken"),
            rate(answered, "answered"),
            Some(format!("{:>9} waiting{oldest}", self.waiting())),
            work.map(|work| format!("{} a frame", span(work))),
            Some(self.state.clone()).filter(|state| !state.is_empty()),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        format!("{:<name_width$} {}", self.model, parts.join("  "))
    }

    /// That it is slower than its streams, with the figures and what can be done about it, if it is.
    pub fn sentence(&self) -> Option<String> {
        let head =
            if self.catches_up() { "is behind its streams" } else { "is slower than its streams" };
        self.is_behind.then(|| format!("{} {head}: {}", self.model, self.figures()))
    }

    /// What is behind the sentence.
    pub(crate) fn figures(&self) -> String {
        let Rates { taken, answered, latency, .. } = self.rates;
        let came = match (taken, answered) {
            (Some(taken), Some(answered)) => {
                format!("{taken:.1} frames a second come, {answered:.1} are answered here")
            }
            (Some(taken), None) => format!("{taken:.1} frames a second come"),
            (None, Some(answered)) => format!("{answered:.1} frames a second are answered here"),
            (None, None) => "more comes than is answered".to_owned(),
        };
        let age = match (self.oldest, latency) {
            (Some(oldest), _) => format!(", the oldest {}", span(oldest)),
            (None, Some(latency)) => format!(", answers come {} after the picture", span(latency)),
            (None, None) => String::new(),
        };
        let share = self.rates.waiting_share().filter(|share| *share >= MOSTLY);
        let share = share
            .map(|share| format!("{} % of a frame's time is waiting", (share * 100.0).floor()));
        let advice =
            (!self.catches_up()).then(|| "sample less often or run more workers".to_owned());
        let parts = [Some(came), Some(format!("{} wait{age}", self.waiting())), share, advice];
        parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
    }

    fn catches_up(&self) -> bool {
        matches!((self.rates.taken, self.rates.answered), (Some(taken), Some(answered)) if answered >= taken)
    }

    /// How much waits: in frames, where the workers know how many a message has.
    fn waiting(&self) -> String {
        let Some(messages) = self.waiting else { return "unknown".to_owned() };
        let about = |is_exact| if is_exact { "" } else { "about " };
        match self.rates.frames_per_message {
            None if messages == 1 => format!("{}1 bundle", about(self.is_exact)),
            None => format!("{}{messages} bundles", about(self.is_exact)),
            Some(frames) => {
                let is_exact =
                    self.is_exact && (messages == 0 || (frames - 1.0).abs() < f64::EPSILON);
                format!("{}{:.0}", about(is_exact), telemetry::metrics::value(messages) * frames)
            }
        }
    }
}

/// A span of time in the unit that fits it.
fn span(span: Duration) -> String {
    match span.as_secs() {
        0 => format!("{} ms", span.as_millis()),
        seconds @ ..600 => format!("{seconds} s"),
        seconds @ ..7_200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects() -> ModelPace {
        ModelPace {
            model: "objects".into(),
            state: "ready".into(),
            waiting: Some(175),
            is_exact: true,
            oldest: Some(Duration::from_secs(42)),
            rates: Rates {
                taken: Some(12.5),
                answered: Some(4.1),
                frames_per_message: Some(1.0),
                work: Some(Duration::from_millis(244)),
                latency: Some(Duration::from_secs(42)),
            },
            is_behind: true,
        }
    }

    #[test]
    fn a_line_says_what_comes_what_is_answered_and_what_waits() {
        assert_eq!(
            objects().line(8),
            "objects    12.5 taken/s     4.1 answered/s        175 waiting, the oldest 42 s  244 ms a frame  ready"
        );
        let worker = ModelPace { oldest: None, is_exact: false, ..objects() };
        let rates = Rates { taken: None, ..worker.rates };
        assert_eq!(
            ModelPace { rates, ..worker }.line(7),
            "objects    4.1 answered/s  about 175 waiting  244 ms a frame  ready"
        );
        let receiver = ModelPace {
            state: String::new(),
            rates: Rates { taken: Some(2.0), ..Rates::default() },
            ..objects()
        };
        assert_eq!(
            receiver.line(7),
            "objects    2.0 taken/s  175 bundles waiting, the oldest 42 s"
        );
    }

    #[test]
    fn a_model_slower_than_its_streams_is_said_in_a_sentence() {
        assert_eq!(
            objects().sentence().unwrap(),
            "objects is slower than its streams: 12.5 frames a second come, 4.1 are answered here; 175 wait, the oldest \
             42 s; 99 % of a frame's time is waiting; sample less often or run more workers"
        );
        assert_eq!(ModelPace { is_behind: false, ..objects() }.sentence(), None);
    }

    #[test]
    fn what_is_worked_off_again_needs_no_advice() {
        let rates = Rates { taken: Some(2.0), ..objects().rates };
        let said = ModelPace { rates, ..objects() }.sentence().unwrap();
        assert!(
            said.starts_with("objects is behind its streams: 2.0 frames a second come, 4.1 are"),
            "{said}"
        );
        assert!(said.ends_with("is waiting"), "{said}");
    }

    #[test]
    fn figures_that_are_not_known_are_not_said() {
        let rates = Rates { taken: None, frames_per_message: Some(9.8), ..objects().rates };
        let worker =
            ModelPace { rates, oldest: None, is_exact: false, waiting: Some(20), ..objects() };
        assert_eq!(
            worker.sentence().unwrap(),
            "objects is slower than its streams: 4.1 frames a second are answered here; about 196 wait, answers come 42 s \
             after the picture; 99 % of a frame's time is waiting; sample less often or run more workers"
        );
        let rates = Rates { taken: Some(12.5), ..Rates::default() };
        assert_eq!(
            ModelPace { rates, ..objects() }.sentence().unwrap(),
            "objects is slower than its streams: 12.5 frames a second come; 175 bundles wait, the oldest 42 s; sample less \
             often or run more workers"
        );
    }
}
