//! The names on AWS: within AWS's limits, and no two things under one name.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::check::{Checked, Key};
use super::schema::{AwsConfig, Backend, Config};

/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>
const BUCKET_CHARS: RangeInclusive<usize> = 3..=63;
/// <https://docs.aws.amazon.com/firehose/latest/APIReference/API_CreateDeliveryStream.html>
const STREAM_CHARS: RangeInclusive<usize> = 1..=64;
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html>
const MAX_QUEUE_CHARS: usize = 80;
/// What the name of a queue's dead letters adds to its own.
const DEAD: &str = "-dead";

/// Checks the section; the names that are made of it only where they are used.
pub(super) fn check_aws(config: &Config, at: &Key) -> Checked {
    let aws = &config.aws;
    check_prefix(&aws.prefix, at)?;
    let unknown = aws.fifo.iter().filter(|name| !config.models.contains_key(*name));
    let unknown: Vec<_> = unknown.map(|name| format!("\"{name}\"")).collect();
    match unknown.as_slice() {
        [] => {}
        [name] => return Err(at.to("fifo").rule(format!("model {name} is not defined"))),
        names => {
            let words = format!("models {} are not defined", names.join(", "));
            return Err(at.to("fifo").rule(words));
        }
    }
    if let Some(output) = aws.query_output.as_ref().filter(|text| !text.starts_with("s3://")) {
        return Err(at.to("query_output").wrong(format!("{output:?}"), "s3://BUCKET/PREFIX/"));
    }
    if config.backend == Backend::Embedded {
        return Ok(());
    }
    check_bucket(&aws.bucket(), at)?;
    check_delivery_stream(&aws.delivery_stream(), at)?;
    check_queues(config, at)
}

fn check_prefix(prefix: &str, at: &Key) -> Checked {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_framed = !prefix.starts_with('-') && !prefix.ends_with('-');
    if (1..=32).contains(&prefix.len()) && prefix.chars().all(is_part) && is_framed {
        return Ok(());
    }
    let wanted = "1 to 32 of a-z, 0-9 and -, the first and last no -";
    Err(at.to("prefix").wrong(format!("{prefix:?}"), wanted))
}

fn check_bucket(name: &str, at: &Key) -> Checked {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    if BUCKET_CHARS.contains(&name.len()) && name.chars().all(is_part) {
        return Ok(());
    }
    Err(at.to("bucket").wrong(format!("{name:?}"), "3 to 63 of a-z, 0-9, - and ."))
}

fn check_delivery_stream(name: &str, at: &Key) -> Checked {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if STREAM_CHARS.contains(&name.len()) && name.chars().all(is_part) {
        return Ok(());
    }
    Err(at.to("delivery_stream").wrong(format!("{name:?}"), "1 to 64 of a-z, A-Z, 0-9, -, _ and ."))
}

/// Checks the names of all queues, those of dead letters with them: what two models share, both would lose.
fn check_queues(config: &Config, at: &Key) -> Checked {
    let mut owners = BTreeMap::new();
    for model in config.models.keys() {
        let queue = config.aws.queue(model);
        let dead = dead_letters(&queue);
        if dead.len() > MAX_QUEUE_CHARS {
            let words = format!(
                "queue \"{dead}\" of model \"{model}\" has {} characters, at most {MAX_QUEUE_CHARS} are allowed",
                dead.len()
            );
            return Err(at.to("prefix").rule(words));
        }
        for name in [queue, dead] {
            if let Some(other) = owners.insert(name.clone(), model) {
                let words =
                    format!("models \"{other}\" and \"{model}\" would share the queue \"{name}\"");
                return Err(Key::root("models").to(model.as_str()).rule(words));
            }
        }
    }
    check_reply_queue(&config.aws, &owners, at)
}

fn check_reply_queue<M: std::fmt::Display>(
    aws: &AwsConfig,
    owners: &BTreeMap<String, M>,
    at: &Key,
) -> Checked {
    let Some(name) = &aws.reply_queue else { return Ok(()) };
    match owners.get(name) {
        Some(model) => Err(at.to("reply_queue").rule(format!("model \"{model}\" has this queue"))),
        None => Ok(()),
    }
}

fn dead_letters(queue: &str) -> String {
    match queue.strip_suffix(".fifo") {
        Some(stem) => format!("{stem}{DEAD}.fifo"),
        None => format!("{queue}{DEAD}"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Overrides, parse};
    use super::*;

    /// A file of the AWS backend with some models, and what it says of AWS.
    fn read(models: &[&str], aws: &str) -> Result<Config, String> {
        let models: String = models
            .iter()
            .map(|name| format!("[models.\"{name}\"]\nalgorithm = \"circles\"\n"))
            .collect();
        let text = format!("backend = \"aws\"\n[aws]\n{aws}\n{models}");
        parse(Some((&text, Path::new("m.toml"))), &BTreeMap::new(), &Overrides::default())
            .map_err(|error| error.to_string())
    }

    fn assert_refused(models: &[&str], aws: &str, words: &str) {
        let error = read(models, aws).unwrap_err();
        assert!(error.contains(words), "{words:?} in {error:?}");
    }

    #[test]
    fn names_are_made_of_the_prefix_unless_they_are_given() {
        let aws = read(&["shapes", "face.v2"], "prefix = \"city-north\"\nfifo = [\"shapes\"]")
            .unwrap()
            .aws;
        assert_eq!(aws.bucket(), "city-north-frames");
        assert_eq!(aws.delivery_stream(), "city-north-detections");
        assert_eq!(aws.queue(&"shapes".parse().unwrap()), "city-north-shapes.fifo");
        assert_eq!(aws.queue(&"face.v2".parse().unwrap()), "city-north-face_v2");
        assert_eq!(
            (aws.database().as_str(), aws.workgroup().as_str()),
            ("city_north", "city-north")
        );

        let given =
            "bucket = \"b.b\"\ndelivery_stream = \"D\"\ndatabase = \"db\"\nworkgroup = \"w\"";
        let aws = read(&[], given).unwrap().aws;
        assert_eq!((aws.bucket().as_str(), aws.delivery_stream().as_str()), ("b.b", "D"));
        assert_eq!((aws.database().as_str(), aws.workgroup().as_str()), ("db", "w"));
    }

    #[test]
    fn names_that_aws_does_not_take_are_refused() {
        for prefix in ["", "-a", "a-", "A", "a_b", &"a".repeat(33)] {
            let aws = format!("prefix = \"{prefix}\"");
            assert_refused(&[], &aws, "key \"aws.prefix\"");
        }
        assert_refused(
            &[],
            "bucket = \"ab\"",
            "key \"aws.bucket\": found \"ab\", wanted 3 to 63 of",
        );
        assert_refused(&[], "bucket = \"Frames\"", "key \"aws.bucket\"");
        assert_refused(&[], "delivery_stream = \"a b\"", "key \"aws.delivery_stream\"");
        assert_refused(&[], "query_output = \"results\"", "wanted s3://BUCKET/PREFIX/");
        assert_refused(
            &[],
            "fifo = [\"faces\"]",
            "key \"aws.fifo\": model \"faces\" is not defined",
        );
        let long = "m".repeat(64);
        assert!(read(&[&long], "prefix = \"millrace\"").is_ok());
        assert_refused(&[&long], "prefix = \"millrace-north\"", "has 84 characters, at most 80");
    }

    #[test]
    fn queues_have_one_owner() {
        let shared = "models \"a.b\" and \"a_b\" would share the queue \"millrace-a_b\"";
        assert_refused(&["a.b", "a_b"], "", shared);
        let shared = "models \"a\" and \"a-dead\" would share the queue \"millrace-a-dead\"";
        assert_refused(&["a", "a-dead"], "", shared);
        assert!(read(&["a", "a-dead"], "fifo = [\"a\"]").is_ok());
        for own in ["millrace-a", "millrace-a-dead"] {
            let aws = format!("reply_queue = \"{own}\"");
            assert_refused(&["a"], &aws, "key \"aws.reply_queue\": model \"a\" has this queue");
        }
    }

    #[test]
    fn the_embedded_backend_asks_for_no_names() {
        let text =
            "[models.\"a.b\"]\nalgorithm = \"circles\"\n[models.a_b]\nalgorithm = \"circles\"\n";
        let place = Path::new("m.toml");
        parse(Some((text, place)), &BTreeMap::new(), &Overrides::default()).unwrap();
    }
}
