//! The messages as others see them: golden files, generated schemas, and what is refused.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use services::message::ObjectRef;
use services::{
    Account, CaptureClock, CaptureTime, Detection, DetectionRow, Epoch, FrameBatch, FrameEntry,
    FrameFormat, FrameResult, MediaTime, ModelName, Payload, Region, Seq, Stamp, Status, StreamId,
};

const CAPTURED_AT: CaptureTime = CaptureTime(1_795_262_000_123_456);

fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("read {path:?}: {error}"))
}

fn stamp(seq: u64, clock: CaptureClock) -> Stamp {
    let media_time = MediaTime(9_000_000 + i64::try_from(seq).unwrap() * 3_600);
    Stamp { seq: Seq(seq), media_time, captured_at: CAPTURED_AT, clock }
}

fn entry(seq: u64, offset: u64, len: u64) -> FrameEntry {
    FrameEntry {
        stamp: stamp(seq, CaptureClock::Rtcp),
        width: 1_280,
        height: 720,
        format: FrameFormat::Jpeg,
        offset,
        len,
    }
}

fn object_batch() -> FrameBatch {
    FrameBatch {
        v: FrameBatch::VERSION,
        stream: StreamId::new("gate").unwrap(),
        epoch: Epoch(1_795_261_900_000),
        model: ModelName::new("shapes").unwrap(),
        window: 1,
        frames: vec![entry(2_500, 0, 40_000), entry(2_525, 40_000, 41_000)],
        payload: Payload::Object(ObjectRef {
            bucket: "objects".to_owned(),
            key: "frames/gate/1795261900000/0000002500-shapes.mjpeg".to_owned(),
            size: 81_000,
        }),
        deadline: None,
        reply_to: None,
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned(),
    }
}

fn inline_batch() -> FrameBatch {
    FrameBatch {
        window: 2,
        frames: vec![
            FrameEntry {
                format: FrameFormat::H264,
                stamp: stamp(0, CaptureClock::Arrival),
                ..entry(0, 0, 4)
            },
            FrameEntry {
                format: FrameFormat::H264,
                stamp: stamp(1, CaptureClock::Arrival),
                ..entry(1, 4, 1)
            },
        ],
        payload: Payload::inline(b"01234"),
        deadline: Some(CaptureTime(CAPTURED_AT.0 + 10_000_000)),
        reply_to: Some("replies".to_owned()),
        ..object_batch()
    }
}

fn row() -> DetectionRow {
    DetectionRow {
        stream: StreamId::new("gate").unwrap(),
        epoch: Epoch(1_795_261_900_000),
        stamp: Stamp { media_time: MediaTime(9_000_000), ..stamp(2_500, CaptureClock::File) },
        frame_id: "gate/1795261900000/0000002500".to_owned(),
        model: ModelName::new("shapes").unwrap(),
        model_version: "3f6c1a90b2d4".to_owned(),
        status: Status::Ok,
        reason: None,
        detection: 0,
        class_id: Some(1),
        label: Some("circle".to_owned()),
        score: Some(0.875),
        x: Some(0.25),
        y: Some(0.5),
        w: Some(0.125),
        h: Some(0.0625),
        track_id: None,
        extra: Some("{\"keypoints\":[]}".to_owned()),
        object_uri: Some(
            "s3://frames/frames/gate/1795261900000/0000002500-shapes.mjpeg".to_owned(),
        ),
        object_offset: Some(0),
        object_len: Some(40_000),
        inferred_at: CaptureTime(CAPTURED_AT.0 + 80_000),
        latency_ms: 80,
        worker: "worker-1".to_owned(),
    }
}

fn result() -> FrameResult {
    let DetectionRow { stream, epoch, stamp, model, .. } = row();
    let region = Some(Region { x: 0.25, y: 0.5, w: 0.125, h: 0.0625 });
    let extra = Some("{\"keypoints\":[]}".to_owned());
    let circle = Detection { class_id: 1, label: "circle".to_owned(), score: 0.875, region, extra };
    let whole =
        Detection { class_id: 0, label: "day".to_owned(), score: 1.0, region: None, extra: None };
    FrameResult {
        v: FrameResult::VERSION,
        stream,
        epoch,
        stamp,
        model,
        status: Status::Ok,
        reason: None,
        detections: vec![circle, whole],
        inferred_at: CaptureTime(CAPTURED_AT.0 + 80_000),
        latency_ms: 80,
    }
}

#[test]
fn version_1_of_the_messages_reads_and_writes_as_it_always_did() {
    for (file, batch) in [
        ("frame-batch-object.v1.json", object_batch()),
        ("frame-batch-inline.v1.json", inline_batch()),
    ] {
        let golden = read(&folder("testdata").join(file));
        assert_eq!(FrameBatch::from_json(&golden).unwrap(), batch, "{file}");
        assert_eq!(serde_json::to_string_pretty(&batch).unwrap(), golden.trim_end(), "{file}");
        assert_eq!(FrameBatch::from_json(&batch.to_json()).unwrap(), batch, "{file}");
    }
    let golden = read(&folder("testdata/detection-row.v1.json"));
    assert_eq!(serde_json::from_str::<DetectionRow>(&golden).unwrap(), row());
    // In which order a row's fields stand is nobody's business.
    let written = serde_json::to_value(row()).unwrap();
    assert_eq!(written, serde_json::from_str::<Value>(&golden).unwrap());
    let golden = read(&folder("testdata/frame-result.v1.json"));
    assert_eq!(FrameResult::from_json(golden.as_bytes()).unwrap(), result());
    assert_eq!(serde_json::to_string_pretty(&result()).unwrap(), golden.trim_end());
}

#[test]
fn a_result_of_another_version_is_named_and_a_field_that_is_not_known_is_passed_over() {
    let good = result().to_json().unwrap();
    let newer = good.replacen("\"v\":1", "\"v\":2", 1);
    let error = FrameResult::from_json(newer.as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "read result: version 2 is not known, expected 1");
    let larger = good.replacen("\"v\":1", "\"v\":1,\"engine\":\"tract\"", 1);
    assert_eq!(FrameResult::from_json(larger.as_bytes()).unwrap(), result());
}

#[test]
fn an_older_frame_is_wanted_as_much_shorter_as_it_is_older() {
    let batch = inline_batch();
    let wanted = |frame: usize| batch.deadline_of(&batch.frames[frame]).unwrap().0 - CAPTURED_AT.0;
    assert_eq!((wanted(0), wanted(1)), (10_000_000 - 40_000, 10_000_000));
    let batch = object_batch();
    assert_eq!(batch.deadline_of(&batch.frames[0]), None);
}

/// `UPDATE_SCHEMAS=1` writes them anew.
#[test]
fn the_schemas_are_those_of_the_types() {
    let schemas = [
        ("frame-batch.v1.json", schemars::schema_for!(FrameBatch)),
        ("detection-row.v1.json", schemars::schema_for!(DetectionRow)),
        ("frame-result.v1.json", schemars::schema_for!(FrameResult)),
    ];
    for (file, schema) in schemas {
        let path = folder("../docs/schema").join(file);
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if std::env::var_os("UPDATE_SCHEMAS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        assert_eq!(read(&path), text, "{file} is not that of its type: run `make schemas`");
    }
}

/// The error of a message that differs from a good one in one field.
fn refusal(field: &str, value: Value) -> String {
    let mut message = serde_json::to_value(object_batch()).unwrap();
    match message.pointer_mut(field) {
        Some(place) => *place = value,
        None => message[field] = value,
    }
    FrameBatch::from_json(&message.to_string()).unwrap_err().to_string()
}

/// The same text with a field that no version knows, wherever an object has fields of its own.
fn with_unknown_fields(golden: &str, places: &[&str]) -> String {
    let mut value: Value = serde_json::from_str(golden).unwrap();
    for place in places {
        value.pointer_mut(place).unwrap()["of_tomorrow"] = json!({ "any": ["thing"] });
    }
    value.to_string()
}

#[test]
fn fields_that_a_reader_does_not_know_are_left_out() {
    let testdata = folder("testdata");
    for (file, batch, places) in [
        (
            "frame-batch-object.v1.json",
            object_batch(),
            &["", "/frames/0", "/frames/1", "/payload/object"][..],
        ),
        ("frame-batch-inline.v1.json", inline_batch(), &["", "/frames/0"]),
    ] {
        let text = with_unknown_fields(&read(&testdata.join(file)), places);
        assert_eq!(FrameBatch::from_json(&text).unwrap(), batch, "{file}");
    }
    let text = with_unknown_fields(&read(&testdata.join("detection-row.v1.json")), &[""]);
    assert_eq!(serde_json::from_str::<DetectionRow>(&text).unwrap(), row());
    let account = Account { received: 5, taken: 5, ..Account::default() };
    let text = with_unknown_fields(&serde_json::to_string(&account).unwrap(), &[""]);
    assert_eq!(serde_json::from_str::<Account>(&text).unwrap(), account);
}

#[test]
fn another_version_is_named_before_anything_else_is_read() {
    let newer = json!({ "v": 2, "pictures": "in a field that version 1 does not know" });
    let error = FrameBatch::from_json(&newer.to_string()).unwrap_err();
    assert_eq!(error.to_string(), "read frame batch: version 2 is not known, expected 1");
}

#[test]
fn what_is_no_frame_batch_is_malformed() {
    for (text, expected) in [
        ("", "EOF while parsing a value at line 1 column 0"),
        ("<xml/>", "expected value at line 1 column 1"),
        ("{}", "missing field `v` at line 1 column 2"),
        ("{\"v\":1}", "missing field `stream` at line 1 column 7"),
    ] {
        let error = FrameBatch::from_json(text).unwrap_err().to_string();
        assert_eq!(error, format!("read frame batch: {expected}"));
    }
    let png = refusal("/frames/0/format", json!("png"));
    assert!(png.contains("unknown variant `png`, expected `jpeg` or `h264`"), "{png}");
    let shared = refusal("/payload", json!({ "shared": "memory" }));
    assert!(shared.contains("unknown variant `shared`, expected `object` or `inline`"), "{shared}");
    assert!(refusal("/stream", json!("../gate")).contains("stream id \"../gate\" is not allowed"));
    assert!(refusal("/frames/1/len", json!(-1)).contains("expected u64"));
}

#[test]
fn fields_that_contradict_each_other_are_refused_in_numbers() {
    let last = "read frame batch: frame gate/1795261900000/0000002525 is at bytes";
    for (field, value, expected) in [
        ("/frames", json!([]), "read frame batch: frames is empty, expected at least one".to_owned()),
        ("/window", json!(0), "read frame batch: 2 frames are no multiple of the window of 0".into()),
        ("/window", json!(3), "read frame batch: 2 frames are no multiple of the window of 3".into()),
        ("/frames/1/len", json!(41_001), format!("{last} 40000+41001 of a payload of 81000")),
        ("/frames/1/len", json!(u64::MAX), format!("{last} 40000+{} of a payload of 81000", u64::MAX)),
        (
            "/payload",
            json!({ "inline": "QUJD" }),
            "read frame batch: frame gate/1795261900000/0000002500 is at bytes 0+40000 of a payload of 3"
                .to_owned(),
        ),
    ] {
        assert_eq!(refusal(field, value), expected, "{field}");
    }
}

#[test]
fn what_the_table_cannot_hold_is_refused_with_its_frame() {
    let refused = |captured_at| {
        let mut batch = object_batch();
        batch.frames[1].stamp.captured_at = captured_at;
        FrameBatch::from_json(&batch.to_json()).unwrap_err().to_string()
    };
    for beyond in [CaptureTime(i64::MIN), CaptureTime(i64::MAX)] {
        let error = refused(beyond);
        assert!(error.contains("frame gate/1795261900000/0000002525 was captured at"), "{error}");
        assert!(error.ends_with("expected the years 1 to 9999"), "{error}");
    }
    let mut batch = object_batch();
    batch.epoch = Epoch(u64::MAX);
    let error = FrameBatch::from_json(&batch.to_json()).unwrap_err().to_string();
    assert!(error.ends_with(&format!("epoch and seq are at most {}", i64::MAX)), "{error}");
}

#[test]
fn a_message_cut_off_anywhere_is_refused_and_ends_nothing() {
    let whole = inline_batch().to_json();
    for end in 0..whole.len() {
        assert!(FrameBatch::from_json(&whole[..end]).is_err(), "{}", &whole[..end]);
    }
}
