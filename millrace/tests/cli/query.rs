//! Questions as a user asks them.

use std::io::Write as _;
use std::process::Stdio;

use crate::site::Site;

/// A second of the scene, asked about five times.
const JOB: &str = "\
data = \"../data\"
[streams.gate]
url = \"scene:?seed=3&width=320&height=192&fps=25&seconds=1\"
[models.round]
algorithm = \"circles\"
sample = { every = \"200ms\", pick = \"exact\" }
";

#[test]
fn data_beside_a_configuration_in_an_odd_folder_is_found() {
    let site = Site::empty();
    std::fs::create_dir(site.path("100% #1")).unwrap();
    std::fs::write(site.path("100% #1/millrace.toml"), JOB).unwrap();
    let config = ["--config", "100% #1/millrace.toml"];
    site.run(&[&["up"][..], &config].concat()).ok();
    let sql = "SELECT COUNT(*) AS n FROM frames";
    let said = site.run(&[&["query", sql, "--format", "csv"][..], &config].concat()).ok();
    assert_eq!(said, "n\n5\n");
    let since = [&["query", "--named", "loss", "--format", "csv", "--since"][..], &["1h"], &config];
    assert!(site.run(&since.concat()).ok().contains("gate,round,5,"));
    let until = [&["query", "--named", "loss", "--format", "csv", "--until"][..], &["1h"], &config];
    assert_eq!(site.run(&until.concat()).ok().lines().count(), 1);
    assert!(site.run(&[&["audit", "--since", "1h"][..], &config].concat()).ok().contains("gate"));
    let before = site.run(&[&["audit", "--until", "1h"][..], &config].concat()).ok();
    assert_eq!(before, "nothing was received yet\n");
    let cost = [&["cost", "--measured", "--until", "1h"][..], &config].concat();
    assert!(site.run(&cost).error().contains("no two frames of one epoch and model in that time"));
}

#[test]
fn named_queries_are_listed() {
    let listed = Site::empty().run(&["query", "--named"]).ok();
    assert!(listed.contains("\nlast-seen          When each label was last seen"), "{listed}");
}

#[test]
fn a_question_comes_from_standard_input() {
    let site = Site::empty();
    std::fs::create_dir(site.path("data")).unwrap();
    let mut asked = site.command(&["query", "-", "--format", "csv"]);
    let mut asked = asked.stdin(Stdio::piped()).spawn().unwrap();
    asked.stdin.take().unwrap().write_all(b"SELECT 6 * 7 AS n\n").unwrap();
    let said = asked.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(said.stdout).unwrap(), "n\n42\n");
}

#[test]
fn an_endless_question_ends() {
    let site = Site::empty();
    std::fs::create_dir(site.path("data")).unwrap();
    let endless = "SELECT count(*) FROM generate_series(1, 1000000000000000)";
    let error = site.run(&["query", endless, "--timeout", "1s"]).error();
    assert!(error.contains("it was not answered within 1s"), "{error}");
}

#[test]
fn a_range_of_time_is_for_named_queries() {
    let site = Site::empty();
    std::fs::create_dir(site.path("data")).unwrap();
    let error = site.run(&["query", "SELECT 1", "--since", "2h"]).error();
    assert!(error.contains("are for --named: write captured_at >= "), "{error}");
    let range = ["query", "--named", "loss", "--since", "2026-11-22", "--until", "2026-11-21"];
    assert!(site.run(&range).error().contains("is not before --until"));
}
