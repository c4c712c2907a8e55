//! One RTSP connection's state, without I/O: a request in, an answer and an effect out.
//!
//! Invariant: there is at most one session per connection and one stream per session, and packets flow only
//! between an [`Effect::Play`] and the next [`Effect::Pause`] or [`Effect::End`].

use std::time::Duration;

use rtsp_types::headers::{
    AUTHORIZATION, CONTENT_BASE, CONTENT_TYPE, CSEQ, LOCATION, PUBLIC, RANGE, RtpInfos, SERVER,
    SESSION, Session as SessionHeader, Transports, WWW_AUTHENTICATE, rtp_info,
};
use rtsp_types::{Method, Request, Response, ResponseBuilder, StatusCode, Url, Version};
use tokio::time::Instant;

use super::auth;
use super::sdp::{self, StreamFacts, TRACK};
use super::transport::{self, Lane, Wish};
use crate::config;
use crate::fault::Faults;

/// A session in which nothing is heard from the client for this long ends (RFC 2326 §12.37).
pub(crate) const SESSION_TIMEOUT: Duration = Duration::from_secs(60);

const METHODS: &str =
    "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, GET_PARAMETER, SET_PARAMETER, TEARDOWN";

/// What a request must know of the camera it names.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) login: Option<config::Login>,
    pub(crate) transports: config::Transports,
    pub(crate) faults: Faults,
    pub(crate) facts: StreamFacts,
    pub(crate) ssrc: u32,
    /// The RTP time now: nothing that is sent from now on is older.
    pub(crate) timestamp: u32,
}

/// What the core asks its surroundings.
pub(crate) trait Directory {
    /// Looks a camera up.
    fn view(&self, mount: &str) -> Option<View>;

    /// Opens two UDP ports of the server; `None` when there are none left.
    fn open_udp(&mut self) -> Option<(u16, u16)>;
}

/// Random values that belong to one connection.
#[derive(Clone, Debug)]
pub(crate) struct Secrets {
    /// The nonce of digests.
    pub(crate) nonce: String,
    /// What session ids begin with.
    pub(crate) session: String,
    /// The first packet's sequence number.
    pub(crate) first_seq: u16,
}

/// What a request makes happen beside its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Packets of this camera flow on this lane, after the answer.
    Play(String, Lane),
    /// Packets stop; the session stays.
    Pause,
    /// The session is over.
    End,
    /// The connection is reset without an answer.
    Reset,
}

/// What to do about a request.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) response: Option<Response<Vec<u8>>>,
    pub(crate) effect: Option<Effect>,
}

impl From<Response<Vec<u8>>> for Reply {
    fn from(response: Response<Vec<u8>>) -> Self {
        Self { response: Some(response), effect: None }
    }
}

#[derive(Debug)]
struct Session {
    id: String,
    mount: String,
    lane: Lane,
    playing: bool,
}

/// The server's side of one connection.
#[derive(Debug)]
pub(crate) struct Conversation {
    secrets: Secrets,
    sessions: u32,
    session: Option<Session>,
    heard: Instant,
}

impl Conversation {
    /// Starts a conversation.
    pub(crate) fn new(secrets: Secrets, now: Instant) -> Self {
        Self { secrets, sessions: 0, session: None, heard: now }
    }

    /// Notes that the client is alive (a request, or a receiver report).
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// Tells whether the session has timed out.
    pub(crate) fn is_expired(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.heard) > SESSION_TIMEOUT
    }

    /// Answers one request.
    pub(crate) fn handle(
        &mut self,
        request: &Request<Vec<u8>>,
        directory: &mut impl Directory,
        now: Instant,
    ) -> Reply {
        self.heard(now);
        match self.answer(request, directory) {
            Ok(reply) => reply,
            Err(status) => self.respond(request, status).build(Vec::new()).into(),
        }
    }

    fn answer(
        &mut self,
        request: &Request<Vec<u8>>,
        directory: &mut impl Directory,
    ) -> Result<Reply, StatusCode> {
        if request.version() != Version::V1_0 {
            return Err(StatusCode::RTSPVersionNotSupported);
        }
        if number_of(request).is_none() {
            return Err(StatusCode::BadRequest);
        }
        let named = request.request_uri().and_then(mount_of);
        let view = named.and_then(|mount| directory.view(mount));
        if view.as_ref().is_some_and(|view| view.faults.refuse) {
            return Ok(Reply { response: None, effect: Some(Effect::Reset) });
        }
        if *request.method() == Method::Options {
            return Ok(self.options(request));
        }
        let (mount, view) = (named.zip(view)).ok_or(StatusCode::NotFound)?;
        if !self.is_allowed(request, &view) {
            return Ok(self.unauthorized(request, &view));
        }
        match request.method() {
            Method::Describe => self.describe(request, mount, &view),
            Method::Setup => self.setup(request, mount, &view, directory),
            Method::Play => self.play(request, &view),
            Method::Pause => self.pause(request),
            Method::Teardown => self.teardown(request),
            Method::GetParameter | Method::SetParameter => {
                Ok(self.respond(request, StatusCode::Ok).build(Vec::new()).into())
            }
            _ => Err(StatusCode::NotImplemented),
        }
    }

    fn options(&self, request: &Request<Vec<u8>>) -> Reply {
        self.respond(request, StatusCode::Ok).header(PUBLIC, METHODS).build(Vec::new()).into()
    }

    fn is_allowed(&self, request: &Request<Vec<u8>>, view: &View) -> bool {
        if view.faults.unauthorized {
            return false;
        }
        let Some(login) = &view.login else { return true };
        let method: &str = request.method().into();
        request
            .header(&AUTHORIZATION)
            .is_some_and(|given| auth::proves(login, &self.secrets.nonce, method, given.as_str()))
    }

    fn unauthorized(&self, request: &Request<Vec<u8>>, view: &View) -> Reply {
        let scheme = view.login.as_ref().map(|login| login.scheme).unwrap_or_default();
        let challenge = auth::challenge(scheme, &self.secrets.nonce);
        self.respond(request, StatusCode::Unauthorized)
            .header(WWW_AUTHENTICATE, challenge)
            .build(Vec::new())
            .into()
    }

    fn describe(
        &self,
        request: &Request<Vec<u8>>,
        mount: &str,
        view: &View,
    ) -> Result<Reply, StatusCode> {
        if let Some(code) = view.faults.status {
            return Err(StatusCode::from(code));
        }
        if let Some(to) = &view.faults.redirect {
            let answer = self.respond(request, StatusCode::Found);
            return Ok(answer.header(LOCATION, camera_url(request, to)?).build(Vec::new()).into());
        }
        let body = sdp::describe(mount, &view.facts, view.faults.wrong_sdp.as_ref());
        Ok(self
            .respond(request, StatusCode::Ok)
            .header(CONTENT_BASE, format!("{}/", camera_url(request, mount)?))
            .header(CONTENT_TYPE, "application/sdp")
            .build(body)
            .into())
    }

    fn setup(
        &mut self,
        request: &Request<Vec<u8>>,
        mount: &str,
        view: &View,
        directory: &mut impl Directory,
    ) -> Result<Reply, StatusCode> {
        if request.request_uri().and_then(track_of).is_some_and(|track| track != TRACK) {
            return Err(StatusCode::NotFound);
        }
        match &self.session {
            Some(session) if session.playing => return Err(StatusCode::MethodNotValidInThisState),
            Some(_) => self.check_session(request)?,
            None if request.header(&SESSION).is_some() => return Err(StatusCode::SessionNotFound),
            None => {}
        }
        let offers = request.typed_header::<Transports>();
        let offers = offers.ok().flatten().ok_or(StatusCode::UnsupportedTransport)?;
        let lane = match transport::choose(&offers, view.transports) {
            Some(Wish::Interleaved(rtp, rtcp)) => Lane::Interleaved(rtp, rtcp),
            Some(Wish::Udp(rtp, rtcp)) => {
                let server = directory.open_udp().ok_or(StatusCode::ServiceUnavailable)?;
                Lane::Udp { client: (rtp, rtcp), server }
            }
            None => return Err(StatusCode::UnsupportedTransport),
        };
        self.start_session(mount, lane);
        let answer = transport::answer(lane, view.ssrc);
        Ok(self.respond(request, StatusCode::Ok).typed_header(&answer).build(Vec::new()).into())
    }

    fn start_session(&mut self, mount: &str, lane: Lane) {
        self.sessions += 1;
        let id = format!("{}{:04}", self.secrets.session, self.sessions);
        self.session = Some(Session { id, mount: mount.to_owned(), lane, playing: false });
    }

    fn play(&mut self, request: &Request<Vec<u8>>, view: &View) -> Result<Reply, StatusCode> {
        self.check_session(request)?;
        let session = self.session.as_mut().ok_or(StatusCode::MethodNotValidInThisState)?;
        session.playing = true;
        let (mount, lane) = (session.mount.clone(), session.lane);
        let uri = Url::parse(&format!("{}/{TRACK}", camera_url(request, &mount)?))
            .map_err(|_| StatusCode::BadRequest)?;
        let (seq, rtptime) = (Some(self.secrets.first_seq), Some(view.timestamp));
        let flow = RtpInfos::V1(vec![rtp_info::v1::RtpInfo { uri, seq, rtptime }]);
        let response = self
            .respond(request, StatusCode::Ok)
            .header(RANGE, "npt=now-")
            .typed_header(&flow)
            .build(Vec::new());
        Ok(Reply { response: Some(response), effect: Some(Effect::Play(mount, lane)) })
    }

    fn pause(&mut self, request: &Request<Vec<u8>>) -> Result<Reply, StatusCode> {
        self.check_session(request)?;
        let session = self.session.as_mut().ok_or(StatusCode::MethodNotValidInThisState)?;
        session.playing = false;
        let response = self.respond(request, StatusCode::Ok).build(Vec::new());
        Ok(Reply { response: Some(response), effect: Some(Effect::Pause) })
    }

    fn teardown(&mut self, request: &Request<Vec<u8>>) -> Result<Reply, StatusCode> {
        self.check_session(request)?;
        let response = self.respond(request, StatusCode::Ok).build(Vec::new());
        self.session = None;
        Ok(Reply { response: Some(response), effect: Some(Effect::End) })
    }

    /// A request within a session must name it.
    fn check_session(&self, request: &Request<Vec<u8>>) -> Result<(), StatusCode> {
        let named = request.typed_header::<SessionHeader>().ok().flatten();
        match (&self.session, named) {
            (None, None) => Err(StatusCode::MethodNotValidInThisState),
            (Some(session), Some(named)) if session.id == named.0 => Ok(()),
            _ => Err(StatusCode::SessionNotFound),
        }
    }

    fn respond(&self, request: &Request<Vec<u8>>, status: StatusCode) -> ResponseBuilder {
        let mut builder = Response::builder(Version::V1_0, status).header(SERVER, "fake-camera");
        if let Some(number) = number_of(request) {
            builder = builder.header(CSEQ, number.to_string());
        }
        if let Some(session) = &self.session {
            let timeout = SESSION_TIMEOUT.as_secs();
            builder = builder.typed_header(&SessionHeader(session.id.clone(), Some(timeout)));
        }
        builder
    }
}

/// The number that the answer repeats (RFC 2326 §12.17: digits and nothing else).
fn number_of(request: &Request<Vec<u8>>) -> Option<u32> {
    request.header(&CSEQ)?.as_str().trim().parse().ok()
}

/// The camera a URL names: the first segment of its path.
pub(crate) fn mount_of(url: &Url) -> Option<&str> {
    url.path_segments()?.next().filter(|segment| !segment.is_empty())
}

/// The stream a URL names: the second segment of its path.
fn track_of(url: &Url) -> Option<&str> {
    url.path_segments()?.nth(1).filter(|segment| !segment.is_empty())
}

/// The camera's URL under the host that the client used, without login and query.
fn camera_url(request: &Request<Vec<u8>>, mount: &str) -> Result<String, StatusCode> {
    let url = request.request_uri().ok_or(StatusCode::BadRequest)?;
    let host = url.host_str().ok_or(StatusCode::BadRequest)?;
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    Ok(format!("rtsp://{host}{port}/{mount}"))
}

#[cfg(test)]
mod tests;
