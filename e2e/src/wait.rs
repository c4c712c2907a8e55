//! Waiting for something to become true.

use std::thread;
use std::time::{Duration, Instant};

/// Polls `probe` until it gives a value, and gives that value.
///
/// # Panics
/// When `deadline` passes first: with `what` and the last thing that `probe` said.
pub fn eventually<T>(
    what: &str,
    deadline: Duration,
    mut probe: impl FnMut() -> Result<T, String>,
) -> T {
    let end = Instant::now() + deadline;
    loop {
        match probe() {
            Ok(value) => return value,
            Err(state) if Instant::now() >= end => {
                panic!("{what}: not within {deadline:?}, last seen: {state}")
            }
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}
