//! The stage without its thread and without a source: what it was told in, accounts, bundles and the board out.

use media::AccessUnit;
use media::h264::{Encoder, EncoderConfig};
use media::scene::{Scene, SceneConfig};
use services::config::{Encode, Pick, SampleConfig, Span};
use services::{CaptureTime, Clock, DataFolder, Epoch, Keep, MediaTime};
use tempfile::TempDir;

use super::*;
use crate::sample::tests::stamp;
use crate::source::Arrival;
use crate::status::{StatusBoard, StreamState};
use crate::store::SpoolOptions;

struct Fixture {
    _root: TempDir,
    board: StatusBoard,
    worker: Worker,
}

impl Fixture {
    /// A stage with one lane, and an epoch that has begun.
    fn new(sample: SampleConfig) -> Self {
        let root = tempfile::tempdir().unwrap();
        let (stream, board) = (StreamId::new("gate").unwrap(), StatusBoard::default());
        let policy = SpoolPolicy::DropOldest;
        let options = SpoolOptions {
            bound: 1 << 20,
            policy,
            accounts: Keep::default(),
            clock: Clock::system(),
        };
        let spool = Spool::open(&DataFolder::new(root.path()), &stream, options).unwrap();
        let stage = Stage {
            lanes: vec![LaneConfig { model: model(), sample }],
            bucket: "objects".into(),
            reply_to: None,
            max_pixels: 1 << 20,
            window_bytes: Size::from_bytes(1 << 20),
            policy,
            spool: Arc::new(spool),
            board: board.stream(&stream),
            clock: Clock::system(),
            stop: CancellationToken::new(),
            stream,
        };
        stage.board.state(StreamState::Playing, "playing");
        let mut worker = Worker::new(stage);
        worker.handle(Inbound::Open(Epoch(1))).unwrap();
        Self { _root: root, board, worker }
    }

    fn give(&mut self, seq: u64, unit: AccessUnit) {
        self.give_after(seq, unit, false);
    }

    fn give_after(&mut self, seq: u64, unit: AccessUnit, loss: bool) {
        let stamp = stamp(seq, MediaTime(unit.pts));
        let arrival = Arrival { stamp, loss, unit };
        self.worker.handle(Inbound::Unit(Box::new(arrival))).unwrap();
    }

    fn status(&self) -> crate::status::StreamStatus {
        self.board.snapshot().remove(&self.worker.stage.stream).unwrap()
    }

    /// Ends the epoch; gives its account and the messages in the spool.
    fn close(&mut self, units: u64) -> (Account, Vec<FrameBatch>) {
        self.worker.handle(Inbound::Close { units }).unwrap();
        let account = self.status().accounts.remove(&model()).unwrap();
        assert!(account.closes() && account.pending == 0, "{account:?}");
        let claimed = self.worker.stage.spool.claim(&model(), &[], 100).unwrap();
        let batch = |message: &String| FrameBatch::from_json(message).unwrap();
        (account, claimed.iter().map(|claimed| batch(&claimed.message)).collect())
    }
}

fn model() -> ModelName {
    ModelName::new("shapes").unwrap()
}

/// Every picture, in bundles that do not fill up.
fn every_picture() -> SampleConfig {
    let every = Span::from_millis(40);
    SampleConfig { pick: Pick::Exact, every, max_frames: 1_000, ..SampleConfig::default() }
}

/// Pictures of 25 a second, the first one a key frame.
fn units(n: u64) -> Vec<AccessUnit> {
    let config = SceneConfig { width: 320, height: 180, ..SceneConfig::default() };
    let (width, height, fps) = (config.width, config.height, config.fps);
    let encoded = EncoderConfig { width, height, fps, bitrate: 200_000, key_interval: 1_000 };
    let mut encoder = Encoder::new(encoded).unwrap();
    let scene = Scene::new(config).unwrap();
    (0..n).map(|n| encoder.encode(&scene.render(n).picture, n == 0).unwrap()).collect()
}

#[test]
fn a_message_says_until_when_its_answers_are_wanted_whatever_its_frames_are_dated() {
    let fresh = Some(Span::from_millis(2_000));
    let now = || Clock::system().now().0;
    let before = now();
    let mut fixture = Fixture::new(SampleConfig { fresh, ..every_picture() });
    units(2).into_iter().enumerate().for_each(|(seq, unit)| fixture.give(seq as u64, unit));
    let (_, batches) = fixture.close(2);
    assert_eq!(batches[0].frames[0].stamp.captured_at, CaptureTime(0));
    let deadline = batches[0].deadline.expect("there is one").0;
    assert!((before..=now()).contains(&(deadline - 2_000_000)), "{before} {deadline}");
    let mut fixture = Fixture::new(every_picture());
    units(1).into_iter().for_each(|unit| fixture.give(0, unit));
    assert_eq!(fixture.close(1).1[0].deadline, None);
}

#[test]
fn key_frames_without_parameter_sets_do_not_travel_as_they_came() {
    let every = Span::from_millis(40);
    let mut fixture =
        Fixture::new(SampleConfig { encode: Encode::H264, every, ..SampleConfig::default() });
    let bare = |pts| AccessUnit::from_annex_b(vec![0, 0, 0, 1, 0x65, 0x88, 0x84], pts, pts);
    let [whole] = <[AccessUnit; 1]>::try_from(units(1)).unwrap();
    fixture.give(0, bare(0));
    fixture.give(1, AccessUnit { pts: 90_000, dts: 90_000, ..whole });
    fixture.give(2, bare(180_000));
    let (account, batches) = fixture.close(3);
    assert_eq!((account.undecodable, account.taken), (2, 1));
    let sent = &batches[0].frames[0];
    assert_eq!((sent.stamp.seq.0, sent.width, sent.height), (1, 320, 180));
    let status = fixture.status();
    assert!(status.words.contains("its key frames carry no parameter sets"), "{status:?}");
    assert_eq!(status.trouble, Some("undecodable"));
}

#[test]
fn frames_count_as_taken_on_the_board_as_soon_as_they_are_stored() {
    let mut fixture = Fixture::new(SampleConfig { max_frames: 2, ..every_picture() });
    for (seq, unit) in (0..).zip(units(5)) {
        fixture.give(seq, unit);
    }
    assert_eq!((fixture.status().taken, fixture.status().spooled), (4, 0));
    assert_eq!(fixture.close(5).0.taken, 5);
    assert_eq!(fixture.status().taken, 5);
}

#[test]
fn a_stop_leaves_the_inbox_undecoded_and_stores_the_open_bundle() {
    let mut fixture = Fixture::new(every_picture());
    let mut units = (0..).zip(units(20));
    for (seq, unit) in units.by_ref().take(5) {
        fixture.give(seq, unit);
    }
    fixture.worker.stage.stop.cancel();
    for (seq, unit) in units {
        fixture.give(seq, unit);
    }
    let (account, batches) = fixture.close(22);
    assert_eq!((account.received, account.taken), (22, 5));
    assert_eq!((account.skipped[reason::STOPPED], account.skipped[reason::OVERLOAD]), (15, 2));
    assert_eq!(batches.iter().map(|batch| batch.frames.len()).collect::<Vec<_>>(), [5]);
}

#[test]
fn windows_never_span_what_was_lost_or_left_out_and_are_counted() {
    for (loss, left_out) in [(true, 0), (false, 50)] {
        let mut fixture = Fixture::new(SampleConfig { frames: 3, ..every_picture() });
        let scene = units(3);
        for (seq, unit) in (0..).zip(scene.clone()) {
            fixture.give(seq, unit);
        }
        // A key frame and what follows it, two seconds later.
        for (n, unit) in (0..).zip(scene) {
            let (pts, dts) = (unit.pts + 190_800, unit.dts + 190_800);
            fixture.give_after(3 + left_out + n, AccessUnit { pts, dts, ..unit }, loss && n == 0);
        }
        let (account, batches) = fixture.close(6 + left_out);
        let frames = batches.iter().flat_map(|batch| &batch.frames);
        let times: Vec<i64> = frames.map(|frame| frame.stamp.media_time.0).collect();
        assert_eq!(times, [0, 3_600, 7_200, 190_800, 194_400, 198_000]);
        assert_eq!((account.taken, account.skipped[reason::CONTEXT_LOST]), (2, 2), "{account:?}");
    }
}

#[test]
fn a_disk_that_is_full_is_said_until_it_is_freed() {
    let mut fixture = Fixture::new(SampleConfig { max_frames: 1, ..every_picture() });
    let mut units = (0..).zip(units(4));
    fixture.worker.stage.spool.limit_pages(1);
    for (seq, unit) in units.by_ref().take(3) {
        fixture.give(seq, unit);
    }
    let told = fixture.status();
    assert!(told.away.as_ref().is_some_and(|away| away.contains("full")), "{told:?}");
    fixture.worker.stage.spool.limit_pages(100_000);
    for (seq, unit) in units {
        fixture.give(seq, unit);
    }
    assert!(fixture.worker.save(false));
    assert_eq!(fixture.status().away, None);
    let (account, batches) = fixture.close(4);
    assert_eq!((account.taken, account.shed_total(), batches.len()), (4, 3, 1));
}

/// It was away until the next bundle was stored, however long its camera was.
#[test]
fn a_disk_that_is_freed_while_the_camera_is_away_is_full_no_more() {
    let mut fixture = Fixture::new(SampleConfig { max_frames: 1, ..every_picture() });
    fixture.worker.stage.spool.limit_pages(1);
    for (seq, unit) in (0..).zip(units(3)) {
        fixture.give(seq, unit);
    }
    fixture.worker.handle(Inbound::Close { units: 3 }).unwrap();
    assert!(fixture.worker.save(false));
    let away = fixture.status().away;
    assert!(away.as_ref().is_some_and(|away| away.contains("full")), "{away:?}");
    fixture.worker.stage.spool.limit_pages(100_000);
    assert!(fixture.worker.save(false));
    assert_eq!(fixture.status().away, None);
    let stored = fixture.worker.stage.spool.counts();
    assert_eq!((stored.bundles, fixture.worker.stage.spool.has(&model()).unwrap()), (0, false));
}

/// Accounts that wait for a disk with the last epoch's are what fails, too.
#[test]
fn accounts_that_are_saved_late_end_the_trouble_that_they_had() {
    let mut fixture = Fixture::new(every_picture());
    for (seq, unit) in (0..).zip(units(3)) {
        fixture.give(seq, unit);
    }
    let full = PortError::because(ErrorKind::Full, "save accounts", "the disk is full");
    fixture.worker.say_saved(Err(full));
    assert!(fixture.status().away.is_some());
    fixture.worker.work = None;
    assert!(fixture.worker.save(false));
    assert_eq!(fixture.status().away, None);
}

#[test]
fn windows_of_more_bytes_than_they_may_have_are_refused_in_words_and_forgotten() {
    let mut fixture = Fixture::new(SampleConfig { frames: 10, ..every_picture() });
    fixture.worker.stage.window_bytes = Size::from_bytes(20_000);
    fixture.worker.handle(Inbound::Close { units: 0 }).unwrap();
    fixture.worker.handle(Inbound::Open(Epoch(2))).unwrap();
    let units = units(30);
    let count = units.len() as u64;
    for (seq, unit) in (0..).zip(units) {
        fixture.give(seq, unit);
    }
    let (account, batches) = fixture.close(count);
    assert_eq!((account.taken, batches.len()), (0, 0));
    assert!(account.skipped["context-lost"] > 0, "{account:?}");
    let status = fixture.status();
    let words = "playing; gather windows of model \"shapes\": its frames have more than";
    assert!(status.words.starts_with(words), "{status:?}");
    assert_eq!((status.trouble, status.events), (Some("window-too-large"), 1));
}

/// A key frame with parameter sets that are right, and slices that are not.
fn refused_key_frame(whole: &AccessUnit) -> AccessUnit {
    let mut data = whole.data.to_vec();
    let slice = data.windows(5).position(|five| five[..4] == [0, 0, 0, 1] && five[4] & 31 == 5);
    data.truncate(slice.unwrap() + 5);
    data.extend([0xff; 20]);
    AccessUnit { data: data.into(), ..whole.clone() }
}

#[test]
fn a_decoder_that_refuses_every_key_frame_is_said_once_until_it_takes_one() {
    let mut fixture = Fixture::new(every_picture());
    let [whole] = <[AccessUnit; 1]>::try_from(units(1)).unwrap();
    let at = |n: i64, unit: AccessUnit| AccessUnit { pts: n * 9_000, dts: n * 9_000, ..unit };
    let (mut seq, mut pass) = (0, 0);
    while pass < 3 {
        for _ in 0..3 {
            fixture.give(seq, at(seq.cast_signed(), refused_key_frame(&whole)));
            seq += 1;
        }
        assert!(fixture.worker.save(false));
        let status = fixture.status();
        assert!(status.words.starts_with("playing; decode picture: "), "{status:?}");
        assert_eq!((status.trouble, status.events), (Some("undecodable"), 1));
        fixture.worker.handle(Inbound::Close { units: seq }).unwrap();
        fixture.worker.handle(Inbound::Open(Epoch(9))).unwrap();
        (seq, pass) = (0, pass + 1);
    }
    fixture.give(0, at(0, whole.clone()));
    fixture.give(1, at(1, whole));
    assert!(fixture.worker.save(false));
    assert_eq!((&*fixture.status().words, fixture.status().trouble), ("playing", None));
}
