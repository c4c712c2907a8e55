//! HTTP/1.1 messages, read whole (RFC 9112).

use std::io::{self, BufRead, Read as _, Write};

/// Most bytes of a line, of all header lines, and of a body.
const MAX_LINE: u64 = 64 << 10;
const MAX_HEADERS: usize = 200;
const MAX_BODY: usize = 64 << 20;

/// A request or an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// The request line or status line.
    pub(super) start: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Message {
    /// An answer.
    pub(super) fn answer(status: &str, headers: &[(&str, &str)], body: String) -> Self {
        let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        let mut headers: Vec<_> = headers.collect();
        headers.push(("content-length".to_owned(), body.len().to_string()));
        Self { start: format!("HTTP/1.1 {status}"), headers, body: body.into_bytes() }
    }

    /// Reads a request; none when the client closed the connection. A client that waits for leave to send its body
    /// gets it.
    pub(super) fn read_request(
        from: &mut impl BufRead,
        mut client: impl Write,
    ) -> io::Result<Option<Self>> {
        let Some(mut request) = Self::read_head(from)? else { return Ok(None) };
        if request.remove("expect").is_some() {
            client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        request.read_body(from, Vec::new())?;
        Ok(Some(request))
    }

    /// Reads an answer, that to HEAD without a body.
    pub(super) fn read_answer(from: &mut impl BufRead, to_head: bool) -> io::Result<Self> {
        let closed = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let mut answer = Self::read_head(from)?.ok_or_else(closed)?;
        let status = answer.start.split(' ').nth(1).unwrap_or_default().to_owned();
        if status.starts_with('1') {
            return Self::read_answer(from, to_head);
        }
        answer.remove("connection");
        if to_head || status == "204" || status == "304" {
            return Ok(answer);
        }
        let mut until_closed = Vec::new();
        if answer.header("content-length").is_none() && answer.header("transfer-encoding").is_none()
        {
            from.read_to_end(&mut until_closed)?;
        }
        answer.read_body(from, until_closed)?;
        Ok(answer)
    }

    /// The value of a header, its name in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The message, as the last one of its connection.
    pub(super) fn closing(mut self) -> Self {
        self.remove("connection");
        self.headers.push(("connection".to_owned(), "close".to_owned()));
        self
    }

    /// Writes the message.
    pub(super) fn write(&self, mut to: impl Write) -> io::Result<()> {
        let mut bytes = format!("{}\r\n", self.start).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        to.write_all(&bytes)?;
        to.flush()
    }

    fn read_head(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let Some(start) = read_line(from)? else { return Ok(None) };
        let mut headers = Vec::new();
        loop {
            let line = read_line(from)?.unwrap_or_default();
            if line.is_empty() {
                return Ok(Some(Self { start, headers, body: Vec::new() }));
            }
            let (name, value) = line.split_once(':').ok_or_else(|| invalid("header", &line))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            if headers.len() > MAX_HEADERS {
                return Err(invalid("headers", "too many"));
            }
        }
    }

    /// Reads the body in the form that the headers name, else takes `otherwise`; gives it a length.
    fn read_body(&mut self, from: &mut impl BufRead, otherwise: Vec<u8>) -> io::Result<()> {
        self.body = if self.remove("transfer-encoding").is_some() {
            read_chunks(from)?
        } else if let Some(length) = self.header("content-length") {
            let length = length.parse().map_err(|_| invalid("content-length", length))?;
            read_bytes(from, length)?
        } else {
            otherwise
        };
        self.remove("content-length");
        self.headers.push(("content-length".to_owned(), self.body.len().to_string()));
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Option<String> {
        let at = self.headers.iter().position(|(known, _)| known == name)?;
        Some(self.headers.remove(at).1)
    }
}

/// A line without its end; none at the end of the connection.
fn read_line(from: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    if from.take(MAX_LINE).read_line(&mut line)? == 0 {
        return Ok(None);
    }
    match line.strip_suffix('\n') {
        Some(text) => Ok(Some(text.strip_suffix('\r').unwrap_or(text).to_owned())),
        None => Err(invalid("line", "it does not end")),
    }
}

fn read_bytes(from: &mut impl BufRead, length: usize) -> io::Result<Vec<u8>> {
    if length > MAX_BODY {
        return Err(invalid("body", "too long"));
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn read_chunks(from: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(from)?.unwrap_or_default();
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| invalid("chunk size", size))?;
        if size == 0 {
            break;
        }
        body.extend(read_bytes(from, size)?);
        if body.len() > MAX_BODY {
            return Err(invalid("body", "too long"));
        }
        read_line(from)?;
    }
    // Trailers tell nothing that a count or a fault depends on.
    while read_line(from)?.is_some_and(|line| !line.is_empty()) {}
    Ok(body)
}

fn invalid(what: &str, found: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("read http {what}: {found:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunked_request_is_passed_on_with_a_length() {
        let text = "PUT /b/k HTTP/1.1\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n\
                    3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nx: y\r\n\r\nrest";
        let (mut from, mut told) = (text.as_bytes(), Vec::new());
        let request = Message::read_request(&mut from, &mut told).unwrap().unwrap();
        assert_eq!(told, b"HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(from, b"rest");
        let mut written = Vec::new();
        request.closing().write(&mut written).unwrap();
        let expected = "PUT /b/k HTTP/1.1\r\ncontent-length: 5\r\nconnection: close\r\n\r\nabcde";
        assert_eq!(String::from_utf8(written).unwrap(), expected);
    }

    #[test]
    fn an_answer_to_head_keeps_its_length_and_has_no_body() {
        let mut from = &b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\n"[..];
        let answer = Message::read_answer(&mut from, true).unwrap();
        assert_eq!(answer.header("content-length"), Some("7"));
        assert!(answer.body.is_empty() && answer.header("connection").is_none());
    }

    #[test]
    fn an_answer_without_a_length_ends_with_its_connection() {
        let mut from = &b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nall"[..];
        let answer = Message::read_answer(&mut from, false).unwrap();
        assert_eq!(
            (answer.body.as_slice(), answer.header("content-length")),
            (&b"all"[..], Some("3"))
        );
    }

    #[test]
    fn what_is_cut_short_is_an_error_and_a_closed_connection_is_none() {
        let read = |text: &str| Message::read_request(&mut text.as_bytes(), io::sink());
        assert!(read("").unwrap().is_none());
        assert!(read("GET / HTT").is_err());
        assert!(read("PUT / HTTP/1.1\r\ncontent-length: 9\r\n\r\nabc").is_err());
    }
}
