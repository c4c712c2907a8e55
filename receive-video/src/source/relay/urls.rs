//! The camera's URLs as the RTSP library sees them: each behind the relay's own, so that it comes back as it was.

use url::Url;

/// What the relay puts before the camera's URLs: `rtsp://127.0.0.1:PORT/SECRET/`.
#[derive(Clone, Debug)]
pub(super) struct Prefix(String);

impl Prefix {
    /// A prefix of this port and secret.
    pub(super) fn new(port: u16, secret: &str) -> Self {
        Self(format!("rtsp://127.0.0.1:{port}/{secret}/"))
    }

    /// Puts the prefix before a URL.
    pub(super) fn before(&self, url: &str) -> String {
        format!("{}{url}", self.0)
    }

    /// The camera's URL behind the prefix; what has none is nobody's but the camera's.
    pub(super) fn stripped<'a>(&self, url: &'a str) -> Option<&'a str> {
        url.strip_prefix(&*self.0)
    }

    /// A text in which the camera's URLs are as the camera has them.
    pub(super) fn hidden_in(&self, text: &str) -> String {
        text.replace(&*self.0, "")
    }

    /// The value of `Content-Base` or `Content-Location`; some cameras leave the scheme out.
    pub(super) fn in_base(&self, value: &str) -> String {
        if value.contains("://") {
            self.before(value)
        } else {
            self.before(&format!("rtsp://{value}"))
        }
    }

    /// The value of `RTP-Info`, without sequence numbers: not all cameras begin with those that they name there.
    pub(super) fn in_rtp_info(&self, value: &str) -> String {
        let flows = value.split(',').map(|flow| {
            let parts = flow.split(';').filter(|part| !part.trim_start().starts_with("seq="));
            let parts = parts.map(|part| match part.trim().strip_prefix("url=") {
                Some(url) if is_absolute(url) => format!("url={}", self.before(url)),
                _ => part.trim().to_owned(),
            });
            parts.collect::<Vec<_>>().join(";")
        });
        flows.collect::<Vec<_>>().join(",")
    }

    /// A session description, its absolute control URLs behind the prefix.
    pub(super) fn in_description(&self, body: &[u8]) -> Vec<u8> {
        const CONTROL: &[u8] = b"a=control:";
        let mut described = Vec::with_capacity(body.len() + 4 * self.0.len());
        for line in body.split_inclusive(|byte| *byte == b'\n') {
            match line.strip_prefix(CONTROL) {
                Some(url) if is_absolute(&String::from_utf8_lossy(url)) => {
                    described.extend_from_slice(CONTROL);
                    described.extend_from_slice(self.0.as_bytes());
                    described.extend_from_slice(url.trim_ascii_start());
                }
                _ => described.extend_from_slice(line),
            }
        }
        described
    }
}

fn is_absolute(url: &str) -> bool {
    let scheme = url.trim_start().split("://").next().unwrap_or_default();
    ["rtsp", "rtspu", "rtsps"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
}

/// Where a redirect of a request for `from` leads, if it is followed: to the same host, by the same scheme.
///
/// # Errors
/// Where it leads, without what may be a password.
pub(super) fn redirected(from: &Url, location: &str) -> Result<Url, String> {
    let Ok(mut to) = from.join(location.trim()) else { return Err("no URL".to_owned()) };
    let cleared = to.set_username("").and_then(|()| to.set_password(None));
    if cleared.is_ok() && to.scheme() == from.scheme() && to.host() == from.host() {
        return Ok(to);
    }
    let port = to.port().map(|port| format!(":{port}")).unwrap_or_default();
    Err(format!("{}://{}{port}/…", to.scheme(), to.host_str().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix() -> Prefix {
        Prefix::new(4_000, "s3cret")
    }

    #[test]
    fn a_url_comes_back_as_it_was_whatever_is_joined_to_it() {
        for url in ["rtsp://10.0.0.9:554/a//b/../c?x=1&y=%20", "rtsp://cam", "RTSP://[::1]/é"] {
            let shown = Url::parse(&prefix().before(url)).unwrap();
            let joined = format!("{shown}/trackID=1");
            let direct = Url::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
            let back = Url::parse(prefix().stripped(&joined).unwrap()).unwrap();
            assert_eq!(back.as_str(), Url::parse(&format!("{direct}/trackID=1")).unwrap().as_str());
        }
        assert_eq!(prefix().stripped("*"), None);
    }

    #[test]
    fn absolute_controls_of_a_description_are_put_behind_the_prefix() {
        let body = b"v=0\r\na=control:*\r\nm=video 0 RTP/AVP 96\r\na=control:rtsp://10.0.0.9/1\r\n\
                     m=audio 0 RTP/AVP 8\na=control:trackID=2";
        let described = String::from_utf8(prefix().in_description(body)).unwrap();
        let expected = "v=0\r\na=control:*\r\nm=video 0 RTP/AVP 96\r\n\
                        a=control:rtsp://127.0.0.1:4000/s3cret/rtsp://10.0.0.9/1\r\n\
                        m=audio 0 RTP/AVP 8\na=control:trackID=2";
        assert_eq!(described, expected);
    }

    #[test]
    fn flows_are_named_by_their_urls_and_not_by_sequence_numbers() {
        let value = "url=rtsp://h/1;seq=4;rtptime=7, url=trackID=2;seq=9";
        let expected = "url=rtsp://127.0.0.1:4000/s3cret/rtsp://h/1;rtptime=7,url=trackID=2";
        assert_eq!(prefix().in_rtp_info(value), expected);
    }

    #[test]
    fn a_base_without_a_scheme_gets_one() {
        assert_eq!(prefix().in_base("h/live/"), prefix().before("rtsp://h/live/"));
    }

    #[test]
    fn a_redirect_is_followed_to_the_same_host_only() {
        let from = Url::parse("rtsp://cam.local/live?a=b").unwrap();
        for (location, to) in [
            ("rtsp://cam.local:8554/other", Ok("rtsp://cam.local:8554/other")),
            ("rtsp://me:pw@cam.local/x", Ok("rtsp://cam.local/x")),
            ("/main", Ok("rtsp://cam.local/main")),
            ("rtsp://me:pw@10.0.0.1/admin", Err("rtsp://10.0.0.1/…")),
            ("http://cam.local/", Err("http://cam.local/…")),
        ] {
            let found = redirected(&from, location).map(String::from);
            assert_eq!(found, to.map(str::to_owned).map_err(str::to_owned), "{location}");
        }
    }
}
