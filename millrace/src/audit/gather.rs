//! Reads the books from durable state: beside running processes, or after all of them were killed.
//!
//! In the direction in which frames move, so that none is missed between two places: a stream's accounts and
//! spool at one moment, then the queues with their dead letters, then the table.
//!
//! SQS lists no messages. There the queue says how many it holds, and so many messages' worth of unanswered frames
//! counts as in flight and no more: an empty queue leaves nothing to excuse.

use std::collections::BTreeSet;

use anyhow::Context as _;
use services::config::Config;
use services::queue::{DeadLetter, DeadLetters, Held, QueueReader};
use services::{
    DataFolder, Epoch, ErrorKind, FrameBatch, FrameId, MediaTime, ModelName, OpenBackend, StreamId,
};
use table::{EmbeddedTable, Rows, Table};

use super::{Answer, Answered, Books, Entry, Key, Taken};

/// Frame ids in one question to the table.
const IDS_PER_QUERY: usize = 500;
/// Dead letters read at a time.
const LETTERS_PER_PAGE: usize = 1_000;

/// Reads everything the audit compares, where all of it lies in a data folder.
///
/// # Errors
/// When a file of the data folder cannot be read; it is named.
pub async fn gather(folder: &DataFolder) -> anyhow::Result<Books> {
    let table = EmbeddedTable::open(folder)?;
    let folder = folder.clone();
    // One moment of the table for all questions: an answer given between two of them would count in neither.
    let read = move || anyhow::Ok((read_files(&folder)?, table.hold()?));
    let (mut books, table) =
        tokio::task::spawn_blocking(read).await.context("read spools, queues and table")??;
    count_answered(&table, &mut books).await?;
    look_up_answers(&table, &mut books).await?;
    Ok(books)
}

/// Reads everything the audit compares, where spools alone lie in the data folder: queues and table are on AWS.
///
/// # Errors
/// When a spool cannot be read, or a queue or the table cannot be asked; it is named.
pub async fn gather_aws(
    config: &Config,
    backend: &OpenBackend,
    table: &dyn Table,
) -> anyhow::Result<Books> {
    let folder = backend.folder.clone();
    let read = move || read_spools(&folder);
    let mut books = tokio::task::spawn_blocking(read).await.context("read spools")??;
    for (model, queue) in &backend.ports.queues {
        let depth = queue.backlog.depth().await?;
        let runs = config.models.get(model).map_or(1, |model| model.sample.max_frames);
        books.unlisted.insert(model.clone(), (depth.ready + depth.leased) * u64::from(runs));
        for letter in letters(queue.dead.as_ref()).await? {
            enter(&letter.body, &mut books, |books| &mut books.dead);
        }
    }
    count_answered(table, &mut books).await?;
    look_up_answers(table, &mut books).await?;
    Ok(books)
}

/// All dead letters of a queue, oldest first.
///
/// # Errors
/// As [`DeadLetters::list`].
pub async fn letters(dead: &dyn DeadLetters) -> anyhow::Result<Vec<DeadLetter>> {
    let mut all: Vec<DeadLetter> = Vec::new();
    loop {
        let page = dead.list(all.last().map(|letter| &letter.id), LETTERS_PER_PAGE).await?;
        let is_last = page.len() < LETTERS_PER_PAGE;
        all.extend(page);
        if is_last {
            return Ok(all);
        }
    }
}

fn read_spools(folder: &DataFolder) -> anyhow::Result<Books> {
    let mut books = Books::default();
    for stream in folder.streams()? {
        read_spool(folder, &stream, &mut books)?;
    }
    Ok(books)
}

fn read_files(folder: &DataFolder) -> anyhow::Result<Books> {
    let mut books = read_spools(folder)?;
    for model in folder.models()? {
        match QueueReader::open(folder.queue(&model)) {
            Ok(queue) => queue.visit(|held| match held {
                Held::Live(body) => enter(body, &mut books, |books| &mut books.in_flight),
                Held::Dead(body) => enter(body, &mut books, |books| &mut books.dead),
            })?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(books)
}

/// Enters a message's frames, but for those that were taken after the accounts were read.
fn enter(body: &str, books: &mut Books, place: impl Fn(&mut Books) -> &mut BTreeSet<Taken>) {
    let Ok(batch) = FrameBatch::from_json(body) else {
        books.unreadable += 1;
        return;
    };
    let key = Key { stream: batch.stream.clone(), epoch: batch.epoch, model: batch.model.clone() };
    let known = batch.answered().filter(|entry| books.knows(&key, entry.media_time));
    let taken = known.map(|entry| Taken { model: key.model.clone(), frame: batch.frame_id(entry) });
    let taken: Vec<Taken> = taken.collect();
    place(books).extend(taken);
}

async fn count_answered(table: &dyn Table, books: &mut Books) -> anyhow::Result<()> {
    // As the view `frames` has it, without the sorting that it takes to tell which answer counts: a frame with an
    // answer is answered, whatever errors it has besides.
    let sql = format!(
        "SELECT stream, epoch, model, SUM(1 - failed) AS given, SUM(failed) AS errors FROM ( \
             SELECT stream, epoch, model, seq, MIN(CASE WHEN status = 'error' THEN 1 ELSE 0 END) AS failed \
             FROM detections {} GROUP BY stream, epoch, model, seq \
         ) AS answered GROUP BY stream, epoch, model",
        known_frames(books)
    );
    let rows = table.query(&sql).await?.collect().await?;
    let counts = integers(&rows, "given")?.into_iter().zip(integers(&rows, "errors")?);
    for (key, (given, errors)) in keys(&rows)?.into_iter().zip(counts) {
        let count = |frames: i64| u64::try_from(frames).context("count frames");
        books.answer(key, Answered { given: count(given)?, errors: count(errors)? });
    }
    Ok(())
}

/// The condition that says in SQL what [`Books::knows`] says; names need no quoting.
fn known_frames(books: &Books) -> String {
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
    if later.is_empty() { String::new() } else { format!("WHERE NOT ({})", later.join(" OR ")) }
}

async fn look_up_answers(table: &dyn Table, books: &mut Books) -> anyhow::Result<()> {
    let frames: BTreeSet<String> =
        books.in_flight.union(&books.dead).map(|taken| taken.frame.to_string()).collect();
    let frames: Vec<String> = frames.into_iter().map(|id| format!("'{id}'")).collect();
    for ids in frames.chunks(IDS_PER_QUERY) {
        let ids = ids.join(", ");
        let sql = format!("SELECT frame_id, model, status FROM frames WHERE frame_id IN ({ids})");
        let rows = table.query(&sql).await?.collect().await?;
        let (ids, models, statuses) =
            (texts(&rows, "frame_id")?, texts(&rows, "model")?, texts(&rows, "status")?);
        for ((id, model), status) in ids.iter().zip(models).zip(statuses) {
            let answer = if status == "error" { Answer::Error } else { Answer::Given };
            let frame: FrameId = id.parse()?;
            books.answers.insert(Taken { model: ModelName::new(model)?, frame }, answer);
        }
    }
    Ok(())
}

fn keys(rows: &Rows) -> anyhow::Result<Vec<Key>> {
    let (streams, models) = (texts(rows, "stream")?, texts(rows, "model")?);
    let epochs = integers(rows, "epoch")?;
    let parts = streams.into_iter().zip(models).zip(epochs);
    parts
        .map(|((stream, model), epoch)| {
            let epoch = Epoch(u64::try_from(epoch).context("read an epoch")?);
            Ok(Key { stream: StreamId::new(stream)?, epoch, model: ModelName::new(model)? })
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

fn read_spool(folder: &DataFolder, stream: &StreamId, books: &mut Books) -> anyhow::Result<()> {
    let spool = match receive_video::store::audit(&folder.spool(stream)) {
        Ok(spool) => spool,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let newest = spool.accounts.iter().map(|account| account.epoch).max();
    books.newest.insert(stream.clone(), newest.unwrap_or(Epoch(0)));
    for account in spool.accounts {
        let key = Key { stream: stream.clone(), epoch: account.epoch, model: account.model };
        if account.folded {
            books.folded.insert(stream.clone(), account.epoch);
        }
        let entry = Entry {
            account: account.account,
            last_taken: account.last_taken,
            is_closed: account.closed,
        };
        books.entries.insert(key, entry);
    }
    for body in &spool.pending {
        enter(body, books, |books| &mut books.in_flight);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;
    use services::delivery::{BufferedDelivery, DeliveryOptions, DeliveryStream as _};
    use services::{Clock, DetectionRow, Seq};
    use table::Limits;

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
        count_answered(&table, &mut books).await.unwrap();
        books.answered
    }

    #[tokio::test]
    async fn frames_are_counted_once_whatever_they_have_rows_of() {
        let folder = tempfile::tempdir().unwrap();
        let folder = DataFolder::new(folder.path());
        let replayed = [row(1, "error"), row(1, "ok"), row(1, "ok")];
        let failed_later = [row(2, "none"), row(2, "error")];
        let failed_twice = [row(3, "error"), row(3, "error")];
        deliver(&folder, &[&replayed[..], &failed_later, &failed_twice].concat()).await;
        let key = Key { stream: id(1).stream, epoch: Epoch(7), model: "shapes".parse().unwrap() };
        let answered = Answered { given: 2, errors: 1 };
        assert_eq!(counted(&folder).await, BTreeMap::from([(key, answered)]));
    }

    #[tokio::test]
    async fn a_table_larger_than_the_memory_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let folder = DataFolder::new(folder.path());
        let rows: Vec<_> = (0..30_000).map(|seq| row(seq, "ok")).collect();
        deliver(&folder, &rows).await;
        let counted: Vec<Answered> = counted(&folder).await.into_values().collect();
        assert_eq!(counted, [Answered { given: 30_000, errors: 0 }]);
    }
}
