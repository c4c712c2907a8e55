//! Answers of which only fresh ones are wanted.

use crate::site::Site;

/// Ten frames a second, for a model that answers two.
const SITE: &str = "\
[infer]
instances = 1
[streams.gate]
url = \"scene:?seed=3&width=160&height=96&fps=10&seconds=5\"
paced = true
[models.slow]
algorithm = \"sleep:500ms\"
sample = { every = \"100ms\", pick = \"exact\", max_frames = 1, max_delay = 0, fresh = \"600ms\" }
";

#[test]
fn what_a_slow_model_sheds_is_counted_and_the_audit_closes() {
    let site = Site::new(SITE);
    site.run(&["up"]).ok();
    let said = site.run(&["audit"]).ok();
    assert!(said.contains("(stale ") && said.contains("the loss equation closes"), "{said}");
}
