//! The spool, and what is left of it after a crash.

mod folded;
mod suspended;

use std::sync::Arc;

use bytes::Bytes;
use services::config::{SampleConfig, SpoolPolicy};
use services::{
    CaptureTime, Clock, DataFolder, Epoch, ErrorKind, FrameFormat, Keep, MediaTime, ModelName,
    StreamId,
};
use tempfile::TempDir;

use super::{Books, Spool, SpoolOptions, Stored, audit, events};
use crate::bundle::{Address, Bundle, Bundler, Frame};
use crate::sample::reason;
use crate::sample::tests::stamp;
use crate::store::shed;

const BOUND: u64 = 10_000;

struct Fixture {
    root: TempDir,
    books: Books,
    seq: u64,
}

impl Fixture {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap(), books: Books::default(), seq: 0 }
    }

    fn open(&self, policy: SpoolPolicy) -> Spool {
        self.try_open(policy).unwrap()
    }

    fn try_open(&self, policy: SpoolPolicy) -> Result<Spool, services::PortError> {
        self.open_with(policy, Keep::default(), Clock::system())
    }

    fn open_with(
        &self,
        policy: SpoolPolicy,
        accounts: Keep,
        clock: Clock,
    ) -> Result<Spool, services::PortError> {
        let options = SpoolOptions { bound: BOUND, policy, accounts, clock };
        Spool::open(&DataFolder::new(self.root.path()), &stream(), options)
    }

    fn path(&self) -> std::path::PathBuf {
        DataFolder::new(self.root.path()).spool(&stream())
    }

    /// Stores one frame of 3,000 bytes.
    fn commit(&mut self, spool: &Spool) -> Stored {
        let bundle = bundle(self.seq);
        self.seq += 1;
        self.books.receive(2);
        self.books.skip(reason::NOT_DUE, 1);
        let mut after = self.books.clone();
        after.take(1, bundle.last_taken);
        let stored = spool.commit(&bundle, &after).unwrap();
        if stored != Stored::NoRoom {
            self.books = after;
        }
        stored
    }
}

fn stream() -> StreamId {
    StreamId::new("gate").unwrap()
}

fn model() -> ModelName {
    ModelName::new("shapes").unwrap()
}

/// One frame of 3,000 bytes of the stream `gate` for the model `shapes`.
pub(crate) fn bundle(seq: u64) -> Bundle {
    bundle_of(seq, 3_000)
}

/// One frame of so many bytes.
fn bundle_of(seq: u64, bytes: usize) -> Bundle {
    let address = Address {
        stream: stream(),
        epoch: Epoch(7),
        model: model(),
        bucket: "objects".into(),
        reply_to: None,
    };
    let mut bundler = Bundler::new(address, &SampleConfig::default());
    let frame = Frame {
        stamp: stamp(seq, MediaTime(i64::try_from(seq).unwrap() * 90_000)),
        width: 640,
        height: 360,
        format: FrameFormat::Jpeg,
        bytes: Bytes::from(vec![7; bytes]),
    };
    bundler.push(&[Arc::new(frame)], std::time::Instant::now());
    bundler.close().unwrap()
}

#[test]
fn a_bundle_survives_a_crash_and_what_was_pending_is_accounted_for() {
    let mut fixture = Fixture::new();
    let spool = fixture.open(SpoolPolicy::DropOldest);
    assert_eq!(fixture.commit(&spool), Stored::Yes);
    fixture.books.receive(5);
    spool.save(Epoch(7), &[(&model(), &fixture.books)], false).unwrap();
    drop(spool);

    let spool = fixture.open(SpoolPolicy::DropOldest);
    let audited = audit(&fixture.path()).unwrap();
    let account = &audited.accounts[0];
    assert!(account.closed && account.account.closes());
    assert_eq!(account.account.skipped[reason::CRASH], 5);
    assert_eq!((account.account.taken, account.last_taken), (1, Some(MediaTime(0))));
    assert_eq!(audited.pending.len(), 1);
    assert_eq!(spool.counts().bundles, 1);
    let claimed = spool.claim(&model(), &[], 10).unwrap();
    assert_eq!(spool.payload(claimed[0].id).unwrap(), vec![7; 3_000]);
}

#[test]
fn what_was_sent_is_gone_and_counted() {
    let mut fixture = Fixture::new();
    let spool = fixture.open(SpoolPolicy::DropOldest);
    fixture.commit(&spool);
    fixture.commit(&spool);
    let claimed = spool.claim(&model(), &[], 1).unwrap();
    let next = spool.claim(&model(), &[claimed[0].id], 10).unwrap();
    assert_eq!(next.len(), 1);
    assert_eq!((spool.counts().bundles, spool.counts().shipped), (1, 1));
    assert_eq!(spool.claim(&model(), &[next[0].id], 10).unwrap(), []);
    assert_eq!((spool.counts().bundles, spool.counts().bytes), (0, 0));
    assert!(!spool.has(&model()).unwrap());
}

#[test]
fn bundles_of_a_model_that_is_gone_are_given_up_and_counted() {
    let mut fixture = Fixture::new();
    let spool = fixture.open(SpoolPolicy::Block);
    fixture.commit(&spool);
    assert_eq!(spool.keep_only(&[model()]).unwrap(), 0);
    assert_eq!(spool.keep_only(&[]).unwrap(), 1);
    assert_eq!((spool.counts().bundles, spool.counts().bytes), (0, 0));
    let account = audit(&fixture.path()).unwrap().accounts[0].account.clone();
    assert_eq!(account.shed[shed::MODEL_REMOVED], 1);
    assert!(account.closes());
}

#[test]
fn drop_oldest_gives_up_the_oldest_and_counts_it() {
    let mut fixture = Fixture::new();
    let spool = fixture.open(SpoolPolicy::DropOldest);
    for _ in 0..5 {
        assert_eq!(fixture.commit(&spool), Stored::Yes);
    }
    assert!(spool.counts().bytes <= BOUND);
    let audited = audit(&fixture.path()).unwrap();
    let account = &audited.accounts[0].account;
    let left = audited.pending.len() as u64;
    assert_eq!((account.taken, account.shed[shed::SPOOL_FULL]), (5, 5 - left));
    assert!(audited.pending.last().unwrap().contains("\"seq\":4"));
}

#[test]
fn what_may_have_been_sent_is_never_dropped() {
    let mut fixture = Fixture::new();
    let spool = fixture.open(SpoolPolicy::DropOldest);
    for _ in 0..2 {
        fixture.commit(&spool);
    }
    let claimed = spool.claim(&model(), &[], 10).unwrap();
    drop(spool);
    let spool = fixture.open(SpoolPolicy::DropOldest);
    for _ in 0..4 {
        fixture.commit(&spool);
    }
    let ids = |claimed: Vec<super::spool::Claimed>| -> Vec<i64> {
        claimed.into_iter().map(|bundle| bundle.id).collect()
    };
    assert_eq!(ids(spool.claim(&model(), &[], 2).unwrap()), ids(claimed));
}

#[test]
fn latest_gives_up_all_that_is_older() {
    let mut fixture = Fixture::new();
    let spool = fixture.open(SpoolPolicy::Latest);
    for _ in 0..4 {
        fixture.commit(&spool);
    }
    let audited = audit(&fixture.path()).unwrap();
    assert_eq!(audited.pending.len(), 1);
    assert_eq!(audited.accounts[0].account.shed[shed::SUPERSEDED], 3);
}

#[test]
fn block_takes_nothing_that_has_no_room() {
    let mut fixture = Fixture::new();
    let spool = fixture.open(SpoolPolicy::Block);
    let stored: Vec<Stored> = (0..4).map(|_| fixture.commit(&spool)).collect();
    assert_eq!(stored[..2], [Stored::Yes, Stored::Yes]);
    assert_eq!(stored[3], Stored::NoRoom);
    let audited = audit(&fixture.path()).unwrap();
    assert_eq!(audited.accounts[0].account.taken, audited.pending.len() as u64);
}

#[test]
fn an_epoch_is_later_than_any_before_it_whatever_the_clock_says() {
    let fixture = Fixture::new();
    let spool = fixture.open(SpoolPolicy::Block);
    let first = spool.next_epoch(CaptureTime(5_000_000));
    assert_eq!(first, Epoch(5_000));
    spool.save(first, &[(&model(), &Books::default())], false).unwrap();
    assert_eq!(spool.next_epoch(CaptureTime(4_000_000)), Epoch(5_001));
    drop(spool);
    let spool = fixture.open(SpoolPolicy::Block);
    assert_eq!(spool.next_epoch(CaptureTime(0)), Epoch(5_001));
}

#[test]
fn an_epoch_that_was_named_and_of_which_nothing_else_is_known_is_not_named_again() {
    let fixture = Fixture::new();
    let spool = fixture.open(SpoolPolicy::Block);
    let named = spool.next_epoch(CaptureTime(5_000_000));
    spool.save_epoch(named).unwrap();
    drop(spool);
    let spool = fixture.open(SpoolPolicy::Block);
    assert_eq!(spool.next_epoch(CaptureTime(4_000_000)), Epoch(5_001));
}

#[test]
fn a_second_receiver_is_refused_and_told_who_has_the_stream() {
    let fixture = Fixture::new();
    let spool = fixture.open(SpoolPolicy::Block);
    let error = fixture.try_open(SpoolPolicy::Block).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let expected =
        format!("lock stream \"gate\": already received by process {}", std::process::id());
    assert_eq!(error.to_string(), expected);
    drop(spool);
    assert!(fixture.try_open(SpoolPolicy::Block).is_ok());
}

#[test]
fn a_file_that_is_no_spool_is_refused_by_name() {
    let fixture = Fixture::new();
    std::fs::create_dir_all(fixture.path().parent().unwrap()).unwrap();
    std::fs::write(fixture.path(), vec![b'x'; 5_000]).unwrap();
    let error = fixture.try_open(SpoolPolicy::Block).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("gate.sqlite"), "{error}");
}

#[test]
fn events_are_kept_up_to_a_bound() {
    let fixture = Fixture::new();
    let spool = fixture.open(SpoolPolicy::Block);
    for n in 0..1_010 {
        spool.note(CaptureTime(n), "silence", "it has sent nothing for 10s").unwrap();
    }
    let events = events(&fixture.path()).unwrap();
    assert_eq!((events.len(), events[0].at), (1_000, CaptureTime(10)));
}
