//! What the object store accepted against what the table says, without the programs' own books.

use std::collections::BTreeMap;

use e2e::Site;

/// Checks that the frames of each object's rows add up to the object's size, and that each frame is there once.
/// Gives the number of objects.
pub(crate) fn assert_every_object_is_answered_once(site: &Site) -> usize {
    let stored = site.store().objects();
    let sql = "SELECT object_uri, count(*) AS frames, count(DISTINCT frame_id) AS ids, \
               sum(object_len) AS bytes FROM detections_unique GROUP BY object_uri";
    let mut answered = BTreeMap::new();
    for row in site.query(sql).expect("the table can be read") {
        assert_eq!(row["frames"], row["ids"], "a frame has more than one row: {row}");
        let uri = row["object_uri"].as_str().expect("every payload is an object").to_owned();
        answered.insert(uri, row["bytes"].as_u64().expect("a sum of lengths"));
    }
    assert_eq!(answered, stored, "objects and rows differ");
    stored.len()
}
