//! The way from a source to its stage: a file waits, a camera leaves out up to the next key frame.

use crate::inbox::{Inbound, Inbox, Refused};
use crate::source::Arrival;

/// The way from a source to the stage.
pub(crate) struct Feed<'a> {
    inbox: &'a Inbox,
    live: bool,
    /// The stage was busy: what refers to what it missed is left out too.
    skipping: bool,
    /// Access units that came.
    pub(crate) units: u64,
    /// Key frames among them.
    pub(crate) key_frames: u64,
}

impl<'a> Feed<'a> {
    /// A way that nothing has gone yet.
    pub(crate) fn new(inbox: &'a Inbox, live: bool) -> Self {
        Self { inbox, live, skipping: false, units: 0, key_frames: 0 }
    }

    /// Passes a unit on; a live one is left out, up to the next key frame, when the stage is busy. False when the
    /// stage has ended.
    pub(crate) async fn give(&mut self, arrival: Arrival) -> bool {
        self.units = arrival.stamp.seq.0 + 1;
        self.key_frames += u64::from(arrival.unit.key);
        if !self.live {
            return self.inbox.send(Inbound::Unit(Box::new(arrival))).await.is_ok();
        }
        if self.skipping && !arrival.unit.key {
            return true;
        }
        let given = self.inbox.try_send(Box::new(arrival));
        self.skipping = given == Err(Refused::Full);
        given != Err(Refused::Ended)
    }
}

#[cfg(test)]
mod tests {
    use media::AccessUnit;
    use services::MediaTime;
    use tokio::sync::mpsc;

    use super::*;
    use crate::inbox::{Held, inbox};
    use crate::sample::tests::stamp;

    fn arrival(seq: u64, key: bool) -> Arrival {
        let unit = AccessUnit { data: vec![1].into(), pts: 0, dts: 0, key, referenced: true };
        Arrival { stamp: stamp(seq, MediaTime(0)), loss: false, unit }
    }

    fn seqs(inbox: &mut mpsc::Receiver<Held>) -> Vec<u64> {
        let mut seqs = Vec::new();
        while let Ok(Held { inbound: Inbound::Unit(arrival), .. }) = inbox.try_recv() {
            seqs.push(arrival.stamp.seq.0);
        }
        seqs
    }

    #[tokio::test]
    async fn a_live_source_leaves_out_up_to_the_next_key_frame_when_the_stage_is_busy() {
        let (sender, mut inbox) = inbox(2, 1 << 20);
        let mut feed = Feed::new(&sender, true);
        for seq in 0..3 {
            assert!(feed.give(arrival(seq, seq == 0)).await);
        }
        assert_eq!(seqs(&mut inbox), [0, 1]);
        for seq in 3..6 {
            assert!(feed.give(arrival(seq, seq == 4)).await);
        }
        assert_eq!(seqs(&mut inbox), [4, 5]);
        assert_eq!(feed.units, 6);
        drop(inbox);
        assert!(!feed.give(arrival(6, true)).await);
    }
}
