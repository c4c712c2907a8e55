use retina::client::Credentials;

use super::*;

const URL: &str = "rtsp://10.0.0.9/live";

fn prefix() -> Prefix {
    Prefix::new(4_000, "s3cret")
}

fn conversation(login: Option<(&str, &str)>, ports: Option<(u16, u16)>) -> Conversation {
    let credentials = login.map(|(username, password)| Credentials {
        username: username.to_owned(),
        password: password.to_owned(),
    });
    Conversation::new(prefix(), Url::parse(URL).unwrap(), Login::new(credentials), ports)
}

fn request(conversation: &mut Conversation, method: &str, url: &str, cseq: u32) -> Head {
    let text = format!("{method} {} RTSP/1.0\r\nCSeq: {cseq}", prefix().before(url));
    Head::parse(&conversation.request(Head::parse(text.as_bytes())))
}

fn answer(conversation: &mut Conversation, text: &str) -> Result<Step, Breach> {
    conversation.answer(Head::parse(text.as_bytes()), b"")
}

fn told(conversation: &mut Conversation, text: &str) -> Head {
    match answer(conversation, text).unwrap() {
        Step::Answer(bytes) => Head::parse(&bytes),
        step => panic!("{step:?}"),
    }
}

#[test]
fn a_login_is_proven_to_the_camera_and_the_library_hears_nothing_of_it() {
    let mut talk = conversation(Some(("me", "hunter2")), None);
    let first = request(&mut talk, "DESCRIBE", URL, 1);
    assert_eq!((first.uri(), first.get("Authorization")), (URL, None));
    let challenge = "RTSP/1.0 401 Unauthorized\r\nCSeq: 1\r\n\
                     WWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n\
                     WWW-Authenticate: Basic realm=\"r\"";
    let Ok(Step::Ask(bytes)) = answer(&mut talk, challenge) else { panic!("not asked again") };
    let second = Head::parse(&bytes);
    let proof = second.get("Authorization").unwrap();
    assert!(proof.starts_with("Digest ") && proof.contains(&format!("uri=\"{URL}\"")), "{proof}");
    assert_eq!(second.get("CSeq"), Some("2"));
    let answer = told(&mut talk, "RTSP/1.0 200 OK\r\nCSeq: 2");
    assert_eq!((answer.get("CSeq"), answer.status()), (Some("1"), Some(200)));
    let third = request(&mut talk, "SETUP", "rtsp://10.0.0.9/live/1", 2);
    assert_eq!(third.uri(), "rtsp://10.0.0.9/live/1");
    assert!(third.get("Authorization").unwrap().contains("uri=\"rtsp://10.0.0.9/live/1\""));
}

#[test]
fn a_password_that_is_refused_is_not_tried_again() {
    let mut talk = conversation(Some(("me", "wrong")), None);
    request(&mut talk, "DESCRIBE", URL, 1);
    let challenge = |cseq| {
        format!("RTSP/1.0 401 Unauthorized\r\nCSeq: {cseq}\r\nWWW-Authenticate: Basic realm=\"r\"")
    };
    assert!(matches!(answer(&mut talk, &challenge(1)), Ok(Step::Ask(_))));
    assert_eq!(told(&mut talk, &challenge(2)).status(), Some(401));
}

#[test]
fn a_nonce_that_has_grown_old_is_replaced() {
    let mut talk = conversation(Some(("me", "right")), None);
    for (cseq, nonce) in [(1, "one"), (3, "two")] {
        request(&mut talk, "OPTIONS", URL, 9);
        let challenge = format!(
            "RTSP/1.0 401 Unauthorized\r\nCSeq: {cseq}\r\n\
             WWW-Authenticate: Digest realm=\"r\", nonce=\"{nonce}\", stale=TRUE"
        );
        let Ok(Step::Ask(bytes)) = answer(&mut talk, &challenge) else { panic!("{nonce}") };
        let proof = Head::parse(&bytes);
        assert!(proof.get("Authorization").unwrap().contains(&format!("nonce=\"{nonce}\"")));
        told(&mut talk, &format!("RTSP/1.0 200 OK\r\nCSeq: {}", cseq + 1));
    }
}

#[test]
fn without_a_login_the_library_gets_the_refusal() {
    let mut talk = conversation(None, None);
    request(&mut talk, "DESCRIBE", URL, 1);
    let challenge = "RTSP/1.0 401 Unauthorized\r\nCSeq: 1\r\nWWW-Authenticate: Basic realm=\"r\"";
    assert_eq!(told(&mut talk, challenge).status(), Some(401));
}

#[test]
fn a_redirect_is_followed_and_what_is_relative_is_relative_to_where_it_led() {
    let mut talk = conversation(None, None);
    request(&mut talk, "DESCRIBE", URL, 7);
    let moved = "RTSP/1.0 302 Moved\r\nCSeq: 1\r\nLocation: rtsp://10.0.0.9:8554/other";
    let to = Url::parse("rtsp://10.0.0.9:8554/other").unwrap();
    assert_eq!(answer(&mut talk, moved), Ok(Step::Move(to.clone())));
    assert_eq!(Head::parse(&talk.again()).uri(), to.as_str());
    let described = told(&mut talk, "RTSP/1.0 200 OK\r\nCSeq: 2");
    assert_eq!(described.get("CSeq"), Some("7"));
    assert_eq!(described.get("Content-Base"), Some(&*prefix().before(to.as_str())));
}

#[test]
fn redirects_have_an_end_and_lead_to_no_other_host() {
    let mut talk = conversation(Some(("me", "hunter2")), None);
    request(&mut talk, "DESCRIBE", URL, 1);
    let away = "RTSP/1.0 301 Moved\r\nCSeq: 1\r\nLocation: rtsp://169.254.169.254/x";
    let refused = Breach::Redirected("rtsp://169.254.169.254/…".to_owned());
    assert_eq!(answer(&mut talk, away), Err(refused));

    let mut talk = conversation(None, None);
    request(&mut talk, "DESCRIBE", URL, 1);
    for cseq in 1..=5 {
        let moved = format!("RTSP/1.0 301 Moved\r\nCSeq: {cseq}\r\nLocation: {URL}");
        match answer(&mut talk, &moved) {
            Ok(Step::Move(_)) if cseq <= 4 => drop(talk.again()),
            other => assert_eq!((cseq, other), (5, Err(Breach::ManyRedirects))),
        }
    }
}

#[test]
fn what_comes_by_udp_is_interleaved_to_the_library() {
    let mut talk = conversation(None, Some((5_000, 5_001)));
    let asked = request(&mut talk, "SETUP", URL, 1);
    let transport = "RTP/AVP/UDP;unicast;client_port=5000-5001";
    assert_eq!(asked.get("Transport"), Some(transport));
    let answer = told(
        &mut talk,
        "RTSP/1.0 200 OK\r\nCSeq: 1\r\nTransport: RTP/AVP;unicast;client_port=5000-5001;\
         source=10.0.0.8;server_port=6000-6001;ssrc=1234ABCD",
    );
    assert_eq!(answer.get("Transport"), Some("RTP/AVP/TCP;unicast;interleaved=0-1"));
    let address = Some("10.0.0.8".parse().unwrap());
    assert_eq!(talk.peer(), Some(Peer { address, rtp: 6_000, rtcp: 6_001 }));
    assert_eq!(talk.channels(), Some((0, 1)));
}

#[test]
fn a_camera_that_names_no_port_is_told_of() {
    let mut talk = conversation(None, Some((5_000, 5_001)));
    request(&mut talk, "SETUP", URL, 1);
    let text = "RTSP/1.0 200 OK\r\nCSeq: 1\r\nTransport: RTP/AVP;unicast";
    assert_eq!(answer(&mut talk, text), Err(Breach::NoPort));
}

#[test]
fn the_source_that_a_setup_names_is_not_believed() {
    let mut talk = conversation(None, None);
    request(&mut talk, "SETUP", URL, 1);
    let text = "RTSP/1.0 200 OK\r\nCSeq: 1\r\nTransport: RTP/AVP/TCP;interleaved=4-5;ssrc=1234ABCD";
    let answer = told(&mut talk, text);
    assert_eq!(answer.get("Transport"), Some("RTP/AVP/TCP;interleaved=4-5"));
    assert_eq!(talk.channels(), Some((4, 5)));
}

#[test]
fn an_answer_to_nothing_is_ignored() {
    let mut talk = conversation(None, None);
    assert_eq!(answer(&mut talk, "RTSP/1.0 200 OK\r\nCSeq: 1"), Ok(Step::Ignore));
    request(&mut talk, "PLAY", URL, 3);
    assert_eq!(answer(&mut talk, "RTSP/1.0 100 Continue\r\nCSeq: 1"), Ok(Step::Ignore));
    assert_eq!(answer(&mut talk, "RTSP/1.0 200 OK\r\nCSeq: 8"), Ok(Step::Ignore));
    let answer = told(&mut talk, "RTSP/1.0 200 OK");
    assert_eq!((answer.get("CSeq"), talk.is_playing()), (Some("3"), true));
}
