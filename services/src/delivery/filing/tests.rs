//! Filing beside crashes, restores and rows that are none.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::work::Found;
use super::*;
use crate::clock::MadeUpClock;
use crate::delivery::columns::Hour;
use crate::delivery::contract::captured_at;
use crate::delivery::tests::{frame_ids, row};
use crate::delivery::{buffer, gone, list};
use crate::durable;
use crate::message::DetectionRow;

const START: CaptureTime = CaptureTime(1_795_262_000_000_000);

fn work(table: &Path, clock: &MadeUpClock) -> Work {
    let policy = FilingPolicy { max_rows: 3, ..FilingPolicy::default() };
    Work::open(table, policy, clock.clock()).unwrap()
}

fn put(work: &Work, seqs: std::ops::Range<u64>) {
    let bodies: Vec<_> =
        seqs.map(|seq| serde_json::to_string(&row("gate", seq, 0)).unwrap()).collect();
    buffer::insert(&work.database, &bodies, work.clock.now(), u64::MAX).unwrap();
}

fn parts(table: &Path) -> usize {
    crate::delivery::snapshot(&buffer::buffer_path(table)).unwrap().files.len()
}

#[test]
fn rows_are_due_by_size_count_or_age_and_not_before() {
    let policy = FilingPolicy {
        max_bytes: 100,
        max_rows: 10,
        max_age: Duration::from_secs(60),
        ..FilingPolicy::default()
    };
    let young = OpenHour { hour: Hour(0), rows: 9, bytes: 50, oldest: START };
    let now = CaptureTime(START.0 + 59_999_999);
    assert!(!policy.is_due(&young, 99, now));
    assert!(policy.is_due(&young, 100, now));
    assert!(policy.is_due(&OpenHour { rows: 10, ..young }, 99, now));
    assert!(policy.is_due(&young, 99, CaptureTime(START.0 + 60_000_000)));
    assert!(!policy.is_due(&young, 99, CaptureTime(0)), "a clock set back makes nothing due");
}

#[test]
fn each_hour_of_delivery_gets_its_own_files_of_bounded_size() {
    let table = tempfile::tempdir().unwrap();
    let clock = MadeUpClock::at(START);
    let work = work(table.path(), &clock);
    put(&work, 0..4);
    clock.advance(Duration::from_secs(3_600));
    put(&work, 4..5);
    assert_eq!(work.pass(|_, _| true).unwrap(), Filed { files: 3, rows: 5 });
    assert_eq!(parts(table.path()), 3);
    assert!(table.path().join("detections/dt=2026-11-21/hour=12").is_dir());
    assert_eq!(frame_ids(table.path()).len(), 5);
}

#[tokio::test]
async fn one_files_at_a_time() {
    let table = tempfile::tempdir().unwrap();
    let clock = MadeUpClock::at(START);
    let policy = FilingPolicy { max_age: Duration::ZERO, ..FilingPolicy::default() };
    let filer = Filer::open(table.path(), policy, clock.clock()).unwrap();
    put(&filer.work, 0..1);
    let other = FilingLock::take(table.path()).unwrap();
    assert_eq!(filer.file_due().await.unwrap(), Filed::default());
    drop(other);
    assert_eq!(filer.file_due().await.unwrap(), Filed { files: 1, rows: 1 });
}

#[tokio::test]
async fn the_end_of_the_work_files_young_rows_too() {
    let table = tempfile::tempdir().unwrap();
    let clock = MadeUpClock::at(START);
    let filer = Filer::open(table.path(), FilingPolicy::default(), clock.clock()).unwrap();
    let work = async {
        put(&filer.work, 0..1);
        filer.file_due().await.unwrap()
    };
    assert_eq!(filer.beside(work).await, Filed::default());
    assert_eq!((parts(table.path()), frame_ids(table.path()).len()), (1, 1));
}

/// All files of rows in the folder, with what is in them.
fn files(table: &Path) -> BTreeMap<String, Vec<u8>> {
    let read = |file: String| {
        let bytes = std::fs::read(table.join(&file)).unwrap();
        (file, bytes)
    };
    list::files_in(table).unwrap().into_iter().map(read).collect()
}

/// Puts the buffer back as it was before `meanwhile`.
fn restoring(table: &Path, meanwhile: impl FnOnce()) {
    let buffer = buffer::buffer_path(table);
    let copies = tempfile::tempdir_in(table).unwrap();
    let saved = copies.path().join("saved.sqlite");
    let connection = rusqlite::Connection::open(&buffer).unwrap();
    connection.execute("VACUUM INTO ?", [saved.to_str().unwrap()]).unwrap();
    drop(connection);
    meanwhile();
    for end in ["-wal", "-shm"] {
        let beside = table.join(format!("buffer.sqlite{end}"));
        durable::remove_if_there(&beside).unwrap();
    }
    std::fs::rename(saved, buffer).unwrap();
}

/// The counter in a file's name began again with an older buffer, and the next file replaced one of other rows.
#[test]
fn an_older_buffer_that_is_put_back_costs_no_filed_row() {
    let table = tempfile::tempdir().unwrap();
    let clock = MadeUpClock::at(START);
    let all = |work: &Work| work.pass(|_, _| true).unwrap();
    let first = work(table.path(), &clock);
    put(&first, 0..2);
    all(&first);
    drop(first);
    restoring(table.path(), || {
        let work = work(table.path(), &clock);
        put(&work, 2..5);
        all(&work);
    });
    let before = files(table.path());
    let second = work(table.path(), &clock);
    put(&second, 5..7);
    all(&second);
    let after = files(table.path());
    assert_eq!((before.len(), after.len()), (2, 3));
    assert!(before.iter().all(|(file, bytes)| after[file] == *bytes));
}

#[test]
fn a_batch_whose_file_is_there_with_its_rows_takes_it_as_it_is() {
    let table = tempfile::tempdir().unwrap();
    let clock = MadeUpClock::at(START);
    let pass = || work(table.path(), &clock).pass(|_, _| true).unwrap();
    let sealing = work(table.path(), &clock);
    put(&sealing, 0..3);
    sealing.seal(Hour::of(START)).unwrap();
    drop(sealing);
    restoring(table.path(), || assert_eq!(pass(), Filed { files: 1, rows: 3 }));
    let before = files(table.path());
    assert_eq!(pass(), Filed { files: 1, rows: 3 });
    assert_eq!(files(table.path()), before);
    assert_eq!(frame_ids(table.path()).len(), 3);
}

#[test]
fn a_file_of_other_rows_keeps_its_place() {
    let table = tempfile::tempdir().unwrap();
    let clock = MadeUpClock::at(START);
    let work = work(table.path(), &clock);
    put(&work, 0..2);
    work.pass(|_, _| true).unwrap();
    let [(other, rows)] = &files(table.path()).into_iter().collect::<Vec<_>>()[..] else {
        panic!("one file")
    };
    for bytes in [rows.as_slice(), b"no file of rows"] {
        put(&work, 2..4);
        work.seal(Hour::of(START)).unwrap();
        let place = table.path().join(buffer::sealed(&work.database).unwrap().unwrap().path());
        assert_ne!(place, table.path().join(other));
        std::fs::write(&place, bytes).unwrap();
        assert_eq!(work.pass(|_, _| true).unwrap(), Filed { files: 1, rows: 2 });
        assert_eq!(std::fs::read(&place).unwrap(), bytes);
    }
    assert_eq!(frame_ids(table.path()).len(), 6);
}

/// One of them kept every later row out of the files, and failed every query.
#[test]
fn a_row_that_cannot_be_read_is_set_aside_and_those_behind_it_are_filed() {
    let table = tempfile::tempdir().unwrap();
    let clock = MadeUpClock::at(START);
    let work = work(table.path(), &clock);
    put(&work, 0..1);
    let beyond = captured_at(CaptureTime(i64::MAX), row("gate", 8, 0));
    let score = Some(0.0);
    let endless = serde_json::to_string(&DetectionRow { score, ..row("gate", 9, 0) }).unwrap();
    let endless = endless.replace("\"score\":0.0", "\"score\":1e200");
    let bad = ["{".to_owned(), serde_json::to_string(&beyond).unwrap(), endless];
    buffer::insert(&work.database, &bad, clock.clock().now(), u64::MAX).unwrap();
    put(&work, 1..6);
    work.database
        .write("spoil", |transaction| {
            let text = "UPDATE rows SET body = CAST(x'7bff' AS TEXT) WHERE id = 5";
            transaction.execute(text, ())
        })
        .unwrap();
    let snapshot = crate::delivery::snapshot(&buffer::buffer_path(table.path())).unwrap();
    assert_eq!((snapshot.buffered.num_rows(), snapshot.gaps.len()), (5, 4));

    assert_eq!(work.pass(|_, _| true).unwrap().rows, 5);
    assert_eq!(frame_ids(table.path()).len(), 5);
    let lost = || gone(&buffer::buffer_path(table.path())).unwrap().losses;
    let reasons: Vec<_> = lost().into_iter().map(|loss| loss.reason).collect();
    assert_eq!(reasons.len(), 4);
    assert_eq!(reasons[2], "score is inf, expected a finite number");
    assert!(reasons[1].ends_with("expected a year of four digits"), "{reasons:?}");
    // An hour of nothing else.
    clock.advance(Duration::from_secs(3_600));
    buffer::insert(&work.database, &bad[..1], clock.clock().now(), u64::MAX).unwrap();
    assert_eq!(work.pass(|_, _| true).unwrap(), Filed::default());
    assert_eq!(lost().len(), 5);
}

#[test]
fn a_row_with_a_field_that_the_filer_does_not_know_is_filed() {
    let table = tempfile::tempdir().unwrap();
    let clock = MadeUpClock::at(START);
    let work = work(table.path(), &clock);
    let mut newer = serde_json::to_value(row("gate", 8, 0)).unwrap();
    newer["of_tomorrow"] = serde_json::json!({ "any": ["thing"] });
    let bodies = [newer.to_string()];
    buffer::insert(&work.database, &bodies, clock.clock().now(), u64::MAX).unwrap();
    let snapshot = crate::delivery::snapshot(&buffer::buffer_path(table.path())).unwrap();
    assert_eq!((snapshot.buffered.num_rows(), snapshot.gaps.len()), (1, 0));

    assert_eq!(work.pass(|_, _| true).unwrap(), Filed { files: 1, rows: 1 });
    assert_eq!(frame_ids(table.path()), [row("gate", 8, 0).frame_id]);
    assert!(gone(&buffer::buffer_path(table.path())).unwrap().losses.is_empty());
}

/// Runs a pass that dies after so many durable steps.
fn die_after(work: &Work, steps: usize) -> Option<()> {
    let mut left = steps;
    let mut step = || {
        left = left.checked_sub(1)?;
        Some(())
    };
    loop {
        while let Some(batch) = buffer::sealed(&work.database).unwrap() {
            step()?;
            let mut part = match work.find(&batch).unwrap() {
                Found::Same(part) => part,
                Found::Nothing => work.write(&batch).unwrap().unwrap(),
                Found::Other(why) => panic!("{why}"),
            };
            step()?;
            if matches!(work.find(&batch).unwrap(), Found::Nothing) {
                part = work.publish(part).unwrap();
            }
            step()?;
            buffer::settle(&work.database, &batch, Some(&part), work.clock.now()).unwrap();
        }
        let open = buffer::open_hours(&work.database).unwrap();
        step()?;
        work.seal(open.first()?.hour).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_crash_after_any_step_neither_loses_nor_doubles_a_row(
        lives in prop::collection::vec((0_u64..6, 0_usize..12), 1..6)
    ) {
        let table = tempfile::tempdir().unwrap();
        let clock = MadeUpClock::at(START);
        let mut accepted = 0;
        for (rows, steps) in lives {
            let work = work(table.path(), &clock);
            put(&work, accepted..accepted + rows);
            accepted += rows;
            die_after(&work, steps);
            let seen = frame_ids(table.path());
            let expected: Vec<_> =
                (0..accepted).map(|seq| row("gate", seq, 0).frame_id).collect();
            prop_assert_eq!(seen, expected);
            clock.advance(Duration::from_secs(1_800));
        }
        work(table.path(), &clock).pass(|_, _| true).unwrap();
        prop_assert_eq!(frame_ids(table.path()).len() as u64, accepted);
    }
}

/// A file that was copied there, or that a restored list does not know, was not seen by any query, and nobody said so.
#[test]
fn a_file_that_is_in_no_list_is_unknown_and_one_that_left_is_not() {
    let table = tempfile::tempdir().unwrap();
    let table = table.path();
    let clock = MadeUpClock::at(START);
    let work = work(table, &clock);
    put(&work, 0..2);
    work.pass(|_, _| true).unwrap();
    let file = list::files_in(table).unwrap().remove(0);
    put(&work, 2..4);
    work.seal(Hour::of(START)).unwrap();
    let batch = buffer::sealed(&work.database).unwrap().unwrap();
    work.publish(work.write(&batch).unwrap().unwrap()).unwrap();
    let leave = |transaction: &rusqlite::Transaction<'_>| list::leave(transaction, &file, START);
    work.database.write("have a file leave", leave).unwrap();
    assert_eq!(list::files_in(table).unwrap().len(), 2);
    assert_eq!(work.unknown().unwrap(), [""; 0], "one has left, and one is about to be listed");

    let copy = file.replace("part-", "part-again-");
    std::fs::copy(table.join(&file), table.join(&copy)).unwrap();
    assert_eq!(work.unknown().unwrap(), [copy]);
}
