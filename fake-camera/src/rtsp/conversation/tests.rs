use rtsp_types::headers::RTP_INFO;

use super::*;
use crate::config::{Login, Transports as Allowed};

struct OneCamera {
    view: View,
    free_ports: Vec<(u16, u16)>,
}

impl Directory for OneCamera {
    fn view(&self, mount: &str) -> Option<View> {
        (mount == "gate").then(|| self.view.clone())
    }

    fn open_udp(&mut self) -> Option<(u16, u16)> {
        self.free_ports.pop()
    }
}

/// A conversation with one camera, and a count of the requests.
struct Talk {
    conversation: Conversation,
    camera: OneCamera,
    cseq: u32,
    now: Instant,
}

impl Talk {
    fn new() -> Self {
        let now = Instant::now();
        let secrets = Secrets { nonce: "n".into(), session: "s".into(), first_seq: 77 };
        let view = View {
            login: None,
            transports: Allowed { tcp: true, udp: true },
            faults: Faults::default(),
            facts: StreamFacts::default(),
            ssrc: 0xAB,
            timestamp: 1234,
        };
        let camera = OneCamera { view, free_ports: vec![(6000, 6001)] };
        Self { conversation: Conversation::new(secrets, now), camera, cseq: 0, now }
    }

    fn send(&mut self, method: Method, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.cseq += 1;
        let url = Url::parse(&format!("rtsp://127.0.0.1:8554{path}")).unwrap();
        let mut request = Request::builder(method, Version::V1_0)
            .request_uri(url)
            .header(CSEQ, self.cseq.to_string())
            .build(Vec::new());
        for (name, value) in headers {
            let name = rtsp_types::HeaderName::try_from((*name).to_owned()).unwrap();
            request.insert_header(name, *value);
        }
        let reply = self.conversation.handle(&request, &mut self.camera, self.now);
        if let Some(response) = &reply.response {
            assert_eq!(response.header(&CSEQ).unwrap().as_str(), self.cseq.to_string());
        }
        reply
    }

    fn status(&mut self, method: Method, path: &str, headers: &[(&str, &str)]) -> u16 {
        self.send(method, path, headers).response.unwrap().status().into()
    }

    fn set_up(&mut self, offer: &str) -> String {
        let reply = self.send(Method::Setup, "/gate/track1", &[("Transport", offer)]);
        let response = reply.response.unwrap();
        assert_eq!(response.status(), StatusCode::Ok);
        let session = response.typed_header::<SessionHeader>().unwrap().unwrap();
        assert_eq!(session.1, Some(60));
        session.0
    }
}

const TCP: &str = "RTP/AVP/TCP;unicast;interleaved=0-1";
const UDP: &str = "RTP/AVP;unicast;client_port=5000-5001";

#[test]
fn a_viewer_goes_from_describe_to_teardown() {
    let mut talk = Talk::new();
    assert_eq!(talk.status(Method::Options, "/gate", &[]), 200);
    let described = talk.send(Method::Describe, "/gate", &[]).response.unwrap();
    let base = described.header(&CONTENT_BASE).unwrap().as_str();
    assert_eq!(base, "rtsp://127.0.0.1:8554/gate/");
    let id = talk.set_up(TCP);

    let play = talk.send(Method::Play, "/gate/", &[("Session", &id)]);
    assert_eq!(play.effect, Some(Effect::Play("gate".into(), Lane::Interleaved(0, 1))));
    let response = play.response.unwrap();
    assert_eq!(
        response.header(&RTP_INFO).unwrap().as_str(),
        "url=rtsp://127.0.0.1:8554/gate/track1;seq=77;rtptime=1234"
    );

    assert_eq!(talk.status(Method::GetParameter, "/gate/", &[("Session", &id)]), 200);
    let pause = talk.send(Method::Pause, "/gate/", &[("Session", &id)]);
    assert_eq!(pause.effect, Some(Effect::Pause));
    let teardown = talk.send(Method::Teardown, "/gate/", &[("Session", &id)]);
    assert_eq!(teardown.effect, Some(Effect::End));
    assert_eq!(talk.status(Method::Play, "/gate/", &[("Session", &id)]), 454);
}

#[test]
fn udp_gets_ports_of_the_server_while_there_are_any() {
    let mut talk = Talk::new();
    let id = talk.set_up(UDP);
    let again = [("Session", id.as_str()), ("Transport", UDP)];
    assert_eq!(talk.status(Method::Setup, "/gate/track1", &again), 503);
    let play = talk.send(Method::Play, "/gate", &[("Session", &id)]);
    let lane = Lane::Udp { client: (5000, 5001), server: (6000, 6001) };
    assert_eq!(play.effect, Some(Effect::Play("gate".into(), lane)));
}

#[test]
fn requests_out_of_place_are_refused_with_the_status_of_the_rfc() {
    let mut talk = Talk::new();
    assert_eq!(talk.status(Method::Describe, "/garden", &[]), 404);
    assert_eq!(talk.status(Method::Setup, "/gate/track2", &[("Transport", TCP)]), 404);
    assert_eq!(talk.status(Method::Play, "/gate", &[]), 455);
    assert_eq!(talk.status(Method::Play, "/gate", &[("Session", "other")]), 454);
    assert_eq!(talk.status(Method::Setup, "/gate/track1", &[("Transport", "RAW/UDP")]), 461);
    assert_eq!(talk.status(Method::Record, "/gate", &[]), 501);
    let id = talk.set_up(TCP);
    assert_eq!(talk.status(Method::Play, "/gate", &[]), 454);
    assert_eq!(talk.status(Method::Play, "/gate", &[("Session", &id)]), 200);
    let again = [("Session", id.as_str()), ("Transport", TCP)];
    assert_eq!(talk.status(Method::Setup, "/gate/track1", &again), 455);
}

#[test]
fn a_camera_for_tcp_only_refuses_udp() {
    let mut talk = Talk::new();
    talk.camera.view.transports.udp = false;
    assert_eq!(talk.status(Method::Setup, "/gate/track1", &[("Transport", UDP)]), 461);
}

#[test]
fn versions_and_numbers_that_are_none_are_refused() {
    let mut talk = Talk::new();
    let mut request = Request::builder(Method::Describe, Version::V2_0)
        .request_uri(Url::parse("rtsp://h/gate").unwrap())
        .header(CSEQ, "1")
        .build(Vec::new());
    let status = |talk: &mut Talk, request: &Request<Vec<u8>>| {
        let reply = talk.conversation.handle(request, &mut talk.camera, talk.now);
        u16::from(reply.response.unwrap().status())
    };
    assert_eq!(status(&mut talk, &request), 505);
    request.set_version(Version::V1_0);
    for number in ["2, ", "two", "-1", "99999999999"] {
        request.insert_header(CSEQ, number);
        assert_eq!(status(&mut talk, &request), 400, "{number:?}");
    }
    request.remove_header(&CSEQ);
    assert_eq!(status(&mut talk, &request), 400);
}

#[test]
fn a_login_is_asked_for_and_options_is_free() {
    let mut talk = Talk::new();
    talk.camera.view.login = Some(Login::digest("viewer", "sesame"));
    assert_eq!(talk.status(Method::Options, "/gate", &[]), 200);
    let response = talk.send(Method::Describe, "/gate", &[]).response.unwrap();
    assert_eq!(response.status(), StatusCode::Unauthorized);
    let challenge = response.header(&WWW_AUTHENTICATE).unwrap().as_str();
    assert_eq!(challenge, r#"Digest realm="fake-camera", nonce="n""#);
    let wrong =
        r#"Digest username="viewer", realm="fake-camera", nonce="n", uri="x", response="0""#;
    assert_eq!(talk.status(Method::Describe, "/gate", &[("Authorization", wrong)]), 401);
}

#[test]
fn faults_change_the_answers() {
    let mut talk = Talk::new();
    talk.camera.view.faults.status = Some(503);
    assert_eq!(talk.status(Method::Describe, "/gate", &[]), 503);
    talk.camera.view.faults.unauthorized = true;
    assert_eq!(talk.status(Method::Describe, "/gate", &[]), 401);
    talk.camera.view.faults.refuse = true;
    let reply = talk.send(Method::Options, "/gate", &[]);
    assert_eq!((reply.response.is_none(), reply.effect), (true, Some(Effect::Reset)));
}

#[test]
fn a_session_lives_as_long_as_its_client_is_heard() {
    let mut talk = Talk::new();
    let late = talk.now + SESSION_TIMEOUT + Duration::from_secs(1);
    assert!(!talk.conversation.is_expired(talk.now + SESSION_TIMEOUT));
    assert!(talk.conversation.is_expired(late));
    talk.conversation.heard(talk.now + Duration::from_secs(30));
    assert!(!talk.conversation.is_expired(late));
}
