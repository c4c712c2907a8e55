//! `detections_unique` and `frames`: one run per frame and model, whatever was delivered how often.

use services::{CaptureTime, DetectionRow};

use crate::site::{Site, failed, nothing, row};

const UNIQUE: &str =
    "SELECT detection, label, model_version, status FROM detections_unique ORDER BY detection";

async fn unique(site: &Site) -> Vec<String> {
    let rows = site.ask(UNIQUE).await;
    let columns = ["detection", "label", "model_version", "status"].map(|c| rows.texts(c).unwrap());
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    (0..rows.len()).map(|i| columns.each_ref().map(|c| shown(&c[i])).join(" ")).collect()
}

fn detection(index: u32, label: &str) -> DetectionRow {
    DetectionRow { detection: index, label: Some(label.to_owned()), ..row(1) }
}

fn later(row: DetectionRow, version: &str) -> DetectionRow {
    let inferred_at = CaptureTime(row.inferred_at.0 + 1_000_000);
    DetectionRow { inferred_at, model_version: version.to_owned(), ..row }
}

#[tokio::test]
async fn rows_delivered_twice_are_shown_once() {
    let site = Site::new();
    let rows = [detection(0, "circle"), detection(1, "square")];
    site.deliver(&rows).await;
    site.file().await;
    site.deliver(&rows).await;
    assert_eq!(site.ask("SELECT 1 FROM detections").await.len(), 4);
    assert_eq!(unique(&site).await, ["0 circle v1 ok", "1 square v1 ok"]);
    let frames = site.ask("SELECT detections, max_score, hour FROM frames").await;
    assert_eq!(frames.integers("detections").unwrap(), [Some(2)]);
    assert_eq!(frames.numbers("max_score").unwrap(), [Some(0.5)]);
    assert_eq!(frames.texts("hour").unwrap(), [Some("12".to_owned())]);
}

#[tokio::test]
async fn a_second_run_replaces_the_first_as_a_whole() {
    let site = Site::new();
    site.deliver(&[detection(0, "circle"), detection(1, "square"), detection(2, "star")]).await;
    site.file().await;
    site.deliver(&[later(detection(0, "ring"), "v2")]).await;
    assert_eq!(unique(&site).await, ["0 ring v2 ok"]);
    site.deliver(&[later(later(nothing(1), "v3"), "v3")]).await;
    assert_eq!(unique(&site).await, ["0 - v3 none"]);
}

#[tokio::test]
async fn two_workers_that_answer_in_the_same_instant_are_not_mixed() {
    let site = Site::new();
    let other = |row: DetectionRow| DetectionRow { worker: "w0".to_owned(), ..row };
    site.deliver(&[detection(0, "circle"), detection(1, "square")]).await;
    site.deliver(&[other(detection(0, "ring"))]).await;
    assert_eq!(unique(&site).await, ["0 ring v1 ok"]);
}

#[tokio::test]
async fn an_answer_goes_before_an_error_whichever_came_first() {
    for replayed_later in [true, false] {
        let site = Site::new();
        let (error, answer) = (failed(1, "no such tensor"), detection(0, "circle"));
        let rows = if replayed_later {
            [error, later(answer, "v1")]
        } else {
            [later(error, "v1"), answer]
        };
        site.deliver(&rows).await;
        assert_eq!(unique(&site).await, ["0 circle v1 ok"]);
        assert_eq!(site.ask("SELECT 1 FROM frames WHERE status = 'error'").await.len(), 0);
    }
}

#[tokio::test]
async fn a_frame_without_detections_is_one_frame() {
    let site = Site::new();
    site.deliver(&[nothing(1), nothing(2), failed(3, "boom"), row(4)]).await;
    let frames = site
        .ask("SELECT seq, status, detections, max_score, reason FROM frames ORDER BY seq")
        .await;
    assert_eq!(frames.integers("detections").unwrap(), [Some(0), Some(0), Some(0), Some(1)]);
    assert_eq!(frames.numbers("max_score").unwrap(), [None, None, None, Some(0.5)]);
    assert_eq!(frames.texts("reason").unwrap()[2].as_deref(), Some("boom"));
}
