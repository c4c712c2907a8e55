//! Bytes of an RTSP connection in, messages and interleaved packets out, each within its bound (RFC 2326 §10.12).

use bytes::{Buf as _, Bytes, BytesMut};

use super::breach::{Breach, MAX_BODY, MAX_HEAD};
use super::head::Head;

/// What interleaved packets begin with.
const DOLLAR: u8 = b'$';
/// Bytes of room for one read.
const CHUNK: usize = 64 * 1_024;

/// A complete thing that was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A packet, and the channel it came on.
    Packet(u8, Bytes),
    /// A request or an answer, and its body.
    Message(Head, Bytes),
}

/// Cuts what is read.
///
/// Invariant: when [`next`](Self::next) gives nothing, what is held is less than one head, body or packet may have.
#[derive(Debug, Default)]
pub(super) struct Framing {
    inbox: BytesMut,
    /// Bytes in which the end of a head was looked for already.
    scanned: usize,
    /// A head that waits for its body.
    head: Option<(Head, usize)>,
}

impl Framing {
    /// Where to read to.
    pub(super) fn room(&mut self) -> &mut BytesMut {
        if self.inbox.capacity() - self.inbox.len() < CHUNK / 4 {
            self.inbox.reserve(CHUNK);
        }
        &mut self.inbox
    }

    /// Gives the next complete thing.
    ///
    /// # Errors
    /// What came is none, or is beyond its bound.
    pub(super) fn next(&mut self) -> Result<Option<Item>, Breach> {
        if self.head.is_none() {
            self.skip_empty_lines();
            match self.inbox.first() {
                None => return Ok(None),
                Some(&DOLLAR) => return Ok(self.packet()),
                Some(_) => self.head = self.read_head()?,
            }
        }
        let whole = self.head.take_if(|(_, body)| self.inbox.len() >= *body);
        Ok(whole.map(|(head, body)| Item::Message(head, self.inbox.split_to(body).freeze())))
    }

    fn skip_empty_lines(&mut self) {
        let empty = self.inbox.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        if self.scanned == 0 {
            self.inbox.advance(empty);
        }
    }

    fn packet(&mut self) -> Option<Item> {
        let &[_, channel, high, low, ..] = &self.inbox[..] else { return None };
        let len = usize::from(u16::from_be_bytes([high, low]));
        if self.inbox.len() < 4 + len {
            return None;
        }
        self.inbox.advance(4);
        Some(Item::Packet(channel, self.inbox.split_to(len).freeze()))
    }

    fn read_head(&mut self) -> Result<Option<(Head, usize)>, Breach> {
        let Some((end, gap)) = end_of_head(&self.inbox, self.scanned) else {
            self.scanned = self.inbox.len();
            return if self.inbox.len() > MAX_HEAD { Err(Breach::LongHead) } else { Ok(None) };
        };
        if end > MAX_HEAD {
            return Err(Breach::LongHead);
        }
        let head = Head::parse(&self.inbox[..end]);
        self.inbox.advance(end + gap);
        self.scanned = 0;
        if !head.is_rtsp() {
            return Err(Breach::NotRtsp);
        }
        let body = body_len(&head)?;
        Ok(Some((head, body)))
    }
}

/// Where the empty line is that ends a head, and how long: some cameras leave out the carriage returns.
fn end_of_head(bytes: &[u8], scanned: usize) -> Option<(usize, usize)> {
    let from = scanned.saturating_sub(3);
    (from..bytes.len()).find_map(|at| match &bytes[at..] {
        [b'\r', b'\n', b'\r', b'\n', ..] => Some((at, 4)),
        [b'\n', b'\n', ..] => Some((at, 2)),
        _ => None,
    })
}

fn body_len(head: &Head) -> Result<usize, Breach> {
    let mut len = 0;
    for value in head.all("Content-Length") {
        let parsed: Option<usize> = value.parse().ok();
        len = parsed
            .filter(|len| *len <= MAX_BODY)
            .ok_or_else(|| Breach::LongBody(value.chars().take(20).collect()))?;
    }
    Ok(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(framing: &mut Framing, bytes: &[u8]) -> Result<Option<Item>, Breach> {
        framing.room().extend_from_slice(bytes);
        framing.next()
    }

    #[test]
    fn messages_and_packets_come_out_wherever_the_bytes_were_cut() {
        let bytes = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 3\r\n\r\nv=0\
                      \r\n$\x02\0\x02hi$\x03\0\0OPTIONS * RTSP/1.0\nCSeq: 9\n\n";
        for cut in 1..bytes.len() {
            let (mut framing, mut items) = (Framing::default(), Vec::new());
            for part in bytes.chunks(cut) {
                framing.room().extend_from_slice(part);
                while let Some(item) = framing.next().unwrap() {
                    items.push(item);
                }
            }
            let answer = Head::parse(b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 3");
            let request = Head::parse(b"OPTIONS * RTSP/1.0\r\nCSeq: 9");
            let expected = [
                Item::Message(answer, Bytes::from_static(b"v=0")),
                Item::Packet(2, Bytes::from_static(b"hi")),
                Item::Packet(3, Bytes::new()),
                Item::Message(request, Bytes::new()),
            ];
            assert_eq!(items, expected, "cut at every {cut}");
        }
    }

    #[test]
    fn a_head_without_end_is_refused_at_its_bound() {
        let mut framing = Framing::default();
        let mut taken = 0;
        let refused = loop {
            taken += 100;
            assert!(taken <= MAX_HEAD + 200, "it goes on");
            if let Err(breach) = read(&mut framing, &[b'x'; 100]) {
                break breach;
            }
        };
        assert_eq!(refused, Breach::LongHead);
    }

    #[test]
    fn a_long_head_that_came_in_one_read_is_refused_too() {
        let bytes = [&[b'x'; MAX_HEAD + 1][..], b"\r\n\r\n"].concat();
        assert_eq!(read(&mut Framing::default(), &bytes), Err(Breach::LongHead));
    }

    #[test]
    fn a_body_beyond_its_bound_is_refused_before_it_comes() {
        for len in ["262145", "99999999999999999999999", "-1", "many"] {
            let head = format!("RTSP/1.0 200 OK\r\nContent-Length: {len}\r\n\r\n");
            let refused = read(&mut Framing::default(), head.as_bytes());
            assert!(matches!(refused, Err(Breach::LongBody(_))), "{len}: {refused:?}");
        }
    }

    #[test]
    fn what_is_no_rtsp_is_said_to_be_none() {
        let bytes = b"HTTP/1.1 200 OK\r\n\r\n";
        assert_eq!(read(&mut Framing::default(), bytes), Err(Breach::NotRtsp));
    }
}
