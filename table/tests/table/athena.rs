//! The table on AWS against the embedded one, over the same rows: Firehose takes them, Athena's emulator answers.

use std::time::Duration;

use aws::{FirehoseStream, test_site};
use services::config::AwsConfig;
use services::delivery::DeliveryStream as _;
use table::print::{Format, print};
use table::{AthenaTable, NAMED_QUERIES, QueryError, Table};
use tokio::time::timeout;

use crate::engines::{deliveries, site};

/// The names of an empty table with a delivery stream of its own, and that; none where there is no server.
async fn empty() -> Option<(AwsConfig, FirehoseStream)> {
    let sdk = test_site::client_config().await?;
    let config = AwsConfig { prefix: test_site::unique_name("table"), ..AwsConfig::default() };
    let bucket = format!("{}-rows", config.prefix);
    test_site::make_bucket(&sdk, &bucket).await;
    test_site::make_delivery_stream(&sdk, &config.delivery_stream(), &bucket).await;
    let firehose = aws_sdk_firehose::Client::new(&sdk);
    let stream = FirehoseStream::open(firehose, &config.delivery_stream()).await.unwrap();
    Some((config, stream))
}

async fn csv(table: &dyn Table, sql: &str) -> String {
    let mut answer = table.query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let mut text = Vec::new();
    print(&mut answer, Format::Csv, &mut text)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn the_named_queries_are_answered_as_by_the_embedded_table() {
    let Some((config, stream)) = empty().await else { return };
    for rows in deliveries() {
        let outcomes = stream.put(&rows).await.unwrap();
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    }
    let table = AthenaTable::open(&config).await.unwrap();
    let (site, mut asked) = (site().await, 0);
    for query in &NAMED_QUERIES {
        let expected = csv(&site.open(), query.sql).await;
        assert_eq!(csv(&table, query.sql).await, expected, "{}", query.name);
        asked += 1;
    }
    assert_eq!(asked, NAMED_QUERIES.len());
    let answer = table.query("SELECT COUNT(*) AS n FROM detections").await.unwrap();
    assert!(answer.scanned_bytes().unwrap() > 100_000, "{answer:?}");
    let delivered = deliveries().iter().map(Vec::len).sum::<usize>();
    let rows = answer.collect().await.unwrap();
    assert_eq!(rows.integers("n").unwrap(), [i64::try_from(delivered).ok()]);
}

#[tokio::test]
async fn a_long_answer_comes_in_pages() {
    let Some((config, stream)) = empty().await else { return };
    let mut frame_ids = Vec::new();
    for rows in deliveries() {
        stream.put(&rows).await.unwrap();
        frame_ids.extend(rows.into_iter().map(|row| Some(row.frame_id)));
    }
    frame_ids.sort();
    assert!(frame_ids.len() > 1_000, "one page would hold {}", frame_ids.len());
    let table = AthenaTable::open(&config).await.unwrap();
    let sql = "SELECT frame_id FROM detections ORDER BY frame_id";
    let rows = table.query(sql).await.unwrap().collect().await.unwrap();
    assert!(rows.batches().len() > 1);
    assert_eq!(rows.texts("frame_id").unwrap(), frame_ids);
}

#[tokio::test]
async fn a_wrong_name_is_told_at_its_place() {
    let Some((config, _stream)) = empty().await else { return };
    let table = AthenaTable::open(&config).await.unwrap();
    let error = table.query("SELECT lable FROM detections").await.unwrap_err();
    let QueryError::Sql(wrong) = &error else { panic!("{error}") };
    let at = wrong.position.unwrap();
    assert_eq!((at.line, at.column, at.width), (1, 8, 5), "{error}");
    assert!(error.to_string().contains("'lable' cannot be resolved"), "{error}");
}

#[tokio::test]
async fn a_query_that_is_given_up_ends_at_the_other_side() {
    let Some((config, _stream)) = empty().await else { return };
    let table = AthenaTable::open(&config).await.unwrap();
    // Ten thousand billion rows: it would take hours.
    let endless = "SELECT COUNT(*) FROM range(10000000) AS a CROSS JOIN range(1000000) AS b";
    let given_up = timeout(Duration::from_secs(2), table.query(endless)).await;
    assert!(given_up.is_err(), "{given_up:?}");
    timeout(Duration::from_secs(20), table.idle()).await.expect("the query is stopped");
    assert!(csv(&table, "SELECT 1 AS one").await.contains('1'), "others go on");
}

#[tokio::test]
async fn a_workgroup_that_does_not_exist_is_named() {
    if !test_site::is_wanted() {
        return;
    }
    let config = AwsConfig { prefix: "nobodys".to_owned(), ..AwsConfig::default() };
    let error = AthenaTable::open(&config).await.unwrap_err();
    let told = "open workgroup \"nobodys\": athena:GetWorkGroup: ";
    assert!(error.to_string().starts_with(told), "{error}");
}
