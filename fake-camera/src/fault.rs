//! Faults: what can be wrong with a camera, asked for by flag, by HTTP or in a test, and what is wrong now.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::error::FaultError;

/// One fault to be put on a camera. In JSON: `{"kind": "lose", "rate": 0.02}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fault {
    /// Resets every connection that asks for this camera, without an answer.
    Refuse,
    /// Closes the connections: those open now, or with `every_seconds` each one that long after its PLAY.
    Close {
        /// Seconds from PLAY to the close; without it, one close now.
        #[serde(default)]
        every_seconds: Option<f64>,
    },
    /// Sends nothing at all, neither media nor answers, and keeps the connections open.
    Freeze,
    /// Leaves out RTP packets.
    Lose {
        /// Fraction of the packets, 0 to 1.
        rate: f64,
    },
    /// Sends an RTP packet after the one that follows it.
    Reorder {
        /// Fraction of the packets, 0 to 1.
        rate: f64,
    },
    /// Damages one payload byte of an RTP packet.
    Corrupt {
        /// Fraction of the packets, 0 to 1.
        rate: f64,
    },
    /// Sends RTP packets of another source between its own.
    Foreign {
        /// Fraction of the packets, 0 to 1.
        rate: f64,
    },
    /// Sets the bit of a NAL unit's header that must not be set.
    BadHeader {
        /// Fraction of the packets, 0 to 1.
        rate: f64,
    },
    /// Puts bytes that no NAL unit may hold into an RTP packet.
    Unescaped {
        /// Fraction of the packets, 0 to 1.
        rate: f64,
    },
    /// Leaves out RTP packets and gives their numbers to those that follow.
    Omit {
        /// Fraction of the packets, 0 to 1.
        rate: f64,
    },
    /// Answers DESCRIBE with a redirect to another camera of this server.
    Redirect {
        /// That camera's mount.
        to: String,
    },
    /// Goes on with pictures of another size (synthetic scene only).
    Resolution {
        /// Pixels, even.
        width: u32,
        /// Pixels, even.
        height: u32,
    },
    /// Moves a clock once, from now on.
    Jump {
        /// Seconds; negative moves it back.
        seconds: f64,
        /// Which clock; both when not said.
        #[serde(default)]
        clock: JumpingClock,
    },
    /// Sends all pictures but the key frames.
    NoKeyFrames,
    /// Marks more packets than its last one as the end of a picture.
    Mark {
        /// Which ones.
        every: Marked,
    },
    /// Describes the stream wrongly.
    WrongSdp(SdpFault),
    /// Answers DESCRIBE with a status.
    Status {
        /// 400 to 599.
        code: u16,
    },
    /// Takes every login for a wrong one.
    Unauthorized,
}

/// Which clock jumps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JumpingClock {
    /// RTP timestamps; sender reports keep telling the true time of capture.
    Rtp,
    /// The wall clock in the sender reports.
    Ntp,
    /// Both of them.
    #[default]
    Both,
}

/// Which packets are marked as the last of their picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Marked {
    /// All of them.
    Packet,
    /// Those that end a slice.
    Slice,
}

/// What is wrong with the session description.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SdpFault {
    /// Names this codec (`H265`, `JPEG`) instead of `H264`.
    pub codec: Option<String>,
    /// Offers this medium (`audio`, `application`) instead of `video`.
    pub media: Option<String>,
    /// Gives parameter sets that no decoder takes.
    pub garbage_parameters: bool,
    /// Has no media at all.
    pub no_media: bool,
    /// Is no session description but a page of HTML.
    pub not_sdp: bool,
}

/// What is wrong with a camera now.
///
/// # Units
/// Rates are fractions of the packets; jumps are seconds in all since the faults were last cleared.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "each field is the fault of its name")]
pub struct Faults {
    pub refuse: bool,
    pub close_every_seconds: Option<f64>,
    pub freeze: bool,
    pub lose: f64,
    pub reorder: f64,
    pub corrupt: f64,
    pub foreign: f64,
    pub bad_header: f64,
    pub unescaped: f64,
    pub omit: f64,
    pub redirect: Option<String>,
    pub resolution: Option<(u32, u32)>,
    pub rtp_jump_seconds: f64,
    pub ntp_jump_seconds: f64,
    pub no_key_frames: bool,
    pub mark: Option<Marked>,
    pub wrong_sdp: Option<SdpFault>,
    pub status: Option<u16>,
    pub unauthorized: bool,
}

/// Jumps beyond this leave what RTP's and NTP's 32 bits can tell apart.
const MAX_JUMP_SECONDS: f64 = 1e9;

/// Sizes that the synthetic scene can have.
const WIDTHS: RangeInclusive<u32> = 160..=3_840;
const HEIGHTS: RangeInclusive<u32> = 90..=2_160;

impl Faults {
    /// Adds one fault.
    ///
    /// # Errors
    /// A rate, size, time or status that makes no sense; `self` is unchanged then.
    pub fn add(&mut self, fault: &Fault) -> Result<(), FaultError> {
        match fault {
            Fault::Refuse => self.refuse = true,
            Fault::Close { every_seconds: Some(s) } => {
                self.close_every_seconds = Some(seconds(*s, 0.01, 1e6)?);
            }
            // Closing now is an event; nothing stays wrong.
            Fault::Close { every_seconds: None } => {}
            Fault::Freeze => self.freeze = true,
            Fault::Lose { rate: r } => self.lose = rate(*r)?,
            Fault::Reorder { rate: r } => self.reorder = rate(*r)?,
            Fault::Corrupt { rate: r } => self.corrupt = rate(*r)?,
            Fault::Foreign { rate: r } => self.foreign = rate(*r)?,
            Fault::BadHeader { rate: r } => self.bad_header = rate(*r)?,
            Fault::Unescaped { rate: r } => self.unescaped = rate(*r)?,
            Fault::Omit { rate: r } => self.omit = rate(*r)?,
            Fault::Redirect { to } => self.redirect = Some(to.clone()),
            Fault::Resolution { width, height } => {
                self.resolution = Some((side(*width, WIDTHS)?, side(*height, HEIGHTS)?));
            }
            Fault::Jump { seconds: s, clock } => self.jump(*s, *clock)?,
            Fault::NoKeyFrames => self.no_key_frames = true,
            Fault::Mark { every } => self.mark = Some(*every),
            Fault::WrongSdp(wrong) if *wrong == SdpFault::default() => {
                return Err(FaultError::new("wrong-sdp names nothing to be wrong"));
            }
            Fault::WrongSdp(wrong) => self.wrong_sdp = Some(wrong.clone()),
            Fault::Status { code } if !(400..=599).contains(code) => {
                return Err(FaultError::new(format!("status {code} is not in 400 to 599")));
            }
            Fault::Status { code } => self.status = Some(*code),
            Fault::Unauthorized => self.unauthorized = true,
        }
        Ok(())
    }

    fn jump(&mut self, by: f64, clock: JumpingClock) -> Result<(), FaultError> {
        let by = seconds(by, -MAX_JUMP_SECONDS, MAX_JUMP_SECONDS)?;
        if clock != JumpingClock::Ntp {
            self.rtp_jump_seconds += by;
        }
        if clock != JumpingClock::Rtp {
            self.ntp_jump_seconds += by;
        }
        Ok(())
    }
}

fn rate(rate: f64) -> Result<f64, FaultError> {
    if (0.0..=1.0).contains(&rate) {
        return Ok(rate);
    }
    Err(FaultError::new(format!("rate {rate} is not in 0 to 1")))
}

fn seconds(seconds: f64, least: f64, most: f64) -> Result<f64, FaultError> {
    if (least..=most).contains(&seconds) {
        return Ok(seconds);
    }
    Err(FaultError::new(format!("{seconds} seconds are not in {least} to {most}")))
}

fn side(pixels: u32, allowed: RangeInclusive<u32>) -> Result<u32, FaultError> {
    if allowed.contains(&pixels) && pixels.is_multiple_of(2) {
        return Ok(pixels);
    }
    let (least, most) = allowed.into_inner();
    Err(FaultError::new(format!("{pixels} pixels are not an even number in {least} to {most}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Fault, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn every_kind_has_its_json() {
        let kinds = [
            (r#"{"kind":"refuse"}"#, Fault::Refuse),
            (r#"{"kind":"close"}"#, Fault::Close { every_seconds: None }),
            (r#"{"kind":"close","every_seconds":3}"#, Fault::Close { every_seconds: Some(3.0) }),
            (r#"{"kind":"freeze"}"#, Fault::Freeze),
            (r#"{"kind":"lose","rate":0.5}"#, Fault::Lose { rate: 0.5 }),
            (r#"{"kind":"reorder","rate":0.5}"#, Fault::Reorder { rate: 0.5 }),
            (r#"{"kind":"corrupt","rate":0.5}"#, Fault::Corrupt { rate: 0.5 }),
            (r#"{"kind":"foreign","rate":0.5}"#, Fault::Foreign { rate: 0.5 }),
            (r#"{"kind":"bad-header","rate":0.5}"#, Fault::BadHeader { rate: 0.5 }),
            (r#"{"kind":"unescaped","rate":0.5}"#, Fault::Unescaped { rate: 0.5 }),
            (r#"{"kind":"omit","rate":0.5}"#, Fault::Omit { rate: 0.5 }),
            (r#"{"kind":"redirect","to":"yard"}"#, Fault::Redirect { to: "yard".into() }),
            (
                r#"{"kind":"resolution","width":320,"height":180}"#,
                Fault::Resolution { width: 320, height: 180 },
            ),
            (
                r#"{"kind":"jump","seconds":-5,"clock":"ntp"}"#,
                Fault::Jump { seconds: -5.0, clock: JumpingClock::Ntp },
            ),
            (r#"{"kind":"no-key-frames"}"#, Fault::NoKeyFrames),
            (r#"{"kind":"mark","every":"slice"}"#, Fault::Mark { every: Marked::Slice }),
            (
                r#"{"kind":"wrong-sdp","codec":"H265"}"#,
                Fault::WrongSdp(SdpFault { codec: Some("H265".into()), ..SdpFault::default() }),
            ),
            (
                r#"{"kind":"wrong-sdp","no-media":true}"#,
                Fault::WrongSdp(SdpFault { no_media: true, ..SdpFault::default() }),
            ),
            (r#"{"kind":"status","code":503}"#, Fault::Status { code: 503 }),
            (r#"{"kind":"unauthorized"}"#, Fault::Unauthorized),
        ];
        for (json, fault) in kinds {
            assert_eq!(parse(json).unwrap(), fault, "{json}");
        }
    }

    #[test]
    fn unknown_kinds_and_fields_are_refused() {
        assert!(parse(r#"{"kind":"explode"}"#).is_err());
        assert!(parse(r#"{"kind":"lose","rate":0.5,"until":3}"#).is_err());
        assert!(parse(r#"{"kind":"wrong-sdp","colour":"red"}"#).is_err());
    }

    #[test]
    fn senseless_numbers_are_refused_and_change_nothing() {
        let mut faults = Faults::default();
        for fault in [
            Fault::Lose { rate: 1.5 },
            Fault::Corrupt { rate: f64::NAN },
            Fault::Close { every_seconds: Some(0.0) },
            Fault::Resolution { width: 321, height: 180 },
            Fault::Resolution { width: 320, height: 100_000 },
            Fault::Jump { seconds: f64::INFINITY, clock: JumpingClock::Both },
            Fault::WrongSdp(SdpFault::default()),
            Fault::Status { code: 200 },
        ] {
            assert!(faults.add(&fault).is_err(), "{fault:?}");
        }
        assert_eq!(faults, Faults::default());
    }

    #[test]
    fn jumps_add_up_per_clock() {
        let mut faults = Faults::default();
        faults.add(&Fault::Jump { seconds: 10.0, clock: JumpingClock::Both }).unwrap();
        faults.add(&Fault::Jump { seconds: -3.0, clock: JumpingClock::Rtp }).unwrap();
        assert_eq!((faults.rtp_jump_seconds, faults.ntp_jump_seconds), (7.0, 10.0));
    }
}
