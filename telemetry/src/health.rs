//! From the states of parts to the answers of `/healthz` and `/readyz`.

use std::collections::BTreeMap;

use serde::Serialize;

/// What a thing's state means for the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It works.
    Good,
    /// It does not work, and the process is of use all the same: one bad camera among others.
    Troubled,
    /// The process is of no use until this changes.
    Unready,
    /// It ended and will not come back by itself: the process has to be started again.
    Broken,
}

/// How one thing is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// What kind of thing it is, in the plural: `streams`, `models`, `queues`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// How it is, in words.
    pub words: String,
    /// What that means.
    pub verdict: Verdict,
}

/// The body of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    /// Whether the answer is yes.
    pub(crate) ok: bool,
    /// Why it is not, and what else is in trouble.
    pub(crate) wrong: Vec<String>,
    /// Kind → name → words.
    #[serde(flatten)]
    pub(crate) things: BTreeMap<&'static str, BTreeMap<String, String>>,
}

/// Whether the process should be left running.
pub(crate) fn health(states: &[State], draining: bool) -> Report {
    let is_broken = |state: &&State| state.verdict == Verdict::Broken && !draining;
    let wrong = states.iter().filter(is_broken).map(sentence).collect::<Vec<_>>();
    Report { ok: wrong.is_empty(), wrong, things: things(states) }
}

/// Whether the process does its work now.
pub(crate) fn readiness(states: &[State], draining: bool) -> Report {
    let ok = !draining && states.iter().all(|state| state.verdict < Verdict::Unready);
    let drains = draining.then(|| "draining".to_owned());
    let troubled = states.iter().filter(|state| state.verdict > Verdict::Good).map(sentence);
    Report { ok, wrong: drains.into_iter().chain(troubled).collect(), things: things(states) }
}

fn sentence(state: &State) -> String {
    let kind = state.kind.strip_suffix('s').unwrap_or(state.kind);
    format!("{kind} {:?}: {}", state.name, state.words)
}

fn things(states: &[State]) -> BTreeMap<&'static str, BTreeMap<String, String>> {
    let mut things = BTreeMap::<_, BTreeMap<_, _>>::new();
    for State { kind, name, words, .. } in states {
        things.entry(*kind).or_default().insert(name.clone(), words.clone());
    }
    things
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(kind: &'static str, name: &str, words: &str, verdict: Verdict) -> State {
        State { kind, name: name.to_owned(), words: words.to_owned(), verdict }
    }

    #[test]
    fn one_bad_camera_is_said_and_leaves_the_process_ready() {
        let states = [
            state("streams", "gate", "playing", Verdict::Good),
            state("streams", "yard", "refused: 401", Verdict::Troubled),
        ];
        let report = readiness(&states, false);
        assert!(report.ok);
        assert_eq!(report.wrong, ["stream \"yard\": refused: 401"]);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["streams"]["gate"], "playing");
    }

    #[test]
    fn a_model_that_is_not_there_makes_the_process_unready_and_not_unhealthy() {
        let states = [state("models", "shapes", "is being loaded", Verdict::Unready)];
        assert!(!readiness(&states, false).ok);
        assert!(health(&states, false).ok);
    }

    #[test]
    fn what_drains_is_unready_at_once_and_healthy_to_the_end() {
        let states = [state("models", "shapes", "stopped", Verdict::Broken)];
        assert!(!health(&states, false).ok);
        assert!(health(&states, true).ok);
        assert_eq!(readiness(&[], true).wrong, ["draining"]);
        assert!(!readiness(&[], true).ok);
    }
}
