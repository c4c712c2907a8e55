//! The named queries over real rows: what they print is held in golden files.

use services::StreamId;
use table::print::{Format, print};
use table::{NAMED_QUERIES, Table as _};

use crate::site::{Site, failed, nothing, row};

/// Two streams over two hours, tracked and not, one failure, half filed, the first frame delivered twice.
async fn site() -> Site {
    let site = Site::new();
    let tracked = |mut row: services::DetectionRow, track: &str, latency_ms| {
        row.track_id = Some(track.to_owned());
        row.latency_ms = latency_ms;
        row
    };
    let yard = |mut row: services::DetectionRow| {
        row.stream = StreamId::new("yard").unwrap();
        row.frame_id = row.frame_id.replace("gate", "yard");
        row.label = Some("square".to_owned());
        row
    };
    site.deliver(&[row(1), tracked(row(2), "t1", 10), tracked(row(62), "t1", 20)]).await;
    site.deliver(&[yard(row(3)), yard(row(3_700)), nothing(4)]).await;
    site.file().await;
    site.deliver(&[row(1), failed(5, "tensor \"images\" is missing"), row(3_601)]).await;
    site
}

#[tokio::test]
async fn every_named_query_answers() {
    let site = site().await;
    let table = site.open();
    for query in &NAMED_QUERIES {
        let mut answer =
            table.query(query.sql).await.unwrap_or_else(|e| panic!("{}: {e}", query.name));
        let mut out = format!("{}\n", query.title()).into_bytes();
        let rows = print(&mut answer, Format::Table, &mut out).await.unwrap();
        assert!(rows > 0, "{} found nothing", query.name);
        insta::assert_snapshot!(query.name, String::from_utf8(out).unwrap());
    }
}

#[tokio::test]
async fn a_row_is_printed_with_all_its_columns() {
    let site = site().await;
    let answer = site.open();
    let mut answer = answer.query("SELECT * FROM detections WHERE seq = 62").await.unwrap();
    let mut out = Vec::new();
    print(&mut answer, Format::JsonLines, &mut out).await.unwrap_or_else(|e| panic!("{e}"));
    insta::assert_snapshot!(String::from_utf8(out).unwrap());
}
