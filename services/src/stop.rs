//! How long a process takes to end: one budget of which each step is a part, so that none is cut short by the next.
//!
//! From the signal on: receivers ship for [`SHIP`], workers work for [`WORK`], give back what is left within
//! [`FAREWELL`] and file within [`LAST_PASS`]; all of that is over after [`DRAIN`], and with the last traces after
//! [`STOP`]. What starts the programs waits longer than that before it kills them.

use std::time::Duration;

/// From the first signal to the end of the process.
pub const STOP: Duration = Duration::from_secs(25);
/// The longest that sending the last traces may take.
pub const FLUSH: Duration = Duration::from_secs(2);
/// From the first signal to the end of all work: what has not ended by then is dropped, and named.
pub const DRAIN: Duration = less(STOP, &[FLUSH]);
/// What is left for threads to be joined and accounts to be saved.
pub const SLACK: Duration = Duration::from_secs(1);

/// The longest that filing what is buffered may take.
pub const LAST_PASS: Duration = Duration::from_secs(3);
/// The longest that giving a message back may take when there is no time left.
pub const FAREWELL: Duration = Duration::from_secs(2);
/// From the first signal to the end of batches that are in work: what has not ended by then is given back.
pub const WORK: Duration = less(DRAIN, &[FAREWELL, LAST_PASS, SLACK]);
/// The longest wait for messages in one call, which a stop lets end: a message that a dropped call leases would be idle
/// for a whole lease.
pub const POLL: Duration = Duration::from_secs(5);

/// The longest that the end of a camera's sessions may take.
pub const TEARDOWN: Duration = Duration::from_secs(2);
/// From the first signal to the end of shipping: what is left by then stays in the spool.
pub const SHIP: Duration = less(DRAIN, &[TEARDOWN, SLACK]);

const _: () = assert!(POLL.as_secs() * 2 < WORK.as_secs(), "a poll leaves time for work");

/// What is left of `whole`; a budget that does not hold its parts is not compiled.
const fn less(whole: Duration, parts: &[Duration]) -> Duration {
    let (mut left, mut next) = (whole, 0);
    while next < parts.len() {
        left = left.checked_sub(parts[next]).expect("the parts fit into the whole");
        next += 1;
    }
    assert!(!left.is_zero(), "something is left");
    left
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    fn repository() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    /// The numbers after a key, in seconds, in all files of a folder with that ending.
    fn numbers(folder: &str, ending: &str, key: &str) -> Vec<(PathBuf, u64)> {
        let folder = repository().join(folder);
        let mut found = Vec::new();
        let mut folders = vec![folder];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                match path.extension() {
                    _ if path.is_dir() => folders.push(path),
                    Some(extension) if extension == ending => found.extend(numbers_in(path, key)),
                    _ => {}
                }
            }
        }
        found
    }

    fn numbers_in(path: PathBuf, key: &str) -> Vec<(PathBuf, u64)> {
        let text = fs::read_to_string(&path).unwrap();
        let number = |line: &str| {
            let rest = line.trim().strip_prefix(key)?.trim_start_matches([':', '=', ' ']);
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            Some((path.clone(), rest[..end].parse().ok()?))
        };
        text.lines().filter_map(number).collect()
    }

    #[test]
    fn every_way_through_a_drain_fits_into_it() {
        assert!(WORK + FAREWELL + LAST_PASS < DRAIN, "a worker's");
        assert!(SHIP + TEARDOWN < DRAIN, "a receiver's");
        assert_eq!(DRAIN + FLUSH, STOP);
    }

    #[test]
    fn what_starts_the_programs_waits_for_their_end() {
        let least = STOP.as_secs() + 5;
        for (folder, ending, key, count) in [
            ("deploy/kubernetes", "yaml", "terminationGracePeriodSeconds", 2),
            ("terraform", "tf", "stop_timeout", 1),
        ] {
            let found = numbers(folder, ending, key);
            assert!(found.len() >= count, "{key} in {folder}: {found:?}");
            for (path, seconds) in found {
                assert!(seconds >= least, "{path:?}: {key} is {seconds}, wanted {least} or more");
            }
        }
        let composed = numbers_in(repository().join("docker-compose.yml"), "stop_grace_period");
        assert!(!composed.is_empty() && composed.iter().all(|(_, seconds)| *seconds >= least));
    }

    /// The default and the least that may be set.
    #[test]
    fn no_task_on_ecs_is_stopped_sooner_than_its_program_ends() {
        let least = STOP.as_secs() + 5;
        let settings = fs::read_to_string(repository().join("terraform/settings.tf")).unwrap();
        let (_, variable) = settings.split_once("variable \"stop_timeout\" {").unwrap();
        let (variable, _) = variable.split_once("\nvariable ").unwrap();
        assert!(variable.contains(&format!("var.stop_timeout >= {least} ")), "{variable}");
        let default = variable.lines().find_map(|line| line.trim().strip_prefix("default "));
        let default = default.unwrap().trim_start_matches(['=', ' ']).parse::<u64>();
        assert!(default.unwrap() >= least);
        assert!(variable.contains(&format!("drain within {}.", STOP.as_secs())), "{variable}");
    }
}
