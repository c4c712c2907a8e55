//! The leases that this adapter gave out: what SQS does not tell reliably, kept here.
//!
//! SQS answers success to the receipt of a receive that was not the latest, and does nothing ("if you use an old
//! receipt handle, the request will succeed, but the message might not be deleted":
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteMessage.html>). So an old receipt
//! is refused here, before SQS is asked. SQS also takes no reason for a failure: the body and the number of receives
//! are kept for the dead letter that a lease may end in.
//!
//! Memory: one entry per lease that has not ended, at most [`MAX_LEASES`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use services::queue::Receipt;

/// Most leases at a time. Whoever holds so many has each message's body in memory, too.
pub(super) const MAX_LEASES: usize = 10_000;

/// A lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    /// The message's id, the same for each of its receives.
    pub(super) message: String,
    pub(super) body: Arc<str>,
    pub(super) receives: u32,
    /// When it ends, unless it is extended.
    pub(super) until: Instant,
}

/// All leases of one adapter.
#[derive(Debug, Default)]
pub(super) struct Leases {
    by_receipt: HashMap<Receipt, Lease>,
    latest: HashMap<String, Receipt>,
}

impl Leases {
    /// Takes a lease. An earlier one of the same message ends by it.
    pub(super) fn begin(&mut self, receipt: Receipt, lease: Lease) {
        if let Some(earlier) = self.latest.insert(lease.message.clone(), receipt.clone()) {
            self.by_receipt.remove(&earlier);
        }
        self.by_receipt.insert(receipt, lease);
    }

    /// Gives the lease that a receipt proves, if it has not ended.
    pub(super) fn find(&self, receipt: &Receipt, now: Instant) -> Option<&Lease> {
        self.by_receipt.get(receipt).filter(|lease| lease.until > now)
    }

    /// Sets when a lease ends, if it has not ended.
    pub(super) fn extend(&mut self, receipt: &Receipt, until: Instant) {
        if let Some(lease) = self.by_receipt.get_mut(receipt) {
            lease.until = until;
        }
    }

    /// Ends a lease.
    pub(super) fn end(&mut self, receipt: &Receipt) {
        if let Some(lease) = self.by_receipt.remove(receipt)
            && self.latest.get(&lease.message) == Some(receipt)
        {
            self.latest.remove(&lease.message);
        }
    }

    /// Forgets the leases that have ended; tells how many more can be taken.
    pub(super) fn room(&mut self, now: Instant) -> usize {
        self.by_receipt.retain(|_, lease| lease.until > now);
        self.latest.retain(|_, receipt| self.by_receipt.contains_key(receipt));
        MAX_LEASES.saturating_sub(self.by_receipt.len())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn receipt(name: &str) -> Receipt {
        Receipt(name.to_owned())
    }

    fn lease(message: &str, until: Instant) -> Lease {
        Lease { message: message.to_owned(), body: "{}".into(), receives: 1, until }
    }

    fn second() -> Duration {
        Duration::from_secs(1)
    }

    #[test]
    fn a_receipt_proves_its_lease_until_the_lease_ends() {
        let (mut leases, now) = (Leases::default(), Instant::now());
        leases.begin(receipt("a"), lease("1", now + second()));
        assert_eq!(leases.find(&receipt("a"), now).unwrap().message, "1");
        assert!(leases.find(&receipt("a"), now + second()).is_none());
        assert!(leases.find(&receipt("never given"), now).is_none());
    }

    #[test]
    fn an_extended_lease_ends_later() {
        let (mut leases, now) = (Leases::default(), Instant::now());
        leases.begin(receipt("a"), lease("1", now + second()));
        leases.extend(&receipt("a"), now + second() * 3);
        assert!(leases.find(&receipt("a"), now + second() * 2).is_some());
    }

    #[test]
    fn a_message_received_anew_ends_its_earlier_lease() {
        let (mut leases, now) = (Leases::default(), Instant::now());
        leases.begin(receipt("a"), lease("1", now + second()));
        leases.begin(receipt("b"), lease("1", now + second()));
        assert!(leases.find(&receipt("a"), now).is_none());
        leases.end(&receipt("a"));
        assert!(leases.find(&receipt("b"), now).is_some());
        leases.end(&receipt("b"));
        assert!(leases.find(&receipt("b"), now).is_none());
    }

    #[test]
    fn leases_that_ended_leave_nothing_behind() {
        let (mut leases, now) = (Leases::default(), Instant::now());
        for number in 0..100 {
            let until = now + second() * number;
            leases.begin(receipt(&format!("r{number}")), lease(&format!("m{number}"), until));
        }
        assert_eq!(leases.room(now + second() * 89), MAX_LEASES - 10);
        assert_eq!((leases.by_receipt.len(), leases.latest.len()), (10, 10));
        assert_eq!(leases.room(now + second() * 99), MAX_LEASES);
        assert_eq!((leases.by_receipt.len(), leases.latest.len()), (0, 0));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Begin { message: usize, seconds: u32 },
        Extend { receipt: usize, seconds: u32 },
        End(usize),
        Pass(u32),
        Purge,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..4_usize, 0..9_u32).prop_map(|(message, seconds)| Step::Begin { message, seconds }),
            (0..20_usize, 0..9_u32)
                .prop_map(|(receipt, seconds)| Step::Extend { receipt, seconds }),
            (0..20_usize).prop_map(Step::End),
            (0..5_u32).prop_map(Step::Pass),
            Just(Step::Purge),
        ]
    }

    proptest! {
        /// The model: of each receipt given out its message and, while it is the latest, when its lease ends.
        #[test]
        fn a_receipt_is_good_if_it_is_the_latest_and_its_lease_lasts(
            steps in proptest::collection::vec(step(), 1..40),
        ) {
            let (mut leases, mut now) = (Leases::default(), Instant::now());
            let mut model: Vec<(usize, Option<Instant>)> = Vec::new();
            for step in steps {
                match step {
                    Step::Begin { message, seconds } => {
                        let earlier = model.iter_mut().filter(|(other, _)| *other == message);
                        earlier.for_each(|(_, until)| *until = None);
                        let (name, until) = (model.len().to_string(), now + second() * seconds);
                        leases.begin(receipt(&name), lease(&message.to_string(), until));
                        model.push((message, Some(until)));
                    }
                    Step::Extend { receipt: place, seconds } => {
                        let is_good = leases.find(&receipt(&place.to_string()), now).is_some();
                        if let Some((_, until)) = model.get_mut(place).filter(|_| is_good) {
                            *until = Some(now + second() * seconds);
                            leases.extend(&receipt(&place.to_string()), now + second() * seconds);
                        }
                    }
                    Step::End(place) => {
                        leases.end(&receipt(&place.to_string()));
                        model.get_mut(place).into_iter().for_each(|(_, until)| *until = None);
                    }
                    Step::Pass(seconds) => now += second() * seconds,
                    Step::Purge => {
                        let live = model.iter().filter(|(_, until)| until.is_some_and(|until| until > now));
                        prop_assert_eq!(leases.room(now), MAX_LEASES - live.count());
                    }
                }
                for (place, (_, until)) in model.iter().enumerate() {
                    let is_good = leases.find(&receipt(&place.to_string()), now).is_some();
                    prop_assert_eq!(is_good, until.is_some_and(|until| until > now), "{}", place);
                }
            }
        }
    }
}
