//! The files of `sql/`: the views that every query may use, and the queries that have a name.
//!
//! Their text is the same on Athena, DataFusion and DuckDB. The embedded table gives the answer of `detections_unique`
//! without running it for every row: the module `unique` tells how.

/// A view over the table `detections`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// The name that queries use.
    pub name: &'static str,
    /// The statement that creates it.
    pub sql: &'static str,
}

/// The views, each after those that it reads.
pub const VIEWS: [View; 2] = [
    View { name: "detections_unique", sql: include_str!("../sql/views/detections_unique.sql") },
    View { name: "frames", sql: include_str!("../sql/views/frames.sql") },
];

/// A query that is often wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedQuery {
    /// The name it is called by.
    pub name: &'static str,
    /// Its text, with a comment at its head.
    pub sql: &'static str,
}

impl NamedQuery {
    /// What it answers: the first line of its head.
    pub fn title(&self) -> &'static str {
        self.sql.lines().next().unwrap_or_default().trim_start_matches("-- ")
    }
}

/// The named queries, in the order in which they are listed.
pub const NAMED_QUERIES: [NamedQuery; 8] = [
    NamedQuery {
        name: "counts-per-minute",
        sql: include_str!("../sql/queries/counts-per-minute.sql"),
    },
    NamedQuery { name: "last-seen", sql: include_str!("../sql/queries/last-seen.sql") },
    NamedQuery { name: "busiest-hour", sql: include_str!("../sql/queries/busiest-hour.sql") },
    NamedQuery { name: "latency", sql: include_str!("../sql/queries/latency.sql") },
    NamedQuery { name: "loss", sql: include_str!("../sql/queries/loss.sql") },
    NamedQuery { name: "errors", sql: include_str!("../sql/queries/errors.sql") },
    NamedQuery { name: "dwell", sql: include_str!("../sql/queries/dwell.sql") },
    NamedQuery { name: "answered", sql: include_str!("../sql/queries/answered.sql") },
];

/// Finds a named query.
pub fn named_query(name: &str) -> Option<&'static NamedQuery> {
    NAMED_QUERIES.iter().find(|query| query.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_named_query_says_what_it_answers() {
        for query in &NAMED_QUERIES {
            assert!(query.sql.starts_with("-- "), "{} has no head", query.name);
            assert!(query.title().ends_with('.') || query.title().ends_with(':'), "{query:?}");
        }
    }

    #[test]
    fn every_file_of_the_folder_has_its_name_in_the_list() {
        let files = |folder: &str| {
            let folder = format!("{}/sql/{folder}", env!("CARGO_MANIFEST_DIR"));
            let mut names: Vec<String> = std::fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        let mut queries: Vec<_> = NAMED_QUERIES.iter().map(|q| format!("{}.sql", q.name)).collect();
        queries.sort();
        assert_eq!(files("queries"), queries);
        assert_eq!(files("views"), VIEWS.map(|view| format!("{}.sql", view.name)));
    }
}
