//! What fuzzing asks of this crate: each function takes any bytes and panics where a promise of the parser is broken.
//!
//! `fuzz/` runs them on made-up bytes; the tests below run them on what `fuzz/corpus/` keeps.

use bytes::Bytes;
use rtsp_types::Message;
use tokio::time::Instant;

use crate::config::{Login, Transports};
use crate::fault::Faults;
use crate::rtsp::{Conversation, Directory, Secrets, StreamFacts, View, describe};

/// One camera, `gate`, with a login, and ports for one viewer.
struct OneCamera {
    has_login: bool,
    has_ports: bool,
}

impl Directory for OneCamera {
    fn view(&self, mount: &str) -> Option<View> {
        (mount == "gate").then(|| View {
            login: self.has_login.then(|| Login::digest("viewer", "sesame")),
            transports: Transports { tcp: true, udp: true },
            faults: Faults::default(),
            facts: StreamFacts::default(),
            ssrc: 0xAB,
            timestamp: 1_234,
        })
    }

    fn open_udp(&mut self) -> Option<(u16, u16)> {
        std::mem::take(&mut self.has_ports).then_some((6_000, 6_001))
    }
}

/// What a client sends, with and without a login: every request has one answer, and every answer is RTSP.
pub fn rtsp(bytes: &[u8]) {
    for has_login in [false, true] {
        let now = Instant::now();
        let secrets = Secrets { nonce: "n".into(), session: "s".into(), first_seq: 77 };
        let mut conversation = Conversation::new(secrets, now);
        let mut camera = OneCamera { has_login, has_ports: true };
        let mut rest = bytes;
        while let Ok((message, len)) = Message::<Vec<u8>>::parse(rest) {
            rest = &rest[len..];
            let Message::Request(request) = message else { continue };
            let reply = conversation.handle(&request, &mut camera, now);
            let response = reply.response.expect("only a fault leaves a request unanswered");
            let mut written = Vec::new();
            response.write(&mut written).expect("writing into memory does not fail");
            let parsed = Message::<Vec<u8>>::parse(&written[..]).expect("an answer is RTSP");
            assert_eq!(parsed, (Message::Response(response), written.len()));
        }
    }
}

/// A key frame whose parameter sets go into a session description: it is one.
pub fn sdp(bytes: &[u8]) {
    let Some(facts) = StreamFacts::of_key_frame(&Bytes::copy_from_slice(bytes)) else { return };
    let described = describe("gate", &facts, None);
    sdp_types::Session::parse(&described).expect("a description is SDP");
}

#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::replay::replay;

    #[test]
    fn rtsp() {
        replay("rtsp", super::rtsp);
    }

    #[test]
    fn sdp() {
        replay("sdp", super::sdp);
    }
}
