//! Rows that leave the table with their time, and what the audit says of them.

use std::fs;
use std::path::Path;

use crate::running::Running;
use crate::site::Site;

const JOB: &str = "\
[streams.gate]
url = \"scene:?seed=3&width=320&height=192&fps=25&seconds=4\"
[models.round]
algorithm = \"circles\"
sample = { every = \"200ms\", pick = \"exact\", max_frames = 3 }
";
const WATCH: &str = "\
[streams.yard]
url = \"scene:?seed=4&width=320&height=192&fps=25&seconds=900\"
paced = true
[models.round]
algorithm = \"circles\"
sample = { every = \"200ms\", pick = \"exact\", max_frames = 3 }
[retention]
rows = { age = \"1d\" }
";
/// A partition of long ago.
const LONG_AGO: &str = "data/table/detections/dt=2026-01-01/hour=00";

/// Has all filed rows have been delivered long ago.
fn age(site: &Site) {
    let old = site.path(LONG_AGO);
    fs::create_dir_all(&old).unwrap();
    let folders = |folder: &Path| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    for day in folders(&site.path("data/table/detections")).collect::<Vec<_>>() {
        for file in folders(&day).flat_map(|hour| folders(&hour).collect::<Vec<_>>()) {
            fs::rename(&file, old.join(file.file_name().unwrap())).unwrap();
        }
    }
    forget_files(site);
    site.run(&["repair"]).ok();
}

/// Takes the buffer away, with its list of files.
fn forget_files(site: &Site) {
    for end in ["", "-wal", "-shm"] {
        fs::remove_file(site.path(format!("data/table/buffer.sqlite{end}"))).ok();
    }
}

fn gate(site: &Site) -> String {
    site.run(&["query", "SELECT COUNT(*) FROM frames WHERE stream = 'gate'", "--format", "csv"])
        .ok()
}

#[test]
fn rows_leave_when_they_are_older_than_asked_for_and_the_audit_closes() {
    let site = Site::new(JOB);
    site.run(&["up"]).ok();
    age(&site);
    assert!(gate(&site).ends_with("\n20\n"));
    let before = site.run(&["audit"]).ok();
    assert!(before.contains("= delivered 20 ") && !before.contains("retired"), "{before}");

    fs::write(site.path("millrace.toml"), WATCH).unwrap();
    let up = Running::start(site.command(&["up", "--log-format", "json"]));
    let left = up.event("rows left the table with their time");
    assert_eq!(
        (left["frames"].as_u64(), left["files"].as_u64().map(|n| n > 0)),
        (Some(20), Some(true))
    );
    up.event("tended the files of rows");
    up.terminate();
    assert_eq!(fs::read_dir(site.path(LONG_AGO)).unwrap().count(), 0);
    assert!(gate(&site).ends_with("\n0\n"));

    for _ in 0..2 {
        let audit = site.run(&["audit"]).ok();
        assert!(
            audit.contains("= delivered 0 + in flight 0 + shed 0 + dead 0 + retired 20\n"),
            "{audit}"
        );
        let told = "rows delivered before 2026-01-01 01:00 UTC left the table with their time: those of 20 frames\n";
        assert!(audit.contains(told), "{audit}");
        let json: serde_json::Value =
            serde_json::from_str(&site.run(&["audit", "--json"]).ok()).unwrap();
        assert_eq!(json["retired_before"], "2026-01-01T01:00:00.000000Z");
        // A new buffer knows it as well as the one that was lost.
        forget_files(&site);
        site.run(&["repair"]).ok();
    }
}
