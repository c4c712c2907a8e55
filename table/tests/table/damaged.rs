//! A file that is damaged in its middle: what is answered of it, and that it is always named.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use datafusion::parquet::file::reader::{FileReader as _, SerializedFileReader};
use services::delivery::Gap;
use table::print::{Format, print};
use table::{EmbeddedTable, Table as _};

use crate::site::{Site, row};

/// Rows of a page, at most: those of the first are whole.
const PAGE: u64 = 20_000;
const ROWS: u64 = PAGE + 2_000;

/// The first file has frames 0 to [`ROWS`], and those of its second page are damaged; the second has ten of them again,
/// and ten others.
async fn site() -> (Site, PathBuf) {
    let site = Site::new();
    for from in (0..ROWS).step_by(500) {
        site.deliver(&(from..from + 500).map(row).collect::<Vec<_>>()).await;
    }
    site.file().await;
    let file = services::delivery::snapshot(&site.data().buffer()).unwrap().files.remove(0).path;
    damage_second_page(&file, "frame_id");
    site.deliver(&(0..10).chain(ROWS..ROWS + 10).map(row).collect::<Vec<_>>()).await;
    site.file().await;
    (site, file)
}

fn damage_second_page(path: &Path, column: &str) {
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let columns = reader.metadata().row_group(0).columns().iter();
    let chunk = columns.clone().find(|chunk| chunk.column_path().string() == column).unwrap();
    let (start, length) = chunk.byte_range();
    let end = usize::try_from(start + length).unwrap();
    let mut bytes = fs::read(path).unwrap();
    bytes[end - 500..end].fill(0xa5);
    fs::write(path, bytes).unwrap();
}

/// How many rows a question finds, and what they are without.
async fn rows(table: &EmbeddedTable, sql: &str) -> (u64, Vec<Gap>) {
    let mut answer = table.query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let mut text = Vec::new();
    let rows = print(&mut answer, Format::Csv, &mut text).await;
    (rows.unwrap_or_else(|error| panic!("{sql}: {error}")), answer.gaps())
}

#[tokio::test]
async fn no_row_of_a_damaged_file_is_in_what_is_worked_out_of_all_rows() {
    let (site, file) = site().await;
    let table = site.open();
    for sql in [
        "SELECT frame_id FROM detections GROUP BY frame_id",
        "SELECT frame_id FROM detections ORDER BY frame_id",
        "SELECT a.frame_id FROM detections a JOIN detections b ON a.frame_id = b.frame_id GROUP BY 1",
        // The view is found to be damaged while it is planned.
        "SELECT seq, captured_at FROM detections_unique",
        "SELECT seq FROM frames WHERE status = 'ok'",
    ] {
        let (rows, gaps) = rows(&table, sql).await;
        assert_eq!(rows, 20, "{sql}");
        let [gap] = <[Gap; 1]>::try_from(gaps).unwrap();
        assert_eq!((gap.file.as_path(), gap.rows), (file.as_path(), ROWS), "{sql}");
        assert!(!gap.reason.contains("may be in the answer"), "{sql}: {gap}");
    }
}

#[tokio::test]
async fn rows_that_were_given_before_the_damage_are_told_of() {
    let (site, file) = site().await;
    let (rows, gaps) = rows(&site.open(), "SELECT frame_id FROM detections").await;
    assert!((20..ROWS).contains(&rows), "{rows}");
    let [gap] = <[Gap; 1]>::try_from(gaps).unwrap();
    assert_eq!(gap.file, file);
    assert!(gap.reason.ends_with("rows before the damage may be in the answer"), "{gap}");
}

#[tokio::test]
async fn what_the_question_gets_wrong_is_no_damage() {
    let (site, _) = site().await;
    let table = site.open();
    let mut answer = table.query("SELECT CAST(label AS INT) FROM detections").await.unwrap();
    let error = print(&mut answer, Format::Csv, &mut Vec::new()).await.unwrap_err();
    assert!(error.to_string().contains("circle"), "{error}");
    assert!(answer.gaps().is_empty());
}
