//! Brings the list of the table's files and the files themselves together again, after somebody lost one of them.
//!
//! What is listed and cannot be read is taken out of the list, with its reason; what lies in the folder and is in no
//! list is listed, but for files whose rows are in another one: those were put together, and leave. One that was begun and
//! not settled is taken for what it is: nobody works on it meanwhile. No byte of a file is changed and none that alone has
//! its rows is removed: a damaged file gets another name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::buffer::buffer_path;
use super::gone::Loss;
use super::list::{self, FiledPart};
use super::lock::FilingLock;
use super::parquet::PartReader;
use super::retired;
use super::schema::FORMAT;
use crate::durable;
use crate::error::{ErrorKind, PortError};
use crate::sqlite::Database;
use crate::time::CaptureTime;

/// Rows of a file that are in memory at once.
const CHUNK_ROWS: usize = 8_192;

/// What a repair did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Whether there was no buffer, so that rows that were accepted and in no file yet are gone with it.
    pub made_buffer: bool,
    /// The files that are part of the table again.
    pub listed: Vec<Relisted>,
    /// The files that are part of it no more.
    pub taken_out: Vec<Loss>,
    /// Files that lie in the folder, are in no list, and cannot be read: each with why. They stay where they are.
    pub left_alone: Vec<(PathBuf, String)>,
    /// Files and folders that the system could not read, or a file not rename, each with why: whether they are
    /// whole is not known. They stay where they are, and what is listed of them stays listed.
    pub unread: Vec<(PathBuf, String)>,
}

/// A file that was in no list, or in the list as another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relisted {
    /// The file, within the table's folder.
    pub path: String,
    /// Its rows.
    pub rows: u64,
}

/// Repairs the table in the folder `table`, also beside running processes; each file is read to its end. Blocks.
///
/// # Errors
/// When the buffer is damaged, or cannot be read or written. What was repaired until then stays repaired.
pub fn repair(table: &Path, now: CaptureTime) -> Result<Repaired, PortError> {
    durable::create_folder(table)?;
    let _lock = FilingLock::take(table)?;
    let made_buffer = remove_empty(&buffer_path(table))?;
    let database = Database::open(&buffer_path(table), &FORMAT)?;
    retired::even_out(&database, table, now)?;
    let mut done = Repaired { made_buffer, ..Repaired::default() };
    let repair = Repair { table, now, seen: look(table, &database, &mut done)?, database };
    repair.take_out(&mut done)?;
    repair.list(&mut done)?;
    repair.leave_replaced()?;
    Ok(done)
}

/// Makes room for a new buffer where one is missing or empty; tells whether that is so.
fn remove_empty(buffer: &Path) -> Result<bool, PortError> {
    match fs::metadata(buffer) {
        Ok(found) if found.len() > 0 => return Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        found => found.and_then(|_| fs::remove_file(buffer)),
    }
    .map_err(|error| PortError::io(format!("remove empty file {buffer:?}"), error))?;
    Ok(true)
}

/// What a file was seen to hold, read to its end.
struct Seen {
    rows: u64,
    bytes: u64,
    /// The files whose rows it has: they are no part of the table beside it.
    replaced: Vec<String>,
}

/// Reads each file that is listed, or lies in the folder and is in no list; by its path. What the system cannot read is
/// told, and left out.
fn look(
    table: &Path,
    database: &Database,
    done: &mut Repaired,
) -> Result<BTreeMap<String, Result<Seen, String>>, PortError> {
    let known = list::settled(database)?;
    let mut unread = |path: &str, error: PortError| {
        done.unread.push((table.join(path), error.cause_in_words()));
    };
    let lying = list::readable_files_in(table, &mut unread);
    let unknown = lying.into_iter().filter(|path| !known.contains(path));
    let listed = database.read("read", list::parts)?.into_iter().map(|part| part.path);
    let mut seen = BTreeMap::new();
    for path in unknown.chain(listed) {
        match read(&table.join(&path)) {
            Ok(found) => _ = seen.insert(path, Ok(found)),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt) => {
                seen.insert(path, Err(error.cause_in_words()));
            }
            Err(error) => unread(&path, error),
        }
    }
    Ok(seen)
}

/// Reads a file to its end. What the system says when it cannot read it stands above what is wrong with the bytes that
/// it gave.
///
/// # Errors
/// `NotFound` when there is none, `Corrupt` when it is damaged, other kinds when the system cannot read it.
fn read(file: &Path) -> Result<Seen, PortError> {
    let read = || {
        let reader = PartReader::open(file)?;
        let mut seen =
            Seen { rows: 0, bytes: reader.bytes(), replaced: reader.replaced().to_vec() };
        for batch in reader.batches(CHUNK_ROWS)? {
            seen.rows += batch?.num_rows() as u64;
        }
        Ok(seen)
    };
    read().map_err(|error: PortError| {
        let bytes = || io::copy(&mut File::open(file)?, &mut io::sink());
        match bytes() {
            Err(cause) if error.kind() == ErrorKind::Corrupt => {
                PortError::io(format!("read rows of {file:?}"), cause)
            }
            _ => error,
        }
    })
}

struct Repair<'a> {
    table: &'a Path,
    database: Database,
    now: CaptureTime,
    seen: BTreeMap<String, Result<Seen, String>>,
}

impl Repair<'_> {
    /// The files whose rows are in another one, wherever they are.
    fn replaced(&self) -> BTreeSet<&str> {
        let whole = self.seen.values().flatten();
        whole.flat_map(|seen| seen.replaced.iter().map(String::as_str)).collect()
    }

    /// Takes files out of the list that cannot be read, or are not what was listed.
    fn take_out(&self, done: &mut Repaired) -> Result<(), PortError> {
        let replaced = self.replaced();
        for part in self.database.read("read", list::parts)? {
            match self.seen.get(&part.path) {
                _ if replaced.contains(part.path.as_str()) => {}
                None => {}
                Some(Ok(seen)) if (seen.rows, seen.bytes) == (part.rows, part.bytes) => {}
                Some(Ok(seen)) => self.add(&part.path, seen, done)?,
                Some(Err(reason)) => {
                    let file = self.table.join(&part.path);
                    let reason = match put_aside(&file, reason) {
                        Ok(reason) => reason,
                        Err(error) => {
                            done.unread.push((file, error.to_string()));
                            continue;
                        }
                    };
                    let (place, rows) = (part.path, part.rows);
                    let loss = Loss { place, rows, reason, found_at: self.now };
                    self.unlist(&loss)?;
                    done.taken_out.push(loss);
                }
            }
        }
        Ok(())
    }

    /// Lists the files that are in no list, but for those whose rows are all in others.
    fn list(&self, done: &mut Repaired) -> Result<(), PortError> {
        let (known, replaced) = (list::settled(&self.database)?, self.replaced());
        let listed = self.seen.iter().filter(|(path, _)| known.contains(*path));
        let of_listed = listed.flat_map(|(_, seen)| seen.iter().flat_map(|seen| &seen.replaced));
        let mut covered: BTreeSet<&String> = of_listed.collect();
        // The file that was put together from others of these comes before them, whatever their names.
        let sources =
            |seen: &Result<Seen, String>| seen.as_ref().map_or(0, |seen| seen.replaced.len());
        let mut seen: Vec<_> = self.seen.iter().collect();
        seen.sort_by_key(|(_, seen)| std::cmp::Reverse(sources(seen)));
        for (path, seen) in seen {
            if known.contains(path) || replaced.contains(path.as_str()) {
                continue;
            }
            match seen {
                Ok(Seen { replaced, .. })
                    if !replaced.is_empty()
                        && replaced.iter().all(|path| covered.contains(path)) =>
                {
                    self.leave(path)?;
                }
                Ok(seen) => {
                    self.add(path, seen, done)?;
                    covered.extend(&seen.replaced);
                }
                Err(reason) if self.table.join(path).exists() => {
                    done.left_alone.push((self.table.join(path), reason.clone()));
                }
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Has the files leave whose rows are in another one.
    fn leave_replaced(&self) -> Result<(), PortError> {
        let replaced = self.replaced();
        let mut seen = self.seen.keys().filter(|path| replaced.contains(path.as_str()));
        seen.try_for_each(|path| self.leave(path))
    }

    fn leave(&self, path: &str) -> Result<(), PortError> {
        self.database.write("take a file out of", |transaction| {
            list::take_draft(transaction, path)?;
            list::leave_unlisted(transaction, path, self.now)
        })
    }

    fn unlist(&self, loss: &Loss) -> Result<(), PortError> {
        self.database.write("take a file out of", |transaction| {
            transaction.execute("DELETE FROM files WHERE path = ?", [&loss.place])?;
            list::lose(transaction, loss)
        })
    }

    /// Lists a file as it is, whatever was known of it, and has those leave whose rows it has, in one step.
    fn add(&self, path: &str, seen: &Seen, done: &mut Repaired) -> Result<(), PortError> {
        let Seen { rows, bytes, replaced } = seen;
        let part = FiledPart { path: path.to_owned(), rows: *rows, bytes: *bytes };
        self.database.write("list a file in", |transaction| {
            transaction.execute("DELETE FROM lost WHERE path = ?", [path])?;
            transaction.execute("DELETE FROM files WHERE path = ?", [path])?;
            list::take_draft(transaction, path)?;
            list::add(transaction, &part, self.now)?;
            replaced.iter().try_for_each(|path| list::leave(transaction, path, self.now))
        })?;
        done.listed.push(Relisted { path: part.path, rows: part.rows });
        Ok(())
    }
}

/// Gives a damaged file a name that no reader of the folder takes for a part; gives the reason with it.
fn put_aside(file: &Path, reason: &str) -> Result<String, PortError> {
    if !file.exists() {
        return Ok(reason.to_owned());
    }
    let mut aside = file.as_os_str().to_owned();
    aside.push(".damaged");
    durable::rename(file, Path::new(&aside))
        .map_err(|error| PortError::io(format!("put file {file:?} aside"), error))?;
    Ok(format!("{reason}; it is kept with the ending \".damaged\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::delivery::tests::{frame_ids, row};
    use crate::delivery::{BufferedDelivery, DeliveryOptions, DeliveryStream as _, gone, snapshot};

    const NOW: CaptureTime = CaptureTime(1_795_262_000_000_000);

    /// A table of one file for each of so many frames, and their paths.
    async fn filed(frames: u64) -> (tempfile::TempDir, Vec<String>) {
        let table = tempfile::tempdir().unwrap();
        let options = DeliveryOptions::default();
        let (stream, filer) =
            BufferedDelivery::open_with_filer(table.path(), &options, &Clock::system()).unwrap();
        for seq in 0..frames {
            stream.put(&[row("gate", seq, 0)]).await.unwrap();
            filer.file_all().await.unwrap();
        }
        let files = list::files_in(table.path()).unwrap();
        (table, files)
    }

    fn seqs(table: &Path) -> Vec<u64> {
        let last = |id: String| id.rsplit('/').next().unwrap().parse().unwrap();
        frame_ids(table).into_iter().map(last).collect()
    }

    #[tokio::test]
    async fn a_table_whose_buffer_is_gone_is_listed_from_its_files() {
        for spoil in [|path| fs::remove_file(path), |path: PathBuf| fs::write(path, "")] {
            let (table, files) = filed(3).await;
            spoil(buffer_path(table.path())).unwrap();
            fs::write(table.path().join(&files[2]), "no file of rows").unwrap();
            let done = repair(table.path(), NOW).unwrap();
            assert!(done.made_buffer);
            assert_eq!(done.listed.len(), 2);
            assert_eq!(done.left_alone[0].0, table.path().join(&files[2]));
            assert_eq!(seqs(table.path()), [0, 1]);
            BufferedDelivery::open(table.path(), u64::MAX, Clock::system()).unwrap();
            let again = repair(table.path(), NOW).unwrap();
            assert_eq!((again.made_buffer, again.listed.len()), (false, 0));
        }
    }

    /// One of them failed every query and every audit for good.
    #[tokio::test]
    async fn files_that_are_missing_or_damaged_are_taken_out_of_the_list_and_told() {
        let (table, files) = filed(4).await;
        let place = |file: usize| table.path().join(&files[file]);
        let away = table.path().join("away");
        fs::rename(place(0), &away).unwrap();
        let whole = fs::read(place(1)).unwrap();
        fs::write(place(1), &whole[..whole.len() / 2]).unwrap();
        let mut damaged = fs::read(place(2)).unwrap();
        damaged[4..600].fill(0xa5);
        fs::write(place(2), damaged).unwrap();

        let seen = snapshot(&buffer_path(table.path())).unwrap();
        let gaps: Vec<_> = seen.gaps.iter().map(|gap| (gap.file.clone(), gap.rows)).collect();
        assert_eq!(gaps, [(place(0), 1), (place(1), 1)], "the third shows when it is read");

        let done = repair(table.path(), NOW).unwrap();
        let out: Vec<_> = done.taken_out.iter().map(|loss| loss.place.as_str()).collect();
        assert_eq!(out, [&files[0], &files[1], &files[2]]);
        assert_eq!(done.taken_out, gone(&buffer_path(table.path())).unwrap().losses);
        assert_eq!(seqs(table.path()), [3]);
        assert!(place(1).with_extension("parquet.damaged").exists());

        fs::rename(&away, place(0)).unwrap();
        assert_eq!(repair(table.path(), NOW).unwrap().listed[0].path, files[0]);
        assert_eq!(gone(&buffer_path(table.path())).unwrap().losses.len(), 2);
        assert_eq!(seqs(table.path()), [0, 3]);
    }

    /// The first of them ended the repair, and the files behind it stayed as they were.
    #[tokio::test]
    async fn what_the_system_cannot_read_is_named_and_the_rest_repaired() {
        use std::os::unix::fs::symlink;
        let (table, files) = filed(4).await;
        let place = |file: usize| table.path().join(&files[file]);
        let aside = table.path().join("aside");
        fs::rename(place(0), &aside).unwrap();
        symlink(place(0), place(0)).unwrap();
        // Can be opened, and answers to a read of its first byte with an I/O error.
        fs::remove_file(place(1)).unwrap();
        symlink("/proc/self/mem", place(1)).unwrap();
        fs::write(place(2), "no file of rows").unwrap();
        let day = table.path().join("detections/dt=2026-01-01");
        symlink(&day, &day).unwrap();

        let done = repair(table.path(), NOW).unwrap();
        let unread: Vec<_> = done.unread.iter().map(|(file, _)| file.clone()).collect();
        assert_eq!(unread, [day, place(0), place(1)], "{:?}", done.unread);
        assert!(done.unread[2].1.contains("os error 5"), "{:?}", done.unread);
        let out: Vec<_> = done.taken_out.iter().map(|loss| loss.place.as_str()).collect();
        assert_eq!(out, [&files[2]]);
        assert!(place(1).is_symlink());
        fs::rename(&aside, place(0)).unwrap();
        assert_eq!(seqs(table.path()), [0, 3]);
    }

    #[tokio::test]
    async fn a_file_that_another_took_the_place_of_is_listed_as_it_is() {
        let (table, files) = filed(2).await;
        let (other, _) = filed(1).await;
        let rows: Vec<_> = (2..9).map(|seq| row("gate", seq, 0)).collect();
        let other_stream = BufferedDelivery::open(other.path(), u64::MAX, Clock::system()).unwrap();
        other_stream.put(&rows).await.unwrap();
        let policy = crate::delivery::FilingPolicy::default();
        let filer = crate::delivery::Filer::open(other.path(), policy, Clock::system()).unwrap();
        filer.file_all().await.unwrap();
        let larger = list::files_in(other.path()).unwrap().pop().unwrap();
        fs::copy(other.path().join(larger), table.path().join(&files[0])).unwrap();
        let listed = repair(table.path(), NOW).unwrap().listed;
        assert_eq!(listed, [Relisted { path: files[0].clone(), rows: 7 }]);
        assert_eq!(seqs(table.path()).len(), 8);
    }

    /// It was taken out of the list and listed again in two steps: killed between, its rows were in no list and no gap.
    #[tokio::test]
    async fn a_file_is_in_the_list_as_it_was_or_as_it_is_whenever_the_repair_ends() {
        let (table, files) = filed(2).await;
        fs::copy(table.path().join(&files[1]), table.path().join(&files[0])).unwrap();
        let database = Database::open(&buffer_path(table.path()), &FORMAT).unwrap();
        let run = |sql: &'static str| {
            database.write("change", |transaction| transaction.execute_batch(sql)).unwrap();
        };
        run(
            "UPDATE files SET bytes = 0 WHERE path = (SELECT min(path) FROM files);
             CREATE TRIGGER killed BEFORE INSERT ON files BEGIN SELECT RAISE(ABORT, 'killed'); END",
        );
        let error = repair(table.path(), NOW).unwrap_err().to_string();
        assert!(error.contains("killed"), "{error}");
        assert_eq!(snapshot(&buffer_path(table.path())).unwrap().gaps.len(), 1);
        run("DROP TRIGGER killed");
        assert_eq!(repair(table.path(), NOW).unwrap().listed.len(), 1);
        assert_eq!(seqs(table.path()), [1, 1]);
    }

    #[tokio::test]
    async fn what_an_older_buffer_does_not_know_is_listed() {
        let (table, _) = filed(1).await;
        let saved = fs::read(buffer_path(table.path())).unwrap();
        let options = DeliveryOptions::default();
        let (stream, filer) =
            BufferedDelivery::open_with_filer(table.path(), &options, &Clock::system()).unwrap();
        stream.put(&[row("gate", 1, 0)]).await.unwrap();
        filer.file_all().await.unwrap();
        drop((stream, filer));
        fs::write(buffer_path(table.path()), saved).unwrap();
        assert_eq!(seqs(table.path()), [0]);
        assert_eq!(repair(table.path(), NOW).unwrap().listed.len(), 1);
        assert_eq!(seqs(table.path()), [0, 1]);
    }
}
