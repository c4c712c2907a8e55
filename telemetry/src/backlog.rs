//! The queues' depths, asked for at most once in ten seconds however often somebody looks.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::future::join_all;
use services::queue::Depth;
use services::{Clock, ModelName, Ports, WorkQueue};

use crate::health::{State, Verdict};
use crate::metrics::{Page, value};
use crate::part::Part;

/// How long an answer is good for.
const GOOD_FOR: Duration = Duration::from_secs(10);
/// Longest wait for one.
const PATIENCE: Duration = Duration::from_secs(2);

type Depths = BTreeMap<ModelName, Result<Depth, String>>;

/// The queues of a process.
#[derive(Debug)]
pub(crate) struct Queues {
    queues: BTreeMap<ModelName, WorkQueue>,
    /// Held while the queues are asked, so that nobody asks twice.
    asked: tokio::sync::Mutex<Option<Instant>>,
    depths: Mutex<Depths>,
}

impl Queues {
    pub(crate) fn new(ports: &Ports) -> Self {
        let (asked, depths) = Default::default();
        Self { queues: ports.queues.clone(), asked, depths }
    }

    fn depths(&self) -> Depths {
        self.depths.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Part for Queues {
    async fn refresh(&self) {
        let mut asked = self.asked.lock().await;
        if asked.is_some_and(|asked| asked.elapsed() < GOOD_FOR) {
            return;
        }
        let answers =
            self.queues.iter().map(async |(model, queue)| (model.clone(), ask(queue).await));
        let depths = join_all(answers).await.into_iter().collect();
        *self.depths.lock().unwrap_or_else(PoisonError::into_inner) = depths;
        *asked = Some(Instant::now());
    }

    fn states(&self) -> Vec<State> {
        self.depths().into_iter().map(state).collect()
    }

    fn write_metrics(&self, page: &mut Page<'_>) -> fmt::Result {
        let depths = self.depths();
        page.gauge(
            "queue_up",
            "1 when the model's queue answered lately, else 0",
            depths.iter().map(|(model, depth)| (labels(model), f64::from(u8::from(depth.is_ok())))),
        )?;
        let known: Vec<(&ModelName, Depth)> = depths
            .iter()
            .filter_map(|(model, depth)| Some((model, *depth.as_ref().ok()?)))
            .collect();
        let each = |count: fn(&Depth) -> u64| {
            known.iter().map(move |(model, depth)| (labels(model), value(count(depth))))
        };
        page.gauge("queue_ready", "Messages that can be received", each(|depth| depth.ready))?;
        page.gauge("queue_leased", "Messages that a worker holds", each(|depth| depth.leased))?;
        page.gauge("queue_dead", "Dead letters", each(|depth| depth.dead))?;
        let now = Clock::system().now();
        let age = |depth: Depth| {
            Some(value(depth.oldest_sent_at?.millis_until(now).max(0).cast_unsigned()) / 1_000.0)
        };
        page.gauge(
            "queue_oldest_seconds",
            "Age of the oldest message that is not dead, none when there is none or it is not known",
            known.iter().filter_map(|(model, depth)| Some((labels(model), age(*depth)?))),
        )
    }
}

fn labels(model: &ModelName) -> Vec<(&'static str, &str)> {
    vec![("model", model.as_str())]
}

async fn ask(queue: &WorkQueue) -> Result<Depth, String> {
    match tokio::time::timeout(PATIENCE, queue.backlog.depth()).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {PATIENCE:?}")),
    }
}

fn state((model, depth): (ModelName, Result<Depth, String>)) -> State {
    let (words, verdict) = match depth {
        Ok(Depth { ready, leased, dead, .. }) => {
            (format!("{ready} ready, {leased} leased, {dead} dead"), Verdict::Good)
        }
        Err(cause) => (format!("is away: {cause}"), Verdict::Unready),
    };
    State { kind: "queues", name: model.to_string(), words, verdict }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use services::queue::Backlog;
    use services::{EmbeddedOptions, ErrorKind, PortError, open_embedded};

    use super::*;

    /// Counts how often it is asked, and fails.
    #[derive(Debug, Default)]
    struct Asked(AtomicU64);

    #[async_trait]
    impl Backlog for Asked {
        async fn depth(&self) -> Result<Depth, PortError> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Err(PortError::because(ErrorKind::Unavailable, "count messages", "connection refused"))
        }
    }

    #[tokio::test]
    async fn however_often_somebody_looks_the_queue_is_asked_once() {
        let data = tempfile::tempdir().unwrap();
        let model = ModelName::new("shapes").unwrap();
        let opened = open_embedded(data.path(), [&model], &EmbeddedOptions::default()).unwrap();
        let asked = Arc::new(Asked::default());
        let mut queues = Queues::new(&opened.ports);
        queues.queues.get_mut(&model).unwrap().backlog = asked.clone();
        for _ in 0..5 {
            queues.refresh().await;
        }
        assert_eq!(asked.0.load(Ordering::SeqCst), 1);
        let state = queues.states().remove(0);
        assert_eq!(state.verdict, Verdict::Unready);
        assert_eq!(state.words, "is away: count messages: connection refused");
    }
}
