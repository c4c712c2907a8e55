//! Which frames may have been delivered more than once, found by one pass over the columns that tell.
//!
//! Rows that follow one another, of one frame and model and of one run, each with a higher detection than the one
//! before, are one delivery. A frame and model with a single delivery is what `detections_unique` shows as it is. All
//! others are found by what their deliveries have in common: the pass keeps 16 bytes of each, sorts them, and takes
//! neighbours that agree. What it takes for repeated and is not (a frame whose rows lie apart) costs time and no more.
//!
//! What does not fit into memory is looked at in windows of `captured_at`, each a pass of its own over the files that
//! reach into it.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int32Type, TimestampMicrosecondType};
use arrow_array::{ArrayRef, RecordBatch};
use datafusion::arrow::compute::{concat_batches, partition};
use datafusion::catalog::Session;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::{HashSet, Result, ScalarValue, exec_datafusion_err};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryReservation};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, col, lit};
use datafusion::physical_plan::execute_stream_partitioned;
use futures::StreamExt as _;
use futures::future::try_join_all;

/// What the pass reads: first what identifies frame and model, then the run, then the detection.
pub(crate) const COLUMNS: [&str; 9] = [
    "captured_at",
    "stream",
    "model",
    "frame_id",
    "inferred_at",
    "worker",
    "model_version",
    "status",
    "detection",
];
/// How many of the [`COLUMNS`] identify frame and model.
const KEYS: usize = 4;
const DETECTION: usize = COLUMNS.len() - 1;

/// One of so many bytes of the queries' memory is the pass's at most.
const MEMORY_SHARE: usize = 2;
/// One of so many deliveries that fit may be of a repeated frame: the times of these are kept beside the query.
const REPEATED_SHARE: usize = 16;
/// Deliveries that room is made for at once, at least.
const FEWEST: usize = 4_096;
/// Windows that are looked at before the pass is given up.
const MOST_WINDOWS: usize = 64;

/// The columns that tell which frame and model a row is of: what a filter on them leaves out, it leaves out whole.
pub(crate) fn keys() -> &'static [&'static str] {
    &COLUMNS[..KEYS]
}

/// The times of capture (UTC microseconds) of frames that may have been delivered more than once, among the rows of
/// `plan`, which has the [`COLUMNS`]; `None` when there is not the memory to tell, or they are too many to keep.
///
/// # Errors
/// When rows cannot be read.
pub(crate) async fn find(state: &dyn Session, plan: &LogicalPlan) -> Result<Option<HashSet<i64>>> {
    let most = most(state) / REPEATED_SHARE;
    let mut repeated = HashSet::new();
    let mut windows = vec![Window::default()];
    for _ in 0..MOST_WINDOWS {
        let Some(window) = windows.pop() else { return Ok(Some(repeated)) };
        match look(state, plan, window).await? {
            Seen::All(found) => repeated.extend(found),
            Seen::TooMany { middle: Some(middle) } => windows.extend(window.split(middle)),
            Seen::TooMany { middle: None } => return Ok(None),
        }
        if repeated.len() > most {
            return Ok(None);
        }
    }
    Ok(None)
}

/// How many deliveries the pass may keep.
fn most(state: &dyn Session) -> usize {
    let bytes = match state.runtime_env().memory_pool.memory_limit() {
        MemoryLimit::Finite(bytes) => bytes / MEMORY_SHARE,
        MemoryLimit::Infinite | MemoryLimit::Unknown => usize::MAX,
    };
    bytes / size_of::<Delivery>()
}

/// A part of time: from the one, before the other, in UTC microseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    from: Option<i64>,
    until: Option<i64>,
}

impl Window {
    /// The later part, and the earlier one.
    fn split(self, middle: i64) -> [Self; 2] {
        [Self { from: Some(middle), ..self }, Self { until: Some(middle), ..self }]
    }

    fn filter(self) -> Option<Expr> {
        let from = self.from.map(|from| col("captured_at").gt_eq(time(from)));
        let until = self.until.map(|until| col("captured_at").lt(time(until)));
        from.into_iter().chain(until).reduce(Expr::and)
    }
}

/// A time of capture.
pub(crate) fn time(micros: i64) -> Expr {
    lit(ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into())))
}

/// What came of a pass over one window.
enum Seen {
    /// The times of capture of its repeated frames.
    All(Vec<i64>),
    /// It has more deliveries than fit; a time that parts them, unless all are of one.
    TooMany { middle: Option<i64> },
}

async fn look(state: &dyn Session, plan: &LogicalPlan, window: Window) -> Result<Seen> {
    let mut plan = LogicalPlanBuilder::from(plan.clone());
    if let Some(filter) = window.filter() {
        plan = plan.filter(filter)?;
    }
    let plan = state.create_physical_plan(&plan.build()?).await?;
    let deliveries = Arc::new(Mutex::new(Deliveries::new(state)));
    let parts = execute_stream_partitioned(plan, state.task_ctx())?.into_iter().map(|rows| {
        let part = SpawnedTask::spawn(read(rows, Arc::clone(&deliveries)));
        async { part.join_unwind().await.map_err(stopped)? }
    });
    let parts = try_join_all(parts).await?;
    let full = parts.into_iter().any(|part| part.is_break());
    let seen = move || {
        let mut deliveries = deliveries.lock().unwrap_or_else(PoisonError::into_inner);
        if full { deliveries.middle() } else { deliveries.repeated() }
    };
    SpawnedTask::spawn_blocking(seen).join_unwind().await.map_err(stopped)
}

fn stopped(error: impl std::fmt::Display) -> datafusion::common::DataFusionError {
    exec_datafusion_err!("the pass over the deliveries was stopped: {error}")
}

/// Reads one part of the rows, until there are too many deliveries.
async fn read(
    mut rows: SendableRecordBatchStream,
    deliveries: Arc<Mutex<Deliveries>>,
) -> Result<ControlFlow<()>> {
    let mut before = None;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        let begun = begun(before.as_ref(), &batch)?;
        if batch.num_rows() > 0 {
            before = Some(batch.slice(batch.num_rows() - 1, 1));
        }
        let mut deliveries = deliveries.lock().unwrap_or_else(PoisonError::into_inner);
        if deliveries.add(&begun).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// What is kept of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Delivery {
    captured_at: i64,
    /// A hash of frame and model: two that share it by chance count as repeated.
    frame: u64,
}

/// The deliveries that begin in a batch; `before` is the row before it.
fn begun(before: Option<&RecordBatch>, batch: &RecordBatch) -> Result<Vec<Delivery>> {
    let mut starts = starts(batch)?;
    if let Some(before) = before.filter(|_| batch.num_rows() > 0) {
        let joint = concat_batches(&batch.schema(), [before, &batch.slice(0, 1)])?;
        let goes_on = self::starts(&joint)?.len() == 1;
        starts.drain(..usize::from(goes_on));
    }
    let mut frames = vec![0; batch.num_rows()];
    create_hashes(&batch.columns()[..KEYS], &RandomState::default(), &mut frames)?;
    let times = batch.column(0).as_primitive::<TimestampMicrosecondType>();
    let delivery = |row: usize| Delivery { captured_at: times.value(row), frame: frames[row] };
    Ok(starts.into_iter().map(delivery).collect())
}

/// The rows of a batch with which a delivery begins.
fn starts(batch: &RecordBatch) -> Result<Vec<usize>> {
    let run: &[ArrayRef] = &batch.columns()[..DETECTION];
    let detections = batch.column(DETECTION).as_primitive::<Int32Type>().values();
    let starts = partition(run)?.ranges().into_iter().flat_map(|rows| {
        let again =
            (rows.start + 1..rows.end).filter(|row| detections[*row] <= detections[row - 1]);
        std::iter::once(rows.start).chain(again)
    });
    Ok(starts.collect())
}

/// The deliveries of a window, within their share of the queries' memory.
struct Deliveries {
    all: Vec<Delivery>,
    most: usize,
    memory: MemoryReservation,
}

impl Deliveries {
    fn new(state: &dyn Session) -> Self {
        let memory = MemoryConsumer::new("deliveries").register(&state.runtime_env().memory_pool);
        Self { all: Vec::new(), most: most(state), memory }
    }

    /// Adds as many as there is room for; breaks off when that is not all.
    fn add(&mut self, some: &[Delivery]) -> ControlFlow<()> {
        let wanted = self.all.len() + some.len();
        if wanted > self.all.capacity() {
            let room = wanted.max(2 * self.all.capacity()).max(FEWEST).min(self.most);
            if self.memory.try_resize(room * size_of::<Delivery>()).is_ok() {
                self.all.reserve_exact(room.saturating_sub(self.all.len()));
            }
        }
        let fit = some.len().min(self.all.capacity() - self.all.len());
        self.all.extend_from_slice(&some[..fit]);
        if fit < some.len() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn repeated(&mut self) -> Seen {
        self.all.sort_unstable();
        let repeated = self.all.windows(2).filter(|pair| pair[0] == pair[1]);
        let mut times: Vec<_> = repeated.map(|pair| pair[0].captured_at).collect();
        times.dedup();
        Seen::All(times)
    }

    fn middle(&mut self) -> Seen {
        let middle = match self.all.len() {
            0 => None,
            count => {
                let (before, middle, after) = self.all.select_nth_unstable(count / 2);
                let middle = middle.captured_at;
                let parts = before.iter().any(|one| one.captured_at < middle);
                let later = after.iter().map(|one| one.captured_at).filter(|time| *time > middle);
                if parts { Some(middle) } else { later.min() }
            }
        };
        Seen::TooMany { middle }
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{Int32Array, StringArray, TimestampMicrosecondArray};

    use super::*;

    /// A batch of rows, each of a frame, a worker and a detection.
    fn batch(rows: &[(&str, &str, i32)]) -> RecordBatch {
        let column = |name: &str| -> ArrayRef {
            let text = |value: fn(&(&str, &str, i32)) -> String| {
                Arc::new(rows.iter().map(|row| Some(value(row))).collect::<StringArray>())
            };
            let time = || TimestampMicrosecondArray::from_value(7, rows.len()).with_timezone("UTC");
            match name {
                "captured_at" | "inferred_at" => Arc::new(time()),
                "detection" => Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.2))),
                "frame_id" => text(|row| row.0.to_owned()),
                "worker" => text(|row| row.1.to_owned()),
                _ => text(|_| "same".to_owned()),
            }
        };
        RecordBatch::try_from_iter(COLUMNS.map(|name| (name, column(name)))).unwrap()
    }

    #[test]
    fn a_delivery_begins_with_another_frame_or_run_or_with_what_was_there_before() {
        for (rows, begun) in [
            (vec![], vec![]),
            (vec![("a", "w1", 0), ("a", "w1", 1), ("a", "w1", 3)], vec![0]),
            (vec![("a", "w1", 0), ("b", "w1", 1), ("a", "w1", 1)], vec![0, 1, 2]),
            (vec![("a", "w1", 0), ("a", "w2", 1)], vec![0, 1]),
            (vec![("a", "w1", 0), ("a", "w1", 0), ("a", "w1", 1)], vec![0, 1]),
            (vec![("a", "w1", 1), ("a", "w1", 0)], vec![0, 1]),
        ] {
            assert_eq!(starts(&batch(&rows)).unwrap(), begun, "{rows:?}");
        }
    }

    #[test]
    fn a_delivery_goes_on_in_the_next_batch() {
        let before = batch(&[("a", "w1", 1)]);
        for (next, count) in [
            (vec![], 0),
            (vec![("a", "w1", 2), ("a", "w1", 3), ("b", "w1", 0)], 1),
            (vec![("a", "w1", 1)], 1),
            (vec![("a", "w2", 2)], 1),
            (vec![("b", "w1", 2), ("a", "w1", 2)], 2),
        ] {
            let begun = begun(Some(&before), &batch(&next)).unwrap();
            assert_eq!(begun.len(), count, "{next:?}");
        }
        let again = begun(Some(&before), &batch(&[("a", "w2", 2)])).unwrap();
        assert_eq!(again, begun(None, &before).unwrap(), "one frame has one hash");
    }
}
