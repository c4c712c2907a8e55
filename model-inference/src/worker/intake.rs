//! How many messages to take: [`Ahead`] decides, [`Intake`] keeps its books while messages are worked on.
//!
//! Taken ahead is only what can start within half a second, so that the next message goes to the least busy worker.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use services::queue::MAX_BATCH_ENTRIES;
use tokio::sync::Notify;

/// What is taken can start within so long.
const SOON: Duration = Duration::from_millis(500);
/// Of how many the latest one counts in a mean.
const LATEST: u32 = 8;

/// Decides how many messages to take, by how long runs took and how many of them the messages had.
#[derive(Debug)]
struct Ahead {
    instances: usize,
    /// Most messages at once.
    most: usize,
    /// Runs that have not begun, by message.
    waiting: BTreeMap<u64, usize>,
    /// When runs began that have not ended.
    running: BTreeMap<u64, Instant>,
    /// Messages and runs are numbered by it.
    next: u64,
    /// How long a run takes, once one has ended.
    took: Option<Duration>,
    /// How many runs a message has, in eighths, once one was read.
    runs: Option<usize>,
}

/// Whether messages are to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    /// So many, at least one.
    For(usize),
    /// None before then, unless something changes.
    At(Instant),
    /// None until something changes.
    Later,
}

impl Ahead {
    fn new(instances: usize, most: usize) -> Self {
        let (waiting, running) = Default::default();
        Self { instances, most, waiting, running, next: 0, took: None, runs: None }
    }

    /// How many messages can start soon, and come in one call.
    fn room(&self, now: Instant) -> Room {
        let most = self.most.saturating_sub(self.waiting.len()).min(MAX_BATCH_ENTRIES);
        let waiting: usize = self.waiting.values().sum();
        if most == 0 {
            return Room::Later;
        }
        let Some(took) = self.took else {
            // Nobody knows yet how long a run takes: what is taken can start at once.
            let is_idle = self.running.len() + waiting < self.instances;
            return if is_idle { Room::For(1) } else { Room::Later };
        };
        let mut instances = Instances::new(self, now, took);
        instances.run(waiting);
        let soonest = instances.soonest();
        if soonest > SOON {
            return Room::At(now + (soonest - SOON));
        }
        let mut count = 0;
        while count < most && instances.soonest() <= SOON {
            instances.run(self.runs_of_one());
            count += 1;
        }
        Room::For(count)
    }

    fn runs_of_one(&self) -> usize {
        self.runs.map_or(1, |eighths| eighths.div_ceil(LATEST as usize)).max(1)
    }

    /// A message is there, its runs not known yet.
    fn enter(&mut self) -> u64 {
        let (message, runs) = (self.number(), self.runs_of_one());
        self.waiting.insert(message, runs);
        message
    }

    /// A message has so many runs.
    fn expect(&mut self, message: u64, runs: usize) {
        let eighths = LATEST as usize;
        self.runs = Some(match self.runs {
            None => runs * eighths,
            Some(mean) => mean - mean / eighths + runs,
        });
        self.waiting.insert(message, runs);
    }

    /// One run of a message begins.
    fn begin(&mut self, message: u64, now: Instant) -> u64 {
        self.skip(message);
        let run = self.number();
        self.running.insert(run, now);
        run
    }

    fn end(&mut self, run: u64, now: Instant) {
        let Some(began) = self.running.remove(&run) else { return };
        let took = now.saturating_duration_since(began);
        self.took = Some(self.took.map_or(took, |mean| mean - mean / LATEST + took / LATEST));
    }

    /// One run of a message will not begin.
    fn skip(&mut self, message: u64) {
        if let Some(runs) = self.waiting.get_mut(&message) {
            *runs = runs.saturating_sub(1);
        }
    }

    /// A message has no runs any more.
    fn leave(&mut self, message: u64) {
        self.waiting.remove(&message);
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

/// In how long each instance will be free.
struct Instances {
    free: BinaryHeap<Reverse<Duration>>,
    took: Duration,
}

impl Instances {
    fn new(ahead: &Ahead, now: Instant, took: Duration) -> Self {
        let left = |began: &Instant| Reverse((*began + took).saturating_duration_since(now));
        let mut free: BinaryHeap<_> = ahead.running.values().map(left).collect();
        while free.len() < ahead.instances {
            free.push(Reverse(Duration::ZERO));
        }
        Self { free, took }
    }

    fn soonest(&self) -> Duration {
        self.free.peek().map_or(Duration::MAX, |Reverse(free)| *free)
    }

    /// Gives so many runs to whichever instance is free first.
    fn run(&mut self, runs: usize) {
        for _ in 0..runs {
            let Some(Reverse(free)) = self.free.pop() else { return };
            self.free.push(Reverse(free + self.took));
        }
    }
}

/// The messages that one worker has taken and not answered yet.
#[derive(Debug)]
pub(crate) struct Intake {
    ahead: Mutex<Ahead>,
    changed: Notify,
}

impl Intake {
    /// Nothing is taken yet for `instances`, and never more messages than `most`.
    pub(crate) fn new(instances: usize, most: usize) -> Arc<Self> {
        Arc::new(Self { ahead: Mutex::new(Ahead::new(instances, most)), changed: Notify::new() })
    }

    /// Waits until messages can start soon; gives how many.
    pub(crate) async fn room(&self) -> usize {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            let room = self.ahead().room(Instant::now());
            match room {
                Room::For(messages) => return messages,
                Room::Later => changed.await,
                Room::At(moment) => {
                    let _ = tokio::time::timeout_at(moment.into(), changed).await;
                }
            }
        }
    }

    /// Takes a message in.
    pub(crate) fn enter(self: &Arc<Self>) -> Taken {
        let message = self.ahead().enter();
        Taken { intake: Arc::clone(self), message, begun: Arc::default() }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Ahead) -> T) -> T {
        let changed = change(&mut self.ahead());
        self.changed.notify_one();
        changed
    }

    fn ahead(&self) -> MutexGuard<'_, Ahead> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A message that was taken, until it is dropped: then all of its runs have ended.
#[derive(Debug)]
pub(crate) struct Taken {
    intake: Arc<Intake>,
    message: u64,
    begun: Arc<AtomicBool>,
}

impl Taken {
    /// Set when its first run begins.
    pub(crate) fn begun(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.begun)
    }

    /// Says how many runs it has.
    pub(crate) fn expect(&self, runs: usize) {
        self.intake.change(|ahead| ahead.expect(self.message, runs));
    }

    /// One of its runs.
    pub(crate) fn run(&self) -> RunTicket {
        let begun = self.begun();
        RunTicket { intake: Arc::clone(&self.intake), message: self.message, begun, run: None }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.intake.change(|ahead| ahead.leave(self.message));
    }
}

/// One run, until it is dropped: then it has ended, or will not begin.
#[derive(Debug)]
pub(crate) struct RunTicket {
    intake: Arc<Intake>,
    message: u64,
    begun: Arc<AtomicBool>,
    run: Option<u64>,
}

impl RunTicket {
    /// It begins.
    pub(crate) fn begin(&mut self) {
        self.begun.store(true, Ordering::Relaxed);
        let begin = |ahead: &mut Ahead| ahead.begin(self.message, Instant::now());
        self.run = Some(self.intake.change(begin));
    }
}

impl Drop for RunTicket {
    fn drop(&mut self) {
        self.intake.change(|ahead| match self.run {
            Some(run) => ahead.end(run, Instant::now()),
            None => ahead.skip(self.message),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Takes a message of so many runs, and begins as many of them as instances are free.
    fn take(ahead: &mut Ahead, runs: usize, now: Instant) -> Vec<u64> {
        let message = ahead.enter();
        ahead.expect(message, runs);
        let free = ahead.instances - ahead.running.len();
        (0..runs.min(free)).map(|_| ahead.begin(message, now)).collect()
    }

    /// Runs of so long, one of which has ended.
    fn ahead(instances: usize, took: Duration) -> (Ahead, Instant) {
        let (mut ahead, start) = (Ahead::new(instances, 64), Instant::now());
        let runs = take(&mut ahead, 1, start);
        ahead.end(runs[0], start + took);
        ahead.waiting.clear();
        (ahead, start + took)
    }

    #[test]
    fn as_long_as_no_run_has_ended_one_message_is_taken_for_each_idle_instance() {
        let (mut ahead, now) = (Ahead::new(3, 64), Instant::now());
        assert_eq!(ahead.room(now), Room::For(1));
        take(&mut ahead, 2, now);
        assert_eq!(ahead.room(now), Room::For(1));
        let message = ahead.enter();
        assert_eq!(ahead.room(now), Room::Later);
        ahead.leave(message);
        assert_eq!(ahead.room(now), Room::For(1));
    }

    #[test]
    fn what_can_start_within_half_a_second_is_taken_and_no_more() {
        let (mut ahead, now) = ahead(1, millis(200));
        assert_eq!(ahead.room(now), Room::For(3), "at 0, 200 and 400 ms");
        take(&mut ahead, 1, now);
        assert_eq!(ahead.room(now), Room::For(2), "at 200 and 400 ms");
        take(&mut ahead, 1, now);
        take(&mut ahead, 1, now);
        assert_eq!(ahead.room(now), Room::At(now + millis(100)));
        assert_eq!(ahead.room(now + millis(100)), Room::For(1));
    }

    #[test]
    fn a_model_that_takes_long_gets_its_next_message_half_a_second_before_it_is_free() {
        let (mut ahead, now) = ahead(1, millis(5_000));
        assert_eq!(ahead.room(now), Room::For(1));
        take(&mut ahead, 1, now);
        assert_eq!(ahead.room(now), Room::At(now + millis(4_500)));
        assert_eq!(ahead.room(now + millis(4_500)), Room::For(1));
        take(&mut ahead, 1, now);
        assert_eq!(ahead.room(now + millis(9_000)), Room::At(now + millis(13_500)));
    }

    #[test]
    fn the_runs_of_messages_count_and_each_instance_by_itself() {
        let (mut ahead, now) = ahead(2, millis(300));
        let runs = take(&mut ahead, 6, now);
        // One each is running, two each wait.
        assert_eq!(ahead.room(now), Room::At(now + millis(400)));
        runs.into_iter().for_each(|run| ahead.end(run, now + millis(300)));
        let message = *ahead.waiting.keys().next().unwrap();
        let later = now + millis(300);
        ahead.begin(message, later);
        ahead.begin(message, later);
        assert_eq!(ahead.room(later), Room::At(later + millis(100)));
    }

    #[test]
    fn a_call_takes_no_more_than_the_queue_gives_and_than_places_are_left() {
        let (mut ahead, now) = ahead(4, millis(1));
        assert_eq!(ahead.room(now), Room::For(MAX_BATCH_ENTRIES));
        ahead.most = 3;
        assert_eq!(ahead.room(now), Room::For(3));
        for _ in 0..3 {
            ahead.enter();
        }
        assert_eq!(ahead.room(now), Room::Later);
    }

    #[test]
    fn how_many_runs_a_message_has_is_learnt() {
        let (mut ahead, now) = ahead(1, millis(10));
        for _ in 0..40 {
            let message = ahead.enter();
            ahead.expect(message, 10);
            ahead.leave(message);
        }
        assert_eq!(ahead.room(now), Room::For(6), "at 0, 100, …, 500 ms");
    }

    #[tokio::test]
    async fn a_message_that_is_given_up_makes_room() {
        let intake = Intake::new(1, 64);
        assert_eq!(intake.room().await, 1);
        let taken = intake.enter();
        taken.expect(2);
        let (mut first, second) = (taken.run(), taken.run());
        first.begin();
        assert!(taken.begun().load(Ordering::Relaxed));
        let mut waiting = pin!(intake.room());
        assert!(futures::poll!(&mut waiting).is_pending());
        drop(taken);
        drop(second);
        assert!(futures::poll!(&mut waiting).is_pending(), "one run goes on");
        drop(first);
        assert!(waiting.await >= 1);
    }
}
