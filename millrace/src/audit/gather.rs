//! Reads the books from durable state: beside running processes, or after all of them were killed.
//!
//! In the direction in which frames move, so that none is missed between two places: a stream's accounts and
//! spool at one moment, then the queues with their dead letters, then the table.
//!
//! SQS lists no messages. There the queue says how many it holds, and so many messages' worth of unanswered frames
//! counts as in flight and no more: an empty queue leaves nothing to excuse.

use anyhow::Context as _;
use receive_video::store::{EpochAccount, Kept, visit};
use services::config::Config;
use services::delivery::{FramesOf, Gone, Loss, RetiredFrames, gone};
use services::message::STALE;
use services::object_store::retention::Boundary;
use services::queue::{DeadLetter, DeadLetters, Held, QueueReader};
use services::{
    CaptureTime, DataFolder, Epoch, ErrorKind, FrameBatch, MediaTime, ModelName, OpenBackend,
    PortError, Seq, StreamId, counted,
};
use table::{EmbeddedTable, Rows, Table, TimeRange};

use super::frames::Placed;
use super::{Answered, Books, Entry, Frames, Gap, Key, Place, Removed};

/// Conditions on frames in flight or dead in one question to the table; beyond, one on the range of them all.
const MOST_PLACES: usize = 200;
/// Microseconds of a day.
const DAY_MICROS: i64 = 24 * 3_600 * 1_000_000;

/// Reads everything the audit compares about a range, where all of it lies in a data folder. A spool or queue that
/// cannot be read is a gap in the books.
///
/// # Errors
/// When the folder or the table cannot be read; what it is is named.
pub async fn gather(folder: &DataFolder, range: TimeRange) -> anyhow::Result<Books> {
    let table = EmbeddedTable::open(folder)?;
    let files = folder.clone();
    let read = move || {
        let mut books = read_files(&files, range)?;
        books.removed.extend(removed_objects(&files));
        anyhow::Ok(books)
    };
    let mut books = tokio::task::spawn_blocking(read).await.context("read spools and queues")??;
    settle(&table, &mut books).await?;
    // After the table: what left it meanwhile was there, or is among what left.
    let buffer = folder.buffer();
    let gone =
        tokio::task::spawn_blocking(move || gone(&buffer)).await.context("read the buffer")?;
    enter_gone(gone, &mut books)?;
    Ok(books)
}

/// Reads everything the audit compares about a range, where spools alone lie in the data folder: queues and table are
/// on AWS. A spool that cannot be read is a gap in the books.
///
/// # Errors
/// When a queue or the table cannot be asked; it is named.
pub async fn gather_aws(
    config: &Config,
    backend: &OpenBackend,
    table: &dyn Table,
    range: TimeRange,
) -> anyhow::Result<Books> {
    let folder = backend.folder.clone();
    let read = move || read_spools(&folder, range);
    let mut books = tokio::task::spawn_blocking(read).await.context("read spools")??;
    for (model, queue) in &backend.ports.queues {
        let depth = queue.backlog.depth().await?;
        let runs = config.models.get(model).map_or(1, |model| model.sample.max_frames);
        books.unlisted.insert(model.clone(), (depth.ready + depth.leased) * u64::from(runs));
        for letter in letters(queue.dead.as_ref()).await? {
            enter(&letter.body, &mut books, |books| &mut books.dead);
        }
    }
    settle(table, &mut books).await?;
    Ok(books)
}

/// All dead letters of a queue, oldest first.
///
/// # Errors
/// As [`DeadLetters::list`].
pub async fn letters(dead: &dyn DeadLetters) -> anyhow::Result<Vec<DeadLetter>> {
    // In one page: where letters cannot be listed without receiving them, each page costs as much as all.
    Ok(dead.list(None, usize::MAX).await?)
}

/// Enters what was in the table once: what could not be read and was taken out of it, and what left with its time.
fn enter_gone(gone: Result<Gone, PortError>, books: &mut Books) -> Result<(), PortError> {
    let gone = match gone {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        gone => gone?,
    };
    let gap = |loss: Loss| Gap {
        place: Place::Table(loss.place),
        cause: format!("up to {}, taken out: {}", counted(loss.rows, "row"), loss.reason),
    };
    books.gaps.extend(gone.losses.into_iter().map(gap));
    let Some(retired) = gone.retired else { return Ok(()) };
    books.retired_before = Some(retired.before());
    for RetiredFrames { of: FramesOf { stream, epoch, model }, frames } in retired.frames {
        books.retire(&Key { stream, epoch, model }, frames);
    }
    Ok(())
}

/// How far the objects of frames were removed.
fn removed_objects(folder: &DataFolder) -> Option<Removed> {
    let words = match Boundary::read(&folder.objects()) {
        Ok(boundary) => {
            let before = boundary?.before;
            format!("objects stored before {before} are removed, but for those that messages name")
        }
        Err(error) => format!("it is not known which objects are removed: {error}"),
    };
    Some(Removed { kind: "objects", words })
}

fn read_spools(folder: &DataFolder, range: TimeRange) -> anyhow::Result<Books> {
    let mut books = Books { range, ..Books::default() };
    for stream in folder.streams()? {
        let read = read_spool(folder, &stream, &mut books);
        note_gap(&mut books, Place::Spool(stream), read);
    }
    Ok(books)
}

fn read_files(folder: &DataFolder, range: TimeRange) -> anyhow::Result<Books> {
    let mut books = read_spools(folder, range)?;
    for model in folder.models()? {
        let read = read_queue(folder, &model, &mut books);
        note_gap(&mut books, Place::Queue(model), read);
    }
    Ok(books)
}

/// Notes what could not be read; what is gone since it was listed held nothing.
fn note_gap(books: &mut Books, place: Place, read: Result<(), PortError>) {
    match read {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            books.gaps.push(Gap { place, cause: error.to_string() });
        }
        _ => {}
    }
}

fn read_spool(folder: &DataFolder, stream: &StreamId, books: &mut Books) -> Result<(), PortError> {
    visit(&folder.spool(stream), |kept| match kept {
        Kept::Account(account) => enter_account(stream, account, books),
        Kept::Pending(body) => enter(body, books, |books| &mut books.in_flight),
    })?;
    // One that is there and was given nothing yet knows no epoch.
    books.newest.entry(stream.clone()).or_insert(Epoch(0));
    Ok(())
}

fn enter_account(stream: &StreamId, account: EpochAccount, books: &mut Books) {
    // They come in the order of their epochs.
    books.newest.insert(stream.clone(), account.epoch);
    if account.folded {
        books.folded.insert(stream.clone(), account.epoch);
    }
    let key = Key { stream: stream.clone(), epoch: account.epoch, model: account.model };
    let entry = Entry {
        account: account.account,
        last_taken: account.last_taken,
        is_closed: account.closed,
    };
    books.entries.insert(key, entry);
}

fn read_queue(folder: &DataFolder, model: &ModelName, books: &mut Books) -> Result<(), PortError> {
    QueueReader::open(folder.queue(model))?.visit(|held| match held {
        Held::Live(body) => enter(body, books, |books| &mut books.in_flight),
        Held::Dead(body) => enter(body, books, |books| &mut books.dead),
    })
}

/// Enters a message's frames, but for those that were taken after the accounts were read.
fn enter(body: &str, books: &mut Books, place: impl Fn(&mut Books) -> &mut Frames) {
    let Ok(batch) = FrameBatch::from_json(body) else {
        books.unreadable += 1;
        return;
    };
    let key = Key { stream: batch.stream.clone(), epoch: batch.epoch, model: batch.model.clone() };
    if books.concerns(&key) {
        let known = batch.answered().filter(|entry| books.knows(&key, entry.stamp.media_time));
        let known: Vec<Seq> = known.map(|entry| entry.stamp.seq).collect();
        place(books).extend(&key, known);
    }
}

/// Enters what the table says, in one reading of it.
async fn settle(table: &dyn Table, books: &mut Books) -> anyhow::Result<()> {
    let mut answer = table.query(&question(books)).await?;
    while let Some(batch) = answer.next().await {
        for (key, frame, answered) in settled(&Rows::of(batch?))? {
            books.settle(&key, frame, answered);
        }
    }
    let gap = |gap: &services::delivery::Gap| Gap {
        place: Place::Table(gap.file.display().to_string()),
        cause: format!("up to {}: {}", counted(gap.rows, "row"), gap.reason),
    };
    books.gaps.extend(answer.gaps().iter().map(gap));
    Ok(())
}

/// How many frames have an answer, and which of those that may be in flight or dead.
///
/// As the view `frames` has it, without the sorting that it takes to tell which answer counts: a frame with an answer
/// is answered, whatever errors it has besides, and one that was shed at last is shed.
fn question(books: &Books) -> String {
    format!(
        "SELECT stream, epoch, model, frame, SUM(CASE WHEN fate = 0 THEN 1 ELSE 0 END) AS given, \
             SUM(CASE WHEN fate = 1 THEN 1 ELSE 0 END) AS stale, \
             SUM(CASE WHEN fate = 2 THEN 1 ELSE 0 END) AS errors FROM ( \
             SELECT stream, epoch, model, {} AS frame, \
                 MIN(CASE WHEN status <> 'error' THEN 0 WHEN reason = '{STALE}' THEN 1 ELSE 2 END) AS fate \
             FROM detections {} GROUP BY stream, epoch, model, seq \
         ) AS answered GROUP BY stream, epoch, model, frame",
        placed_frame(books),
        conditions(books)
    )
}

/// The frame's number in SQL where it may be in flight or dead, else null: those alone are told one by one.
fn placed_frame(books: &Books) -> String {
    let mut places: Vec<String> = Vec::new();
    let mut all: Option<Placed> = None;
    for (key, placed) in books.in_flight.bounds().chain(books.dead.bounds()) {
        places
            .push(format!("(stream = '{}' AND model = '{}' AND {placed})", key.stream, key.model));
        all = Some(all.map_or(placed, |all| all.and(placed)));
    }
    match all {
        None => "CAST(NULL AS BIGINT)".to_owned(),
        Some(all) if places.len() > MOST_PLACES => format!("CASE WHEN {all} THEN seq END"),
        Some(_) => format!("CASE WHEN {} THEN seq END", places.join(" OR ")),
    }
}

/// The condition that says in SQL what [`Books::knows`] says, and what of [`Books::concerns`] leads to fewer files;
/// names need no quoting.
fn conditions(books: &Books) -> String {
    let mut later: Vec<String> = Vec::new();
    for (stream, epoch) in &books.newest {
        let keys = books.entries.keys().filter(|key| key.stream == *stream && key.epoch == *epoch);
        let models: Vec<String> = keys.map(|key| format!("'{}'", key.model)).collect();
        let others = match models.as_slice() {
            [] => String::new(),
            models => format!(" AND model NOT IN ({})", models.join(", ")),
        };
        later.push(format!("(stream = '{stream}' AND epoch > {})", epoch.0));
        later.push(format!("(stream = '{stream}' AND epoch = {}{others})", epoch.0));
    }
    for (Key { stream, epoch: Epoch(epoch), model }, entry) in &books.entries {
        let last = entry.last_taken.map_or(i64::MIN, |MediaTime(last)| last);
        if !entry.is_closed {
            later.push(format!(
                "(stream = '{stream}' AND epoch = {epoch} AND model = '{model}' AND media_time > {last})"
            ));
        }
    }
    let mut all = in_range(books);
    if !later.is_empty() {
        all.push(format!("NOT ({})", later.join(" OR ")));
    }
    if all.is_empty() { String::new() } else { format!("WHERE {}", all.join(" AND ")) }
}

/// What the range says of epochs, and of the days on which their rows may have been delivered.
fn in_range(books: &Books) -> Vec<String> {
    let TimeRange { since, until } = books.range;
    let concerned = || books.entries.keys().filter(|key| books.concerns(key));
    let mut all: Vec<String> = Vec::new();
    if let Some(since) = since {
        let first = concerned().map(|key| books.begin(key)).fold(since, CaptureTime::min);
        // Rows are delivered after their epoch's begin; a day is more than two machines' clocks differ.
        let day = CaptureTime(first.0.saturating_sub(DAY_MICROS)).to_string();
        all.push(format!("epoch >= {}", first.0.div_euclid(1_000)));
        all.extend(day.get(..10).map(|day| format!("dt >= '{day}'")));
    }
    if let Some(until) = until {
        let last = concerned().map(|key| key.epoch.begin()).fold(until, CaptureTime::max);
        all.push(format!("epoch <= {}", last.0.div_euclid(1_000)));
    }
    all
}

fn settled(rows: &Rows) -> anyhow::Result<Vec<(Key, Option<Seq>, Answered)>> {
    let (streams, models) = (texts(rows, "stream")?, texts(rows, "model")?);
    let (epochs, frames) = (integers(rows, "epoch")?, rows.integers("frame")?);
    let (given, errors) = (integers(rows, "given")?, integers(rows, "errors")?);
    let stale = integers(rows, "stale")?;
    let number = |number: i64| u64::try_from(number).context("read a number of a frame");
    (streams.into_iter().zip(models).enumerate())
        .map(|(row, (stream, model))| {
            let epoch = Epoch(number(epochs[row])?);
            let key = Key { stream: StreamId::new(stream)?, epoch, model: ModelName::new(model)? };
            let frame = frames[row].map(|frame| number(frame).map(Seq)).transpose()?;
            let (given, errors) = (number(given[row])?, number(errors[row])?);
            Ok((key, frame, Answered { given, errors, stale: number(stale[row])? }))
        })
        .collect()
}

fn texts(rows: &Rows, column: &str) -> anyhow::Result<Vec<String>> {
    let values = rows.texts(column)?.into_iter().collect::<Option<Vec<String>>>();
    values.with_context(|| format!("read column {column:?}: a value is missing"))
}

fn integers(rows: &Rows, column: &str) -> anyhow::Result<Vec<i64>> {
    let values = rows.integers(column)?.into_iter().collect::<Option<Vec<i64>>>();
    values.with_context(|| format!("read column {column:?}: a value is missing"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use serde_json::json;
    use services::delivery::{BufferedDelivery, DeliveryOptions, DeliveryStream as _};
    use services::{Clock, DetectionRow, FrameId};
    use table::{Answer, Limits, QueryError};

    use super::*;

    fn id(seq: u64) -> FrameId {
        FrameId { stream: "gate".parse().unwrap(), epoch: Epoch(7), seq: Seq(seq) }
    }

    fn row(seq: u64, status: &str) -> DetectionRow {
        let FrameId { stream, epoch, seq } = id(seq);
        serde_json::from_value(json!({
            "stream": stream, "epoch": epoch, "seq": seq, "frame_id": id(seq.0).to_string(),
            "media_time": seq.0 * 90_000, "captured_at": seq.0 * 1_000_000, "clock": "rtcp",
            "model": "shapes", "model_version": "v1", "status": status, "detection": 0,
            "inferred_at": seq.0 * 1_000_000, "latency_ms": 0, "worker": "w1",
        }))
        .unwrap()
    }

    async fn deliver(folder: &DataFolder, rows: &[DetectionRow]) {
        let options = DeliveryOptions::default();
        let buffer =
            BufferedDelivery::open(&folder.table(), options.max_buffered_bytes, Clock::system());
        let buffer = buffer.unwrap();
        for rows in rows.chunks(500) {
            assert!(buffer.put(rows).await.unwrap().iter().all(Result::is_ok));
        }
    }

    /// Counts with no more memory than a table of any size may take.
    async fn counted(folder: &DataFolder) -> BTreeMap<Key, Answered> {
        let limits = Limits { memory_bytes: 4 << 20, ..Limits::default() };
        let table = EmbeddedTable::open_with(folder, limits).unwrap();
        let mut books = Books::default();
        settle(&table, &mut books).await.unwrap();
        books.answered
    }

    #[tokio::test]
    async fn frames_are_counted_once_whatever_they_have_rows_of() {
        let folder = tempfile::tempdir().unwrap();
        let folder = DataFolder::new(folder.path());
        let replayed = [row(1, "error"), row(1, "ok"), row(1, "ok")];
        let failed_later = [row(2, "none"), row(2, "error")];
        let failed_twice = [row(3, "error"), row(3, "error")];
        let stale = |seq| DetectionRow { reason: Some(STALE.to_owned()), ..row(seq, "error") };
        let shed = [stale(4), row(5, "error"), stale(5), stale(6), row(6, "ok")];
        deliver(&folder, &[&replayed[..], &failed_later, &failed_twice, &shed].concat()).await;
        let key = Key { stream: id(1).stream, epoch: Epoch(7), model: "shapes".parse().unwrap() };
        let answered = Answered { given: 3, errors: 1, stale: 2 };
        assert_eq!(counted(&folder).await, BTreeMap::from([(key, answered)]));
    }

    #[tokio::test]
    async fn a_table_larger_than_the_memory_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let folder = DataFolder::new(folder.path());
        let rows: Vec<_> = (0..30_000).map(|seq| row(seq, "ok")).collect();
        deliver(&folder, &rows).await;
        let counted: Vec<Answered> = counted(&folder).await.into_values().collect();
        assert_eq!(counted, [Answered { given: 30_000, errors: 0, stale: 0 }]);
    }

    /// A table that counts its questions.
    #[derive(Debug)]
    struct Counted(EmbeddedTable, AtomicUsize);

    #[async_trait]
    impl Table for Counted {
        async fn query(&self, sql: &str) -> Result<Answer, QueryError> {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.query(sql).await
        }
    }

    #[tokio::test]
    async fn a_million_frames_in_flight_are_looked_up_in_one_reading() {
        let folder = tempfile::tempdir().unwrap();
        let folder = DataFolder::new(folder.path());
        let rows: Vec<_> = (0..2_000).map(|seq| row(seq, "ok")).collect();
        deliver(&folder, &[&rows[..], &[row(2_000, "error"), row(3_000_000, "ok")]].concat()).await;
        let table = Counted(EmbeddedTable::open(&folder).unwrap(), AtomicUsize::new(0));
        let key = Key { stream: id(1).stream, epoch: Epoch(7), model: "shapes".parse().unwrap() };
        let mut books = Books::default();
        books.in_flight.extend(&key, (1_000..1_001_000).map(Seq));
        books.dead.extend(&key, [Seq(10), Seq(1_000), Seq(2_000_000)]);
        settle(&table, &mut books).await.unwrap();
        assert_eq!(table.1.load(Ordering::Relaxed), 1);
        let found = books.equations().remove(0);
        assert_eq!((found.delivered, found.in_flight, found.dead), (2_001, 999_000, 1));
    }

    #[test]
    fn frames_in_flight_of_many_epochs_make_no_endless_question() {
        let mut books = Books::default();
        for epoch in 0..100_000 {
            let key =
                Key { stream: id(1).stream, epoch: Epoch(epoch), model: "shapes".parse().unwrap() };
            books.dead.extend(&key, [Seq(epoch + 3)]);
        }
        let question = question(&books);
        assert!(question.len() < 1_000, "{question}");
        assert!(question.contains("epoch BETWEEN 0 AND 99999 AND seq BETWEEN 3 AND 100002"));
    }

    #[tokio::test]
    async fn a_range_leaves_out_what_was_delivered_before_its_epochs() {
        let folder = tempfile::tempdir().unwrap();
        let folder = DataFolder::new(folder.path());
        let day = 86_400_000;
        let of_day = |epoch: u64| DetectionRow { epoch: Epoch(epoch * day), ..row(1, "ok") };
        deliver(&folder, &[of_day(10), of_day(20)]).await;
        let at = |days: u64| CaptureTime(i64::try_from(days * day * 1_000).unwrap());
        for (since, until, epochs) in
            [(None, None, vec![10, 20]), (Some(15), None, vec![20]), (None, Some(20), vec![10])]
        {
            let range = TimeRange { since: since.map(at), until: until.map(at) };
            let books = gather(&folder, range).await.unwrap();
            let found = books.equations().iter().map(|one| one.epoch.0 / day).collect::<Vec<_>>();
            assert_eq!(found, epochs, "{range:?}");
        }
    }

    #[tokio::test]
    async fn a_damaged_spool_or_queue_is_a_gap_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let folder = DataFolder::new(folder.path());
        deliver(&folder, &[row(1, "ok")]).await;
        let damaged = "no database, but long enough to look like one".repeat(100);
        for path in
            [folder.spool(&"yard".parse().unwrap()), folder.queue(&"faces".parse().unwrap())]
        {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, &damaged).unwrap();
        }
        let books = gather(&folder, TimeRange::default()).await.unwrap();
        let places: Vec<String> = books.gaps.iter().map(|gap| gap.place.to_string()).collect();
        assert_eq!(places, ["the spool of stream yard", "the queue of model faces"]);
        assert!(books.gaps[0].cause.contains("yard.sqlite"), "{:?}", books.gaps);
        assert_eq!(books.equations()[0].delivered, 1, "the rest is told");
        assert!(!books.equations()[0].has_gap);
    }
}
