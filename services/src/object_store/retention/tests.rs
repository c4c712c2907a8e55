//! A folder of objects that grow old by their files' times.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;

use bytes::Bytes;

use super::*;
use crate::clock::MadeUpClock;
use crate::error::ErrorKind;
use crate::object_store::{FolderStore, ObjectStore as _};

/// 2026-11-28T09:00:00Z.
const NOW: CaptureTime = CaptureTime(1_795_856_400_000_000);
const EPOCH: u64 = 1_795_000_000_000;

struct Site {
    folder: tempfile::TempDir,
    store: FolderStore,
    clock: MadeUpClock,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = FolderStore::open(folder.path()).unwrap();
        Self { folder, store, clock: MadeUpClock::at(NOW) }
    }

    fn keeper(&self, keep: Keep) -> ObjectKeeper {
        ObjectKeeper::new(self.folder.path(), keep, self.clock.clock()).unwrap()
    }

    /// Stores a hundred bytes; gives their key.
    async fn put(&self, stream: &str, seq: u64, minutes_ago: i64) -> String {
        let key = format!("frames/{stream}/{EPOCH:013}/{seq:010}-shapes.jpg");
        self.store.put(&key, Bytes::from(vec![7; 100])).await.unwrap();
        self.date(&key, minutes_ago);
        key
    }

    fn date(&self, key: &str, minutes_ago: i64) {
        let micros = u64::try_from(NOW.0 - minutes_ago * 60_000_000).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_micros(micros);
        File::open(self.folder.path().join(key)).unwrap().set_modified(time).unwrap();
    }

    /// An object every ten minutes, the oldest a day old.
    async fn put_a_day(&self) -> Vec<String> {
        let mut keys = Vec::new();
        for n in 0..144 {
            keys.push(self.put("gate", n, 1_440 - 10 * i64::try_from(n).unwrap()).await);
        }
        keys
    }

    async fn keys(&self) -> Vec<String> {
        let list = self.store.list("", None, usize::MAX).await.unwrap();
        list.into_iter().map(|meta| meta.key).collect()
    }

    async fn sweep(&self, keep: Keep, held: Held) -> Swept {
        self.keeper(keep).sweep(|| Ok(held)).await.unwrap().unwrap()
    }
}

fn hours(hours: u64) -> Keep {
    Keep { age: Some(Duration::from_secs(3_600 * hours)), bytes: None }
}

fn bytes(bytes: u64) -> Keep {
    Keep { age: None, bytes: Some(bytes) }
}

#[tokio::test]
async fn objects_go_by_age_and_the_boundary_says_how_far() {
    let site = Site::new();
    let keys = site.put_a_day().await;
    let swept = site.sweep(hours(12), Held::default()).await;
    assert_eq!(site.keys().await, keys[72..]);
    assert_eq!((swept.removed, swept.removed_bytes), (72, 7_200));
    assert_eq!((swept.kept, swept.kept_bytes), (72, 7_200));
    let noon = CaptureTime(NOW.0 - 12 * 3_600_000_000);
    assert_eq!(swept.oldest, Some(noon));
    let boundary = Boundary::read(site.folder.path()).unwrap().unwrap();
    assert!(boundary.before <= noon, "{boundary:?}");
    assert!(boundary.before > CaptureTime(NOW.0 - 12 * 3_600_000_000 - 600_000_000));
}

#[tokio::test]
async fn objects_go_by_bytes_oldest_first_and_other_objects_are_left_alone() {
    let site = Site::new();
    let keys = site.put_a_day().await;
    site.store.put("record/gate/1.mp4", Bytes::from(vec![7; 9_000])).await.unwrap();
    site.date("record/gate/1.mp4", 5_000);
    let swept = site.sweep(bytes(5_050), Held::default()).await;
    assert_eq!((swept.removed, swept.kept_bytes), (94, 5_000));
    let expected: Vec<String> =
        keys[94..].iter().cloned().chain(["record/gate/1.mp4".into()]).collect();
    assert_eq!(site.keys().await, expected);
}

#[tokio::test]
async fn what_is_held_and_what_is_young_stays_whatever_the_bounds_say() {
    let site = Site::new();
    let (old, held) = (site.put("gate", 1, 500).await, site.put("gate", 2, 1_000).await);
    let of_stream = site.put("yard", 1, 1_000).await;
    let young = site.put("gate", 3, 9).await;
    let mut named = Held::default();
    named.hold(&held);
    named.hold_stream("yard".parse().unwrap());
    let swept = site.sweep(Keep { bytes: Some(0), ..hours(1) }, named).await;
    assert_eq!(swept.removed, 1, "{old}");
    assert_eq!(site.keys().await, [held, young, of_stream]);
    assert_eq!(swept.oldest, Some(CaptureTime(NOW.0 - 60_000_000_000)));
}

#[tokio::test]
async fn an_object_that_is_gone_says_so_and_one_that_never_was_does_not() {
    let site = Site::new();
    let key = site.put("gate", 1, 500).await;
    let missing = async |key: &str| {
        let error = site.store.get(key, None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        error.to_string()
    };
    let never = key.replace("0000000001-", "0000000002-");
    assert!(!missing(&never).await.contains("retention"));
    site.sweep(hours(1), Held::default()).await;
    let text = missing(&key).await;
    let expected = "it is gone; retention.objects has removed objects stored before 2026-11-28T00:41:00.000000Z";
    assert!(text.starts_with("get object \"frames/gate/") && text.ends_with(expected), "{text}");
    let of_today = "frames/gate/1795856000000/0000000001-shapes.jpg";
    assert!(!missing(of_today).await.contains("retention"));
}

#[tokio::test]
async fn a_kill_between_boundary_and_removal_is_no_damage() {
    let site = Site::new();
    let keys = site.put_a_day().await;
    let boundary = CaptureTime(NOW.0 - 6 * 3_600_000_000);
    Boundary::advance(site.folder.path(), boundary).unwrap();
    for key in &keys {
        site.store.get(key, None).await.unwrap();
    }
    let swept = site.sweep(hours(12), Held::default()).await;
    assert_eq!((swept.removed, swept.kept), (72, 72));
    let kept = Boundary::read(site.folder.path()).unwrap().unwrap();
    assert_eq!(kept.before, boundary, "it never moves back");
    assert_eq!(site.sweep(hours(6), Held::default()).await.removed, 36);
}

#[tokio::test]
async fn a_boundary_that_cannot_be_read_is_named_and_nothing_is_removed() {
    let site = Site::new();
    site.put("gate", 1, 500).await;
    fs::write(site.folder.path().join("~retention.json"), "{\"before\": \"yesterday\"}").unwrap();
    let error = site.keeper(hours(1)).sweep(|| Ok(Held::default())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("~retention.json"), "{error}");
    assert_eq!(site.keys().await.len(), 1);
}

#[tokio::test]
async fn nothing_is_removed_while_it_is_not_known_what_is_held() {
    let site = Site::new();
    site.put("gate", 1, 500).await;
    let unknown = || Err(PortError::because(ErrorKind::Denied, "list", "not allowed"));
    site.keeper(hours(1)).sweep(unknown).await.unwrap_err();
    assert_eq!(site.keys().await.len(), 1);
    assert_eq!(Boundary::read(site.folder.path()).unwrap(), None);
}

#[tokio::test]
async fn folders_go_with_their_last_object() {
    let site = Site::new();
    site.put("gate", 1, 500).await;
    let kept = site.put("yard", 1, 5).await;
    site.sweep(hours(1), Held::default()).await;
    assert!(!site.folder.path().join("frames/gate").exists());
    assert_eq!(site.keys().await, [kept]);
    site.put("gate", 2, 5).await;
}

#[tokio::test]
async fn what_a_clock_set_forward_has_dated_grows_old_from_the_day_on_which_it_is_found() {
    let site = Site::new();
    site.put("gate", 1, -60 * 24 * 3_650).await;
    assert_eq!(site.sweep(hours(1), Held::default()).await.removed, 0);
    site.clock.advance(Duration::from_secs(3_500));
    assert_eq!(site.sweep(hours(1), Held::default()).await.removed, 0);
    site.clock.advance(Duration::from_secs(200));
    assert_eq!(site.sweep(hours(1), Held::default()).await.removed, 1);
}

#[tokio::test]
async fn one_process_at_a_time_removes() {
    let site = Site::new();
    site.put("gate", 1, 500).await;
    let lock = boundary::try_lock(site.folder.path()).unwrap().unwrap();
    assert_eq!(site.keeper(hours(1)).sweep(|| Ok(Held::default())).await.unwrap(), None);
    drop(lock);
    assert_eq!(site.sweep(hours(1), Held::default()).await.removed, 1);
}

#[tokio::test]
async fn what_cannot_be_removed_is_named_stops_nothing_and_goes_later() {
    let site = Site::new();
    let stuck = site.put("gate", 1, 500).await;
    site.put("yard", 1, 500).await;
    let folder = site.folder.path().join(&stuck);
    let folder = folder.parent().unwrap();
    let allow = |mode| fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
    allow(0o555);
    if File::create(folder.join("probe")).is_ok() {
        fs::remove_file(folder.join("probe")).unwrap();
        eprintln!("skipped: this user may write to any folder");
        return;
    }
    let swept = site.sweep(hours(1), Held::default()).await;
    allow(0o755);
    assert_eq!((swept.removed, swept.kept, swept.failed), (1, 1, 1));
    assert!(swept.failure.unwrap().contains("denied"));
    assert_eq!(swept.oldest, Some(CaptureTime(NOW.0 - 500 * 60_000_000)));
    assert_eq!(site.sweep(hours(1), Held::default()).await.removed, 1);
}

#[tokio::test]
async fn writers_go_on_while_old_objects_go() {
    let site = Site::new();
    let keeper = site.keeper(hours(1));
    for round in 0..20 {
        for n in 0..5 {
            site.put(&format!("s{n}"), round, 500).await;
        }
        let writing = async {
            let mut kept = Vec::new();
            for n in 0..5 {
                kept.push(site.put(&format!("s{n}"), 1_000 + round, 1).await);
            }
            kept
        };
        let (swept, kept) = tokio::join!(keeper.sweep(|| Ok(Held::default())), writing);
        swept.unwrap().unwrap();
        for key in kept {
            site.store.get(&key, None).await.unwrap();
            site.store.delete(&key).await.unwrap();
        }
    }
}

/// A small file system, unmounted when it is dropped.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(folder: &'a Path) -> Option<Self> {
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m", "millrace-test"]).arg(folder);
        mount.output().ok()?.status.success().then_some(Self(folder))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        std::process::Command::new("umount").arg("-l").arg(self.0).status().ok();
    }
}

#[tokio::test]
async fn a_full_disk_is_cleared() {
    if std::env::var("SKIP_MOUNT").is_ok_and(|skip| skip == "1") {
        eprintln!("skipped: SKIP_MOUNT=1");
        return;
    }
    let mut site = Site::new();
    let folder = tempfile::tempdir().unwrap();
    let _disk = SmallDisk::mount(folder.path())
        .expect("root may mount a small file system; SKIP_MOUNT=1 leaves this test out");
    site.store = FolderStore::open(folder.path()).unwrap();
    let keeper = ObjectKeeper::new(folder.path(), hours(1), site.clock.clock()).unwrap();
    let nothing_held = || Ok(Held::default());
    keeper.sweep(nothing_held).await.unwrap();

    let mut stored = 0;
    let full = loop {
        let key = format!("frames/gate/{EPOCH:013}/{stored:010}-shapes.jpg");
        match site.store.put(&key, Bytes::from(vec![7; 10_000])).await {
            Ok(()) => stored += 1,
            Err(error) => break error,
        }
        let file = File::open(folder.path().join(&key)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    };
    assert_eq!(full.kind(), ErrorKind::Full, "{full}");
    fs::write(folder.path().join("ballast"), vec![7; 100_000]).unwrap_err();
    let swept = keeper.sweep(nothing_held).await.unwrap().unwrap();
    assert_eq!((swept.removed, swept.kept), (stored, 0));
    assert!(Boundary::read(folder.path()).unwrap().is_some());
}
