//! Folders and files that are not as they should be: each an error that names the file.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use services::delivery::Gap;
use services::{DataFolder, ErrorKind};
use table::{EmbeddedTable, QueryError, Table as _};

use crate::site::{Site, count, row};

async fn failure(site: &Site) -> QueryError {
    let table = site.open();
    match table.query("SELECT max(score) AS n, max(label) FROM detections").await {
        Err(error) => error,
        Ok(answer) => answer.collect().await.expect_err("the file cannot be read"),
    }
}

/// The one gap in an answer that has no row besides.
async fn gap(site: &Site) -> Gap {
    let table = site.open();
    let answer = table.query("SELECT score FROM detections").await.unwrap();
    let [gap] = <[Gap; 1]>::try_from(answer.gaps().to_vec()).unwrap();
    assert_eq!(answer.collect().await.unwrap().len(), 0);
    gap
}

fn assert_gap(gap: &Gap, file: &Path, reason: &str) {
    assert_eq!((gap.file.as_path(), gap.rows), (file, 2));
    assert!(gap.reason.contains(reason), "{gap}");
}

async fn filed(site: &Site) -> PathBuf {
    site.deliver(&[row(1), row(2)]).await;
    site.file().await;
    services::delivery::snapshot(&site.data().buffer()).unwrap().files.remove(0)
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
    assert_names(&failure(&site).await, ErrorKind::Corrupt, path.to_str().unwrap());
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
    assert_eq!(count(&table, "SELECT max(seq) AS n FROM detections WHERE hour = '13'").await, 3);
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
