//! The way from a source to its stage, bounded in access units and in bytes: those that the stage works on count too.
//!
//! One access unit is always let in, however large: what is held is at most the bound, or that unit.

use std::sync::Arc;

use services::Epoch;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::source::Arrival;

/// What the source tells the stage.
#[derive(Debug)]
pub(crate) enum Inbound {
    /// A connection plays: a new epoch.
    Open(Epoch),
    /// An access unit.
    Unit(Box<Arrival>),
    /// The connection has ended after so many access units.
    Close {
        /// Access units that the source gave, those left out for overload included.
        units: u64,
    },
}

/// What came out of the inbox; its bytes count until it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) inbound: Inbound,
    _room: Option<OwnedSemaphorePermit>,
}

/// Why an access unit was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is no room for it now.
    Full,
    /// The stage has ended.
    Ended,
}

/// The source's end.
#[derive(Clone, Debug)]
pub(crate) struct Inbox {
    sender: mpsc::Sender<Held>,
    room: Arc<Semaphore>,
    bytes: u32,
}

/// Makes an inbox of so many access units and bytes, at least one of each.
pub(crate) fn inbox(units: usize, bytes: u64) -> (Inbox, mpsc::Receiver<Held>) {
    let (sender, outbox) = mpsc::channel(units.max(1));
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).max(1);
    let room = Arc::new(Semaphore::new(usize::try_from(bytes).unwrap_or(usize::MAX)));
    (Inbox { sender, room, bytes }, outbox)
}

impl Inbox {
    /// Waits until there is room.
    ///
    /// # Errors
    /// The stage has ended.
    pub(crate) async fn send(&self, inbound: Inbound) -> Result<(), Refused> {
        // The semaphore is never closed, and waits for the stage alone: one that ends drops what it holds.
        let room = match self.size(&inbound) {
            0 => None,
            size => tokio::select! {
                biased;
                () = self.sender.closed() => return Err(Refused::Ended),
                room = Arc::clone(&self.room).acquire_many_owned(size) => room.ok(),
            },
        };
        let held = Held { inbound, _room: room };
        self.sender.send(held).await.map_err(|_| Refused::Ended)
    }

    /// Lets an access unit in if there is room now.
    ///
    /// # Errors
    /// There is none, or the stage has ended.
    pub(crate) fn try_send(&self, arrival: Box<Arrival>) -> Result<(), Refused> {
        if self.sender.is_closed() {
            return Err(Refused::Ended);
        }
        let inbound = Inbound::Unit(arrival);
        let room = Arc::clone(&self.room).try_acquire_many_owned(self.size(&inbound));
        let room = room.map_err(|_| Refused::Full)?;
        let sent = self.sender.try_send(Held { inbound, _room: Some(room) });
        sent.map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Refused::Full,
            mpsc::error::TrySendError::Closed(_) => Refused::Ended,
        })
    }

    /// The bytes that count; all of the room for what is larger than it.
    fn size(&self, inbound: &Inbound) -> u32 {
        let Inbound::Unit(arrival) = inbound else { return 0 };
        u32::try_from(arrival.unit.data.len()).unwrap_or(u32::MAX).min(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use media::AccessUnit;
    use services::MediaTime;

    use super::*;
    use crate::sample::tests::stamp;

    const MIB: usize = 1 << 20;

    fn unit(bytes: usize) -> Box<Arrival> {
        let data = vec![1; bytes].into();
        let unit = AccessUnit { data, pts: 0, dts: 0, key: true, referenced: true };
        Box::new(Arrival { stamp: stamp(0, MediaTime(0)), loss: false, unit })
    }

    #[tokio::test]
    async fn large_access_units_are_let_in_up_to_the_bound_in_bytes_those_at_work_included() {
        let (inbox, mut outbox) = inbox(64, 8 << 20);
        for _ in 0..2 {
            inbox.try_send(unit(3 * MIB)).unwrap();
        }
        assert_eq!(inbox.try_send(unit(3 * MIB)), Err(Refused::Full));
        inbox.try_send(unit(2 * MIB)).unwrap();
        let at_work = outbox.recv().await.unwrap();
        assert_eq!(inbox.try_send(unit(MIB)), Err(Refused::Full));
        drop(at_work);
        inbox.try_send(unit(3 * MIB)).unwrap();
    }

    #[tokio::test]
    async fn one_unit_larger_than_the_bound_is_let_in_alone() {
        let (inbox, mut outbox) = inbox(64, 1 << 20);
        inbox.try_send(unit(3 * MIB)).unwrap();
        assert_eq!(inbox.try_send(unit(1)), Err(Refused::Full));
        drop(outbox.recv().await.unwrap());
        inbox.try_send(unit(1)).unwrap();
        assert_eq!(inbox.try_send(unit(3 * MIB)), Err(Refused::Full));
    }

    #[tokio::test]
    async fn the_bound_in_units_holds_too_and_news_of_a_connection_needs_no_bytes() {
        let (inbox, mut outbox) = inbox(2, 1 << 20);
        inbox.try_send(unit(MIB)).unwrap();
        inbox.send(Inbound::Close { units: 1 }).await.unwrap();
        drop(outbox.recv().await.unwrap());
        inbox.try_send(unit(1)).unwrap();
        assert_eq!(inbox.try_send(unit(1)), Err(Refused::Full));
    }

    #[tokio::test]
    async fn who_waits_for_room_is_told_that_the_stage_has_ended() {
        let (inbox, outbox) = inbox(64, 1 << 20);
        inbox.try_send(unit(MIB)).unwrap();
        let waiting = inbox.send(Inbound::Unit(unit(MIB)));
        let end = async { drop(outbox) };
        let (sent, ()) = tokio::join!(waiting, end);
        assert_eq!(sent, Err(Refused::Ended));
        assert_eq!(inbox.try_send(unit(1)), Err(Refused::Ended));
    }
}
