//! `detections_unique` ranks only what may have been delivered more than once, and answers as its text does.

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use services::{CaptureTime, DetectionRow, ModelName, Status, StreamId};
use table::print::{Format, print};
use table::{EmbeddedTable, Limits, Table as _, VIEWS};

use crate::engines;
use crate::site::{NOON, Site, failed, nothing, row, rows};

/// The view's text as a question of its own.
fn ranked() -> &'static str {
    let view = VIEWS.iter().find(|view| view.name == "detections_unique").unwrap();
    view.sql.split_once("detections_unique AS\n").unwrap().1
}

/// What a question finds, in the order of its text.
async fn found(table: &EmbeddedTable, sql: &str) -> Vec<String> {
    let mut answer = table.query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let mut text = Vec::new();
    print(&mut answer, Format::Json, &mut text).await.unwrap();
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&text).unwrap();
    let mut rows: Vec<_> = rows.iter().map(ToString::to_string).collect();
    rows.sort();
    rows
}

async fn plan(table: &EmbeddedTable, sql: &str) -> String {
    let plan = rows(table, &format!("EXPLAIN {sql}")).await.texts("plan").unwrap();
    plan.into_iter().flatten().collect()
}

/// One run's rows of a random frame: few streams, models, frames, workers and times, so that many are alike.
fn run(random: &mut StdRng) -> Vec<DetectionRow> {
    let seq = random.random_range(0..12);
    let stream = StreamId::new(["gate", "yard"][random.random_range(0..2)]).unwrap();
    let model = ModelName::new(["shapes", "faces"][random.random_range(0..2)]).unwrap();
    let inferred_at = CaptureTime(NOON.0 + random.random_range(0..2) * 1_000);
    let worker = ["w1", "w2"][random.random_range(0..2)].to_owned();
    let model_version = ["v1", "v2"][usize::from(random.random_bool(0.1))].to_owned();
    let mut found = match random.random_range(0..8) {
        0 => vec![nothing(seq)],
        1 => vec![failed(seq, "boom")],
        _ => (0..random.random_range(1..4)).map(|_| row(seq)).collect(),
    };
    // Two frames of one time, and one frame of two times.
    let shift = if random.random_bool(0.1) { 1_000_000 } else { 0 };
    for (detection, row) in (0..).zip(&mut found) {
        row.frame_id = row.frame_id.replace("gate", stream.as_str());
        row.stamp.captured_at.0 += shift;
        row.stream = stream.clone();
        row.model = model.clone();
        row.inferred_at = inferred_at;
        row.worker.clone_from(&worker);
        row.model_version.clone_from(&model_version);
        row.detection = detection;
        row.label = (row.status == Status::Ok && random.random_bool(0.8)).then(|| worker.clone());
        row.score = random.random_bool(0.8).then(|| random.random_range(0.0..1.0));
    }
    found
}

/// A table of random runs: whole, in part, in any order, torn, again; in files and in the buffer.
async fn random_table(random: &mut StdRng) -> Site {
    let site = Site::new();
    for _ in 0..random.random_range(1..4) {
        let mut rows: Vec<_> = (0..random.random_range(1..20)).flat_map(|_| run(random)).collect();
        if random.random_bool(0.5) {
            let again = rows[..random.random_range(0..rows.len())].to_vec();
            rows.extend(again);
        }
        if random.random_bool(0.3) {
            rows.retain(|_| random.random_bool(0.8));
            rows.shuffle(random);
        }
        for part in rows.chunks(random.random_range(1..30)) {
            site.deliver(part).await;
            if random.random_bool(0.3) {
                site.file().await;
            }
        }
    }
    site
}

#[tokio::test]
async fn a_random_table_answers_as_the_text_of_the_view_does() {
    let filters = [
        "true",
        "stream = 'gate'",
        "captured_at > TIMESTAMP '2026-11-21 12:00:04' AND model = 'faces'",
        "frame_id < 'gate/0000000000007/0000000006' OR status = 'none'",
        "worker = 'w1'",
        "score > 0.5 AND inferred_at > TIMESTAMP '2026-11-21 12:00:00'",
        "hour = '13'",
        "dt = '2026-11-21' AND detection = 1",
        "latency_ms = (SELECT max(latency_ms) FROM detections_unique)",
    ];
    for seed in 0..9 {
        let mut random = StdRng::seed_from_u64(seed);
        let site = random_table(&mut random).await;
        let table = site.open();
        let filter = filters[usize::try_from(seed).unwrap() % filters.len()];
        for filter in ["true", filter] {
            let view = format!("SELECT * FROM detections_unique WHERE {filter}");
            let text = format!("SELECT * FROM ({}) AS unique WHERE {filter}", ranked());
            let (view, text) = (found(&table, &view).await, found(&table, &text).await);
            assert_eq!(view, text, "seed {seed}: {filter}");
        }
    }
}

#[tokio::test]
async fn what_was_delivered_once_is_not_ranked() {
    let site = Site::new();
    for seq in 0..20 {
        let second = DetectionRow { detection: 1, ..row(seq) };
        site.deliver(&[row(seq), second, nothing(100 + seq)]).await;
        if seq == 10 {
            site.file().await;
        }
    }
    let plan = plan(&site.open(), "SELECT label, count(*) FROM detections_unique GROUP BY 1").await;
    assert!(!plan.contains("WindowAgg") && !plan.contains("captured_at"), "{plan}");
    assert_eq!(found(&site.open(), "SELECT 1 FROM detections_unique").await.len(), 60);
    assert_eq!(found(&site.open(), "SELECT 1 FROM detections_unique LIMIT 7").await.len(), 7);
}

#[tokio::test]
async fn a_frame_delivered_twice_is_ranked_with_no_other_beside_it() {
    let site = Site::new();
    let all: Vec<_> = (0..50).map(row).collect();
    site.deliver(&all).await;
    site.file().await;
    site.deliver(&all[7..8]).await;
    let sql = "SELECT label, score FROM detections_unique WHERE score > 0.1";
    let plan = plan(&site.open(), sql).await;
    assert!(plan.contains("BoundedWindowAggExec"), "{plan}");
    // Below the ranking, the frames are told apart before they are sorted.
    let (_, ranking) = plan.split_once("BoundedWindowAggExec").unwrap();
    let (_, sorted) = ranking.split_once("SortExec").unwrap();
    let filter = sorted.split("FilterExec: captured_at").nth(1).unwrap_or_default();
    assert!(filter.contains(" AND is_repeated(captured_at"), "{plan}");
    assert_eq!(found(&site.open(), sql).await.len(), 50);
}

#[tokio::test]
async fn more_frames_than_memory_has_room_for_are_looked_at_in_parts() {
    let site = Site::new();
    for from in (0..20_000).step_by(500) {
        let rows: Vec<_> = (from..from + 500).map(row).collect();
        site.deliver(&rows).await;
    }
    site.deliver(&[row(3), row(19_000)]).await;
    site.file().await;
    let sql = "SELECT count(*) AS n FROM detections_unique";
    // Room for a quarter of them, and for none.
    for memory_bytes in [160_000, 20_000] {
        let limits = Limits { memory_bytes, ..Limits::default() };
        let plan = plan(&site.open_with(limits), sql).await;
        assert_eq!(plan.contains("is_repeated"), memory_bytes == 160_000, "{plan}");
        assert!(plan.contains("BoundedWindowAggExec"), "{plan}");
    }
    assert_eq!(rows(&site.open(), sql).await.integers("n").unwrap(), [Some(20_000)]);
}

#[tokio::test]
async fn every_view_answers_the_engines_questions_as_its_text_does() {
    let site = engines::site().await;
    let table = site.open();
    let view = found(&table, "SELECT * FROM detections_unique").await;
    assert_eq!(view, found(&table, ranked()).await);
}
