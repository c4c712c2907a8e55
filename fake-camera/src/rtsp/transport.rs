//! Which of the transports a client offers is taken (RFC 2326 §12.39), and how that is told.

use rtsp_types::headers::{
    RtpLowerTransport, RtpProfile, RtpTransport, RtpTransportParameters, Transport, Transports,
};

use crate::config;

/// How one viewer gets its packets: RTP first, RTCP second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// In the RTSP connection, on two channels.
    Interleaved(u8, u8),
    /// To two UDP ports of the client, from two of the server.
    Udp {
        /// The client's ports.
        client: (u16, u16),
        /// The server's ports.
        server: (u16, u16),
    },
}

/// What a client asked for and the camera can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// These channels.
    Interleaved(u8, u8),
    /// These ports of the client.
    Udp(u16, u16),
}

/// Takes the first offer that the camera can serve.
pub(crate) fn choose(offers: &Transports, allowed: config::Transports) -> Option<Wish> {
    offers.iter().find_map(|offer| match offer {
        Transport::Rtp(rtp) => wish(rtp, allowed),
        Transport::Other(_) => None,
    })
}

fn wish(offer: &RtpTransport, allowed: config::Transports) -> Option<Wish> {
    if offer.profile != RtpProfile::Avp || offer.params.multicast {
        return None;
    }
    match offer.lower_transport {
        Some(RtpLowerTransport::Tcp) if allowed.tcp => {
            let (rtp, rtcp) = offer.params.interleaved.unwrap_or((0, None));
            Some(Wish::Interleaved(rtp, rtcp.unwrap_or(rtp.wrapping_add(1))))
        }
        None | Some(RtpLowerTransport::Udp) if allowed.udp => {
            let (rtp, rtcp) = offer.params.client_port?;
            Some(Wish::Udp(rtp, rtcp.unwrap_or(rtp.wrapping_add(1))))
        }
        _ => None,
    }
}

/// Writes the answer's `Transport` header.
pub(crate) fn answer(lane: Lane, ssrc: u32) -> Transports {
    let pair = |(first, second)| Some((first, Some(second)));
    let mut params = RtpTransportParameters {
        unicast: true,
        ssrc: vec![ssrc],
        ..RtpTransportParameters::default()
    };
    let lower_transport = match lane {
        Lane::Interleaved(rtp, rtcp) => {
            params.interleaved = Some((rtp, Some(rtcp)));
            Some(RtpLowerTransport::Tcp)
        }
        Lane::Udp { client, server } => {
            (params.client_port, params.server_port) = (pair(client), pair(server));
            None
        }
    };
    let transport = RtpTransport { profile: RtpProfile::Avp, lower_transport, params };
    vec![Transport::Rtp(transport)].into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtsp_types::headers::{TRANSPORT, TypedHeader};
    use rtsp_types::{Method, Request, Response, StatusCode, Version};

    const BOTH: config::Transports = config::Transports { tcp: true, udp: true };
    const TCP: config::Transports = config::Transports { tcp: true, udp: false };

    fn offers(text: &str) -> Transports {
        let request =
            Request::builder(Method::Setup, Version::V1_0).header(TRANSPORT, text).empty();
        request.typed_header::<Transports>().unwrap().unwrap()
    }

    #[test]
    fn the_first_offer_that_can_be_served_is_taken() {
        let both = "RTP/AVP;multicast,RTP/AVP;unicast;client_port=5000-5001,RTP/AVP/TCP;unicast;interleaved=2-3";
        assert_eq!(choose(&offers(both), BOTH), Some(Wish::Udp(5000, 5001)));
        assert_eq!(choose(&offers(both), TCP), Some(Wish::Interleaved(2, 3)));
    }

    #[test]
    fn offers_out_of_real_clients_are_understood() {
        for (text, wish) in [
            ("RTP/AVP/TCP;unicast;interleaved=0-1", Wish::Interleaved(0, 1)),
            ("RTP/AVP/TCP;unicast;interleaved=0-1;mode=\"PLAY\"", Wish::Interleaved(0, 1)),
            ("RTP/AVP/TCP;unicast", Wish::Interleaved(0, 1)),
            ("RTP/AVP/UDP;unicast;client_port=15262-15263", Wish::Udp(15262, 15263)),
            ("RTP/AVP;unicast;client_port=4588", Wish::Udp(4588, 4589)),
        ] {
            assert_eq!(choose(&offers(text), BOTH), Some(wish), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_served_is_not_taken() {
        for text in
            ["RTP/AVP;multicast", "RTP/SAVP;unicast;client_port=1-2", "RAW/RAW/UDP", "RTP/AVP"]
        {
            assert_eq!(choose(&offers(text), BOTH), None, "{text}");
        }
        assert_eq!(choose(&offers("RTP/AVP;unicast;client_port=5000-5001"), TCP), None);
    }

    #[test]
    fn the_answer_names_ports_and_source() {
        let mut response = Response::builder(Version::V1_0, StatusCode::Ok).empty();
        let lane = Lane::Udp { client: (5000, 5001), server: (6000, 6001) };
        answer(lane, 0xAB).insert_into(&mut response);
        let text = response.header(&TRANSPORT).unwrap().as_str();
        assert_eq!(
            text,
            "RTP/AVP;unicast;ssrc=000000AB;client_port=5000-5001;server_port=6000-6001"
        );
    }
}
