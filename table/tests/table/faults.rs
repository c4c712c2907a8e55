//! Folders and files that are not as they should be: each an error that names the file.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use services::delivery::Gap;
use services::{DataFolder, ErrorKind};
use table::print::{Format, print};
use table::{EmbeddedTable, QueryError, Table as _};

use crate::site::{Site, count, row};

/// An answer read to its end, as CSV, and what it is without.
async fn answer(table: &EmbeddedTable, sql: &str) -> (String, Vec<Gap>) {
    let mut answer = table.query(sql).await.unwrap();
    let mut text = Vec::new();
    print(&mut answer, Format::Csv, &mut text).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    (String::from_utf8(text).unwrap(), answer.gaps())
}

/// The one gap in an answer that has no row besides.
async fn gap(site: &Site) -> Gap {
    let (rows, gaps) = answer(&site.open(), "SELECT score FROM detections").await;
    assert_eq!(rows.lines().count(), 1, "{rows}");
    let [gap] = <[Gap; 1]>::try_from(gaps).unwrap();
    gap
}

fn assert_gap(gap: &Gap, file: &Path, reason: &str) {
    assert_eq!((gap.file.as_path(), gap.rows), (file, 2));
    assert!(gap.reason.contains(reason), "{gap}");
}

async fn filed(site: &Site) -> PathBuf {
    site.deliver(&[row(1), row(2)]).await;
    site.file().await;
    services::delivery::snapshot(&site.data().buffer()).unwrap().files.remove(0).path
}

fn assert_names(error: &QueryError, kind: ErrorKind, file: &str) {
    let QueryError::Rows(cause) = error else { panic!("{error}") };
    assert_eq!(cause.kind(), kind, "{error}");
    assert!(error.to_string().contains(file), "{error}");
    assert!(error.to_string().starts_with("run query: "), "{error}");
}

#[tokio::test]
async fn a_folder_without_deliveries_has_a_table_without_rows() {
    let folder = tempfile::tempdir().unwrap();
    let table = EmbeddedTable::open(&DataFolder::new(folder.path())).unwrap();
    assert_eq!(count(&table, "SELECT count(*) AS n FROM detections").await, 0);
    assert_eq!(count(&table, "SELECT count(*) AS n FROM frames").await, 0);
}

#[tokio::test]
async fn a_missing_folder_is_named() {
    let folder = tempfile::tempdir().unwrap().path().join("nowhere");
    let error = EmbeddedTable::open(&DataFolder::new(&folder)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let told = error.to_string();
    assert!(told.starts_with("open table in ") && told.contains("nowhere"), "{told}");
}

#[tokio::test]
async fn a_file_that_is_gone_is_named() {
    let site = Site::new();
    let path = filed(&site).await;
    fs::remove_file(&path).unwrap();
    assert_gap(&gap(&site).await, &path, "No such file");
}

#[tokio::test]
async fn a_file_that_lost_its_end_is_named() {
    let site = Site::new();
    let path = filed(&site).await;
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert_gap(&gap(&site).await, &path, &format!("expected {}", bytes.len()));
}

#[tokio::test]
async fn a_file_with_damaged_pages_is_named() {
    let site = Site::new();
    let path = filed(&site).await;
    let mut bytes = fs::read(&path).unwrap();
    bytes[4..2_000].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    site.deliver(&[row(3)]).await;
    site.file().await;
    site.deliver(&[row(4)]).await;
    for table in ["detections", "detections_unique", "frames"] {
        let sql =
            format!("SELECT seq, max(inferred_at) AS t FROM {table} GROUP BY seq ORDER BY seq");
        let (rows, gaps) = answer(&site.open(), &sql).await;
        let seqs: Vec<_> =
            rows.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
        assert_eq!(seqs, ["3", "4"], "{table}: {rows}");
        let [gap] = <[Gap; 1]>::try_from(gaps).unwrap();
        assert_gap(&gap, &path, "");
        assert_eq!(gap.hour.unwrap().hour(), "12");
    }
    let table = site.open();
    let whole = table.query("SELECT max(score) FROM detections").await.unwrap();
    let error = whole.collect().await.unwrap_err().to_string();
    assert!(error.starts_with("run query: up to 2 rows of "), "{error}");
}

#[tokio::test]
async fn an_empty_file_is_named() {
    let site = Site::new();
    let path = filed(&site).await;
    fs::write(&path, "").unwrap();
    assert_gap(&gap(&site).await, &path, "it has 0 bytes");
}

#[tokio::test]
async fn a_damaged_buffer_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let data = DataFolder::new(folder.path());
    fs::create_dir_all(data.table()).unwrap();
    fs::write(data.buffer(), "no database, but long enough to look like one".repeat(100)).unwrap();
    let table = EmbeddedTable::open(&data).unwrap();
    let error = table.query("SELECT 1 FROM detections").await.unwrap_err();
    assert_names(&error, ErrorKind::Corrupt, "buffer.sqlite");
}

#[tokio::test]
async fn a_damaged_file_of_another_hour_harms_no_query_that_leaves_it_out() {
    let site = Site::new();
    let path = filed(&site).await;
    fs::write(path, "damaged, and longer than a footer").unwrap();
    site.deliver(&[row(3)]).await;
    let table = site.open();
    for (filter, seqs, gaps) in [
        ("hour = '13'", "3", 0),
        ("dt = '2026-11-21' AND hour BETWEEN '12' AND '13'", "3", 1),
        ("dt < '2026-11-21'", "", 0),
        ("seq > 0", "3", 1),
    ] {
        let sql = format!("SELECT seq FROM detections WHERE {filter}");
        let (rows, named) = answer(&table, &sql).await;
        assert_eq!(rows.lines().skip(1).collect::<String>(), seqs, "{filter}");
        assert_eq!(named.len(), gaps, "{filter}: {named:?}");
    }
    assert!(answer(&table, "SELECT 1").await.1.is_empty());
}

/// A table in `folder` with one file, asked.
async fn count_in(folder: &Path) -> i64 {
    let site = Site::within(folder);
    filed(&site).await;
    count(&site.open(), "SELECT count(*) AS n FROM detections_unique").await
}

#[tokio::test]
async fn a_data_folder_may_have_any_path_that_the_system_opens() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("below")).unwrap();
    fs::create_dir(root.path().join("real")).unwrap();
    std::os::unix::fs::symlink(root.path().join("real"), root.path().join("link")).unwrap();
    let latin = OsStr::from_bytes(b"gr\xfcn");
    let names =
        ["below/../a", "with space", "100%", "%20", "#1", "a?b=c&d", "link/c", "\u{1f3a5}", "x\ny"];
    for name in names.map(OsStr::new).into_iter().chain([latin]) {
        assert_eq!(count_in(&root.path().join(name)).await, 2, "{name:?}");
    }
}
