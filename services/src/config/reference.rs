//! `docs/configuration.md` says what the types say, and the examples beside it are configurations.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use super::{Config, Overrides, load_without_streams, parse, schema_json};

/// The page's sections, and the type whose keys each lists.
const SECTIONS: [(&str, &str, Option<&str>); 12] = [
    ("Top level", "", None),
    ("`[streams.ID]`", "StreamConfig", None),
    ("`[models.NAME]`", "ModelConfig", None),
    ("`[models.NAME.sample]`", "SampleConfig", Some("models.m.sample")),
    ("`[receive]`", "ReceiveConfig", Some("receive")),
    ("`[infer]`", "InferConfig", Some("infer")),
    ("`[queue]`", "QueueConfig", Some("queue")),
    ("`[delivery]`", "DeliveryConfig", Some("delivery")),
    ("`[retention]`", "RetentionConfig", Some("retention")),
    ("`[retention.KIND]`", "KeepConfig", None),
    ("`[aws]`", "AwsConfig", Some("aws")),
    ("`[telemetry]`", "TelemetryConfig", Some("telemetry")),
];

/// Keys and defaults of each section's table.
fn documented() -> BTreeMap<String, BTreeMap<String, String>> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let page = std::fs::read_to_string(page).unwrap();
    let section = |text: &str| {
        let (title, body) = text.split_once('\n').unwrap();
        (title.to_owned(), body.lines().filter_map(row).collect())
    };
    page.split("\n## ").skip(1).map(section).collect()
}

fn row(line: &str) -> Option<(String, String)> {
    let mut cells = line.strip_prefix("| `")?.split(" | ");
    let key = cells.next()?.strip_suffix('`')?;
    Some((key.to_owned(), cells.next()?.trim_matches('`').to_owned()))
}

fn keys_of(definition: &str) -> BTreeSet<String> {
    let schema: Value = serde_json::from_str(&schema_json()).unwrap();
    let object = if definition.is_empty() { &schema } else { &schema["$defs"][definition] };
    object["properties"].as_object().unwrap().keys().cloned().collect()
}

#[test]
fn every_key_is_in_the_reference_and_no_other() {
    let documented = documented();
    for (section, definition, _) in SECTIONS {
        let found: BTreeSet<String> = documented[section].keys().cloned().collect();
        assert_eq!(found, keys_of(definition), "section {section}");
    }
    assert_eq!(documented.len(), SECTIONS.len());
}

#[test]
fn the_documented_defaults_are_the_defaults() {
    let read = |text: &str| -> Config {
        let text = format!("[models.m]\nalgorithm = \"circles\"\n{text}");
        parse(Some((&text, Path::new("millrace.toml"))), &BTreeMap::new(), &Overrides::default())
            .unwrap()
    };
    let documented = documented();
    let mut spelled_out = String::new();
    for (section, _, path) in SECTIONS {
        let Some(path) = path else { continue };
        spelled_out += &format!("[{path}]\n");
        for (key, default) in documented[section].iter().filter(|(_, default)| *default != "–") {
            spelled_out += &format!("{key} = {default}\n");
        }
    }
    assert_eq!(format!("{:?}", read(&spelled_out)), format!("{:?}", read("")));
}

#[test]
fn workers_run_from_the_readme_s_example_without_the_camera_s_password() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let page = std::fs::read_to_string(page).unwrap();
    let example = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    assert!(example.contains("\"${GATE_PASSWORD}\""), "{example}");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, example.replace("GATE_PASSWORD", "NOT_SET_HERE")).unwrap();
    let config = load_without_streams(Some(file.path()), &Overrides::default()).unwrap();
    assert_eq!(config.models.len(), 1);
}

/// The configurations that the repository hands to its readers.
const EXAMPLES: [&str; 7] = [
    "deploy/compose/millrace.toml",
    "deploy/kubernetes/overlays/dev/millrace.toml",
    "deploy/kubernetes/overlays/prod/millrace.toml",
    "terraform/examples/dev/millrace.toml",
    "terraform/examples/prod/north.toml",
    "terraform/examples/prod/south.toml",
    "terraform/examples/prod/workers.toml",
];

#[test]
fn every_example_is_a_configuration() {
    let environment = BTreeMap::from([("CAMERA_PASSWORD".to_owned(), "hunter2".to_owned())]);
    for example in EXAMPLES {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(example);
        let text =
            std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{example}: {error}"));
        let parsed = parse(Some((&text, &file)), &environment, &Overrides::default());
        if let Err(error) = parsed {
            panic!("{example}: {error}");
        }
    }
}
