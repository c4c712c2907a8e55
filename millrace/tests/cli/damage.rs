//! What a person sees of a table of which something is gone, and how it is brought together again.

use std::fs;
use std::path::{Path, PathBuf};

use crate::site::Site;

const JOB: &str = "\
[streams.gate]
url = \"scene:?seed=3&width=320&height=192&fps=25&seconds=4\"
[models.round]
algorithm = \"circles\"
sample = { every = \"200ms\", pick = \"exact\", max_frames = 3 }
";
const COUNT: &str = "SELECT COUNT(*) FROM frames";

fn parquet_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            parquet_files(&path, found);
        } else if path.extension().is_some_and(|end| end == "parquet") {
            found.push(path);
        }
    }
}

/// A table of two runs with 20 frames each, and its files by name.
fn two_runs() -> (Site, Vec<PathBuf>) {
    let site = Site::new(JOB);
    site.run(&["up"]).ok();
    site.run(&["up"]).ok();
    let mut files = Vec::new();
    parquet_files(&site.path("data/table/detections"), &mut files);
    files.sort();
    assert!(files.len() >= 2, "{files:?}");
    (site, files)
}

/// The frames that a query finds, and what it says besides; its exit code tells whether that is anything.
fn count(site: &Site) -> (u64, String) {
    let said = site.run(&["query", COUNT, "--format", "csv"]);
    assert_eq!(said.code, Some(if said.err.is_empty() { 0 } else { 3 }), "{said:?}");
    (said.out.lines().nth(1).unwrap().parse().unwrap(), said.err)
}

#[test]
fn a_file_that_was_cut_is_a_gap_that_is_named_until_repair_takes_it_out() {
    a_damaged_file_is_a_gap(|bytes| bytes.truncate(bytes.len() / 2));
}

#[test]
fn a_file_with_damaged_pages_is_a_gap_that_is_named_until_repair_takes_it_out() {
    a_damaged_file_is_a_gap(|bytes| bytes[4..2_000].fill(0xa5));
}

fn a_damaged_file_is_a_gap(damage: fn(&mut Vec<u8>)) {
    let (site, files) = two_runs();
    assert_eq!(count(&site), (40, String::new()));
    let mut bytes = fs::read(&files[0]).unwrap();
    damage(&mut bytes);
    fs::write(&files[0], bytes).unwrap();
    let (frames, told) = count(&site);
    assert!(frames < 40 && frames > 0, "{frames}");
    let name = files[0].file_name().unwrap().to_str().unwrap();
    assert!(told.contains("not in the answer") && told.contains(name), "{told}");
    let audit = site.run(&["audit"]);
    assert!(audit.code == Some(1) && audit.out.contains(name), "{audit:?}");

    let repaired = site.run(&["repair"]).ok();
    assert!(repaired.contains("taken out") && repaired.contains(name), "{repaired}");
    assert_eq!(count(&site), (frames, String::new()));
    let audit = site.run(&["audit"]);
    assert!(audit.code == Some(1) && audit.out.contains("taken out"), "{audit:?}");
}

#[test]
fn files_beside_a_buffer_that_is_gone_are_no_empty_table() {
    let (site, _) = two_runs();
    let buffer = site.path("data/table/buffer.sqlite");
    for is_there in [false, true] {
        fs::remove_file(&buffer).unwrap();
        if is_there {
            fs::write(&buffer, "").unwrap();
        }
        for command in [&["query", COUNT][..], &["up"], &["audit"]] {
            let error = site.run(command).error();
            assert!(error.contains("of rows lie"), "{command:?}: {error}");
        }
        let repaired = site.run(&["repair"]).ok();
        assert!(repaired.contains("made a new buffer"), "{repaired}");
        assert_eq!(count(&site), (40, String::new()));
    }
    site.run(&["up"]).ok();
    assert_eq!(count(&site).0, 60);
}

#[test]
fn a_file_that_is_in_no_list_is_told_at_the_start() {
    let (site, files) = two_runs();
    let copy = files[0].with_file_name("part-restored.parquet");
    fs::copy(&files[0], &copy).unwrap();
    let said = site.run(&["up"]);
    let told: Vec<_> = said.err.lines().filter(|line| line.contains("in no list")).collect();
    assert!(matches!(told[..], [line] if line.contains("files=1")), "{said:?}");
    assert!(told[0].contains("part-restored") && told[0].contains("millrace repair"), "{told:?}");
    assert!(site.run(&["repair"]).ok().contains("part-restored"));
    assert!(!site.run(&["up"]).err.contains("in no list"));
}
