//! Retention beside readers, late rows, crashes, and copies that are put back.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::clock::MadeUpClock;
use crate::data_folder::DataFolder;
use crate::delivery::buffer::{self, buffer_path};
use crate::delivery::filing::FilingPolicy;
use crate::delivery::tests::{frame_ids, row};
use crate::delivery::{ListedFile, gone, repair, snapshot};
use crate::durable;
use crate::queue::{DeadLetters as _, Queue as _, QueueOptions, SqliteQueue};

const START: CaptureTime = CaptureTime(1_795_262_000_000_000);
const AN_HOUR: Duration = Duration::from_secs(3_600);
const DAY: Keep = Keep { age: Some(Duration::from_secs(86_400)), bytes: None };

fn work(table: &Path, clock: &MadeUpClock, keep: Keep) -> Work {
    let policy = FilingPolicy { keep, ..FilingPolicy::default() };
    Work::open(table, policy, clock.clock()).unwrap()
}

fn put(work: &Work, seqs: impl IntoIterator<Item = u64>) {
    let body = |seq| serde_json::to_string(&row("gate", seq, 0)).unwrap();
    let bodies: Vec<_> = seqs.into_iter().map(body).collect();
    buffer::insert(&work.database, &bodies, work.clock.now(), u64::MAX).unwrap();
}

/// Files rows of these frames, in one file.
fn file(work: &Work, seqs: impl IntoIterator<Item = u64>) {
    put(work, seqs);
    work.pass(|_, _| true).unwrap();
}

/// Has leave what is due, and gives how many files that were.
fn retire(work: &Work) -> u64 {
    let stop = CancellationToken::new();
    std::iter::from_fn(|| work.retire_some(&stop).unwrap()).map(|left| left.files).sum()
}

fn listed(table: &Path) -> usize {
    snapshot(&buffer_path(table)).unwrap().files.len()
}

fn lying(table: &Path) -> usize {
    list::files_in(table).unwrap().len()
}

fn retired(table: &Path) -> u64 {
    let retired = gone(&buffer_path(table)).unwrap().retired;
    retired.map_or(0, |retired| retired.frames.iter().map(|of| of.frames).sum())
}

/// Frames with rows in the table.
fn answered(table: &Path) -> u64 {
    let mut ids = frame_ids(table);
    ids.dedup();
    ids.len() as u64
}

#[test]
fn an_hour_leaves_whole_when_its_end_is_as_long_ago_as_asked_for() {
    let table = tempfile::tempdir().unwrap();
    let table = table.path();
    let clock = MadeUpClock::at(Hour::of(START).begin());
    let work = work(table, &clock, DAY);
    (0..3).for_each(|n| file(&work, n * 10..n * 10 + 10));
    clock.advance(AN_HOUR);
    file(&work, 30..35);
    clock.advance(AN_HOUR * 24 - Duration::from_micros(1));
    assert_eq!(retire(&work), 0, "its end is a microsecond less than a day ago");
    clock.advance(Duration::from_micros(1));
    let left = work.retire_some(&CancellationToken::new()).unwrap().unwrap();
    assert_eq!((left.files, left.rows, left.frames), (3, 30, 30));
    assert_eq!(left.before.to_string(), "2026-11-21 12:00 UTC");
    assert_eq!((listed(table), lying(table), answered(table), retired(table)), (1, 4, 5, 30));
    assert_eq!(work.sweep().unwrap(), 3);
    assert_eq!((listed(table), lying(table)), (1, 1));
    clock.advance(AN_HOUR * 1_000);
    assert_eq!((retire(&work), retired(table)), (1, 35));
    assert_eq!(gone(&buffer_path(table)).unwrap().losses, []);
}

#[test]
fn the_oldest_hours_leave_until_the_rest_is_as_small_as_asked_for() {
    let table = tempfile::tempdir().unwrap();
    let table = table.path();
    let clock = MadeUpClock::at(START);
    let all = work(table, &clock, Keep::default());
    for hour in 0..5 {
        file(&all, hour * 10..hour * 10 + 10);
        clock.advance(AN_HOUR);
    }
    assert_eq!(retire(&all), 0, "nothing leaves unless it is asked for");
    let size = |file: &ListedFile| fs::metadata(&file.path).unwrap().len();
    let sizes: Vec<_> = snapshot(&buffer_path(table)).unwrap().files.iter().map(size).collect();
    let last_three = sizes[2..].iter().sum();
    let keep = |bytes| work(table, &clock, Keep { age: None, bytes: Some(bytes) });
    assert_eq!(retire(&keep(sizes.iter().sum())), 0);
    assert_eq!(retire(&keep(last_three)), 2);
    assert_eq!((answered(table), retired(table)), (30, 20));
    assert_eq!(retire(&keep(last_three - 1)), 1);
    assert_eq!(retire(&keep(0)), 2);
    assert_eq!((listed(table), retired(table)), (0, 50));
}

#[test]
fn neither_an_hour_that_is_under_way_nor_one_with_buffered_rows_leaves() {
    let table = tempfile::tempdir().unwrap();
    let table = table.path();
    let clock = MadeUpClock::at(START);
    let work = work(table, &clock, Keep { age: None, bytes: Some(0) });
    file(&work, 0..1);
    assert_eq!(retire(&work), 0, "it is under way");
    put(&work, 1..2);
    clock.advance(AN_HOUR);
    assert_eq!(retire(&work), 0, "a row is buffered");
    file(&work, 2..3);
    assert_eq!((retire(&work), answered(table), retired(table)), (2, 1, 2));
}

/// Retired frames would have excused as many losses otherwise.
#[test]
fn a_frame_whose_rows_lie_in_two_hours_is_counted_once() {
    let table = tempfile::tempdir().unwrap();
    let table = table.path();
    let clock = MadeUpClock::at(START);
    let work = work(table, &clock, DAY);
    file(&work, [1, 2, 3, 3]);
    file(&work, [3, 4]);
    clock.advance(AN_HOUR);
    file(&work, [4, 5]);
    clock.advance(AN_HOUR);
    put(&work, [2, 5, 6]);
    for (hours, left) in [(22, 0), (1, 2), (1, 1)] {
        clock.advance(AN_HOUR * hours);
        assert_eq!(retire(&work), left);
        assert_eq!(answered(table) + retired(table), 6, "after {left} left");
    }
    assert_eq!(retired(table), 3, "1, 3 and 4: the others have a row that is buffered");
    work.pass(|_, _| true).unwrap();
    clock.advance(AN_HOUR);
    assert_eq!((retire(&work), answered(table), retired(table)), (1, 0, 6));
}

#[test]
fn an_hour_larger_than_the_memory_is_counted_share_by_share() {
    let table = tempfile::tempdir().unwrap();
    let clock = MadeUpClock::at(START);
    let work = work(table.path(), &clock, DAY);
    file(&work, (0..500).chain(300..600));
    clock.advance(AN_HOUR);
    file(&work, 550..700);
    clock.advance(AN_HOUR * 24);
    let (_, due) = work.due(&[]).unwrap().unwrap();
    for shares in [1, 2, 7] {
        let stop = CancellationToken::new();
        let Counted::Whole(frames) = work.count_in_shares(&due, shares, &stop).unwrap() else {
            panic!("not counted")
        };
        assert_eq!(frames.iter().map(|of| of.frames).collect::<Vec<_>>(), [550], "{shares} shares");
    }
}

#[test]
fn a_reader_keeps_the_files_of_its_moment() {
    let table = tempfile::tempdir().unwrap();
    let table = table.path();
    let clock = MadeUpClock::at(START);
    let work = work(table, &clock, DAY);
    file(&work, 0..3);
    let reading = snapshot(&buffer_path(table)).unwrap();
    clock.advance(AN_HOUR * 25);
    assert_eq!((retire(&work), work.sweep().unwrap()), (1, 0));
    assert!(reading.files[0].path.exists());
    assert_eq!(answered(table), 0, "whoever comes now sees nothing of it");
    drop(reading);
    assert_eq!((work.sweep().unwrap(), lying(table)), (1, 0));
}

#[test]
fn a_file_that_cannot_be_read_is_not_counted_and_stays_while_the_others_leave() {
    let table = tempfile::tempdir().unwrap();
    let table = table.path();
    let clock = MadeUpClock::at(START);
    let work = work(table, &clock, Keep { age: DAY.age, bytes: Some(1) });
    (0..3).for_each(|n| file(&work, n..n + 1));
    let damaged = snapshot(&buffer_path(table)).unwrap().files.remove(1).path;
    let mut bytes = fs::read(&damaged).unwrap();
    bytes[4..600].fill(0xa5);
    fs::write(&damaged, &bytes).unwrap();
    clock.advance(AN_HOUR * 25);
    assert_eq!((retire(&work), work.sweep().unwrap(), retired(table)), (2, 2, 2));
    assert_eq!((listed(table), fs::read(&damaged).unwrap()), (1, bytes));
    let done = repair(table, clock.clock().now()).unwrap();
    assert_eq!(done.taken_out.len(), 1, "and is told as a loss");
}

/// The clock of a machine may be set back, into hours that left.
#[test]
fn late_rows_of_an_hour_that_left_are_filed_and_leave_like_all_others() {
    let table = tempfile::tempdir().unwrap();
    let table = table.path();
    let clock = MadeUpClock::at(START);
    let work = work(table, &clock, DAY);
    file(&work, 0..3);
    clock.advance(AN_HOUR * 25);
    assert_eq!(retire(&work), 1);
    clock.set_back(AN_HOUR * 25);
    file(&work, 3..5);
    assert_eq!((retire(&work), answered(table), retired(table)), (0, 2, 3));
    clock.advance(AN_HOUR * 25);
    assert_eq!((retire(&work), answered(table), retired(table)), (1, 0, 5));
}

#[test]
fn it_ends_soon_after_it_is_stopped_and_nothing_has_left() {
    let table = tempfile::tempdir().unwrap();
    let clock = MadeUpClock::at(START);
    let work = work(table.path(), &clock, DAY);
    file(&work, 0..3);
    clock.advance(AN_HOUR * 25);
    let stop = CancellationToken::new();
    stop.cancel();
    assert_eq!(work.retire_some(&stop).unwrap(), None);
    assert_eq!((listed(table.path()), retired(table.path())), (1, 0));
}

/// Copies the buffer as it is now.
fn save(table: &Path, to: &Path) {
    let connection = rusqlite::Connection::open(buffer_path(table)).unwrap();
    connection.execute("VACUUM INTO ?", [to.to_str().unwrap()]).unwrap();
}

/// Puts a copy of the buffer back, or takes the buffer away.
fn restore(table: &Path, from: Option<&Path>) {
    for end in ["", "-wal", "-shm"] {
        durable::remove_if_there(&table.join(format!("buffer.sqlite{end}"))).unwrap();
    }
    if let Some(from) = from {
        fs::copy(from, buffer_path(table)).unwrap();
    }
}

/// Hours 0 to 3 with ten frames each, of which the first two left after the buffer was copied.
fn half_retired(table: &Path, saved: &Path, clock: &MadeUpClock, is_swept: bool) {
    let work = work(table, clock, DAY);
    for hour in 0..4 {
        file(&work, hour * 10..hour * 10 + 10);
        clock.advance(AN_HOUR);
    }
    save(table, saved);
    clock.advance(AN_HOUR * 22);
    assert_eq!(retire(&work), 2);
    if is_swept {
        assert_eq!(work.sweep().unwrap(), 2);
    }
}

/// What left was listed anew, or taken for damage, and its frames were lost to the audit.
#[test]
fn an_older_buffer_or_a_new_one_knows_after_a_repair_what_left() {
    for (is_swept, is_kept) in [(true, true), (false, true), (true, false), (false, false)] {
        let table = tempfile::tempdir().unwrap();
        let table = table.path();
        let copies = tempfile::tempdir().unwrap();
        let saved = copies.path().join("saved.sqlite");
        let clock = MadeUpClock::at(START);
        half_retired(table, &saved, &clock, is_swept);
        restore(table, is_kept.then_some(saved.as_path()));

        let done = repair(table, clock.clock().now()).unwrap();
        let case = format!("swept: {is_swept}, an older buffer: {is_kept}: {done:?}");
        assert_eq!((done.taken_out.len(), done.left_alone.len()), (0, 0), "{case}");
        assert_eq!(done.listed.len(), if is_kept { 0 } else { 2 }, "{case}");
        assert_eq!((answered(table), retired(table)), (20, 20), "{case}");
        let again = repair(table, clock.clock().now()).unwrap();
        assert_eq!((again.taken_out.len(), again.listed.len()), (0, 0), "{case}");
        let work = work(table, &clock, DAY);
        assert_eq!(retire(&work), 0, "{case}");
        work.sweep().unwrap();
        assert_eq!((listed(table), lying(table)), (2, 2), "{case}");
        clock.advance(AN_HOUR * 2);
        assert_eq!((retire(&work), retired(table)), (2, 40), "{case}");
    }
}

/// A batch of the older buffer was the file that leaves now, and could not be listed a second time.
#[test]
fn rows_that_an_older_buffer_still_held_are_filed_and_leave_again() {
    let table = tempfile::tempdir().unwrap();
    let table = table.path();
    let copies = tempfile::tempdir().unwrap();
    let saved = copies.path().join("saved.sqlite");
    let clock = MadeUpClock::at(START);
    let first = work(table, &clock, DAY);
    put(&first, 0..3);
    first.seal(Hour::of(START)).unwrap();
    save(table, &saved);
    first.pass(|_, _| true).unwrap();
    clock.advance(AN_HOUR * 25);
    assert_eq!(retire(&first), 1);
    drop(first);
    restore(table, Some(&saved));
    repair(table, clock.clock().now()).unwrap();
    let second = work(table, &clock, DAY);
    second.pass(|_, _| true).unwrap();
    assert_eq!((answered(table), retired(table)), (3, 3));
    assert_eq!((retire(&second), second.sweep().unwrap()), (1, 2));
    assert_eq!((listed(table), lying(table), retired(table)), (0, 0, 6));
}

#[tokio::test]
async fn an_older_buffer_takes_over_what_left_without_a_repair_too() {
    let table = tempfile::tempdir().unwrap();
    let table = table.path();
    let copies = tempfile::tempdir().unwrap();
    let saved = copies.path().join("saved.sqlite");
    let clock = MadeUpClock::at(START);
    half_retired(table, &saved, &clock, true);
    restore(table, Some(&saved));
    assert_eq!(snapshot(&buffer_path(table)).unwrap().gaps.len(), 2, "until somebody tends it");
    let policy = FilingPolicy::default();
    let filer = crate::delivery::Filer::open(table, policy, clock.clock()).unwrap();
    filer.tend().await.unwrap();
    assert_eq!(snapshot(&buffer_path(table)).unwrap().gaps, []);
    assert_eq!((answered(table), retired(table)), (20, 20));
}

/// The files that another one of a later hour had taken the place of, and that a query still read, were taken for files
/// that left with their time: the table had no row of them, and said nothing.
#[tokio::test]
async fn an_older_buffer_takes_over_nothing_of_hours_that_did_not_leave() {
    let table = tempfile::tempdir().unwrap();
    let table = table.path();
    let copies = tempfile::tempdir().unwrap();
    let saved = copies.path().join("saved.sqlite");
    let clock = MadeUpClock::at(START);
    let first = work(table, &clock, DAY);
    file(&first, 0..10);
    clock.advance(AN_HOUR * 10);
    (1..4).for_each(|n| file(&first, n * 10..n * 10 + 10));
    save(table, &saved);
    let reading = snapshot(&buffer_path(table)).unwrap();
    clock.advance(AN_HOUR * 15);
    assert_eq!(first.compact_one(&CancellationToken::new()).unwrap(), 3);
    assert_eq!((retire(&first), first.sweep().unwrap()), (1, 0));
    drop(reading);
    assert_eq!((first.sweep().unwrap(), lying(table)), (4, 1));
    drop(first);
    restore(table, Some(&saved));

    let filer =
        crate::delivery::Filer::open(table, FilingPolicy::default(), clock.clock()).unwrap();
    filer.tend().await.unwrap();
    let gaps = snapshot(&buffer_path(table)).unwrap().gaps;
    assert_eq!(gaps.iter().map(|gap| gap.rows).sum::<u64>(), 30, "{gaps:?}");
    assert_eq!(repair(table, clock.clock().now()).unwrap().taken_out, []);
    assert_eq!((answered(table), retired(table)), (30, 10));
}

/// As above, of an hour before the last that left: it had stayed for a row that was buffered.
#[tokio::test]
async fn an_older_buffer_tells_what_was_put_together_from_what_left() {
    let table = tempfile::tempdir().unwrap();
    let table = table.path();
    let copies = tempfile::tempdir().unwrap();
    let saved = copies.path().join("saved.sqlite");
    let clock = MadeUpClock::at(START);
    let first = work(table, &clock, Keep { age: None, bytes: Some(0) });
    (0..2).for_each(|n| file(&first, n * 10..n * 10 + 10));
    put(&first, [99]);
    clock.advance(AN_HOUR);
    put(&first, 20..30);
    first.pass(|open, _| open.hour != Hour::of(START)).unwrap();
    save(table, &saved);
    clock.advance(AN_HOUR);
    assert_eq!((retire(&first), first.sweep().unwrap()), (1, 1));
    let all = work(table, &clock, Keep::default());
    all.pass(|_, _| true).unwrap();
    assert_eq!(all.compact_one(&CancellationToken::new()).unwrap(), 3);
    assert_eq!((all.sweep().unwrap(), lying(table)), (3, 1));
    drop((first, all));
    restore(table, Some(&saved));

    let filer =
        crate::delivery::Filer::open(table, FilingPolicy::default(), clock.clock()).unwrap();
    filer.tend().await.unwrap();
    assert_eq!(snapshot(&buffer_path(table)).unwrap().gaps.len(), 2);
    assert_eq!(repair(table, clock.clock().now()).unwrap().taken_out, []);
    assert_eq!((answered(table), retired(table)), (21, 10));
}

/// A letter whose frames had rows made these dead and retired: as many losses of others were excused.
#[tokio::test]
async fn frames_that_a_message_names_are_not_retired() {
    let folder = tempfile::tempdir().unwrap();
    let folder = DataFolder::new(folder.path());
    let table = folder.table();
    let clock = MadeUpClock::at(START);
    let policy = FilingPolicy { keep: DAY, ..FilingPolicy::default() };
    let filer = crate::delivery::Filer::open_in(&folder, policy, clock.clock()).unwrap();
    file(&filer.work, 0..10);
    let message = |seqs: std::ops::Range<u64>| {
        let entry = |seq| {
            serde_json::json!({
                "seq": seq, "media_time": 0, "captured_at": START, "clock": "arrival", "width": 4, "height": 4,
                "format": "jpeg", "offset": 0, "len": 3,
            })
        };
        let frames: Vec<_> = seqs.map(entry).collect();
        let batch = serde_json::json!({
            "v": 1, "stream": "gate", "epoch": 7, "model": "shapes", "frames": frames,
            "payload": { "inline": "AAAA" }, "traceparent": "",
        });
        batch.to_string()
    };
    let path = folder.queue(&"shapes".parse().unwrap());
    let queue = SqliteQueue::open(&path, QueueOptions::default(), clock.clock()).unwrap();
    queue.send(&[message(0..3), message(3..5)]).await.unwrap();
    let received = queue.receive(1, AN_HOUR, Duration::ZERO).await.unwrap();
    queue.bury(&received[0].receipt, "one of its pictures is damaged").await.unwrap();
    let damaged = folder.queue(&"faces".parse().unwrap());
    fs::write(damaged, "no queue, but long enough to look like one".repeat(100)).unwrap();
    clock.advance(AN_HOUR * 25);
    assert_eq!(filer.tend().await.unwrap().retired, 1);
    assert_eq!((answered(&table), retired(&table)), (0, 5), "5 more are dead or in flight");
}

#[test]
fn an_hour_stays_while_messages_of_its_last_moments_may_be_under_way() {
    let table = tempfile::tempdir().unwrap();
    let clock = MadeUpClock::at(Hour::of(START).begin());
    let work = work(table.path(), &clock, Keep { age: Some(Duration::ZERO), bytes: Some(0) });
    file(&work, 0..1);
    clock.advance(AN_HOUR + SETTLED - Duration::from_micros(1));
    assert_eq!(retire(&work), 0);
    clock.advance(Duration::from_micros(1));
    assert_eq!(retire(&work), 1);
}

/// Has the system refuse to open a file of the table; gives where it is now.
fn spoil(table: &Path, file: &Path) -> std::path::PathBuf {
    let aside = table.join(file.file_name().unwrap()).with_extension("aside");
    fs::rename(file, &aside).unwrap();
    std::os::unix::fs::symlink(file, file).unwrap();
    aside
}

fn heal(file: &Path, aside: &Path) {
    fs::remove_file(file).unwrap();
    fs::rename(aside, file).unwrap();
}

/// One that gave an I/O error kept all others where they were, for good.
#[tokio::test]
async fn a_file_that_the_system_cannot_read_or_remove_keeps_its_own_hour_alone() {
    let table = tempfile::tempdir().unwrap();
    let table = table.path();
    let clock = MadeUpClock::at(START);
    let work = work(table, &clock, DAY);
    let mut seq = 0;
    let mut hour = |files: u64, next: u32| {
        for _ in 0..files {
            file(&work, seq..seq + 10);
            seq += 10;
        }
        let last = snapshot(&buffer_path(table)).unwrap().files.pop().unwrap().path;
        clock.advance(AN_HOUR * next);
        last
    };
    hour(2, 6);
    let closed = hour(3, 6);
    hour(2, 8);
    hour(3, 20);
    let current = hour(1, 0);
    let asides = [&closed, &current].map(|file| spoil(table, file));
    let stuck = "detections/dt=2026-01-01/hour=00/part-0.parquet";
    fs::create_dir_all(table.join(stuck).join("within")).unwrap();
    let leave =
        |transaction: &rusqlite::Transaction<'_>| list::leave_unlisted(transaction, stuck, START);
    work.database.write("have a folder leave", leave).unwrap();

    let policy = FilingPolicy { keep: DAY, ..FilingPolicy::default() };
    let filer = crate::delivery::Filer::open(table, policy, clock.clock()).unwrap();
    let told = filer.tend().await.unwrap_err().to_string();
    assert!(told.starts_with("remove file") && told.contains(stuck), "{told}");
    assert_eq!(retired(table), 40, "the two hours beside");
    let snapshot = || snapshot(&buffer_path(table)).unwrap();
    assert_eq!((snapshot().files.len(), snapshot().gaps.len()), (2, 2), "each hour is one file");
    assert_eq!(answered(table), 50);
    assert_eq!(lying(table), 2 + 2 + 1, "nothing that left but the folder");

    heal(&closed, &asides[0]);
    heal(&current, &asides[1]);
    fs::remove_dir_all(table.join(stuck)).unwrap();
    clock.advance(AN_HOUR);
    filer.tend().await.unwrap();
    assert_eq!((answered(table), retired(table), lying(table)), (40, 70, 2));
}

/// Its frames would have been retired, and in the table.
#[tokio::test]
async fn what_cannot_be_read_for_now_keeps_the_hours_that_its_frames_may_lie_in() {
    let table = tempfile::tempdir().unwrap();
    let table = table.path();
    let clock = MadeUpClock::at(START);
    let work = work(table, &clock, DAY);
    file(&work, [1, 2, 3]);
    clock.advance(AN_HOUR);
    file(&work, [3, 4]);
    let later = snapshot(&buffer_path(table)).unwrap().files.pop().unwrap().path;
    clock.advance(AN_HOUR * 24);
    let aside = spoil(table, &later);
    let policy = FilingPolicy { keep: DAY, ..FilingPolicy::default() };
    let filer = crate::delivery::Filer::open(table, policy, clock.clock()).unwrap();
    assert_eq!(filer.tend().await.unwrap().retired, 0);
    heal(&later, &aside);
    assert_eq!(filer.tend().await.unwrap().retired, 1);
    assert_eq!((answered(table), retired(table)), (2, 2));
}

/// It was looked again a minute later only, and nothing said so.
#[tokio::test]
async fn who_tends_knows_that_another_was_filing() {
    let table = tempfile::tempdir().unwrap();
    let filer = crate::delivery::Filer::open(
        table.path(),
        FilingPolicy::default(),
        MadeUpClock::at(START).clock(),
    )
    .unwrap();
    let lock = crate::delivery::lock::FilingLock::take(table.path()).unwrap();
    assert!(filer.tend().await.unwrap().is_held_up);
    drop(lock);
    assert!(!filer.tend().await.unwrap().is_held_up);
}

#[tokio::test]
async fn nothing_is_removed_while_the_copy_cannot_be_read() {
    let table = tempfile::tempdir().unwrap();
    let table = table.path();
    let copies = tempfile::tempdir().unwrap();
    let clock = MadeUpClock::at(START);
    half_retired(table, &copies.path().join("saved.sqlite"), &clock, false);
    let copy = table.join("retired.json");
    let policy = FilingPolicy { keep: DAY, ..FilingPolicy::default() };
    let filer = crate::delivery::Filer::open(table, policy, clock.clock()).unwrap();
    for text in
        ["{", "{\"version\": 2, \"steps\": 1, \"last\": 3, \"frames\": [], \"leaving\": []}"]
    {
        fs::write(&copy, text).unwrap();
        let error = filer.tend().await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("read file {copy:?}: ")), "{error}");
        assert!(error.contains("moved away"), "{error}");
    }
    assert_eq!(lying(table), 4);
    fs::remove_file(&copy).unwrap();
    assert_eq!(filer.tend().await.unwrap().removed, 2);
    assert!(copy.exists());
}

/// Runs a retention that dies after so many durable steps.
fn die_after(work: &Work, steps: usize) -> Option<()> {
    let mut left = steps;
    let mut step = || {
        left = left.checked_sub(1)?;
        Some(())
    };
    let even_out = || retired::even_out(&work.database, &work.table, work.clock.now()).unwrap();
    step()?;
    even_out();
    while let Some((last, due)) = work.due(&[]).unwrap() {
        let Counted::Whole(frames) = work.count(&due, &CancellationToken::new()).unwrap() else {
            panic!("not counted")
        };
        step()?;
        work.retire(last, &due, &frames).unwrap();
        step()?;
        even_out();
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

    /// Each life files some rows, a few of them for a second time; after some an older buffer is put back.
    #[test]
    fn a_crash_after_any_step_leaves_each_frame_counted_once(
        lives in prop::collection::vec(
            (prop::collection::vec((1_u64..4, 0_u64..3), 0..4), 0_usize..9, any::<bool>()), 1..6)
    ) {
        let table = tempfile::tempdir().unwrap();
        let table = table.path();
        let copies = tempfile::tempdir().unwrap();
        let clock = MadeUpClock::at(START);
        let keep = Keep { age: Some(AN_HOUR), bytes: None };
        let mut accepted = 0;
        for (life, (files, steps, is_restored)) in lives.into_iter().enumerate() {
            let filing = work(table, &clock, keep);
            for (rows, again) in files {
                // What left may not come again: it would be counted twice.
                file(&filing, accepted..accepted + rows);
                accepted += rows;
                clock.advance(AN_HOUR / 3);
                file(&filing, (accepted - rows)..(accepted - rows + again.min(rows)));
            }
            let saved = copies.path().join(life.to_string());
            save(table, &saved);
            clock.advance(AN_HOUR / 2);
            die_after(&filing, steps);
            drop(filing);
            if is_restored {
                restore(table, Some(&saved));
                let done = repair(table, clock.clock().now()).unwrap();
                prop_assert_eq!((done.listed, done.taken_out), (vec![], vec![]));
            }
            prop_assert_eq!(answered(table) + retired(table), accepted);
        }
        clock.advance(AN_HOUR * 3);
        let last = work(table, &clock, keep);
        retire(&last);
        last.sweep().unwrap();
        prop_assert_eq!((retired(table), listed(table), lying(table)), (accepted, 0, 0));
    }
}
