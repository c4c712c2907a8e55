//! What may be asked, what is refused, and how a wrong question is answered.

use table::{EmbeddedTable, Limits, QueryError, Table as _};

use crate::site::{Site, count, row, rows};

async fn refusal(table: &EmbeddedTable, sql: &str) -> QueryError {
    match table.query(sql).await {
        Err(error) => error,
        Ok(answer) => answer.collect().await.expect_err(sql),
    }
}

#[tokio::test]
async fn a_wrong_question_is_answered_with_the_place_and_what_was_meant() {
    let site = Site::new();
    site.deliver(&[row(1)]).await;
    let table = site.open();
    let mut told = String::new();
    for sql in [
        "SELECT lable FROM detections",
        "SELECT d.stream,\n       d.scor\nFROM detections AS d",
        "SELECT colour FROM frames",
        "SELECT * FROM detection",
        "SELECT * FROM detections WHERE",
        "SELECT * FORM detections",
        "SELECT 'open FROM detections",
        "SELECT conut(*) FROM detections",
        "SELECT stream, count(*) FROM detections",
        "SELECT * FROM detections WHERE label + 1 > 'a'",
        "SELECT stream FROM detections, frames",
        "SELECT 1 / (seq - seq) FROM detections",
        "SELECT CAST(label AS INT) FROM detections",
        "SELECT * FROM read_parquet('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "",
    ] {
        told += &format!("{sql}\n=> {}\n\n", refusal(&table, sql).await);
    }
    insta::assert_snapshot!(told);
}

#[tokio::test]
async fn only_questions_are_answered() {
    let site = Site::new();
    site.deliver(&[row(1)]).await;
    let table = site.open();
    for sql in [
        "CREATE TABLE t AS SELECT 1",
        "CREATE VIEW v AS SELECT 1",
        "SELECT * INTO t FROM detections",
        "INSERT INTO detections SELECT * FROM detections",
        "EXPLAIN ANALYZE INSERT INTO detections SELECT * FROM detections",
        "DELETE FROM detections",
        "DROP TABLE detections",
        "COPY detections TO 'x.csv'",
        "CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION '/tmp'",
        "SET datafusion.execution.batch_size = 1",
        "SELECT 1; DROP TABLE detections",
    ] {
        let error = refusal(&table, sql).await;
        assert!(matches!(error, QueryError::Refused { .. }), "{sql}: {error}");
    }
    assert_eq!(count(&table, "SELECT count(*) AS n FROM detections").await, 1);
}

#[tokio::test]
async fn the_tables_tell_of_themselves() {
    let site = Site::new();
    let table = site.open();
    let names =
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1";
    let names = rows(&table, names).await.texts("table_name").unwrap();
    let names: Vec<_> = names.into_iter().flatten().collect();
    assert_eq!(names, ["detections", "detections_unique", "frames"]);
    assert_eq!(rows(&table, "DESCRIBE detections").await.len(), 29);
    assert!(!rows(&table, "EXPLAIN SELECT * FROM frames").await.is_empty());
}

#[tokio::test]
async fn filters_on_the_partition_open_only_its_files() {
    let site = Site::new();
    for seq in 0..3 {
        site.deliver(&[row(seq)]).await;
        site.file().await;
    }
    let table = site.open();
    for (filter, files) in [
        ("true", 3),
        ("hour = '13'", 1),
        ("hour BETWEEN '12' AND '13'", 2),
        ("dt = '2026-11-21' AND hour IN ('12', '14') AND score > 0.1", 2),
        ("dt > '2026-11-21'", 0),
        ("hour = '13' OR seq = 0", 3),
    ] {
        let plan =
            rows(&table, &format!("EXPLAIN SELECT seq FROM detections WHERE {filter}")).await;
        let plan: Vec<_> = plan.texts("plan").unwrap().into_iter().flatten().collect();
        assert_eq!(plan.join("\n").matches(".parquet").count(), files, "{filter}:\n{plan:?}");
    }
    assert_eq!(count(&table, "SELECT count(*) AS n FROM detections WHERE hour = '13'").await, 1);
    let seen = rows(
        &table,
        "SELECT seq FROM frames WHERE captured_at >= TIMESTAMP '2026-11-21T12:00:02Z'",
    );
    assert_eq!(seen.await.integers("seq").unwrap(), [Some(2)]);
}

#[tokio::test]
async fn filters_on_a_view_reach_the_files() {
    let site = Site::new();
    site.deliver(&[row(1)]).await;
    site.file().await;
    let filter = "stream = 'gate' AND captured_at >= TIMESTAMP '2026-11-21T12:00:00Z'";
    for view in ["detections_unique", "frames"] {
        let sql = format!("EXPLAIN SELECT * FROM {view} WHERE {filter}");
        let plan = rows(&site.open(), &sql).await.texts("plan").unwrap();
        let plan = plan.into_iter().flatten().collect::<String>();
        let scan = plan.split("file_type=parquet").nth(1).unwrap();
        assert!(
            scan.starts_with(", predicate=stream@") && scan.contains("captured_at_max"),
            "{plan}"
        );
    }
}

#[tokio::test]
async fn a_query_that_needs_too_much_memory_fails_alone() {
    let site = Site::new();
    for chunk in 0..8 {
        let rows: Vec<_> = (chunk * 500..(chunk + 1) * 500).map(row).collect();
        site.deliver(&rows).await;
    }
    let table = site.open_with(Limits { memory_bytes: 100_000, spill_bytes: 0 });
    let wide = "SELECT frame_id, count(*) AS n FROM detections GROUP BY frame_id ORDER BY frame_id";
    let error = refusal(&table, wide).await;
    assert!(matches!(error, QueryError::TooLarge { .. }), "{error}");
    assert_eq!(count(&table, "SELECT count(*) AS n FROM detections").await, 4_000);
}
