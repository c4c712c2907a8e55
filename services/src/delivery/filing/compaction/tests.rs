//! Compaction beside readers, crashes and files that cannot be read.

use std::fs;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::clock::MadeUpClock;
use crate::delivery::buffer::{self, buffer_path};
use crate::delivery::filing::FilingPolicy;
use crate::delivery::tests::{frame_ids, row};
use crate::delivery::{repair, snapshot};
use crate::time::CaptureTime;

const START: CaptureTime = CaptureTime(1_795_262_000_000_000);
const AN_HOUR: Duration = Duration::from_secs(3_600);

fn work(table: &Path, clock: &MadeUpClock) -> Work {
    Work::open(table, FilingPolicy::default(), clock.clock()).unwrap()
}

/// Files so many rows, those from `first` on, in one file.
fn file(work: &Work, first: u64, rows: u64) {
    let bodies: Vec<_> = (first..first + rows)
        .map(|seq| serde_json::to_string(&row("gate", seq, 0)).unwrap())
        .collect();
    buffer::insert(&work.database, &bodies, work.clock.now(), u64::MAX).unwrap();
    work.pass(|_, _| true).unwrap();
}

fn compact(work: &Work) -> u64 {
    let stop = CancellationToken::new();
    let mut left = 0;
    loop {
        let more = work.compact_one(&stop).unwrap();
        if more == 0 {
            return left;
        }
        left += more;
    }
}

fn listed(table: &Path) -> usize {
    snapshot(&buffer_path(table)).unwrap().files.len()
}

fn lying(table: &Path) -> usize {
    list::files_in(table).unwrap().len()
}

#[test]
fn the_files_of_an_hour_become_one_when_the_hour_is_over() {
    let table = tempfile::tempdir().unwrap();
    let table = table.path();
    let clock = MadeUpClock::at(START);
    let work = work(table, &clock);
    (0..5).for_each(|n| file(&work, n * 10, 10));
    assert_eq!(compact(&work), 0, "the hour is not over");
    clock.advance(AN_HOUR);
    let before = frame_ids(table);
    assert_eq!(compact(&work), 5);
    assert_eq!((listed(table), lying(table)), (1, 6));
    assert_eq!(frame_ids(table), before);
    assert_eq!(work.sweep().unwrap(), 5);
    assert_eq!((listed(table), lying(table)), (1, 1));
    assert_eq!(frame_ids(table), before);
    assert_eq!(compact(&work), 0);

    // Rows that come late join when they are worth it.
    file(&work, 50, 10);
    clock.advance(AN_HOUR);
    assert_eq!(compact(&work), 0, "an hour of its own, of one file");
}

#[test]
fn an_hour_whose_rows_are_not_all_filed_waits() {
    let table = tempfile::tempdir().unwrap();
    let clock = MadeUpClock::at(START);
    let work = work(table.path(), &clock);
    (0..2).for_each(|n| file(&work, n, 1));
    let body = serde_json::to_string(&row("gate", 9, 0)).unwrap();
    buffer::insert(&work.database, &[body], START, u64::MAX).unwrap();
    clock.advance(AN_HOUR);
    assert_eq!(compact(&work), 0);
    work.pass(|_, _| true).unwrap();
    assert_eq!(compact(&work), 3);
}

/// A query that had begun found its files gone.
#[test]
fn a_reader_keeps_the_files_of_its_moment() {
    let table = tempfile::tempdir().unwrap();
    let table = table.path();
    let clock = MadeUpClock::at(START);
    let work = work(table, &clock);
    (0..3).for_each(|n| file(&work, n, 1));
    let reading = snapshot(&buffer_path(table)).unwrap();
    clock.advance(AN_HOUR);
    assert_eq!(compact(&work), 3);
    assert_eq!(work.sweep().unwrap(), 0);
    assert!(reading.files.iter().all(|file| file.path.exists()));
    assert_eq!(frame_ids(table).len(), 3, "whoever comes now reads the new one");
    drop(reading);
    assert_eq!(work.sweep().unwrap(), 3);
    assert_eq!(frame_ids(table).len(), 3);
}

#[test]
fn a_file_that_cannot_be_read_stays_as_it_is_and_the_rest_are_put_together() {
    let table = tempfile::tempdir().unwrap();
    let table = table.path();
    let clock = MadeUpClock::at(START);
    let work = work(table, &clock);
    (0..4).for_each(|n| file(&work, n, 1));
    let damaged = snapshot(&buffer_path(table)).unwrap().files.remove(1).path;
    let mut bytes = fs::read(&damaged).unwrap();
    bytes[4..600].fill(0xa5);
    fs::write(&damaged, &bytes).unwrap();
    clock.advance(AN_HOUR);
    assert_eq!(compact(&work), 3);
    assert_eq!(work.sweep().unwrap(), 3);
    assert_eq!(fs::read(&damaged).unwrap(), bytes);
    assert_eq!(listed(table), 2);
    let temporary = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with('.');
    let folder = fs::read_dir(damaged.parent().unwrap()).unwrap();
    assert!(!folder.map(Result::unwrap).any(temporary));
}

#[tokio::test]
async fn it_ends_soon_after_it_is_stopped_and_leaves_nothing() {
    let table = tempfile::tempdir().unwrap();
    let table = table.path();
    let clock = MadeUpClock::at(START);
    let work = work(table, &clock);
    (0..2).for_each(|n| file(&work, n, 1));
    clock.advance(AN_HOUR);
    let stop = CancellationToken::new();
    stop.cancel();
    assert_eq!(work.compact_one(&stop).unwrap(), 0);
    assert_eq!((listed(table), lying(table)), (2, 2));
    assert!(work.database.read("read", list::drafts).unwrap().is_empty());
}

#[test]
fn files_are_put_together_by_size() {
    let parts = |rows: &[u64]| -> Vec<FiledPart> {
        let part =
            |(n, rows): (usize, &u64)| FiledPart { path: format!("{n:03}"), rows: *rows, bytes: 1 };
        rows.iter().enumerate().map(part).collect()
    };
    let worth = |rows: &[u64]| {
        worth_it(parts(rows)).map(|parts| parts.iter().map(|part| part.rows).collect::<Vec<_>>())
    };
    assert_eq!(worth(&[15_000; 66]).unwrap().len(), 66);
    assert_eq!(worth(&[15_000; 70]).unwrap().len(), 66, "a million rows");
    assert_eq!(worth(&[1_000_000, 900_000]), None);
    assert_eq!(worth(&[400_000, 1]), None, "one row is not worth writing all others again");
    assert_eq!(worth(&[400_000, 3, 2]), Some(vec![3, 2]), "in the order of their names");
    assert_eq!(worth(&[7]), None);
    assert_eq!(worth(&[]), None);
}

/// Copies the buffer as it is now.
fn save(table: &Path, to: &Path) {
    let connection = rusqlite::Connection::open(buffer_path(table)).unwrap();
    connection.execute("VACUUM INTO ?", [to.to_str().unwrap()]).unwrap();
}

/// Puts a copy of the buffer back.
fn restore(table: &Path, from: &Path) {
    for end in ["", "-wal", "-shm"] {
        durable::remove_if_there(&table.join(format!("buffer.sqlite{end}"))).unwrap();
    }
    fs::copy(from, buffer_path(table)).unwrap();
}

/// Writes and publishes what the next files become, and settles nothing.
fn publish_next(work: &Work) -> (FiledPart, Vec<FiledPart>) {
    let (hour, parts) = work.next().unwrap().unwrap();
    let draft = work.draft(hour).unwrap();
    let stop = CancellationToken::new();
    let Written::Whole(part) = work.put_together(&draft, &parts, &stop).unwrap() else {
        panic!("not written")
    };
    (work.publish(part).unwrap(), parts)
}

/// A list that was kept from before and the files of today.
#[test]
fn an_older_list_beside_files_that_were_put_together_shows_each_row_once_after_a_repair() {
    for (swept, kept_files) in [(true, 3), (false, 3), (true, 0), (false, 0)] {
        let table = tempfile::tempdir().unwrap();
        let table = table.path();
        let clock = MadeUpClock::at(START);
        let all: Vec<_> = (0..3).map(|seq| row("gate", seq, 0).frame_id).collect();
        let first = work(table, &clock);
        let copies = tempfile::tempdir().unwrap();
        let saved = copies.path().join("saved.sqlite");
        if kept_files == 0 {
            save(table, &saved);
        }
        (0..3).for_each(|n| file(&first, n, 1));
        if kept_files == 3 {
            save(table, &saved);
        }
        clock.advance(AN_HOUR);
        assert_eq!(compact(&first), 3);
        if swept {
            first.sweep().unwrap();
        }
        drop(first);
        restore(table, &saved);
        let done = repair(table, clock.clock().now()).unwrap();
        assert_eq!(
            frame_ids(table),
            all,
            "swept: {swept}, {kept_files} files in the list: {done:?}"
        );
        assert_eq!(done.taken_out, [], "no row is gone");
        let again = repair(table, clock.clock().now()).unwrap();
        assert_eq!((again.listed, again.taken_out), (vec![], vec![]));
        work(table, &clock).sweep().unwrap();
        assert_eq!((frame_ids(table), lying(table)), (all, 1));
    }
}

/// The only file of those rows was removed, since the older list had it for one that was begun and not settled.
#[tokio::test]
async fn an_older_list_that_was_kept_while_files_were_put_together_costs_no_row() {
    for (is_swept, is_repaired) in [(true, true), (true, false), (false, true), (false, false)] {
        let table = tempfile::tempdir().unwrap();
        let table = table.path();
        let clock = MadeUpClock::at(START);
        let all: Vec<_> = (0..3).map(|seq| row("gate", seq, 0).frame_id).collect();
        let first = work(table, &clock);
        (0..3).for_each(|n| file(&first, n, 1));
        clock.advance(AN_HOUR);
        let copies = tempfile::tempdir().unwrap();
        let saved = copies.path().join("saved.sqlite");
        let (part, parts) = publish_next(&first);
        save(table, &saved);
        first.replace(&part, &parts).unwrap();
        if is_swept {
            assert_eq!(first.sweep().unwrap(), 3);
        }
        drop(first);
        restore(table, &saved);

        let case = format!("swept: {is_swept}, repaired: {is_repaired}");
        let repair = || repair(table, clock.clock().now()).unwrap();
        if is_repaired {
            assert_eq!(repair().taken_out, [], "{case}");
            assert_eq!(frame_ids(table), all, "{case}");
        }
        let policy = FilingPolicy::default();
        let filer = crate::delivery::Filer::open(table, policy, clock.clock()).unwrap();
        filer.tend().await.unwrap();
        assert_eq!(repair().taken_out, [], "{case}");
        assert_eq!(frame_ids(table), all, "{case}");
        filer.tend().await.unwrap();
        assert_eq!((frame_ids(table), lying(table)), (all, 1), "{case}");
    }
}

/// The older list's files were put together once more, and the repair listed both files with their rows.
#[test]
fn what_was_put_together_twice_is_listed_once() {
    let table = tempfile::tempdir().unwrap();
    let table = table.path();
    let clock = MadeUpClock::at(START);
    let copies = tempfile::tempdir().unwrap();
    let saved = copies.path().join("saved.sqlite");
    let first = work(table, &clock);
    (0..3).for_each(|n| file(&first, n, 1));
    save(table, &saved);
    clock.advance(AN_HOUR);
    assert_eq!(compact(&first), 3);
    drop(first);
    restore(table, &saved);
    let second = work(table, &clock);
    assert_eq!((compact(&second), second.sweep().unwrap()), (3, 3));
    assert_eq!(lying(table), 2);
    assert_eq!(repair(table, clock.clock().now()).unwrap().listed, []);
    assert_eq!(frame_ids(table).len(), 3);
    second.sweep().unwrap();
    assert_eq!((frame_ids(table).len(), lying(table)), (3, 1));
}

/// Its footer names files, too, that were put together before, and that are gone.
#[test]
fn a_draft_of_what_was_put_together_before_is_removed() {
    let table = tempfile::tempdir().unwrap();
    let table = table.path();
    let clock = MadeUpClock::at(START);
    let first = work(table, &clock);
    (0..2).for_each(|n| file(&first, n, 1));
    clock.advance(AN_HOUR);
    assert_eq!((compact(&first), first.sweep().unwrap()), (2, 2));
    clock.set_back(AN_HOUR);
    file(&first, 2, 1);
    clock.advance(AN_HOUR);
    publish_next(&first);
    drop(first);
    assert_eq!(lying(table), 3);
    let second = work(table, &clock);
    second.remove_drafts().unwrap();
    assert_eq!((lying(table), listed(table)), (2, 2));
    assert!(second.database.read("read", list::drafts).unwrap().is_empty());
}

/// Runs a compaction that dies after so many durable steps.
fn die_after(work: &Work, steps: usize) -> Option<()> {
    let mut left = steps;
    let mut step = || {
        left = left.checked_sub(1)?;
        Some(())
    };
    work.remove_drafts().unwrap();
    while let Some((hour, parts)) = work.next().unwrap() {
        step()?;
        let draft = work.draft(hour).unwrap();
        step()?;
        let stop = CancellationToken::new();
        let Written::Whole(part) = work.put_together(&draft, &parts, &stop).unwrap() else {
            panic!("not written")
        };
        step()?;
        let part = work.publish(part).unwrap();
        step()?;
        work.replace(&part, &parts).unwrap();
        step()?;
        for path in work.database.read("read", list::left).unwrap() {
            step()?;
            durable::remove_if_there(&work.table.join(&path)).unwrap();
        }
        step()?;
        work.sweep().unwrap();
    }
    Some(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_crash_after_any_step_neither_loses_nor_doubles_a_row(
        lives in prop::collection::vec((prop::collection::vec(1_u64..4, 0..4), 0_usize..12), 1..5)
    ) {
        let table = tempfile::tempdir().unwrap();
        let table = table.path();
        let clock = MadeUpClock::at(START);
        let mut accepted = 0;
        for (files, steps) in lives {
            let work = work(table, &clock);
            for rows in files {
                file(&work, accepted, rows);
                accepted += rows;
            }
            clock.advance(AN_HOUR / 2);
            die_after(&work, steps);
            let expected: Vec<_> =
                (0..accepted).map(|seq| row("gate", seq, 0).frame_id).collect();
            prop_assert_eq!(frame_ids(table), expected);
        }
        clock.advance(AN_HOUR);
        let work = work(table, &clock);
        compact(&work);
        work.sweep().unwrap();
        prop_assert_eq!(frame_ids(table).len() as u64, accepted);
        prop_assert_eq!(listed(table), lying(table));
    }
}
