//! The session description of a camera (RFC 8866, RFC 6184 §8.2.1), right or, when asked for, wrong.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use media::h264::nal::{Nal, NalType, nal_units};
use sdp_types::{Attribute, Connection, Media, Origin, Session, Time};

use crate::fault::SdpFault;
use crate::rtp::PAYLOAD_TYPE;

/// The control name of the one stream of each camera.
pub(crate) const TRACK: &str = "track1";

/// The payload type that is JPEG's without a word about it (RFC 3551 §6).
const JPEG_PAYLOAD_TYPE: u8 = 26;

/// Parameter sets in the right form with nothing right in them.
const GARBAGE_PARAMETERS: &str = "Z///////////,aP///w==";

/// What a viewer must know before the first packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StreamFacts {
    /// Sequence parameter set, without start code.
    pub(crate) sps: Bytes,
    /// Picture parameter set, without start code.
    pub(crate) pps: Bytes,
    /// Frames per second, as text.
    pub(crate) frame_rate: Option<String>,
}

impl StreamFacts {
    /// Reads the parameter sets out of a key frame; `None` when it lacks one of them.
    pub(crate) fn of_key_frame(data: &Bytes) -> Option<Self> {
        let find = |kind| nal_units(data).find(|nal| nal.unit_type() == kind).map(Nal::bytes);
        let (sps, pps) = (find(NalType::Sps)?, find(NalType::Pps)?);
        Some(Self { sps: data.slice_ref(sps), pps: data.slice_ref(pps), frame_rate: None })
    }

    /// The level and profile as `profile-level-id`: the three bytes after the NAL header.
    fn profile_level_id(&self) -> String {
        self.sps.iter().skip(1).take(3).map(|byte| format!("{byte:02X}")).collect()
    }

    fn sprop(&self) -> String {
        format!("{},{}", BASE64_STANDARD.encode(&self.sps), BASE64_STANDARD.encode(&self.pps))
    }
}

/// Writes the body of the answer to DESCRIBE.
pub(crate) fn describe(name: &str, facts: &StreamFacts, wrong: Option<&SdpFault>) -> Vec<u8> {
    let sound = SdpFault::default();
    let wrong = wrong.unwrap_or(&sound);
    if wrong.not_sdp {
        return b"<html><body>It works!</body></html>\n".to_vec();
    }
    let medias = if wrong.no_media { Vec::new() } else { vec![video(facts, wrong)] };
    let mut text = Vec::new();
    session(name, medias).write(&mut text).expect("writing into memory does not fail");
    text
}

fn session(name: &str, medias: Vec<Media>) -> Session {
    Session {
        origin: Origin {
            username: None,
            sess_id: "1".into(),
            sess_version: 1,
            nettype: "IN".into(),
            addrtype: "IP4".into(),
            unicast_address: "127.0.0.1".into(),
        },
        session_name: name.into(),
        session_description: None,
        uri: None,
        emails: Vec::new(),
        phones: Vec::new(),
        connection: Some(Connection {
            nettype: "IN".into(),
            addrtype: "IP4".into(),
            connection_address: "0.0.0.0".into(),
        }),
        bandwidths: Vec::new(),
        times: vec![Time { start_time: 0, stop_time: 0, repeats: Vec::new() }],
        time_zones: Vec::new(),
        key: None,
        attributes: vec![attribute("tool", "fake-camera"), attribute("control", "*")],
        medias,
    }
}

fn video(facts: &StreamFacts, wrong: &SdpFault) -> Media {
    let (mut attributes, mut payload_type) = (Vec::new(), PAYLOAD_TYPE);
    match &wrong.codec {
        Some(codec) if codec == "JPEG" => payload_type = JPEG_PAYLOAD_TYPE,
        Some(codec) => attributes.push(attribute("rtpmap", &rtpmap(codec))),
        None => {
            attributes.push(attribute("rtpmap", &rtpmap("H264")));
            attributes.push(attribute("fmtp", &fmtp(facts, wrong.garbage_parameters)));
        }
    }
    if let Some(rate) = &facts.frame_rate {
        attributes.push(attribute("framerate", rate));
    }
    attributes.push(attribute("control", TRACK));
    Media {
        media: wrong.media.as_deref().unwrap_or("video").into(),
        port: 0,
        num_ports: None,
        proto: "RTP/AVP".into(),
        fmt: payload_type.to_string(),
        media_title: None,
        connections: Vec::new(),
        bandwidths: Vec::new(),
        key: None,
        attributes,
    }
}

fn rtpmap(codec: &str) -> String {
    format!("{PAYLOAD_TYPE} {codec}/90000")
}

fn fmtp(facts: &StreamFacts, garbage: bool) -> String {
    let sprop = if garbage { GARBAGE_PARAMETERS.to_owned() } else { facts.sprop() };
    let level = facts.profile_level_id();
    format!(
        "{PAYLOAD_TYPE} packetization-mode=1;profile-level-id={level};sprop-parameter-sets={sprop}"
    )
}

fn attribute(name: &str, value: &str) -> Attribute {
    Attribute { attribute: name.into(), value: Some(value.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> StreamFacts {
        let key = Bytes::from_static(&[
            0, 0, 0, 1, 0x67, 0x42, 0xC0, 0x1F, 7, 0, 0, 0, 1, 0x68, 0xCE, 1, 0, 0, 1, 0x65, 9,
        ]);
        let facts = StreamFacts::of_key_frame(&key).unwrap();
        StreamFacts { frame_rate: Some("12.5".into()), ..facts }
    }

    fn text(wrong: Option<SdpFault>) -> String {
        String::from_utf8(describe("gate", &facts(), wrong.as_ref())).unwrap()
    }

    #[test]
    fn a_sound_camera_tells_codec_parameters_rate_and_control() {
        let sdp = text(None);
        assert!(sdp.contains("a=rtpmap:96 H264/90000\r\n"), "{sdp}");
        assert!(sdp.contains("profile-level-id=42C01F;sprop-parameter-sets=Z0LAHwc=,aM4B\r\n"));
        assert!(sdp.contains("a=framerate:12.5\r\n"), "{sdp}");
        assert!(sdp.ends_with("a=control:track1\r\n"), "{sdp}");
    }

    #[test]
    fn a_unit_without_parameter_sets_tells_nothing() {
        assert_eq!(StreamFacts::of_key_frame(&Bytes::from_static(&[0, 0, 1, 0x65, 9])), None);
    }

    #[test]
    fn each_fault_spoils_its_part() {
        let codec = text(Some(SdpFault { codec: Some("H265".into()), ..SdpFault::default() }));
        assert!(codec.contains("96 H265/90000") && !codec.contains("sprop"), "{codec}");
        let jpeg = text(Some(SdpFault { codec: Some("JPEG".into()), ..SdpFault::default() }));
        assert!(jpeg.contains("m=video 0 RTP/AVP 26\r\n") && !jpeg.contains("rtpmap"), "{jpeg}");
        let sound = SdpFault { codec: Some("MPEG4-GENERIC".into()), ..SdpFault::default() };
        let sound = text(Some(SdpFault { media: Some("audio".into()), ..sound }));
        assert!(sound.contains("m=audio ") && sound.contains("96 MPEG4-GENERIC/90000"), "{sound}");
        let garbage = text(Some(SdpFault { garbage_parameters: true, ..SdpFault::default() }));
        assert!(garbage.contains(GARBAGE_PARAMETERS), "{garbage}");
        let empty = text(Some(SdpFault { no_media: true, ..SdpFault::default() }));
        assert!(!empty.contains("m="), "{empty}");
        let html = text(Some(SdpFault { not_sdp: true, ..SdpFault::default() }));
        assert!(html.starts_with("<html>"), "{html}");
    }
}
