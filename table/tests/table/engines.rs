//! The same SQL elsewhere: DuckDB gives the same answers over the same files, and a parser of Athena's dialect knows
//! every statement.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use services::{CaptureTime, DetectionRow, ModelName, StreamId};
use table::print::{Format, print};
use table::{EmbeddedTable, NAMED_QUERIES, Table as _, TimeRange, VIEWS, named_query};

use crate::site::{NOON, Site, failed, nothing, row};

fn crate_folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Runs a script of `tests/sql` with the Python that has its requirements; none with `SKIP_SQL=1`.
#[expect(clippy::print_stdout, reason = "a skipped test says why")]
fn run(script: &str, arguments: &[&Path]) -> Option<Output> {
    if std::env::var("SKIP_SQL").is_ok_and(|skip| skip == "1") {
        println!("skipped: SKIP_SQL=1");
        return None;
    }
    let python = std::env::var_os("SQL_TEST_PYTHON").expect(
        "SQL_TEST_PYTHON names a Python with table/tests/sql/requirements.txt: `make test` makes it; SKIP_SQL=1 leaves \
         out what needs it",
    );
    let script = crate_folder("tests/sql").join(script);
    Some(Command::new(python).arg(script).args(arguments).output().unwrap())
}

fn assert_succeeded(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn sql_files(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(crate_folder("sql").join(folder)).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn athena_knows_every_statement() {
    let extra = vec![crate_folder("tests/sql/extra.sql")];
    let files = [sql_files("queries"), sql_files("views"), extra].concat();
    let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    if let Some(output) = run("dialect.py", &files) {
        assert_succeeded(&output);
    }
}

#[test]
fn a_statement_that_athena_does_not_know_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("unknown.sql");
    std::fs::write(&file, "ALTER TABLE detections BECOME unique").unwrap();
    if let Some(output) = run("dialect.py", &[&file]) {
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains("unknown.sql: unknown statement: ALTER TABLE"), "{told}");
    }
}

/// A frame's row in one of two streams, asked of one of two models.
fn of(mut row: DetectionRow, stream: &str, model: &str) -> DetectionRow {
    row.frame_id = row.frame_id.replace("gate", stream);
    row.stream = StreamId::new(stream).unwrap();
    row.model = ModelName::new(model).unwrap();
    row
}

/// What an algorithm might say besides: nothing, JSON, or something else.
fn extra(seq: u64) -> Option<String> {
    match seq % 4 {
        0 => None,
        1 => Some("no JSON".to_owned()),
        _ => Some(format!(r#"{{"eyes": [{{"x": {seq}.5}}, "left"], "seen": true, "none": null}}"#)),
    }
}

/// One run's rows of the frame `seq`: found, not found or failed, by the number.
fn answer_of(seq: u64, stream: &str, model: &str) -> Vec<DetectionRow> {
    let latency_ms = i64::try_from(seq * 37 % 400).unwrap();
    let detections = |count| {
        let detection = move |detection: u32| DetectionRow {
            detection,
            label: Some(["circle", "square"][detection as usize % 2].to_owned()),
            score: Some((seq % 10) as f32 / 10.0),
            extra: extra(seq),
            track_id: seq.is_multiple_of(3).then(|| format!("t{}", seq / 60)),
            ..row(seq)
        };
        (0..count).map(detection).collect()
    };
    let rows = match seq % 7 {
        0 => vec![nothing(seq)],
        1 => vec![failed(seq, "deadline passed")],
        2 if seq.is_multiple_of(2) => vec![failed(seq, "image is damaged")],
        other => detections(u32::try_from(other % 4 + 1).unwrap()),
    };
    let inferred_at =
        |row: &DetectionRow| CaptureTime(row.stamp.captured_at.0 + latency_ms * 1_000);
    rows.into_iter()
        .map(|row| DetectionRow { inferred_at: inferred_at(&row), latency_ms, ..row })
        .map(|row| of(row, stream, model))
        .collect()
}

/// What a replay of a dead letter gives: an answer of another worker, later.
fn replayed(seq: u64, stream: &str, model: &str) -> DetectionRow {
    let late = of(row(seq), stream, model);
    DetectionRow {
        inferred_at: CaptureTime(late.stamp.captured_at.0 + 9_000_000),
        latency_ms: 9_000,
        worker: "w2".to_owned(),
        ..late
    }
}

/// Two streams and two models: detections, nothing, failures, some of them replayed, and every fifth frame of one
/// stream twice; in the order of their delivery, in parts that one call takes.
pub(crate) fn deliveries() -> Vec<Vec<DetectionRow>> {
    let asked = [("gate", "shapes"), ("gate", "faces"), ("yard", "shapes")];
    let first = asked.map(|(stream, model)| {
        (1..200).flat_map(|seq| answer_of(seq, stream, model)).collect::<Vec<_>>()
    });
    let again = (5..200).step_by(5).flat_map(|seq| answer_of(seq, "gate", "shapes")).collect();
    let replays = (1..200).step_by(14).map(|seq| replayed(seq, "yard", "shapes")).collect();
    let all = first.into_iter().chain([again, replays]);
    all.flat_map(|rows| rows.chunks(500).map(<[DetectionRow]>::to_vec).collect::<Vec<_>>())
        .collect()
}

/// A table of the [`deliveries`], each in a file of an hour of its own.
pub(crate) async fn site() -> Site {
    let site = Site::new();
    for rows in deliveries() {
        site.deliver(&rows).await;
        site.file().await;
    }
    site
}

/// Every question: the named queries, some of them over a range of time, all of each view, and what is in JSON.
fn questions() -> Vec<(String, String)> {
    let all = |name: &str, order: &str| {
        (name.to_owned(), format!("SELECT * FROM {name} ORDER BY {order}"))
    };
    let named = NAMED_QUERIES.iter().map(|query| (query.name.to_owned(), query.sql.to_owned()));
    let views = VIEWS.map(|view| match view.name {
        "detections_unique" => all(view.name, "frame_id, model, detection"),
        name => all(name, "frame_id, model"),
    });
    let within = |time: i64| Some(CaptureTime(NOON.0 + time * 1_000_000));
    let range = TimeRange { since: within(30), until: within(90) };
    let ranged = ["counts-per-minute", "loss"]
        .map(|name| (format!("{name}-ranged"), range.over(named_query(name).unwrap().sql)));
    let extra = std::fs::read_to_string(crate_folder("tests/sql/extra.sql")).unwrap();
    named.chain(views).chain(ranged).chain([("extra".to_owned(), extra)]).collect()
}

async fn write_answer(table: &EmbeddedTable, folder: &Path, name: &str, sql: &str) {
    let mut answer = table.query(sql).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut text = Vec::new();
    let rows = print(&mut answer, Format::Json, &mut text).await.unwrap();
    assert!(rows > 0, "{name} found nothing");
    std::fs::write(folder.join(format!("{name}.sql")), sql).unwrap();
    std::fs::write(folder.join(format!("{name}.json")), text).unwrap();
}

#[tokio::test]
async fn duckdb_gives_the_same_answers() {
    let site = site().await;
    let (answers, table) = (tempfile::tempdir().unwrap(), site.open());
    for (name, sql) in questions() {
        write_answer(&table, answers.path(), &name, &sql).await;
    }
    let files = site.data().table();
    if let Some(output) = run("answers.py", &[&files, &crate_folder("sql/views"), answers.path()]) {
        assert_succeeded(&output);
    }
    // An answer that was tampered with is told apart.
    let (loss, wrong) = (answers.path().join("loss.json"), r#"[{"stream": "gate"}]"#);
    std::fs::write(loss, wrong).unwrap();
    if let Some(output) = run("answers.py", &[&files, &crate_folder("sql/views"), answers.path()]) {
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.starts_with("loss: columns"), "{told}");
    }
}
