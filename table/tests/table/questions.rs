//! What may be asked, what is refused, and how a wrong question is answered.

use std::time::Duration;

use services::DetectionRow;
use table::print::{Format, print};
use table::{EmbeddedTable, Limits, QueryError, Table as _, named_query, query_within};

use crate::site::{Site, count, failed, row, rows};

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
        "SELECT 1/0",
        "SELECT CAST(label AS INT) FROM detections",
        "SELECT CAST('x' AS INT)",
        "SELECT label,\n  SUM(label) FROM detections_unique GROUP BY label",
        "SELECT sqrt(label) FROM detections",
        "SELECT * FROM detections WHERE captured_at > 'yesterday'",
        "SELECT * FROM detections WHERE captured_at > '2026-11-21 12:00'",
        "SELECT * FROM detections WHERE captured_at > '2026-11-21T12:00Z'",
        "SELECT * FROM detections WHERE score > 'high'",
        "SELECT json_extract_scalar(extra, 'eyes') FROM detections",
        "SELECT * FROM read_parquet('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "",
    ] {
        told += &format!("{sql}\n=> {}\n\n", refusal(&table, sql).await);
    }
    insta::assert_snapshot!(told);
}

#[tokio::test]
async fn an_endless_question_has_a_time_limit() {
    let site = Site::new();
    let table = site.open();
    let limit = Duration::from_millis(300);
    let endless = "generate_series(1, 1000000000000000)";
    for sql in [
        format!("SELECT count(*) FROM {endless}"),
        format!("SELECT a.value FROM {endless} AS a WHERE a.value < 0"),
    ] {
        let error = match query_within(&table, &sql, limit).await {
            Ok(answer) => answer.collect().await.unwrap_err(),
            Err(error) => error,
        };
        assert!(
            error.to_string().starts_with("run query: it was not answered within 300ms"),
            "{error}"
        );
    }
    assert_eq!(count(&table, "SELECT count(*) AS n FROM detections").await, 0);
}

#[tokio::test]
async fn a_time_in_a_zone_is_printed_in_it() {
    let site = Site::new();
    site.deliver(&[row(0)]).await;
    for (sql, printed) in [
        ("captured_at AT TIME ZONE 'Europe/Berlin'", "2026-11-21T13:00:00.000000+01:00"),
        ("captured_at AT TIME ZONE 'UTC'", "2026-11-21T12:00:00.000000Z"),
        ("captured_at", "2026-11-21T12:00:00.000000Z"),
        (
            "date_format(captured_at AT TIME ZONE 'Europe/Berlin', '%H:%i:%s, %M %e')",
            "\"13:00:00, November 21\"",
        ),
        ("date_format(captured_at, '%x-%v')", "2026-47"),
        ("inferred_at - captured_at", "00:00:00.04"),
        ("captured_at - TIMESTAMP '2026-11-01 00:00:00'", "20 days 12:00:00"),
    ] {
        let table = site.open();
        let mut answer =
            table.query(&format!("SELECT {sql} AS value FROM detections")).await.unwrap();
        let mut out = Vec::new();
        print(&mut answer, Format::Csv, &mut out).await.unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), format!("value\n{printed}\n"), "{sql}");
    }
}

#[tokio::test]
async fn a_zone_that_is_none_is_named() {
    let site = Site::new();
    site.deliver(&[row(0)]).await;
    let sql = "SELECT captured_at AT TIME ZONE 'Mars' AS at FROM detections";
    let mut answer = site.open().query(sql).await.unwrap();
    let error = print(&mut answer, Format::Csv, &mut Vec::new()).await.unwrap_err().to_string();
    assert!(error.contains("\"Mars\" is no time zone, expected one such as"), "{error}");
}

#[tokio::test]
async fn a_column_that_nobody_named_is_headed_as_it_was_asked_for() {
    let site = Site::new();
    site.deliver(&[row(0)]).await;
    let table = site.open();
    for (sql, head) in [
        (
            "SELECT captured_at - INTERVAL '1' HOUR FROM detections",
            "captured_at - INTERVAL '1' HOUR",
        ),
        (
            "SELECT json_extract_scalar(extra, '$.a') FROM detections",
            "\"json_extract_scalar(extra, '$.a')\"",
        ),
        ("SELECT label, score * 2 FROM detections ORDER BY score * 2 LIMIT 1", "label,score * 2"),
        (
            "SELECT a.label, b.label, 1.5 FROM detections a JOIN detections b USING (frame_id)",
            "label,label,1.5",
        ),
        ("SELECT 1, 2 AS \"1\"", "Int64(1),1"),
        ("SELECT count(*) FROM detections", "count(*)"),
    ] {
        let mut out = Vec::new();
        print(&mut table.query(sql).await.unwrap(), Format::Csv, &mut out).await.unwrap();
        let printed = String::from_utf8(out).unwrap();
        assert_eq!(printed.lines().next(), Some(head), "{sql}");
    }
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

/// Delivers one row of each of so many frames.
async fn deliver_frames(site: &Site, frames: u64) {
    for from in (0..frames).step_by(500) {
        let rows: Vec<_> = (from..from + 500).map(row).collect();
        site.deliver(&rows).await;
    }
}

#[tokio::test]
async fn the_views_hold_no_more_than_one_frame_beside_what_they_sort() {
    let site = Site::new();
    site.deliver(&[row(1), row(1)]).await;
    let plan = rows(&site.open(), "EXPLAIN SELECT * FROM frames").await;
    let plan = plan.texts("plan").unwrap().into_iter().flatten().collect::<String>();
    assert!(plan.contains(" BoundedWindowAggExec") && !plan.contains(" WindowAggExec"), "{plan}");
}

#[tokio::test]
async fn what_memory_does_not_hold_goes_through_temporary_files() {
    let site = Site::new();
    for _ in 0..2 {
        deliver_frames(&site, 15_000).await;
        site.file().await;
    }
    let limits = Limits { memory_bytes: 8 << 20, ..Limits::default() };
    let table = site.open_with(limits);
    let labels = "SELECT label, count(*) AS n FROM detections_unique GROUP BY label";
    assert_eq!(count(&table, labels).await, 15_000);
    let answered = named_query("answered").unwrap().sql;
    assert_eq!(rows(&table, answered).await.integers("frames").unwrap(), [Some(15_000)]);
    // One that is under way holds what it sorted, and leaves room for others.
    let sorted = "SELECT frame_id, score FROM detections_unique ORDER BY score, frame_id";
    let mut sorted = table.query(sorted).await.unwrap();
    assert!(sorted.next().await.unwrap().is_ok());
    assert_eq!(count(&table, labels).await, 15_000);
    let alone = site.open_with(Limits { memory_bytes: 4 << 20, spill_bytes: 0 });
    let error = refusal(&alone, labels).await;
    assert_eq!(
        error.to_string(),
        "run query: it needs more than the 4 MiB of memory that queries may use, \
         expected fewer rows: filter by stream or captured_at"
    );
}

/// The query of `docs/aws.md` that reads one day.
fn day_alone() -> String {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/aws.md"));
    let page = page.unwrap();
    let (_, section) = page.split_once("### To read a day alone").unwrap();
    let (_, query) = section.split_once("```sql\n").unwrap();
    query.split_once("```").unwrap().0.to_owned()
}

#[tokio::test]
async fn the_query_for_a_day_alone_opens_its_files_and_counts_as_the_view_does() {
    let site = Site::new();
    let square = DetectionRow { detection: 1, label: Some("square".to_owned()), ..row(2) };
    // Delivered at noon, at midnight, some of it again, and a day after that.
    site.deliver(&[row(1), row(2), square.clone(), failed(3, "boom")]).await;
    site.file().await;
    for _ in 1..12 {
        site.file().await;
    }
    site.deliver(&[row(2), square]).await;
    site.file().await;
    for _ in 13..36 {
        site.file().await;
    }
    site.deliver(&[row(36 * 3_600)]).await;
    site.file().await;
    let table = site.open();
    let view = "SELECT label, count(*) AS n FROM detections_unique \
                WHERE status = 'ok' AND captured_at < TIMESTAMP '2026-11-22 00:00:00' \
                GROUP BY label ORDER BY n DESC, label";
    let (day, all) = (rows(&table, &day_alone()).await, rows(&table, view).await);
    for rows in [day, all] {
        assert_eq!(rows.integers("n").unwrap(), [Some(2), Some(1)]);
        assert_eq!(rows.texts("label").unwrap(), [Some("circle".into()), Some("square".into())]);
    }
    let plan = rows(&table, &format!("EXPLAIN {}", day_alone())).await.texts("plan").unwrap();
    let plan = plan.into_iter().flatten().collect::<String>();
    assert!(plan.contains("dt=2026-11-21") && plan.contains("dt=2026-11-22"), "{plan}");
    assert!(!plan.contains("dt=2026-11-23"), "{plan}");
}

#[tokio::test]
async fn a_query_that_needs_too_much_memory_fails_alone() {
    let site = Site::new();
    deliver_frames(&site, 4_000).await;
    let table = site.open_with(Limits { memory_bytes: 100_000, spill_bytes: 0 });
    let wide = "SELECT frame_id, count(*) AS n FROM detections GROUP BY frame_id ORDER BY frame_id";
    let error = refusal(&table, wide).await;
    assert!(matches!(error, QueryError::TooLarge(_)), "{error}");
    assert_eq!(count(&table, "SELECT count(*) AS n FROM detections").await, 4_000);
}
