//! Gives a target what `fuzz/corpus/` keeps for it: a part of the tests of each crate that has targets.

use std::path::Path;

/// Runs a target on every input that is kept for it.
///
/// # Panics
/// When the target does, or nothing is kept.
pub(crate) fn replay(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut inputs = std::fs::read_dir(&folder).expect("every target has a corpus").peekable();
    assert!(inputs.peek().is_some(), "{folder:?} is empty");
    for input in inputs {
        let path = input.unwrap().path();
        println!("{}", path.display());
        body(&std::fs::read(path).unwrap());
    }
}
