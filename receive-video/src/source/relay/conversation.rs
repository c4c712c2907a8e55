//! The RTSP library's requests to the camera, and the camera's answers to the library, without I/O.
//!
//! What the library must not see or cannot do is done here: logins, redirects, RTP over UDP.

use std::collections::VecDeque;
use std::net::IpAddr;

use url::Url;

use super::breach::{Breach, MAX_REDIRECTS};
use super::head::Head;
use super::login::Login;
use super::urls::{Prefix, redirected};

/// The channels that the library gets RTP and RTCP on where the camera sends by UDP.
const CHANNELS: (u8, u8) = (0, 1);

/// What an answer of the camera leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// This goes to the library.
    Answer(Vec<u8>),
    /// This goes to the camera: the request again, with the login.
    Ask(Vec<u8>),
    /// The camera is to be connected to anew, at this address, and [`again`](Conversation::again) be sent there.
    Move(Url),
    /// It answers nothing that was asked.
    Ignore,
}

/// Where a camera sends RTP from; without an address, from its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) address: Option<IpAddr>,
    pub(super) rtp: u16,
    pub(super) rtcp: u16,
}

/// A request without an answer yet.
struct Pending {
    /// Its number in the conversation with the camera, and in the library's.
    ours: u32,
    theirs: String,
    request: Head,
    tries: u32,
}

/// One session's requests and answers.
pub(super) struct Conversation {
    prefix: Prefix,
    url: Url,
    login: Login,
    /// Our ports, where RTP is to come by UDP.
    ports: Option<(u16, u16)>,
    last: u32,
    pending: VecDeque<Pending>,
    redirects: usize,
    channels: Option<(u8, u8)>,
    peer: Option<Peer>,
    playing: bool,
}

impl Conversation {
    /// A conversation about the camera at `url`.
    pub(super) fn new(prefix: Prefix, url: Url, login: Login, ports: Option<(u16, u16)>) -> Self {
        Self {
            prefix,
            url,
            login,
            ports,
            last: 0,
            pending: VecDeque::new(),
            redirects: 0,
            channels: None,
            peer: None,
            playing: false,
        }
    }

    /// The channels of RTP and RTCP, once they are agreed on.
    pub(super) fn channels(&self) -> Option<(u8, u8)> {
        self.channels
    }

    /// Where the camera sends from by UDP, once that is agreed on.
    pub(super) fn peer(&self) -> Option<Peer> {
        self.peer
    }

    /// Whether the library was told that the camera plays.
    pub(super) fn is_playing(&self) -> bool {
        self.playing
    }

    /// Turns a request of the library into one to the camera.
    pub(super) fn request(&mut self, mut request: Head) -> Vec<u8> {
        let theirs = request.get("CSeq").unwrap_or_default().to_owned();
        if request.method() == "DESCRIBE" {
            request.set_uri(self.url.as_str());
        } else if let Some(uri) = self.prefix.stripped(request.uri()).map(str::to_owned) {
            request.set_uri(&uri);
        }
        if let (Some((rtp, rtcp)), "SETUP") = (self.ports, request.method()) {
            let transport = format!("RTP/AVP/UDP;unicast;client_port={rtp}-{rtcp}");
            request.set("Transport", &transport);
        }
        self.ask(Pending { ours: 0, theirs, request, tries: 0 })
    }

    /// Asks what was asked last, at the address that a redirect led to.
    pub(super) fn again(&mut self) -> Vec<u8> {
        let Some(mut pending) = self.pending.pop_back() else { return Vec::new() };
        pending.request.set_uri(self.url.as_str());
        self.ask(pending)
    }

    /// Takes a request of the camera: none is served.
    pub(super) fn refuse(&self, request: &Head) -> Vec<u8> {
        let mut answer = Head::new("RTSP/1.0 501 Not Implemented");
        answer.set("CSeq", request.get("CSeq").unwrap_or_default());
        answer.with_body(b"")
    }

    /// Takes an answer of the camera.
    ///
    /// # Errors
    /// It leads to where the relay does not go.
    pub(super) fn answer(&mut self, answer: Head, body: &[u8]) -> Result<Step, Breach> {
        let status = answer.status().unwrap_or(0);
        let Some(pending) = self.asked(&answer).filter(|_| status >= 200) else {
            return Ok(Step::Ignore);
        };
        let mut pending = self.pending.remove(pending).expect("it was found there");
        let is_description = pending.request.method() == "DESCRIBE";
        match status {
            401 if self.login.is_challenged(&answer, pending.tries) => {
                pending.tries += 1;
                return Ok(Step::Ask(self.ask(pending)));
            }
            300..=399 if is_description && answer.get("Location").is_some() => {
                return self.follow(&answer, pending);
            }
            _ => {}
        }
        let method = pending.request.method().to_owned();
        self.told(answer, body, &method, &pending.theirs).map(Step::Answer)
    }

    fn ask(&mut self, mut pending: Pending) -> Vec<u8> {
        self.last += 1;
        pending.ours = self.last;
        pending.request.set("CSeq", &self.last.to_string());
        self.login.sign(&mut pending.request);
        let bytes = pending.request.with_body(b"");
        self.pending.push_back(pending);
        bytes
    }

    /// Which of the requests this answers; some cameras do not say.
    fn asked(&self, answer: &Head) -> Option<usize> {
        let Some(number) = answer.get("CSeq") else {
            return (self.pending.len() == 1).then_some(0);
        };
        let number: u32 = number.parse().ok()?;
        self.pending.iter().position(|pending| pending.ours == number)
    }

    fn follow(&mut self, answer: &Head, pending: Pending) -> Result<Step, Breach> {
        self.redirects += 1;
        if self.redirects > MAX_REDIRECTS {
            return Err(Breach::ManyRedirects);
        }
        let location = answer.get("Location").unwrap_or_default();
        let url = redirected(&self.url, location).map_err(Breach::Redirected)?;
        self.pending.push_back(pending);
        self.url = url.clone();
        Ok(Step::Move(url))
    }

    /// The answer as the library gets it.
    fn told(
        &mut self,
        mut answer: Head,
        body: &[u8],
        method: &str,
        theirs: &str,
    ) -> Result<Vec<u8>, Breach> {
        answer.set("CSeq", theirs);
        let is_good = answer.status().is_some_and(|status| (200..300).contains(&status));
        match method {
            "DESCRIBE" if is_good => return Ok(self.description(answer, body)),
            "SETUP" if is_good => self.set_up(&mut answer)?,
            "PLAY" if is_good => {
                answer.change("RTP-Info", |flows| self.prefix.in_rtp_info(flows));
                self.playing = true;
            }
            _ => {}
        }
        Ok(answer.with_body(body))
    }

    fn description(&self, mut answer: Head, body: &[u8]) -> Vec<u8> {
        answer.change("Content-Base", |base| self.prefix.in_base(base));
        answer.change("Content-Location", |base| self.prefix.in_base(base));
        if answer.get("Content-Base").or(answer.get("Content-Location")).is_none() {
            answer.set("Content-Base", &self.prefix.before(self.url.as_str()));
        }
        let body = self.prefix.in_description(body);
        answer.set("Content-Length", &body.len().to_string());
        answer.with_body(&body)
    }

    /// Takes the agreement on how RTP comes; to the library it always comes interleaved.
    fn set_up(&mut self, answer: &mut Head) -> Result<(), Breach> {
        let Some(transport) = answer.get("Transport").map(str::to_owned) else { return Ok(()) };
        let parts = || transport.split(';').map(str::trim);
        let found = |key: &str| parts().find_map(|part| part.strip_prefix(key)?.strip_prefix('='));
        if let Some((rtp, rtcp)) = found("interleaved").and_then(pair::<u8>) {
            self.channels = Some((rtp, rtcp));
            // Not all cameras send from the source that they name there.
            let kept: Vec<&str> = parts().filter(|part| !part.starts_with("ssrc=")).collect();
            answer.set("Transport", &kept.join(";"));
        } else if self.ports.is_some() {
            let (rtp, rtcp) = found("server_port").and_then(pair).ok_or(Breach::NoPort)?;
            let address = found("source").and_then(|source| source.parse().ok());
            self.peer = Some(Peer { address, rtp, rtcp });
            self.channels = Some(CHANNELS);
            let (rtp, rtcp) = CHANNELS;
            answer.set("Transport", &format!("RTP/AVP/TCP;unicast;interleaved={rtp}-{rtcp}"));
        }
        Ok(())
    }
}

/// Reads `8-9`, or `8` alone, which means the same.
fn pair<N: std::str::FromStr + TryFrom<u32> + Into<u32> + Copy>(text: &str) -> Option<(N, N)> {
    let (first, second) = text.split_once('-').unwrap_or((text, ""));
    let first: N = first.trim().parse().ok()?;
    let next = N::try_from(first.into() + 1).ok();
    Some((first, second.trim().parse().ok().or(next)?))
}

#[cfg(test)]
mod tests;
