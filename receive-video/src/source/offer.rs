//! What a camera's description offers: the video that is received, or words for what there is instead.

/// One medium of a description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offer<'a> {
    /// `video`, `audio`, `application`.
    pub(super) media: &'a str,
    /// Name of the encoding, in small letters.
    pub(super) encoding: &'a str,
}

impl Offer<'_> {
    fn is_video(self) -> bool {
        self.media == "video"
    }

    /// By the name that a camera's pages have for it, with the standard where that helps to find it.
    fn name(self) -> String {
        let known = match (self.media, self.encoding) {
            (_, "h265") => "H.265 (RFC 7798)",
            (_, "jpeg") => "JPEG (RFC 2435)",
            ("video", "mp4v-es") => "MPEG-4 (RFC 6416)",
            ("video", "mpv") => "MPEG-2 (RFC 2250)",
            ("video", "mp2t") => "an MPEG-2 transport stream (RFC 2250)",
            ("video", "h263" | "h263-1998" | "h263-2000") => "H.263",
            ("audio", "mpeg4-generic" | "mp4a-latm") => "AAC",
            ("audio", "pcmu") => "G.711 µ-law",
            ("audio", "pcma") => "G.711 A-law",
            (_, "vnd.onvif.metadata") => "ONVIF metadata",
            (_, encoding) => return encoding.to_uppercase(),
        };
        known.to_owned()
    }
}

/// Finds the video that is received: the first of H.264.
///
/// # Errors
/// What there is instead, and what to set, in words for whoever looks after the camera.
pub(super) fn choose(offers: &[Offer<'_>]) -> Result<usize, String> {
    let h264 = offers.iter().position(|offer| offer.is_video() && offer.encoding == "h264");
    h264.ok_or_else(|| unfit(offers))
}

fn unfit(offers: &[Offer<'_>]) -> String {
    let (video, other): (Vec<Offer<'_>>, Vec<Offer<'_>>) =
        offers.iter().partition(|offer| offer.is_video());
    match (video.is_empty(), other.is_empty()) {
        (true, true) => "it offers no stream: look for another path in its manual".to_owned(),
        (true, false) => format!(
            "it offers {} and no video: switch its video on, as H.264, or look for another path in its manual",
            listed(&other)
        ),
        (false, _) => format!("it offers {} only: set it to H.264", listed(&video)),
    }
}

fn listed(offers: &[Offer<'_>]) -> String {
    let mut names: Vec<String> = Vec::new();
    for name in offers.iter().map(|offer| offer.name()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(offers: &[(&str, &str)]) -> Result<usize, String> {
        let offer = |&(media, encoding)| Offer { media, encoding };
        choose(&offers.iter().map(offer).collect::<Vec<_>>())
    }

    #[test]
    fn h264_is_chosen_wherever_it_stands() {
        assert_eq!(chosen(&[("audio", "pcmu"), ("video", "jpeg"), ("video", "h264")]), Ok(2));
    }

    #[test]
    fn another_codec_is_named_with_what_to_set() {
        for (encoding, name) in [
            ("jpeg", "JPEG (RFC 2435)"),
            ("h265", "H.265 (RFC 7798)"),
            ("mp4v-es", "MPEG-4 (RFC 6416)"),
            ("av1", "AV1"),
        ] {
            let words = format!("it offers {name} only: set it to H.264");
            assert_eq!(chosen(&[("video", encoding), ("audio", "pcma")]), Err(words));
        }
        let both = chosen(&[("video", "h265"), ("video", "jpeg"), ("video", "h265")]).unwrap_err();
        assert!(both.contains("H.265 (RFC 7798) and JPEG (RFC 2435) only"), "{both}");
    }

    #[test]
    fn sound_or_metadata_alone_is_named() {
        let words = chosen(&[("audio", "mpeg4-generic"), ("application", "vnd.onvif.metadata")]);
        let words = words.unwrap_err();
        assert!(words.starts_with("it offers AAC and ONVIF metadata and no video: "), "{words}");
        assert!(chosen(&[]).unwrap_err().starts_with("it offers no stream"));
    }
}
