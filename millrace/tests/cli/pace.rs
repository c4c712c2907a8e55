//! A model that is slower than its streams.

use crate::running::Running;
use crate::site::Site;

/// Ten frames a second for two models, of which one needs half a second for each.
const SITE: &str = "\
[infer]
instances = 1
[streams.gate]
url = \"scene:?seed=3&width=160&height=96&fps=10\"
paced = true
[models.slow]
algorithm = \"sleep:500ms\"
sample = { every = \"100ms\", pick = \"exact\", max_frames = 1 }
[models.quick]
algorithm = \"sleep:1ms\"
sample = { every = \"100ms\", pick = \"exact\", max_frames = 1 }
";

#[test]
fn a_model_slower_than_its_stream_is_named_while_it_plays() {
    let site = Site::new(SITE);
    let running = Running::start(site.command(&["up"]));
    let said = running.line("slow is slower than its streams: ");
    assert!(
        said.contains(" frames a second come, ") && said.contains(" are answered here; "),
        "{said}"
    );
    assert!(
        said.contains(" wait, the oldest ") && said.contains(" % of a frame's time is waiting"),
        "{said}"
    );
    assert!(said.ends_with("; sample less often or run more workers"), "{said}");
    let (status, said) = running.terminate();
    assert!(status.success(), "{status:?} {said:?}");
    assert!(said.iter().any(|line| line.contains("slow is slower than its streams")), "{said:?}");
    assert!(!said.iter().any(|line| line.contains("quick is slower")), "{said:?}");
}
