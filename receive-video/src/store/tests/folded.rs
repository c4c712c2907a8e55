//! Accounts of past epochs that are kept apart, and those that are one sum.

use std::time::Duration;

use services::MadeUpClock;

use super::*;
use crate::store::EpochAccount;

const DAY: u64 = 86_400_000;

fn keep(days: Option<u64>, bytes: Option<u64>) -> Keep {
    let age = days.map(|days| Duration::from_millis(days * DAY));
    Keep { age, bytes }
}

/// What became of an hour's ten access units.
fn an_hour() -> Books {
    let mut books = Books::default();
    books.receive(10);
    books.skip(reason::NOT_DUE, 8);
    books.take(2, MediaTime(3_600 * MediaTime::HZ));
    books
}

/// A spool that keeps accounts apart, and the time that it goes by: day 100 at first.
struct Kept {
    fixture: Fixture,
    clock: MadeUpClock,
    spool: Spool,
}

impl Kept {
    fn new(accounts: Keep) -> Self {
        let (fixture, clock) = (Fixture::new(), MadeUpClock::at(Epoch(100 * DAY).begin()));
        let spool = fixture.open_with(SpoolPolicy::Block, accounts, clock.clock()).unwrap();
        Self { fixture, clock, spool }
    }

    /// The spool is opened anew.
    fn again(self, accounts: Keep) -> Self {
        let Self { fixture, clock, spool } = self;
        drop(spool);
        let spool = fixture.open_with(SpoolPolicy::Block, accounts, clock.clock()).unwrap();
        Self { fixture, clock, spool }
    }

    /// Saves the account of an epoch that began on this day.
    fn save(&self, day: u64, closed: bool) {
        self.spool.save(Epoch(day * DAY), &[(&model(), &an_hour())], closed).unwrap();
    }

    fn accounts(&self) -> Vec<EpochAccount> {
        audit(&self.fixture.path()).unwrap().accounts
    }

    /// The day on which each account's epoch began, negative for the one that stands for those before, too.
    fn days(&self) -> Vec<i64> {
        let day = |account: &EpochAccount| {
            let day = i64::try_from(account.epoch.0 / DAY).unwrap();
            if account.folded { -day } else { day }
        };
        self.accounts().iter().map(day).collect()
    }

    fn received(&self) -> u64 {
        self.accounts().iter().map(|account| account.account.received).sum()
    }
}

#[test]
fn epochs_older_than_the_configuration_keeps_are_folded() {
    let kept = Kept::new(keep(Some(30), None));
    for day in [10, 20, 69, 71, 99] {
        kept.save(day, true);
    }
    assert_eq!(kept.days(), [-69, 71, 99]);
    assert_eq!(kept.received(), 50);
    // The account says still until when the newest of them went on.
    assert_eq!(kept.accounts()[0].last_taken, Some(MediaTime(3_600 * MediaTime::HZ)));
    kept.clock.advance(Duration::from_millis(20 * DAY));
    kept.save(119, true);
    assert_eq!(kept.days(), [-71, 99, 119]);
    assert_eq!(kept.received(), 60);
}

#[test]
fn an_epoch_that_goes_on_is_never_folded_and_folds_others_within_the_hour() {
    let kept = Kept::new(keep(Some(30), None));
    kept.save(80, true);
    kept.save(81, true);
    kept.save(82, false);
    kept.clock.advance(Duration::from_millis(90 * DAY));
    kept.save(82, false);
    assert_eq!(kept.days(), [-81, 82]);
    kept.clock.set_back(Duration::from_millis(90 * DAY));
    kept.save(82, true);
    assert_eq!((kept.days(), kept.received()), (vec![-81, 82], 30));
}

#[test]
fn the_oldest_epochs_whose_accounts_are_too_long_are_folded() {
    let account = serde_json::to_string(&an_hour().account).unwrap();
    let five = 5 * (model().as_str().len() + account.len()) as u64;
    let kept = Kept::new(keep(None, Some(five)));
    (1..=50).for_each(|day| kept.save(day, true));
    assert_eq!(kept.days(), [-45, 46, 47, 48, 49, 50]);
    assert_eq!(kept.received(), 500);
}

#[test]
fn what_is_folded_stays_folded_whatever_the_configuration_says_later() {
    let kept = Kept::new(keep(Some(30), None));
    for day in [10, 20, 99] {
        kept.save(day, true);
    }
    let kept = kept.again(keep(None, None));
    assert_eq!((kept.days(), kept.received()), (vec![-20, 99], 30));
}

#[test]
fn accounts_of_old_epochs_are_folded_into_one_and_nothing_of_them_is_lost() {
    let mut fixture = Fixture::new();
    let spool = fixture.open(SpoolPolicy::Block);
    let books = |epoch: u64| {
        let mut books = Books::default();
        books.receive(10);
        books.skip(reason::NOT_DUE, 8);
        books.take(2, MediaTime(0));
        books.shed(shed::DISK_FULL, u64::from(epoch == 3));
        books
    };
    let save = |epoch: u64| {
        spool.save(Epoch(epoch), &[(&model(), &books(epoch))], true).unwrap();
    };
    (1..=6).for_each(save);
    fixture.commit(&spool);
    (7..=1_020).for_each(save);
    save(1_021);
    let accounts = || audit(&fixture.path()).unwrap().accounts;
    let all = accounts();
    let (old, kept) = all.split_first().unwrap();
    assert_eq!((old.epoch, old.folded, old.closed), (Epoch(21), true, true));
    assert_eq!((old.account.received, old.account.taken), (210, 42));
    assert_eq!(old.account.skipped[reason::NOT_DUE], 168);
    assert_eq!(old.account.shed[shed::DISK_FULL], 1);
    assert_eq!(kept.len(), 1_000);
    assert!(kept.iter().all(|account| !account.folded && account.account.received == 10));
}

/// It kept all accounts apart from its epoch on, for as long as its queue was damaged.
#[test]
fn a_bundle_that_waits_for_ever_keeps_no_accounts_apart_and_is_counted_in_the_sum() {
    let mut fixture = Fixture::new();
    let spool = fixture.open(SpoolPolicy::Block);
    fixture.commit(&spool);
    fixture.commit(&spool);
    let claimed = spool.claim(&model(), &[], 1).unwrap();
    spool.save(Epoch(7), &[(&model(), &fixture.books)], true).unwrap();
    (8..=1_507).for_each(|epoch| {
        spool.save(Epoch(epoch), &[(&model(), &an_hour())], true).unwrap();
    });
    let accounts = || audit(&fixture.path()).unwrap().accounts;
    assert_eq!(accounts().len(), 1_001);
    let sum = || accounts().remove(0);
    assert_eq!((sum().epoch, sum().account.taken), (Epoch(507), 2 + 2 * 500));
    spool.refuse(claimed[0].id).unwrap();
    spool.keep_only(&[]).unwrap();
    assert_eq!(
        sum().account.shed,
        [(shed::REFUSED, 1), (shed::MODEL_REMOVED, 1)]
            .map(|(reason, frames)| (reason.to_owned(), frames))
            .into()
    );
    (1_508..=1_600).for_each(|epoch| {
        spool.save(Epoch(epoch), &[(&model(), &an_hour())], true).unwrap();
    });
    assert_eq!((accounts().len(), sum().account.shed_total()), (1_001, 2));
}
