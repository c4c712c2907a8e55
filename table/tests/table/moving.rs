//! Queries beside a process that delivers and files.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use table::Table as _;

use crate::site::{Site, count, row, rows};

const COUNT: &str = "SELECT count(*) AS n FROM detections";

#[tokio::test]
async fn rows_are_there_at_once_and_stay_when_they_are_filed() {
    let site = Site::new();
    let table = site.open();
    assert_eq!(count(&table, COUNT).await, 0);
    site.deliver(&[row(1), row(2)]).await;
    assert_eq!(count(&table, COUNT).await, 2);
    site.file().await;
    assert_eq!(count(&table, COUNT).await, 2);
    site.deliver(&[row(3)]).await;
    let seen = rows(&table, "SELECT seq, dt, hour FROM detections ORDER BY seq").await;
    assert_eq!(seen.integers("seq").unwrap(), [Some(1), Some(2), Some(3)]);
    let hours: Vec<_> = seen.texts("hour").unwrap().into_iter().flatten().collect();
    assert_eq!(hours, ["12", "12", "13"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_accepted_row_counts_once_while_rows_move() {
    const BATCHES: i64 = 40;
    const ROWS: i64 = 25;
    let site = Arc::new(Site::new());
    let accepted = Arc::new(AtomicI64::new(0));
    let writer = tokio::spawn({
        let (site, accepted) = (Arc::clone(&site), Arc::clone(&accepted));
        async move {
            for batch in 0..BATCHES {
                let seqs = batch * ROWS..(batch + 1) * ROWS;
                let rows: Vec<_> = seqs.map(|seq| row(u64::try_from(seq).unwrap())).collect();
                site.deliver(&rows).await;
                accepted.fetch_add(ROWS, Ordering::SeqCst);
                if batch % 2 == 0 {
                    site.file().await;
                }
            }
        }
    });
    let table = site.open();
    let mut seen = 0;
    while seen < BATCHES * ROWS {
        let before = accepted.load(Ordering::SeqCst);
        let found =
            rows(&table, "SELECT count(*) AS n, count(DISTINCT seq) AS m FROM detections").await;
        let after = accepted.load(Ordering::SeqCst) + ROWS;
        let (all, distinct) = (found.integers("n").unwrap()[0], found.integers("m").unwrap()[0]);
        assert_eq!(all, distinct, "a row was in a file and buffered");
        seen = all.unwrap();
        assert!((before..=after).contains(&seen), "{before} <= {seen} <= {after}");
        assert_eq!(seen % ROWS, 0, "part of a batch was seen");
    }
    writer.await.unwrap();
}

/// Files that were put together were removed under whoever still read them.
#[tokio::test]
async fn a_query_reads_to_its_end_while_its_files_are_put_together() {
    let site = Site::new();
    for file in 0..4 {
        site.deliver(&(file * 100..(file + 1) * 100).map(row).collect::<Vec<_>>()).await;
        site.filer.file_all().await.unwrap();
    }
    site.file().await;
    let table = site.open();
    let mut answer = table.query("SELECT a.seq FROM detections a, detections b").await.unwrap();
    let first = answer.next().await.unwrap().unwrap().num_rows();
    let done = site.filer.tend().await.unwrap();
    assert_eq!((done.made, done.left, done.removed), (1, 4, 0));
    assert_eq!(count(&table, COUNT).await, 400);
    let mut read = first;
    while let Some(batch) = answer.next().await {
        read += batch.unwrap().num_rows();
    }
    assert_eq!(read, 400 * 400);
    drop(answer);
    assert_eq!(count(&table, COUNT).await, 400);
    // The thread of a query lets go of its files soon after its last batch.
    while site.filer.tend().await.unwrap().removed == 0 {
        tokio::task::yield_now().await;
    }
    let files = services::delivery::snapshot(&site.data().buffer()).unwrap().files;
    assert_eq!(files.len(), 1);
    assert_eq!(count(&table, COUNT).await, 400);
}

#[tokio::test]
async fn an_answer_that_nobody_reads_to_its_end_holds_nothing_up() {
    let site = Site::new();
    let rows: Vec<_> = (0..500).map(row).collect();
    site.deliver(&rows).await;
    let table = site.open();
    let endless = "SELECT a.seq FROM detections a, detections b, detections c, detections d";
    let mut answer = table.query(endless).await.unwrap();
    assert!(answer.next().await.unwrap().is_ok());
    drop(answer);
    assert_eq!(count(&table, COUNT).await, 500);
}

#[tokio::test]
async fn a_table_that_is_closed_ends_its_answers_with_an_error() {
    let site = Site::new();
    site.deliver(&(0..500).map(row).collect::<Vec<_>>()).await;
    let table = site.open();
    let endless = "SELECT a.seq FROM detections a, detections b, detections c, detections d";
    let mut answer = table.query(endless).await.unwrap();
    drop(table);
    let error = loop {
        match answer.next().await {
            Some(Ok(_)) => {}
            end => break end.unwrap().unwrap_err(),
        }
    };
    assert!(matches!(error, table::QueryError::Stopped), "{error}");
}
