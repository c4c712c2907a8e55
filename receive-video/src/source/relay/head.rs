//! The head of an RTSP message: its first line and its headers, kept as they came but for what is changed.

/// A head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    first: String,
    headers: Vec<String>,
}

impl Head {
    /// Reads a head without the empty line behind it; what is not UTF-8 is replaced.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.lines().map(str::to_owned);
        let first = lines.next().unwrap_or_default();
        Self { first, headers: lines.filter(|line| !line.is_empty()).collect() }
    }

    /// A request or an answer of our own.
    pub(super) fn new(first: impl Into<String>) -> Self {
        Self { first: first.into(), headers: Vec::new() }
    }

    /// The status of an answer; nothing for a request.
    pub(super) fn status(&self) -> Option<u16> {
        let mut words = self.first.split_ascii_whitespace();
        words.next().filter(|version| version.starts_with("RTSP/"))?;
        words.next()?.parse().ok()
    }

    /// Tells whether the first line can be one of RTSP's.
    pub(super) fn is_rtsp(&self) -> bool {
        self.first.starts_with("RTSP/") || self.first.contains(" RTSP/")
    }

    /// A request's method.
    pub(super) fn method(&self) -> &str {
        self.first.split(' ').next().unwrap_or_default()
    }

    /// A request's URI.
    pub(super) fn uri(&self) -> &str {
        self.first.split(' ').nth(1).unwrap_or_default()
    }

    /// Asks for another URI.
    pub(super) fn set_uri(&mut self, uri: &str) {
        self.first = format!("{} {uri} RTSP/1.0", self.method());
    }

    /// All values of a header.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter_map(move |line| value(line, name))
    }

    /// A header's first value.
    pub(super) fn get<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// Puts a value in the place of all that the header has.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.headers.push(format!("{name}: {value}"));
    }

    /// Takes a header out.
    pub(super) fn remove(&mut self, name: &str) {
        self.headers.retain(|line| value(line, name).is_none());
    }

    /// Changes the first value of a header, if it has one.
    pub(super) fn change(&mut self, name: &str, change: impl FnOnce(&str) -> String) {
        if let Some(changed) = self.get(name).map(change) {
            self.set(name, &changed);
        }
    }

    /// The message with this head.
    pub(super) fn with_body(&self, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(512 + body.len());
        for line in std::iter::once(&self.first).chain(&self.headers) {
            bytes.extend_from_slice(line.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(body);
        bytes
    }
}

/// The value of a line, if it is of that header.
fn value<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (found, value) = line.split_once(':')?;
    found.trim().eq_ignore_ascii_case(name).then(|| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_changed_stays_as_it_came() {
        let text = "RTSP/1.0 200 OK\r\ncseq:  4 \r\nX-Odd:a:b\r\nContent-base: rtsp://h/";
        let mut head = Head::parse(text.as_bytes());
        assert_eq!((head.status(), head.get("CSeq")), (Some(200), Some("4")));
        head.change("Content-Base", |base| format!("{base}x"));
        head.change("Location", |_| panic!("there is none"));
        let expected =
            "RTSP/1.0 200 OK\r\ncseq:  4 \r\nX-Odd:a:b\r\nContent-Base: rtsp://h/x\r\n\r\nv=0";
        assert_eq!(String::from_utf8(head.with_body(b"v=0")).unwrap(), expected);
    }

    #[test]
    fn a_request_is_no_answer() {
        let mut head = Head::parse(b"SETUP rtsp://h/1 RTSP/1.0\r\nCSeq: 1");
        assert_eq!((head.status(), head.method(), head.uri()), (None, "SETUP", "rtsp://h/1"));
        head.set_uri("rtsp://other/1");
        assert_eq!(head.uri(), "rtsp://other/1");
        assert!(head.is_rtsp() && !Head::parse(b"HTTP/1.1 200 OK").is_rtsp());
    }
}
