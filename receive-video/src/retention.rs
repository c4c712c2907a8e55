//! Keeps the folder of objects within its bounds, while a receiver puts more into it.
//!
//! What is removed is nobody's any more: what spools, queues and dead letters name stays. They are asked in the
//! direction in which a message goes, so that none is missed between two places.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use services::object_store::retention::{Held, ObjectKeeper, Swept};
use services::queue::{Held as Message, QueueReader};
use services::{DataFolder, ErrorKind, ModelName, OpenBackend, PortError, StreamId};
use telemetry::metrics::{Page, value};
use telemetry::{Part, State, Verdict};

use crate::store;

/// The shortest pause between two passes.
const PAUSE: Duration = Duration::from_secs(60);
/// How many times as long as a pass the pause after it is, at least.
const REST: u32 = 20;

/// What removes old objects beside a receiver, where the configuration says how much is kept and a folder holds them.
#[derive(Clone, Debug)]
pub struct Retention {
    keeper: Option<ObjectKeeper>,
    folder: DataFolder,
    configured: Configured,
    told: Arc<Mutex<Told>>,
}

/// What has a spool or a queue as long as this process runs.
#[derive(Clone, Debug, Default)]
struct Configured {
    streams: BTreeSet<StreamId>,
    models: BTreeSet<ModelName>,
}

/// What the passes did since the start, and what came of the last one.
#[derive(Debug, Default)]
struct Told {
    removed: u64,
    removed_bytes: u64,
    last: Option<Result<Swept, String>>,
}

impl Retention {
    /// The retention of a backend's objects, of which these streams put some there.
    pub fn of<'a>(backend: &OpenBackend, streams: impl IntoIterator<Item = &'a StreamId>) -> Self {
        let (keeper, folder) = (backend.keeper.clone(), backend.folder.clone());
        let models = backend.ports.queues.keys().cloned().collect();
        let configured = Configured { streams: streams.into_iter().cloned().collect(), models };
        Self { keeper, folder, configured, told: Arc::default() }
    }

    /// Removes what is to go, now and again while `work` is done.
    pub async fn beside<T>(&self, work: impl Future<Output = T>) -> T {
        let Some(keeper) = &self.keeper else { return work.await };
        tokio::select! {
            biased;
            done = work => done,
            never = self.sweep_often(keeper) => match never {},
        }
    }

    async fn sweep_often(&self, keeper: &ObjectKeeper) -> Infallible {
        loop {
            let began = Instant::now();
            let (folder, configured) = (self.folder.clone(), self.configured.clone());
            let swept = keeper.sweep(move || held(&folder, &configured)).await;
            self.tell(swept);
            tokio::time::sleep(PAUSE.max(began.elapsed() * REST)).await;
        }
    }

    fn tell(&self, swept: Result<Option<Swept>, PortError>) {
        let last = match swept {
            // Another process does it, and tells.
            Ok(None) => return,
            Ok(Some(swept)) => {
                log(&swept);
                Ok(swept)
            }
            Err(error) => {
                tracing::warn!(%error, "no old objects were removed");
                Err(error.to_string())
            }
        };
        let mut told = self.told();
        if let Ok(swept) = &last {
            told.removed += swept.removed;
            told.removed_bytes += swept.removed_bytes;
        }
        told.last = Some(last);
    }

    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it is, in words.
    fn words(&self, swept: &Swept) -> (String, Verdict) {
        let Swept { kept, kept_bytes, failed, failure, .. } = swept;
        let bound = self.keeper.as_ref().and_then(|keeper| keeper.keep().bytes);
        let mut words = format!("{kept} kept, {kept_bytes} bytes");
        if let Some(oldest) = swept.oldest {
            words += &format!(", the oldest stored at {oldest}");
        }
        if let Some(failure) = failure {
            words += &format!("; {failed} could not be removed or read, first {failure}");
        }
        match bound.filter(|bound| kept_bytes > bound) {
            Some(bound) => {
                words += &format!("; more than {bound}: messages name them, or they are young")
            }
            None if *failed == 0 => return (words, Verdict::Good),
            None => {}
        }
        (words, Verdict::Troubled)
    }
}

fn log(swept: &Swept) {
    let Swept { removed, removed_bytes, kept, kept_bytes, failed, .. } = *swept;
    if removed > 0 {
        let oldest = swept.oldest.map(tracing::field::display);
        tracing::info!(removed, removed_bytes, kept, kept_bytes, oldest, "removed old objects");
    }
    if let Some(failure) = &swept.failure {
        tracing::warn!(
            failed,
            first = failure,
            "some old objects could not be removed or read, and are tried again"
        );
    }
}

impl Part for Retention {
    fn states(&self) -> Vec<State> {
        let (words, verdict) = match &self.told().last {
            None => return Vec::new(),
            Some(Ok(swept)) => self.words(swept),
            Some(Err(why)) => (format!("nothing is removed: {why}"), Verdict::Troubled),
        };
        vec![State { kind: "retention", name: "objects".to_owned(), words, verdict }]
    }

    fn write_metrics(&self, page: &mut Page<'_>) -> fmt::Result {
        let told = self.told();
        let count = |count: u64| told.last.iter().map(move |_| (Vec::new(), count));
        page.counter("objects_removed", "Old objects that were removed", count(told.removed))?;
        page.counter(
            "objects_removed_bytes",
            "Bytes of old objects that were removed",
            count(told.removed_bytes),
        )?;
        let last = || told.last.iter().flatten();
        page.gauge(
            "objects_bytes",
            "Bytes of the objects that are kept, when they were counted last",
            last().map(|swept| (Vec::new(), value(swept.kept_bytes))),
        )?;
        let oldest = last().filter_map(|swept| u64::try_from(swept.oldest?.0).ok());
        page.gauge(
            "objects_oldest_timestamp_seconds",
            "When the oldest object that is kept was stored, in seconds since 1970",
            oldest.map(|micros| (Vec::new(), value(micros / 1_000_000))),
        )
    }
}

/// The objects that somebody may still ask for. Of a spool or queue that cannot be read, or is missing while this process
/// should have it, nobody knows which it names: all of its stream's or model's are.
///
/// # Errors
/// When it cannot be listed which spools and queues there are.
fn held(folder: &DataFolder, configured: &Configured) -> Result<Held, PortError> {
    let mut held = Held::default();
    // One that has no objects may have had no spool yet.
    let stored =
        |stream: &&StreamId| folder.objects().join("frames").join(stream.as_str()).exists();
    let mut streams = BTreeSet::from_iter(folder.streams()?);
    streams.extend(configured.streams.iter().filter(stored).cloned());
    for stream in streams {
        let read = store::keys(&folder.spool(&stream), |key| held.hold(key));
        if is_unknown(read, configured.streams.contains(&stream)) {
            held.hold_stream(stream);
        }
    }
    let mut models = BTreeSet::from_iter(folder.models()?);
    models.extend(configured.models.iter().cloned());
    for model in models {
        let visit = |reader: QueueReader| {
            reader.visit(|message| match message {
                Message::Live(body) | Message::Dead(body) => held.hold_named_by(body),
            })
        };
        let read = QueueReader::open(folder.queue(&model)).and_then(visit);
        if is_unknown(read, configured.models.contains(&model)) {
            held.hold_model(model);
        }
    }
    Ok(held)
}

/// Tells whether a spool or queue could not be read, and says so; one that is gone since it was listed names nothing, unless
/// it is one that this process should have.
fn is_unknown(read: Result<(), PortError>, is_configured: bool) -> bool {
    match read {
        Err(error) if is_configured || error.kind() != ErrorKind::NotFound => {
            tracing::warn!(%error, "objects are kept that it may name");
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
