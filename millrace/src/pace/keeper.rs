//! What is known of one model, from look to look.

use std::time::{Duration, Instant};

use model_inference::status::{ModelState, ModelStatus};
use services::queue::Depth;
use services::{CaptureTime, ModelName};

use super::ModelPace;
use super::meter::{Answered, Counts, Meter};
use super::trend::Trend;

/// One model's looks.
#[derive(Debug)]
pub(super) struct Keeper {
    model: ModelName,
    is_exact: bool,
    /// Whether its frames come when their time has come: a file that is read as fast as it goes is ahead of any model.
    is_timely: bool,
    trend: Trend,
    meter: Meter,
    runs: bool,
    is_behind: bool,
}

/// What is seen of a model at one time.
#[derive(Debug)]
pub(super) struct Look<'a> {
    /// Since the process began.
    pub(super) at: Instant,
    /// The same in UTC.
    pub(super) now: CaptureTime,
    /// What its queue holds, if it could be asked.
    pub(super) depth: Option<Depth>,
    /// Frames taken for it; `None` where no receiver runs.
    pub(super) taken: Option<u64>,
    /// What its workers say; `None` where none run.
    pub(super) workers: Option<&'a ModelStatus>,
}

impl Keeper {
    /// For a model whose queue's depth may be `lag` old.
    pub(super) fn new(model: ModelName, lag: Duration, is_timely: bool) -> Self {
        let trend = Trend::new(lag);
        let meter = Meter::new(trend.window());
        Self {
            model,
            is_exact: lag.is_zero(),
            is_timely,
            trend,
            meter,
            runs: false,
            is_behind: false,
        }
    }

    /// Whether it was behind at the last look.
    pub(super) fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Whether nothing kept its workers from their work at the last look.
    pub(super) fn runs(&self) -> bool {
        self.runs
    }

    /// Takes a look.
    pub(super) fn look(&mut self, look: &Look<'_>) -> ModelPace {
        let answered = look.workers.map(answered);
        let rates = self.meter.look(look.at, Counts { taken: look.taken, answered });
        let state = look.workers.map(|model| &model.state);
        self.runs = look
            .workers
            .is_none_or(|model| model.state == ModelState::Ready && model.trouble.is_none());
        match look.depth {
            // What is said of it at the end is what was true before.
            _ if state == Some(&ModelState::Stopped) => {}
            // What keeps it from its work is said by its state.
            _ if !self.runs || !self.is_timely => {
                self.trend.reset();
                self.is_behind = false;
            }
            Some(depth) => self.is_behind = self.trend.look(look.at, depth.ready),
            None => {}
        }
        let age = |sent_at: CaptureTime| sent_at.millis_until(look.now).max(0).cast_unsigned();
        let oldest =
            look.depth.filter(|depth| depth.ready > 0).and_then(|depth| depth.oldest_sent_at);
        ModelPace {
            model: self.model.to_string(),
            state: look.workers.map(ModelStatus::words).unwrap_or_default(),
            waiting: look.depth.map(|depth| depth.ready),
            is_exact: self.is_exact,
            oldest: oldest.map(|sent_at| Duration::from_millis(age(sent_at))),
            rates,
            is_behind: self.is_behind,
        }
    }
}

fn answered(model: &ModelStatus) -> Answered {
    Answered {
        frames: model.streams.values().map(|counts| counts.inferred + counts.errors).sum(),
        messages: model.answered,
        timed: model.latency.count(),
        work: model.work.sum(),
        latency: model.latency.sum(),
    }
}

#[cfg(test)]
mod tests {
    use services::StreamId;

    use super::*;

    /// Looks each second at a model that answers 4 frames of the 12 that come each second.
    fn after(seconds: u64, keeper: &mut Keeper, state: &ModelState) -> ModelPace {
        let (start, mut pace) = (Instant::now(), ModelPace::default());
        let mut model = ModelStatus { state: state.clone(), ..ModelStatus::default() };
        for second in 0..=seconds {
            let counts = model.streams.entry(StreamId::new("gate").unwrap()).or_default();
            counts.inferred = 4 * second;
            model.answered = 4 * second;
            let depth = Depth {
                ready: 8 * second,
                leased: 3,
                oldest_sent_at: Some(CaptureTime(1_000_000)),
                ..Depth::default()
            };
            pace = keeper.look(&Look {
                at: start + Duration::from_secs(second),
                now: CaptureTime(i64::try_from(second + 1).unwrap() * 1_000_000),
                depth: Some(depth),
                taken: Some(12 * second),
                workers: Some(&model),
            });
        }
        pace
    }

    fn keeper(is_timely: bool) -> Keeper {
        Keeper::new(ModelName::new("objects").unwrap(), Duration::ZERO, is_timely)
    }

    #[test]
    fn a_model_slower_than_its_stream_is_named() {
        let pace = after(60, &mut keeper(true), &ModelState::Ready);
        assert_eq!(
            pace.sentence().unwrap(),
            "objects is slower than its streams: 12.0 frames a second come, 4.0 are answered here; 480 wait, the oldest 60 \
             s; sample less often or run more workers"
        );
    }

    #[test]
    fn a_file_that_is_read_ahead_is_no_slow_model() {
        assert_eq!(after(60, &mut keeper(false), &ModelState::Ready).sentence(), None);
    }

    #[test]
    fn a_model_that_is_loaded_or_failed_is_not_slow() {
        let mut keeper = keeper(true);
        let failed = after(60, &mut keeper, &ModelState::Failed("no such file".into()));
        assert_eq!((failed.sentence(), failed.state.as_str()), (None, "no such file"));
        assert_eq!(after(60, &mut keeper, &ModelState::Loading).sentence(), None);
    }

    #[test]
    fn what_was_said_of_a_model_is_said_at_the_end() {
        let mut keeper = keeper(true);
        assert!(after(60, &mut keeper, &ModelState::Ready).is_behind);
        assert!(after(60, &mut keeper, &ModelState::Stopped).is_behind);
    }
}
