//! What a receiver and its workers owe after faults: that they go on, and at the end every answer once.

use std::time::Duration;

use e2e::{Program, Site, eventually};

use crate::objects::assert_every_object_is_answered_once;

/// How long a process may take to end, and the slowest answer.
const STOP: Duration = Duration::from_secs(30);
const ANSWER: Duration = Duration::from_secs(60);

/// Waits until further frames are answered.
pub(crate) fn assert_goes_on(site: &Site, receiver: &Program, deadline: Duration) {
    let count = "SELECT count(*) FROM frames";
    let before = eventually("the table can be read", deadline, || site.number(count));
    eventually("further frames are answered", deadline, || match site.number(count)? {
        frames if frames > before => Ok(()),
        frames => Err(format!("{frames} frames; {}", receiver.stderr())),
    });
}

/// Ends the receiver, ships what it left in its spools, waits for the last answer, ends the workers, and compares
/// objects with rows. `finite` is the site's configuration with sources that end. Gives the number of objects.
pub(crate) fn settle(
    site: &Site,
    finite: &str,
    receiver: &mut Program,
    workers: &mut [Program],
) -> usize {
    stop(receiver);
    site.configure(finite);
    let mut rest = site.start("receive-video", &[]);
    assert!(rest.wait(4 * ANSWER).success(), "{}", rest.stderr());
    site.settled(ANSWER);
    workers.iter_mut().for_each(stop);
    assert_every_object_is_answered_once(site)
}

fn stop(program: &mut Program) {
    program.signal("TERM");
    assert!(program.wait(STOP).success(), "{}", program.stderr());
}
