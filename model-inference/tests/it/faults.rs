//! Messages, objects, frames and models that are not what they should be: each ends in its own error, and stops
//! nobody else.

use services::message::ObjectRef;
use services::{Payload, Status};

use super::support::{Site, jpeg_of, model_of, one_thing, thing};

/// A JPEG of 1 kB that claims 65,535 × 65,535 pixels.
fn claiming_jpeg() -> Vec<u8> {
    let mut bytes = jpeg_of(64, 32);
    let frame_header = bytes.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
    bytes[frame_header + 5..frame_header + 9].copy_from_slice(&[0xff; 4]);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_cannot_be_read_go_to_the_dead_letters_at_once() {
    let site = Site::new();
    let good = site.batch(&[jpeg_of(64, 32)]);
    let cases = [
        (good.to_json().replacen("\"v\":1", "\"v\":2", 1), "version 2 is not known, expected 1"),
        ("{\"v\":1,".to_owned(), "EOF while parsing"),
        (
            good.to_json().replacen("\"offset\":0", "\"offset\":18446744073709551615", 1),
            "of a payload of",
        ),
        (
            good.to_json().replacen("\"model\":\"m\"", "\"model\":\"other\"", 1),
            "it asks model \"other\"",
        ),
        (
            good.to_json().replacen(&format!("\"{}\"", site.ports.bucket.name), "\"elsewhere\"", 1),
            "in bucket \"elsewhere\"",
        ),
        (
            good.to_json().replacen("\"window\":1,\"frames\":[", "\"window\":2,\"frames\":[", 1),
            "no multiple of the window of 2",
        ),
        (
            good.to_json().replacen("\"object\":{", "\"shared\":{", 1),
            "unknown variant `shared`, expected `object` or `inline`",
        ),
        (
            good.to_json().replacen("\"jpeg\"", "\"png\"", 1),
            "unknown variant `png`, expected `jpeg` or `h264`",
        ),
    ];
    let worker = site.start(one_thing());
    for (body, _) in &cases {
        assert_ne!(*body, good.to_json());
        site.send(body.clone()).await;
    }
    site.done().await;
    let dead = site.dead().await;
    for (body, reason) in &cases {
        let letter = dead.iter().find(|letter| letter.body == *body).expect("it is a dead letter");
        assert!(letter.reason.contains(reason), "{reason:?} is not in {:?}", letter.reason);
        assert_eq!(letter.receives, 1);
    }
    assert!(site.rows().is_empty());
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_not_there_gives_error_rows_after_the_allowed_tries() {
    let site = Site::new();
    site.send(site.batch(&[jpeg_of(64, 32), jpeg_of(64, 32)]).to_json()).await;
    let worker = site.start(one_thing());
    site.done().await;
    assert_eq!(site.told(), ["0 error", "1 error"]);
    let reason = site.rows()[0].reason.clone().unwrap();
    assert!(reason.contains("a/b"), "{reason}");
    let [letter] = site.dead().await.try_into().unwrap();
    assert_eq!(letter.receives, 3);
    assert!(letter.reason.starts_with("2 of 2 frames failed, first gate/"), "{}", letter.reason);
    worker.stop().await;
    assert_eq!((site.status().retried, site.status().buried), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_object_is_no_small_frame() {
    let site = Site::new();
    let frames = vec![jpeg_of(64, 32), jpeg_of(64, 32)];
    let mut bytes = frames.concat();
    bytes.truncate(bytes.len() - 1);
    site.store(bytes).await;
    site.send(site.batch(&frames).to_json()).await;
    let worker = site.start(one_thing());
    site.done().await;
    assert_eq!(site.told(), ["0 error", "1 error"]);
    let reason = site.rows()[0].reason.clone().unwrap();
    assert!(reason.contains("the message says"), "{reason}");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_frame_costs_the_others_of_its_bundle_nothing() {
    let site = Site::new();
    let mut half = jpeg_of(64, 32);
    half.truncate(half.len() / 2);
    let frames =
        vec![jpeg_of(64, 32), b"this is no jpeg".to_vec(), half, claiming_jpeg(), jpeg_of(64, 32)];
    site.submit(&frames).await;
    let worker = site.start(one_thing());
    site.done().await;
    let rows = site.rows();
    for (seq, status) in [
        (0, Status::Ok),
        (1, Status::Error),
        (2, Status::Error),
        (3, Status::Error),
        (4, Status::Ok),
    ] {
        let of_frame: Vec<_> = rows.iter().filter(|row| row.stamp.seq.0 == seq).collect();
        assert!(
            !of_frame.is_empty() && of_frame.iter().all(|row| row.status == status),
            "{seq}: {of_frame:?}"
        );
        assert!(status == Status::Ok || of_frame.len() == 1);
    }
    let claim = rows.iter().find(|row| row.stamp.seq.0 == 3).unwrap().reason.clone().unwrap();
    assert!(claim.contains("65535 × 65535"), "{claim}");
    assert!(site.dead().await[0].reason.starts_with("3 of 5 frames failed"));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_larger_than_any_bundle_is_refused_before_it_is_read() {
    let site = Site::new();
    let mut batch = site.batch(&[jpeg_of(64, 32)]);
    let size = 1 << 40;
    batch.frames[0].len = size;
    let bucket = site.ports.bucket.name.clone();
    batch.payload = Payload::Object(ObjectRef { bucket, key: "a/b".into(), size });
    site.send(batch.to_json()).await;
    let worker = site.start(one_thing());
    site.done().await;
    let [letter] = site.dead().await.try_into().unwrap();
    assert!(letter.reason.contains("1099511627776 bytes, at most"), "{}", letter.reason);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_panics_on_one_picture_answers_the_others() {
    let site = Site::new();
    site.submit(&[jpeg_of(64, 32), jpeg_of(96, 32), jpeg_of(64, 32)]).await;
    let worker = site.start(model_of(|picture| {
        assert_ne!(picture.width, 96, "a width that breaks it");
        Ok(vec![thing()])
    }));
    site.done().await;
    let failed: Vec<_> =
        site.rows().into_iter().filter(|row| row.status == Status::Error).collect();
    let [row] = failed.try_into().unwrap();
    assert_eq!(row.stamp.seq.0, 1);
    let reason = row.reason.unwrap();
    assert!(
        reason.starts_with("run model: it panicked: ") && reason.contains("a width that breaks it"),
        "{reason}"
    );
    worker.stop().await;
}
