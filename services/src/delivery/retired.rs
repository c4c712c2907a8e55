//! What left the table with its time: how many frames, and up to which hour.
//!
//! The counts are in `buffer.sqlite`. A copy of them lies beside it as `retired.json`, and no file is removed before the
//! copy tells that it has left: an older buffer that is put back, or a new one, takes a file that is gone for what it is,
//! and knows that its frames were answered.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rusqlite::types::Type;
use rusqlite::{OptionalExtension as _, Transaction};
use serde::{Deserialize, Serialize};

use super::columns::{Hour, signed};
use super::list;
use super::parquet::PartReader;
use crate::durable;
use crate::error::{ErrorKind, PortError};
use crate::id::{Epoch, ModelName, StreamId};
use crate::sqlite::Database;
use crate::time::CaptureTime;

/// Epochs of a stream and model that are counted apart; those before them are counted under the newest of theirs. More
/// than the receiver's accounts are kept apart, so that no count stands for more than one of those does.
const KEPT_EPOCHS: u32 = 2_000;

/// Frames that are of one connection and one model.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FramesOf {
    /// The stream.
    pub stream: StreamId,
    /// The connection.
    pub epoch: Epoch,
    /// The model.
    pub model: ModelName,
}

/// How many frames had rows in the table, and have none there since these left with their time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetiredFrames {
    /// Whose they are.
    #[serde(flatten)]
    pub of: FramesOf,
    /// How many.
    pub frames: u64,
}

/// What left the table with its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retired {
    /// How often hours left.
    steps: u64,
    /// The newest of the hours that left.
    last: i64,
    /// The frames.
    pub frames: Vec<RetiredFrames>,
}

impl Retired {
    /// Rows that were delivered before this hour have left.
    pub fn before(&self) -> Hour {
        Hour(self.last.saturating_add(1))
    }
}

/// The file beside the buffer.
#[derive(Debug, Serialize, Deserialize)]
struct Copy {
    version: u32,
    #[serde(flatten)]
    retired: Retired,
    /// The files that had left when it was written, and were not removed yet.
    leaving: Vec<String>,
}

const COPY_VERSION: u32 = 1;

/// What left until now; none when nothing did.
pub(super) fn read(transaction: &Transaction<'_>) -> rusqlite::Result<Option<Retired>> {
    // A reader may come to a file of an older version, of which nothing left.
    let version: i32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version < 3 {
        return Ok(None);
    }
    let boundary = transaction
        .query_row("SELECT steps, last_hour FROM boundary", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get(1)?))
        })
        .optional()?;
    let Some((steps, last)) = boundary else { return Ok(None) };
    let frames = transaction
        .prepare("SELECT stream, epoch, model, frames FROM retired ORDER BY stream, epoch, model")?
        .query_map([], |row| {
            let name = |index: usize, error| {
                rusqlite::Error::FromSqlConversionFailure(index, Type::Text, Box::new(error))
            };
            let of = FramesOf {
                stream: row.get::<_, String>(0)?.parse().map_err(|error| name(0, error))?,
                epoch: Epoch(count(row.get(1)?)),
                model: row.get::<_, String>(2)?.parse().map_err(|error| name(2, error))?,
            };
            Ok(RetiredFrames { of, frames: count(row.get(3)?) })
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Some(Retired { steps: count(steps), last, frames }))
}

/// Counts the frames of hours that leave, of which `last` is the newest.
pub(super) fn add(
    transaction: &Transaction<'_>,
    last: Hour,
    frames: &[RetiredFrames],
) -> rusqlite::Result<()> {
    transaction.execute(
        "INSERT INTO boundary (one, steps, last_hour) VALUES (1, 1, ?)
         ON CONFLICT DO UPDATE SET steps = steps + 1, last_hour = max(last_hour, excluded.last_hour)",
        [last.0],
    )?;
    add_frames(transaction, frames)?;
    fold(transaction)
}

fn add_frames(transaction: &Transaction<'_>, frames: &[RetiredFrames]) -> rusqlite::Result<()> {
    let mut insert = transaction.prepare(
        "INSERT INTO retired (stream, epoch, model, frames) VALUES (?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET frames = frames + excluded.frames",
    )?;
    for RetiredFrames { of: FramesOf { stream, epoch, model }, frames } in frames {
        insert.execute((stream.as_str(), signed(epoch.0), model.as_str(), signed(*frames)))?;
    }
    Ok(())
}

/// Counts the frames of old epochs under the newest of these.
fn fold(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let places = "SELECT stream, epoch, model, row_number() OVER
                      (PARTITION BY stream, model ORDER BY epoch DESC) AS place FROM retired";
    transaction.execute(
        &format!(
            "UPDATE retired SET frames = (
                 SELECT sum(old.frames) FROM retired AS old
                 WHERE old.stream = retired.stream AND old.model = retired.model
                   AND old.epoch <= retired.epoch)
             WHERE (stream, epoch, model) IN
                 (SELECT stream, epoch, model FROM ({places}) WHERE place = ?)"
        ),
        [KEPT_EPOCHS + 1],
    )?;
    transaction.execute(
        &format!(
            "DELETE FROM retired WHERE (stream, epoch, model) IN
                 (SELECT stream, epoch, model FROM ({places}) WHERE place > ?)"
        ),
        [KEPT_EPOCHS + 1],
    )?;
    Ok(())
}

/// Brings buffer and copy together: the one that knows less takes over what the other knows. Whoever calls holds the
/// filing lock; files that have left are removed after this.
///
/// # Errors
/// `Corrupt` when the copy cannot be read: which of the two knows more is not known then.
pub(super) fn even_out(
    database: &Database,
    table: &Path,
    now: CaptureTime,
) -> Result<(), PortError> {
    let copy = read_copy(table)?;
    let (retired, leaving) =
        database.read("read", |transaction| Ok((read(transaction)?, list::left(transaction)?)))?;
    let known = |retired: Option<&Retired>| retired.map_or(0, |retired| retired.steps);
    let (here, there) = (known(retired.as_ref()), known(copy.as_ref().map(|copy| &copy.retired)));
    match (retired, copy) {
        (_, Some(copy)) if there > here => take_over(database, table, &copy, now),
        (Some(retired), _) if here > there => {
            write_copy(table, &Copy { version: COPY_VERSION, retired, leaving })
        }
        _ => Ok(()),
    }
}

/// Takes over what left after this buffer was copied: what of it is listed here leaves again, uncounted.
fn take_over(
    database: &Database,
    table: &Path,
    copy: &Copy,
    now: CaptureTime,
) -> Result<(), PortError> {
    let Retired { steps, last, frames } = &copy.retired;
    let elsewhere = put_together(database, table, &copy.leaving)?;
    // Of other files the rows are in a file that is in no list here: they are missing until somebody repairs the table.
    let is_past = |path: &str| {
        Hour::of_path(Path::new(path)).is_some_and(|hour| hour.0 <= *last)
            && !elsewhere.contains(path)
    };
    let mut gone = Vec::new();
    for part in database.read("read", list::parts)?.into_iter().filter(|part| is_past(&part.path)) {
        let file = table.join(&part.path);
        let is_there = file.try_exists();
        if !is_there.map_err(|error| PortError::io(format!("look for file {file:?}"), error))? {
            gone.push(part.path);
        }
    }
    tracing::warn!(
        before = %copy.retired.before(),
        files = gone.len(),
        "the buffer is older than what left the table with its time, and takes that over"
    );
    database.write("take over what left", |transaction| {
        transaction.execute("DELETE FROM retired", [])?;
        add_frames(transaction, frames)?;
        transaction.execute(
            "INSERT OR REPLACE INTO boundary (one, steps, last_hour) VALUES (1, ?, ?)",
            (signed(*steps), last),
        )?;
        // What a batch wrote then may be among what leaves now.
        let rename = format!("UPDATE batches SET name = {} WHERE hour <= ?", list::drawn_name(now));
        transaction.execute(&rename, [last])?;
        let leaving = copy.leaving.iter().filter(|path| is_past(path));
        let mut files = gone.iter().chain(leaving);
        files.try_for_each(|path| list::leave_unlisted(transaction, path, now))
    })
}

/// The files whose rows are in a file that lies in the table's folder, does not leave, and is in no list.
fn put_together(
    database: &Database,
    table: &Path,
    leaving: &[String],
) -> Result<BTreeSet<String>, PortError> {
    let known = list::settled(database)?;
    let unlisted =
        |_: &str, error| tracing::warn!(%error, "files of rows that are in no list may lie there");
    let mut files = list::readable_files_in(table, unlisted);
    files.retain(|path| !known.contains(path) && !leaving.contains(path));
    let mut replaced = BTreeSet::new();
    for path in files {
        match PartReader::open(&table.join(&path)) {
            Ok(reader) => replaced.extend(reader.replaced().iter().cloned()),
            Err(error) => {
                tracing::warn!(file = path, %error, "a file of rows that is in no list cannot be read")
            }
        }
    }
    Ok(replaced)
}

fn copy_path(table: &Path) -> PathBuf {
    table.join("retired.json")
}

fn read_copy(table: &Path) -> Result<Option<Copy>, PortError> {
    let path = copy_path(table);
    let attempt = format!("read file {path:?}");
    let text = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(|error| PortError::io(attempt.clone(), error))?,
    };
    let unreadable = |cause: String| {
        let help =
            "it is written anew when it is moved away; do so unless buffer.sqlite is older than it";
        PortError::because(ErrorKind::Corrupt, attempt.clone(), format!("{cause}: {help}"))
    };
    match serde_json::from_slice::<Copy>(&text) {
        Ok(copy) if copy.version == COPY_VERSION => Ok(Some(copy)),
        Ok(copy) => {
            Err(unreadable(format!("of version {}, expected {COPY_VERSION}", copy.version)))
        }
        Err(error) => Err(unreadable(error.to_string())),
    }
}

fn write_copy(table: &Path, copy: &Copy) -> Result<(), PortError> {
    let path = copy_path(table);
    let temporary = list::temporary(&path);
    let text = serde_json::to_vec(copy).expect("names, numbers and texts are JSON");
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(&text)?;
        file.sync_all()?;
        durable::rename(&temporary, &path)
    };
    write().map_err(|error| PortError::io(format!("write file {path:?}"), error))
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::buffer::buffer_path;
    use crate::delivery::schema::FORMAT;

    fn of(stream: &str, epoch: u64) -> FramesOf {
        let (stream, model) = (stream.parse().unwrap(), "shapes".parse().unwrap());
        FramesOf { stream, epoch: Epoch(epoch), model }
    }

    #[test]
    fn a_copy_with_fields_that_this_reader_does_not_know_is_read() {
        let table = tempfile::tempdir().unwrap();
        let frames = vec![RetiredFrames { of: of("gate", 1), frames: 10 }];
        let retired = Retired { steps: 1, last: 3, frames };
        let copy = Copy { version: COPY_VERSION, retired, leaving: vec![] };
        let mut text = serde_json::to_value(&copy).unwrap();
        text["of_tomorrow"] = 1.into();
        text["frames"][0]["of_tomorrow"] = 1.into();
        fs::write(copy_path(table.path()), text.to_string()).unwrap();
        assert_eq!(read_copy(table.path()).unwrap().unwrap().retired, copy.retired);
    }

    #[test]
    fn counts_of_old_epochs_become_one_and_no_frame_is_forgotten() {
        let table = tempfile::tempdir().unwrap();
        let database = Database::open(&buffer_path(table.path()), &FORMAT).unwrap();
        let kept = u64::from(KEPT_EPOCHS);
        let ten = |of| RetiredFrames { of, frames: 10 };
        for epochs in [0..5, 5..kept + 3, kept..kept + 5] {
            let mut frames: Vec<_> = epochs.map(|epoch| ten(of("gate", epoch))).collect();
            frames.push(ten(of("yard", 7)));
            database.write("retire", |transaction| add(transaction, Hour(3), &frames)).unwrap();
        }
        let found = database.read("read", read).unwrap().unwrap();
        assert_eq!((found.steps, found.before()), (3, Hour(4)));
        let (yard, gate): (Vec<_>, Vec<_>) =
            found.frames.into_iter().partition(|found| found.of.stream.as_str() == "yard");
        assert_eq!(yard, [RetiredFrames { of: of("yard", 7), frames: 30 }]);
        assert_eq!(gate.len() as u64, kept + 1);
        assert_eq!(gate[0], RetiredFrames { of: of("gate", 4), frames: 50 });
        let all: u64 = gate.iter().map(|found| found.frames).sum();
        assert_eq!(all, 10 * (kept + 3 + 5));
    }
}
