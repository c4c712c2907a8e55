//! What the workers tell whoever watches them: the state of each model, and its numbers.

use std::collections::BTreeMap;
use std::fmt;

use services::ModelName;
use telemetry::metrics::{Labels, Page, value};
use telemetry::{Part, State, Verdict};

use crate::status::{ModelState, ModelStatus, StatusBoard, StreamCounts};

type Models = BTreeMap<ModelName, ModelStatus>;

impl Part for StatusBoard {
    fn states(&self) -> Vec<State> {
        self.snapshot().iter().map(|(name, status)| state(name, status)).collect()
    }

    fn write_metrics(&self, page: &mut Page<'_>) -> fmt::Result {
        let models = self.snapshot();
        write_frames(page, &models)?;
        write_messages(page, &models)?;
        write_states(page, &models)
    }
}

fn state(name: &ModelName, status: &ModelStatus) -> State {
    let verdict = match (&status.state, &status.trouble) {
        (ModelState::Stopped, _) => Verdict::Broken,
        (ModelState::Ready, None) => Verdict::Good,
        (ModelState::Loading | ModelState::Failed(_) | ModelState::Ready, _) => Verdict::Unready,
    };
    State { kind: "models", name: name.to_string(), words: status.words(), verdict }
}

/// What became of the frames taken, of all streams together: a worker may serve thousands.
fn write_frames(page: &mut Page<'_>, models: &Models) -> fmt::Result {
    let each = |count: fn(&StreamCounts) -> u64| {
        models.iter().map(move |(model, status)| {
            (labels(model), status.streams.values().map(count).sum::<u64>())
        })
    };
    page.counter(
        "delivered",
        "Frames whose rows were accepted, those that failed included",
        each(|counts| counts.inferred + counts.errors),
    )?;
    page.counter(
        "stale",
        "Frames shed by a worker, older than `fresh` when their turn came",
        each(|counts| counts.stale),
    )?;
    page.counter(
        "errors",
        "Frames with an error row, but for those that were shed",
        each(|counts| counts.errors),
    )?;
    page.counter("rows", "Rows that were accepted", each(|counts| counts.rows))?;
    page.histogram(
        "latency_seconds",
        "From capture to answer",
        models.iter().map(|(model, status)| (labels(model), &status.latency)),
    )?;
    page.histogram(
        "work_seconds",
        "Fetch, decode and run of a frame, without what it waited for",
        models.iter().map(|(model, status)| (labels(model), &status.work)),
    )
}

fn write_messages(page: &mut Page<'_>, models: &Models) -> fmt::Result {
    let each = |count: fn(&ModelStatus) -> u64| {
        models.iter().map(move |(model, status)| (labels(model), count(status)))
    };
    page.counter("dead", "Messages sent to the dead letters", each(|status| status.buried))?;
    page.counter(
        "retries",
        "Messages given back to be tried again",
        each(|status| status.retried),
    )?;
    page.counter(
        "lost_leases",
        "Leases that ran out or were taken over before the work was done",
        each(|status| status.lost_leases),
    )?;
    let in_flight = each(|status| status.in_flight).map(|(labels, count)| (labels, value(count)));
    page.gauge("in_flight", "Messages leased and not done with", in_flight)
}

fn write_states(page: &mut Page<'_>, models: &Models) -> fmt::Result {
    let samples = models.iter().flat_map(|(model, status)| {
        ["loading", "ready", "failed", "stopped"].map(|state| {
            let labels = vec![("model", model.as_str()), ("state", state)];
            (labels, f64::from(u8::from(state == word(&status.state))))
        })
    });
    page.gauge("model_state", "1 for the state that the model's workers are in, else 0", samples)
}

fn labels(model: &ModelName) -> Labels<'_> {
    vec![("model", model.as_str())]
}

fn word(state: &ModelState) -> &'static str {
    match state {
        ModelState::Loading => "loading",
        ModelState::Ready => "ready",
        ModelState::Failed(_) => "failed",
        ModelState::Stopped => "stopped",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_ready_when_it_is_loaded_and_waits_for_nothing() {
        let name = ModelName::new("shapes").unwrap();
        let of = |state: ModelState, trouble: Option<&str>| {
            let trouble = trouble.map(str::to_owned);
            super::state(&name, &ModelStatus { state, trouble, ..ModelStatus::default() })
        };
        assert_eq!(of(ModelState::Ready, None).verdict, Verdict::Good);
        assert_eq!(of(ModelState::Loading, None).verdict, Verdict::Unready);
        let failed = of(ModelState::Failed("read model: no such file".to_owned()), None);
        assert_eq!(failed.words, "read model: no such file");
        let waits = of(ModelState::Ready, Some("get object: timed out"));
        assert_eq!(
            (waits.words.as_str(), waits.verdict),
            ("waits: get object: timed out", Verdict::Unready)
        );
    }
}
