//! What access units tell beyond their pictures, and models should know of: each said once.

use super::{Arrival, Incident};

/// Follows one connection.
#[derive(Debug, Default)]
pub(crate) struct Signs {
    /// Nothing was lost since the last key frame, so that later pictures need none.
    whole: bool,
    refreshes: bool,
    turned: bool,
    incidents: Vec<Incident>,
}

impl Signs {
    /// Takes note of a unit. Tells whether it is as good as a key frame to whoever has all before it: pictures are
    /// refreshed little by little from it on (intra refresh).
    pub(crate) fn unit(&mut self, arrival: &Arrival) -> bool {
        let unit = &arrival.unit;
        self.whole = unit.key || self.whole && !arrival.loss;
        if unit.key
            && let Some(orientation) = unit.orientation()
        {
            let mirrored = if orientation.mirrored { " mirrored," } else { "" };
            let words = format!(
                "its pictures are to be shown{mirrored} turned clockwise by {:.0}°: models see them as they are coded",
                orientation.degrees
            );
            Self::tell(&mut self.turned, "rotation", words, &mut self.incidents);
        }
        let refreshes = unit.refreshes();
        if refreshes {
            let words = "it refreshes its pictures little by little and sends hardly any key frames: set pick = \"exact\" \
                         for its models, and key frames in the camera if pictures are to come back after a loss";
            Self::tell(&mut self.refreshes, "intra-refresh", words.to_owned(), &mut self.incidents);
        }
        refreshes && self.whole
    }

    /// Gives what was seen since the last call.
    pub(crate) fn incidents(&mut self) -> Vec<Incident> {
        std::mem::take(&mut self.incidents)
    }

    fn tell(told: &mut bool, kind: &'static str, words: String, incidents: &mut Vec<Incident>) {
        if !std::mem::replace(told, true) {
            incidents.push(Incident { kind, words });
        }
    }
}

#[cfg(test)]
mod tests {
    use media::AccessUnit;
    use services::MediaTime;

    use super::*;
    use crate::sample::tests::stamp;

    fn unit(data: &[u8], loss: bool) -> Arrival {
        let unit = AccessUnit::from_annex_b(data.to_vec(), 0, 0);
        Arrival { stamp: stamp(0, MediaTime(0)), loss, unit }
    }

    fn kinds(signs: &mut Signs) -> Vec<&'static str> {
        signs.incidents().iter().map(|incident| incident.kind).collect()
    }

    #[test]
    fn an_intra_refresh_is_told_once_and_stands_for_key_frames_until_something_is_lost() {
        let idr = unit(&[0, 0, 1, 0x65, 0x88], false);
        // A recovery point 3 frames on, before a P slice.
        let point = |loss| unit(&[0, 0, 1, 0x06, 0x06, 1, 0x24, 0x80, 0, 0, 1, 0x41, 0x9a], loss);
        let mut signs = Signs::default();
        assert!(!signs.unit(&point(false)), "nothing before it is known");
        assert_eq!(kinds(&mut signs), ["intra-refresh"]);
        assert!(!signs.unit(&idr));
        assert!(signs.unit(&point(false)));
        assert!(signs.incidents().is_empty());
        assert!(!signs.unit(&point(true)) && !signs.unit(&point(false)));
    }

    #[test]
    fn how_pictures_are_to_be_turned_is_told_once() {
        let idr = unit(&[0, 0, 1, 0x06, 47, 3, 8, 0, 0x10, 0x80, 0, 0, 1, 0x65, 0x88], false);
        let mut signs = Signs::default();
        (0..2).for_each(|_| assert!(!signs.unit(&idr)));
        let words = "its pictures are to be shown turned clockwise by 270°: models see them as they are coded";
        assert_eq!(signs.incidents(), [Incident { kind: "rotation", words: words.to_owned() }]);
    }
}
