//! Compaction: the small files of an hour that is over become one.
//!
//! Files are filed by size and age, so that a busy hour has hundreds of them and a quiet one a dozen, and a question pays
//! for each. Four steps, each durable before the next begins:
//!
//! 1. draft: the new file's path is noted, so that nobody takes it for a part of the table,
//! 2. write: the rows go to a temporary file, with the names of the files that they are from,
//! 3. publish: the temporary file is renamed,
//! 4. settle: one transaction lists the new file, and the old ones leave.
//!
//! A crash before the last leaves a draft, which the next pass removes, if all of its rows are in files of the table: an
//! older list that is put back may have for a draft what was settled since, and is the only one with its rows. Whoever reads
//! the table by its list sees each row once at any moment; whoever reads the folder itself sees rows twice from the third
//! step on until the old files are [swept](Work::sweep).

use std::collections::BTreeSet;
use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::work::{CHUNK_ROWS, Files, Work};
use crate::delivery::columns::Hour;
use crate::delivery::list::{self, FiledPart, temporary};
use crate::delivery::parquet::{PartReader, PartWriter};
use crate::delivery::snapshot::fault;
use crate::durable;
use crate::error::{ErrorKind, PortError};

/// Most rows of a file that others are put together in.
const MAX_ROWS: u64 = 1_000_000;
/// Files are put together when the largest has at most so many times the rows of the others: no row is written more often
/// than the logarithm of [`MAX_ROWS`].
const MAX_RATIO: u64 = 2;

/// How the writing of a file ended.
enum Written {
    Whole(FiledPart),
    /// A file cannot be read: it stays as it is.
    Unfit(String),
    Stopped,
}

/// Which end of a copy failed.
enum Copying {
    Read(PortError),
    Write(PortError),
}

impl Work {
    /// Puts files of one hour together; whoever calls holds the filing lock. Gives how many files left: none when there
    /// are none to put together, or `stop` was cancelled before it was done.
    pub(super) fn compact_one(&self, stop: &CancellationToken) -> Result<u64, PortError> {
        self.remove_drafts()?;
        while let Some((hour, parts)) = self.next()? {
            let draft = self.draft(hour)?;
            match self.put_together(&draft, &parts, stop)? {
                Written::Whole(part) => {
                    self.replace(&self.publish(part)?, &parts)?;
                    return Ok(parts.len() as u64);
                }
                Written::Unfit(path) => self.leave_alone(path),
                Written::Stopped => break,
            }
        }
        self.remove_drafts()?;
        Ok(0)
    }

    /// Files of one hour that it is worth to put together.
    fn next(&self) -> Result<Option<(Hour, Vec<FiledPart>)>, PortError> {
        let Files { closed, .. } = self.files()?;
        Ok(closed.into_iter().find_map(|(hour, parts)| Some((hour, worth_it(parts)?))))
    }

    /// Notes a file that is about to be made, and gives its path.
    pub(super) fn draft(&self, hour: Hour) -> Result<String, PortError> {
        let now = self.clock.now();
        self.database.write("draft a file in", |transaction| list::draft(transaction, hour, now))
    }

    fn put_together(
        &self,
        draft: &str,
        parts: &[FiledPart],
        stop: &CancellationToken,
    ) -> Result<Written, PortError> {
        let mut writer = PartWriter::create(&temporary(&self.table.join(draft)))?;
        let mut replaced = Vec::new();
        let mut rows = 0;
        for part in parts {
            match self.copy(part, &mut writer, stop) {
                Ok(Some(copied)) => {
                    rows += part.rows;
                    replaced.extend(copied);
                    replaced.push(part.path.clone());
                }
                Ok(None) => return Ok(Written::Stopped),
                Err(Copying::Read(error)) => {
                    tracing::warn!(file = part.path, %error, "a file of rows stays as it is");
                    return Ok(Written::Unfit(part.path.clone()));
                }
                Err(Copying::Write(error)) => return Err(error),
            }
        }
        let bytes = writer.replacing(&replaced).finish()?;
        Ok(Written::Whole(FiledPart { path: draft.to_owned(), rows, bytes }))
    }

    /// Copies a file's rows, and gives the names of the files that it replaced itself; `None` when stopped.
    fn copy(
        &self,
        part: &FiledPart,
        writer: &mut PartWriter,
        stop: &CancellationToken,
    ) -> Result<Option<Vec<String>>, Copying> {
        let path = self.table.join(&part.path);
        let reader = PartReader::open(&path).map_err(Copying::Read)?;
        let replaced = reader.replaced().to_vec();
        let mut rows = 0;
        for batch in reader.batches(CHUNK_ROWS as usize).map_err(Copying::Read)? {
            if stop.is_cancelled() {
                return Ok(None);
            }
            let batch = batch.map_err(Copying::Read)?;
            rows += batch.num_rows() as u64;
            writer.add(&batch).map_err(Copying::Write)?;
        }
        if rows != part.rows {
            let cause = format!("it has {rows} rows, {} are listed", part.rows);
            let attempt = format!("read rows of {path:?}");
            return Err(Copying::Read(PortError::because(ErrorKind::Corrupt, attempt, cause)));
        }
        Ok(Some(replaced))
    }

    /// Lists a file, and has those leave whose rows are in it, in one step.
    pub(super) fn replace(&self, part: &FiledPart, parts: &[FiledPart]) -> Result<(), PortError> {
        let now = self.clock.now();
        self.database.write("replace files in", |transaction| {
            list::take_draft(transaction, &part.path)?;
            list::add(transaction, part, now)?;
            parts.iter().try_for_each(|part| list::leave(transaction, &part.path, now))
        })
    }

    /// Removes what was begun and not settled; whoever calls holds the filing lock. A file that may be the only one with its
    /// rows stays, and is a draft no more: a repair lists it.
    pub(super) fn remove_drafts(&self) -> Result<(), PortError> {
        let drafts = self.database.read("read", list::drafts)?;
        let settled =
            if drafts.is_empty() { BTreeSet::new() } else { list::settled(&self.database)? };
        for path in drafts {
            let file = self.table.join(&path);
            let is_spare = if settled.contains(&path) { Ok(None) } else { self.is_spare(&path) };
            let removed = is_spare.and_then(|is_spare| {
                match is_spare {
                    Some(true) => remove(&file)?,
                    Some(false) => tracing::warn!(
                        file = path,
                        "a file of rows that was begun is kept, for it may be the only one with them: \"millrace repair\" lists it"
                    ),
                    None => {}
                }
                remove(&temporary(&file))
            });
            if let Err(error) = removed {
                tracing::warn!(file = path, %error, "a draft cannot be removed, and is tried again");
                continue;
            }
            self.database
                .write("forget a draft in", |transaction| list::take_draft(transaction, &path))?;
        }
        Ok(())
    }

    /// Tells whether a draft's rows are in files of the table that lie there; none when there is no such file yet.
    fn is_spare(&self, draft: &str) -> Result<Option<bool>, PortError> {
        let replaced = match replaced_by(&self.table.join(draft)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(Some(false)),
            replaced => replaced?,
        };
        let parts = self.database.read("read", list::parts)?;
        let mut listed = BTreeSet::new();
        for part in parts.into_iter().filter(|part| replaced.contains(&part.path)) {
            let file = self.table.join(&part.path);
            if fault(&file, part.bytes).is_none() {
                listed.extend(replaced_by(&file)?);
                listed.insert(part.path);
            }
        }
        Ok(Some(!replaced.is_empty() && replaced.is_subset(&listed)))
    }
}

fn remove(file: &Path) -> Result<(), PortError> {
    durable::remove_if_there(file)
        .map_err(|error| PortError::io(format!("remove draft {file:?}"), error))
}

/// The files whose rows a file has, as its footer says.
fn replaced_by(file: &Path) -> Result<BTreeSet<String>, PortError> {
    Ok(PartReader::open(file)?.replaced().iter().cloned().collect())
}

/// The smallest of an hour's files, by name, as many as it is worth to put together.
fn worth_it(mut parts: Vec<FiledPart>) -> Option<Vec<FiledPart>> {
    parts.sort_by_key(|part| part.rows);
    let (mut sum, mut most) = (0_u64, 0);
    for (index, part) in parts.iter().enumerate() {
        let others = sum;
        sum = sum.saturating_add(part.rows);
        if sum > MAX_ROWS {
            break;
        }
        if index > 0 && part.rows <= others.saturating_mul(MAX_RATIO) {
            most = index + 1;
        }
    }
    parts.truncate(most);
    parts.sort_by(|a, b| a.path.cmp(&b.path));
    (!parts.is_empty()).then_some(parts)
}

#[cfg(test)]
mod tests;
