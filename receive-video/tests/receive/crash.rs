//! `kill -9` at random moments: what was taken is in the spool or in the queue, and the account closes.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use receive_video::store::SpoolAudit;
use services::FrameBatch;

use crate::site::{Site, eventually};

const ROUNDS: u64 = 12;

fn start(config: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_receive-video"))
        .arg("-c")
        .arg(config)
        .args(["--log", "error"])
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}

/// The frames that a batch's answers will be of.
fn answered(batch: &FrameBatch) -> impl Iterator<Item = String> + '_ {
    batch.answered().map(|entry| batch.frame_id(entry).to_string())
}

#[tokio::test]
async fn what_was_taken_is_never_lost_by_a_kill() {
    let config = "[streams.clip]\n\
         url = \"scene:?width=320&height=180&seconds=3\"\nrepeat = true\npolicy = \"block\"\n\
         [models.eye]\nalgorithm = \"circles\"\n\
         sample = { every = \"40ms\", pick = \"exact\", max_frames = 3 }";
    let site = Site::new(config);
    let file = site.folder.path().join("millrace.toml");
    std::fs::write(&file, config).unwrap();
    let mut random = StdRng::seed_from_u64(7);
    let mut arrived = BTreeSet::new();
    let taken_so_far = |audited: &SpoolAudit| -> u64 {
        audited.accounts.iter().map(|account| account.account.taken).sum()
    };
    let mut taken = 0;
    for round in 0..ROUNDS {
        let mut child = start(&file);
        let before = taken;
        // In one half of the rounds it is killed while it starts, in the other while it takes frames.
        if round % 2 == 1 {
            eventually("a frame", || (taken_so_far(&site.audit("clip")) > before).then_some(()))
                .await;
        }
        let after = Duration::from_millis(random.random_range(0..700));
        tokio::time::sleep(after).await;
        child.kill().unwrap();
        child.wait().unwrap();
        for batch in site.batches("eye").await {
            arrived.extend(answered(&batch));
        }
        let audited = site.audit("clip");
        taken = taken_so_far(&audited);
        assert!(audited.accounts.iter().all(|account| account.account.closes()), "round {round}");
        let mut known = arrived.clone();
        for message in &audited.pending {
            known.extend(answered(&FrameBatch::from_json(message).unwrap()));
        }
        assert_eq!(known.len() as u64, taken, "round {round}, killed after {after:?}");
        assert!(taken >= before);
    }
}
