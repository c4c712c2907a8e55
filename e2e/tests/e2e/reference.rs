//! The answers of a real detector on a real clip with B-frames, against those of a reference implementation.

use std::fs;
use std::time::Duration;

use e2e::{Backend, Program, Site, eventually, on_every_backend, shared_media, skipped};
use serde_json::Value;

use crate::camera::gstreamer;

/// Pictures in the clip.
const PICTURES: i64 = 1_189;
/// Pictures that the reference has answers for: every 30th.
const ANSWERED: i64 = 40;
/// Half the time from one picture to the next, in 90 kHz ticks.
const HALF_A_PICTURE: i64 = 1_508;

/// `every` falls between pictures 30 k - 1 and 30 k for each k, so that exactly the reference's pictures are asked for.
fn site(backend: Backend, url: &str) -> Option<Site> {
    let [model, labels] = ["FastestDet.onnx", "coco.names"]
        .map(|name| shared_media(name).map(|p| p.display().to_string()));
    let config = format!(
        r#"
        data = "data"

        [streams.bottles]
        url = "{url}"

        [models.fastestdet]
        path = {:?}
        manifest = "fastestdet.toml"
        sample = {{ every = "1.0052s", pick = "exact" }}

        [models.every-picture]
        algorithm = "sleep:0ms"
        sample = {{ every = "1ms", pick = "exact", max_width = 160 }}
        "#,
        model?
    );
    let site = Site::on(backend, &config);
    let manifest = format!(
        "head = \"fastestdet\"\nlabels = {:?}\ncolour = \"bgr\"\nresize = \"stretch\"\n\n\
         [thresholds]\nscore = 0.65\niou = 0.45\n",
        labels?
    );
    fs::write(site.path().join("fastestdet.toml"), manifest).expect("the site is writable");
    Some(site)
}

/// Checks that the rows have at least 95 % of the reference's detections that score 0.70 or more.
fn assert_matches_reference(site: &Site) {
    let path = shared_media("bottle-detection.reference.json").expect("it lies beside the clip");
    let text = fs::read_to_string(path).expect("the reference can be read");
    let reference: Value = serde_json::from_str(&text).expect("the reference is JSON");
    let rows = site
        .query("SELECT media_time, label, x, y, w, h FROM detections_unique WHERE model = 'fastestdet' AND status = 'ok'")
        .expect("the table can be read");
    let (mut hits, mut all) = (0, 0);
    for picture in reference.as_array().expect("a list of pictures") {
        for wanted in picture["detections"].as_array().expect("a list of detections") {
            if number(wanted, "score") >= 0.70 {
                all += 1;
                let found = rows.iter().any(|row| {
                    same_picture(row, picture)
                        && row["label"] == wanted["label"]
                        && iou(row, wanted) >= 0.7
                });
                hits += i32::from(found);
            }
        }
    }
    assert!(all > 50, "the reference has {all} sure detections");
    assert!(hits * 100 >= all * 95, "{hits} of {all} sure detections were found");
}

fn same_picture(row: &Value, picture: &Value) -> bool {
    let times = [row, picture].map(|value| value["media_time"].as_i64().expect("a media time"));
    times[0].abs_diff(times[1]) <= HALF_A_PICTURE.unsigned_abs()
}

fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("{key} of {value}"))
}

fn iou(a: &Value, b: &Value) -> f64 {
    let overlap = |from: &str, size: &str| {
        let start = number(a, from).max(number(b, from));
        let end = (number(a, from) + number(a, size)).min(number(b, from) + number(b, size));
        (end - start).max(0.0)
    };
    let area = |value| number(value, "w") * number(value, "h");
    let both = overlap("x", "w") * overlap("y", "h");
    both / (area(a) + area(b) - both)
}

/// Checks that pictures came in presentation order at the clip's own pace: no step is missing, none is double.
fn assert_even_steps(site: &Site, pictures: i64) {
    let sql = format!(
        "SELECT min(step) AS shortest, max(step) AS longest, count(*) AS steps FROM (SELECT media_time - lag(media_time) OVER \
         (ORDER BY media_time) AS step FROM frames WHERE model = 'every-picture' ORDER BY media_time \
         LIMIT {pictures}) WHERE step IS NOT NULL"
    );
    let rows = site.query(&sql).expect("the table can be read");
    let step = |name: &str| rows[0][name].as_i64().expect("a number");
    assert!(step("shortest") >= HALF_A_PICTURE, "{rows:?}");
    assert!(step("longest") <= 3 * HALF_A_PICTURE, "{rows:?}");
    assert_eq!(step("steps"), pictures - 1);
}

fn rows_of(site: &Site, model: &str) -> Result<i64, String> {
    site.number(&format!("SELECT count(*) FROM frames WHERE model = '{model}'"))
}

fn stop(mut up: Program) {
    up.signal("TERM");
    assert!(up.wait(Duration::from_secs(30)).success(), "{}", up.stderr());
}

on_every_backend!(fastestdet_on_the_bottle_clip_as_a_file, fastestdet_on_the_bottle_clip_over_rtsp,);

fn fastestdet_on_the_bottle_clip_as_a_file(backend: Backend) {
    let Some(clip) = shared_media("bottle-detection.mp4") else {
        return skipped("../shared/media is missing");
    };
    let Some(site) = site(backend, &format!("file:{}", clip.display())) else {
        return skipped("../shared/media has no detector");
    };
    let mut up = site.start("millrace", &["up"]);
    assert!(up.wait(Duration::from_secs(240)).success(), "{}", up.stderr());
    site.settled(Duration::from_secs(60));
    assert_eq!(rows_of(&site, "every-picture"), Ok(PICTURES));
    assert_eq!(rows_of(&site, "fastestdet"), Ok(ANSWERED));
    assert_even_steps(&site, PICTURES);
    assert_matches_reference(&site);
}

fn fastestdet_on_the_bottle_clip_over_rtsp(backend: Backend) {
    let Some(clip) = shared_media("bottle-detection.mp4") else {
        return skipped("../shared/media is missing");
    };
    let server = Site::new("");
    let Some((_camera, url)) = gstreamer(&server, &clip) else { return };
    let site = site(backend, &url).expect("the detector lies beside the clip");
    let up = site.start("millrace", &["up"]);
    eventually("the clip is answered once through", Duration::from_secs(240), || {
        let frames = rows_of(&site, "fastestdet")?;
        if frames > ANSWERED { Ok(()) } else { Err(format!("{frames} frames; {}", up.stderr())) }
    });
    stop(up);
    let (closes, text) = site.audit();
    assert!(closes, "{text}");
    assert_even_steps(&site, PICTURES);
    assert_matches_reference(&site);
}
