//! The stretch of time that a question is about.

use services::CaptureTime;

use crate::sql::VIEWS;

/// From one moment on, and before another; open where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeRange {
    /// The first moment.
    pub since: Option<CaptureTime>,
    /// The first moment after it.
    pub until: Option<CaptureTime>,
}

impl TimeRange {
    /// Tells whether every moment lies in it.
    pub fn is_all(&self) -> bool {
        self.since.is_none() && self.until.is_none()
    }

    /// A question over the views as one over their frames that were captured in the range. `sql` may not begin with
    /// WITH.
    ///
    /// The range is on `captured_at`, which the files' own statistics answer, and not on the partitions: those are of
    /// the delivery, and a long file that is read fast was delivered before its frames' times.
    pub fn over(&self, sql: &str) -> String {
        if self.is_all() {
            return sql.to_owned();
        }
        let at = |time: CaptureTime| {
            let text = time.to_string().replace('T', " ");
            format!("TIMESTAMP '{}'", text.trim_end_matches('Z'))
        };
        let since = self.since.map(|since| format!("captured_at >= {}", at(since)));
        let until = self.until.map(|until| format!("captured_at < {}", at(until)));
        let wanted: Vec<String> = [since, until].into_iter().flatten().collect();
        let wanted = wanted.join(" AND ");
        let view = |name| format!("{name} AS (SELECT * FROM {name} WHERE {wanted})");
        format!("WITH {}\n{sql}", VIEWS.map(|found| view(found.name)).join(",\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::NAMED_QUERIES;

    #[test]
    fn a_range_is_put_before_a_question() {
        let noon = CaptureTime(1_795_262_400_000_000);
        let range = TimeRange { since: Some(noon), until: Some(CaptureTime(noon.0 + 1_500_000)) };
        insta::assert_snapshot!(range.over("SELECT 1 FROM frames"), @"
        WITH detections_unique AS (SELECT * FROM detections_unique WHERE captured_at >= TIMESTAMP '2026-11-21 12:00:00.000000' AND captured_at < TIMESTAMP '2026-11-21 12:00:01.500000'),
        frames AS (SELECT * FROM frames WHERE captured_at >= TIMESTAMP '2026-11-21 12:00:00.000000' AND captured_at < TIMESTAMP '2026-11-21 12:00:01.500000')
        SELECT 1 FROM frames
        ");
        assert_eq!(TimeRange::default().over("SELECT 1"), "SELECT 1");
    }

    #[test]
    fn a_range_fits_every_named_query() {
        for query in &NAMED_QUERIES {
            let mut words = query.sql.lines().filter(|line| !line.starts_with("--"));
            assert!(words.next().unwrap().starts_with("SELECT"), "{}", query.name);
            assert!(!query.sql.contains("FROM detections\n"), "{} reads no view", query.name);
        }
    }
}
