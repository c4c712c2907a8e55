//! The arithmetic of the books, with made-up numbers.

use std::collections::BTreeMap;

use services::message::STALE;
use services::{Account, CaptureTime, Epoch, MediaTime, Seq};
use table::TimeRange;

use super::*;

fn key() -> Key {
    let (stream, model) = ("gate".parse().unwrap(), "shapes".parse().unwrap());
    Key { stream, epoch: Epoch(1), model }
}

/// What the table says about one frame: answered or failed.
fn settle(books: &mut Books, seq: u64, is_answered: bool) {
    let given = u64::from(is_answered);
    let answered = Answered { given, errors: 1 - given, stale: 0 };
    books.settle(&key(), Some(Seq(seq)), answered);
}

fn books(taken: u64) -> Books {
    let mut account = Account { received: taken + 90, taken, ..Account::default() };
    account.skip("not-due", 90);
    let entry = Entry { account, ..Entry::default() };
    Books { entries: BTreeMap::from([(key(), entry)]), ..Books::default() }
}

fn only(books: &Books) -> Equation {
    let equations = books.equations();
    assert_eq!(equations.len(), 1);
    equations[0].clone()
}

#[test]
fn every_place_of_a_frame_counts() {
    let mut books = books(10);
    books.answered.insert(key(), Answered { given: 6, errors: 0, stale: 0 });
    books.in_flight.extend(&key(), [Seq(7), Seq(8)]);
    books.dead.extend(&key(), [Seq(9)]);
    books.entries.get_mut(&key()).unwrap().account.shed("spool-full", 1);
    let found = only(&books);
    assert_eq!((found.delivered, found.in_flight, found.dead), (6, 2, 1));
    assert!(found.closes);
}

#[test]
fn a_lost_frame_leaves_the_equation_open() {
    let mut books = books(10);
    books.answered.insert(key(), Answered { given: 9, errors: 0, stale: 0 });
    assert!(!only(&books).closes);
}

#[test]
fn a_frame_seen_in_two_places_counts_where_it_got_furthest() {
    let mut books = books(3);
    // Delivered, and its message not acknowledged yet.
    books.in_flight.extend(&key(), [Seq(1)]);
    settle(&mut books, 1, true);
    // Given up once, and replayed.
    books.in_flight.extend(&key(), [Seq(2)]);
    settle(&mut books, 2, false);
    // Given up: an error row and a dead letter.
    books.dead.extend(&key(), [Seq(3)]);
    settle(&mut books, 3, false);
    let found = only(&books);
    assert_eq!((found.delivered, found.in_flight, found.dead), (1, 1, 1));
    assert!(found.closes);
}

#[test]
fn a_frame_that_its_worker_shed_is_shed_wherever_its_message_is() {
    let mut books = books(4);
    let stale = Answered { stale: 1, ..Answered::default() };
    books.settle(&key(), None, stale);
    books.in_flight.extend(&key(), [Seq(1), Seq(2)]);
    books.dead.extend(&key(), [Seq(3)]);
    books.settle(&key(), Some(Seq(2)), stale);
    books.settle(&key(), Some(Seq(3)), stale);
    let found = only(&books);
    assert_eq!((found.in_flight, found.dead, found.account.shed[STALE]), (1, 0, 3));
    assert!(found.closes);
}

#[test]
fn a_queue_that_cannot_be_listed_excuses_as_many_frames_as_it_may_hold() {
    let mut books = books(10);
    books.answered.insert(key(), Answered { given: 6, errors: 0, stale: 0 });
    books.in_flight.extend(&key(), [Seq(7)]);
    for (most, in_flight, closes) in [(0, 1, false), (2, 3, false), (3, 4, true), (9, 4, true)] {
        books.unlisted.insert(key().model, most);
        let found = only(&books);
        assert_eq!((found.in_flight, found.closes), (in_flight, closes), "{most} unlisted");
    }
}

#[test]
fn an_error_row_without_a_dead_letter_is_a_dead_frame() {
    let mut books = books(2);
    books.answered.insert(key(), Answered { given: 1, errors: 1, stale: 0 });
    assert_eq!(only(&books).dead, 1);
    assert!(only(&books).closes);
}

#[test]
fn rows_that_left_with_their_time_excuse_as_many_frames_and_no_more() {
    let mut books = books(10);
    books.answered.insert(key(), Answered { given: 6, errors: 0, stale: 0 });
    books.in_flight.extend(&key(), [Seq(7)]);
    for (most, retired, closes) in [(2, 2, false), (3, 3, true), (9, 3, true)] {
        books.retired = BTreeMap::from([(key(), most)]);
        let found = only(&books);
        assert_eq!((found.retired, found.closes), (retired, closes), "{most} retired");
    }
    let other = Key { stream: "yard".parse().unwrap(), ..key() };
    books.newest = BTreeMap::from([(other.stream.clone(), Epoch(1))]);
    books.retired = BTreeMap::from([(other, 9)]);
    assert!(!only(&books).closes, "of another stream, taken after the accounts were read");
}

/// A stream whose spool was lost after all of its rows had left was no stream at all.
#[test]
fn frames_that_left_with_their_time_are_asked_for_an_account() {
    let mut books = Books { retired: BTreeMap::from([(key(), 9)]), ..Books::default() };
    assert_eq!((only(&books).retired, only(&books).closes), (9, false));
    books.newest = BTreeMap::from([(key().stream, Epoch(2))]);
    assert!(!only(&books).closes);
    let place = Place::Spool(key().stream);
    books.gaps = vec![Gap { place, cause: "damaged".to_owned() }];
    assert!(only(&books).has_gap);
}

/// A bundle that waited for ever kept the accounts apart, and the counts of what left were not.
#[test]
fn counts_of_many_epochs_that_are_one_belong_to_the_account_that_is_one() {
    let of_epoch = |epoch| Key { epoch: Epoch(epoch), ..key() };
    let mut books = Books::default();
    let entry = |taken| {
        let account = Account { received: taken, taken, ..Account::default() };
        Entry { account, is_closed: true, ..Entry::default() }
    };
    books.entries.insert(of_epoch(2_000), entry(2 * 2_000));
    books.folded.insert(key().stream, Epoch(2_000));
    books.entries.extend((2_001..=3_000).map(|epoch| (of_epoch(epoch), entry(2))));
    books.retire(&of_epoch(501), 2 * 501);
    (502..=2_500).for_each(|epoch| books.retire(&of_epoch(epoch), 2));
    for epoch in 2_501..=3_000 {
        books.answered.insert(of_epoch(epoch), Answered { given: 2, errors: 0, stale: 0 });
    }
    let equations = books.equations();
    assert_eq!(equations.len(), 1_001);
    assert!(equations.iter().all(|equation| equation.closes));
}

#[test]
fn frames_taken_after_the_accounts_were_read_are_left_out() {
    let mut books = books(1);
    books.newest.insert(key().stream, Epoch(1));
    assert!(!books.knows(&key(), MediaTime(0)));
    books.entries.get_mut(&key()).unwrap().last_taken = Some(MediaTime(90));
    assert!(books.knows(&key(), MediaTime(90)) && !books.knows(&key(), MediaTime(91)));
    books.entries.get_mut(&key()).unwrap().is_closed = true;
    assert!(books.knows(&key(), MediaTime(91)));
    let of_epoch = |epoch| Key { epoch: Epoch(epoch), ..key() };
    assert!(books.knows(&of_epoch(0), MediaTime(0)) && !books.knows(&of_epoch(2), MediaTime(0)));
}

#[test]
fn frames_of_epochs_whose_accounts_are_folded_belong_to_the_folded_one() {
    let mut books = books(3);
    books.folded.insert(key().stream, key().epoch);
    books.entries.get_mut(&key()).unwrap().is_closed = true;
    let early = Key { epoch: Epoch(0), ..key() };
    books.settle(&early, None, Answered { given: 1, errors: 0, stale: 0 });
    books.settle(&key(), None, Answered { given: 1, errors: 0, stale: 0 });
    assert!(books.knows(&early, MediaTime(91)));
    books.in_flight.extend(&early, [Seq(2)]);
    let found = only(&books);
    assert_eq!((found.delivered, found.in_flight), (2, 1));
    assert!(found.closes);
    books.answered.clear();
    books.retire(&early, 1);
    books.retire(&key(), 1);
    assert_eq!((only(&books).retired, only(&books).closes), (2, true));
}

#[test]
fn rows_without_an_account_do_not_close() {
    let mut books = Books::default();
    books.answered.insert(key(), Answered { given: 1, errors: 0, stale: 0 });
    assert!(!only(&books).closes);
}

#[test]
fn what_could_not_be_read_is_no_loss_and_no_proof() {
    let mut books = books(10);
    books.answered.insert(key(), Answered { given: 9, errors: 0, stale: 0 });
    for (place, has_gap) in [
        (Place::Queue(key().model), true),
        (Place::Spool(key().stream), true),
        (Place::Queue("other".parse().unwrap()), false),
        (Place::Spool("other".parse().unwrap()), false),
    ] {
        books.gaps = vec![Gap { place, cause: "damaged".to_owned() }];
        assert_eq!((only(&books).closes, only(&books).has_gap), (false, has_gap));
    }
}

#[test]
fn a_range_has_the_epochs_that_were_under_way_in_it() {
    let mut books = Books::default();
    let of_epoch = |epoch| Key { epoch: Epoch(epoch), ..key() };
    let entry = |seconds: i64, is_closed| Entry {
        last_taken: Some(MediaTime(seconds * MediaTime::HZ)),
        is_closed,
        ..Entry::default()
    };
    // From 0 s to 9 s, from 10 s to 15 s, from 20 s on.
    books.entries.insert(of_epoch(0), entry(9, true));
    books.entries.insert(of_epoch(10_000), entry(5, true));
    books.entries.insert(of_epoch(20_000), entry(1, false));
    let mut within = |since: Option<i64>, until: Option<i64>| {
        let at = |seconds| CaptureTime(seconds * 1_000_000);
        books.range = TimeRange { since: since.map(at), until: until.map(at) };
        books.equations().iter().map(|found| found.epoch.0 / 1_000).collect::<Vec<_>>()
    };
    assert_eq!(within(None, None), [0, 10, 20]);
    assert_eq!(within(Some(12), None), [10, 20]);
    assert_eq!(within(Some(60), None), [20]);
    assert_eq!(within(None, Some(10)), [0]);
    assert_eq!(within(Some(5), Some(11)), [0, 10]);
}
