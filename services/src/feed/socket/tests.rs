use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};
use std::{fs, iter};

use tempfile::TempDir;

use super::*;
use crate::error::ErrorKind;
use crate::feed::Update;
use crate::feed::contract::{self, result};

const PATIENCE: Duration = Duration::from_secs(20);

/// A worker's feed and a receiver's, as one: what is published in the one is seen in the other.
#[derive(Debug)]
struct Between {
    worker: SocketFeed,
    receiver: SocketFeed,
    folder: TempDir,
}

#[async_trait]
impl ResultFeed for Between {
    fn publish(&self, result: Arc<FrameResult>, _: Option<&str>) -> Result<(), PortError> {
        self.worker.publish(result, None)
    }

    async fn subscribe(&self) -> Result<Box<dyn Subscription>, PortError> {
        self.receiver.subscribe().await
    }
}

fn between() -> Between {
    let folder = tempfile::tempdir().unwrap();
    let feed = || SocketFeed::new(&folder.path().join("feed"), 8);
    Between { worker: feed(), receiver: feed(), folder }
}

impl Between {
    fn folder(&self) -> PathBuf {
        self.folder.path().join("feed")
    }

    fn another(&self) -> SocketFeed {
        SocketFeed::new(&self.folder(), 8)
    }

    fn sockets(&self) -> usize {
        fs::read_dir(self.folder()).unwrap().count()
    }
}

async fn next(subscription: &mut Box<dyn Subscription>) -> Option<Update> {
    tokio::time::timeout(PATIENCE, subscription.next()).await.expect("there is an update")
}

#[tokio::test]
async fn a_subscriber_sees_what_is_published_after_it_subscribed() {
    contract::a_subscriber_sees_what_comes_after_it(&between()).await;
}

#[tokio::test]
async fn subscribers_do_not_wait_for_each_other() {
    contract::subscribers_do_not_wait_for_each_other(&between()).await;
}

#[tokio::test]
async fn a_process_sees_what_it_publishes_once() {
    let feeds = between();
    contract::a_subscriber_sees_what_comes_after_it(&feeds.worker).await;
    contract::subscribers_do_not_wait_for_each_other(&feeds.worker).await;
}

#[tokio::test]
async fn every_process_that_listens_sees_what_every_other_publishes() {
    let feeds = between();
    let (second_worker, second_receiver) = (feeds.another(), feeds.another());
    let mut subscribers =
        vec![feeds.subscribe().await.unwrap(), second_receiver.subscribe().await.unwrap()];
    feeds.worker.publish(result(1), None).unwrap();
    second_worker.publish(result(2), None).unwrap();
    for subscriber in &mut subscribers {
        let mut seen = Vec::new();
        for _ in 0..2 {
            let Some(Update::Result(result)) = next(subscriber).await else { panic!("no result") };
            seen.push(result.stamp.seq.0);
        }
        seen.sort_unstable();
        assert_eq!(seen, [1, 2]);
    }
}

#[tokio::test]
async fn a_process_that_does_not_read_harms_nobody_and_what_it_loses_is_counted() {
    let feeds = between();
    let mut reader = feeds.subscribe().await.unwrap();
    let _silent = UnixListener::bind(feeds.folder().join("silent.sock")).unwrap();
    let started = Instant::now();
    let mut seq = 0;
    while feeds.worker.lost() == 0 {
        assert!(started.elapsed() < PATIENCE, "after {seq} results nothing is lost");
        feeds.worker.publish(result(seq), None).unwrap();
        assert_eq!(next(&mut reader).await, Some(Update::Result(result(seq))));
        seq += 1;
    }
    assert!(seq > MAX_WAITING, "{seq}");
}

/// Results that wait for a link, at least.
const MAX_WAITING: u64 = 1_024;

#[tokio::test]
async fn too_many_at_once_are_dropped_and_counted_and_nobody_waits() {
    let feeds = between();
    let outcomes = iter::repeat_n((), 3_000).map(|()| feeds.worker.publish(result(1), None));
    let errors: Vec<PortError> = outcomes.filter_map(Result::err).collect();
    assert_eq!(errors.len() as u64, 3_000 - MAX_WAITING, "the task that sends had no turn yet");
    assert!(errors.iter().all(|error| error.kind() == ErrorKind::Full));
    assert_eq!(feeds.worker.lost(), errors.len() as u64);
}

#[tokio::test]
async fn a_socket_that_a_killed_process_left_is_removed() {
    let feeds = between();
    let mut subscriber = feeds.subscribe().await.unwrap();
    let left = feeds.folder().join("00000000.sock");
    drop(UnixListener::bind(&left).unwrap());
    assert!(left.exists(), "as after a kill");
    feeds.worker.publish(result(1), None).unwrap();
    assert_eq!(next(&mut subscriber).await, Some(Update::Result(result(1))));
    let started = Instant::now();
    while left.exists() {
        assert!(started.elapsed() < PATIENCE, "it is still there");
        tokio::task::yield_now().await;
    }
    assert_eq!((feeds.sockets(), feeds.worker.lost()), (1, 0));
}

#[tokio::test]
async fn a_process_that_comes_again_is_found_again() {
    let mut feeds = between();
    for seq in 0..3 {
        feeds.receiver = feeds.another();
        let mut subscriber = feeds.subscribe().await.unwrap();
        feeds.worker.publish(result(seq), None).unwrap();
        assert_eq!(next(&mut subscriber).await, Some(Update::Result(result(seq))));
        assert_eq!(feeds.sockets(), 1, "the one before it removed its own");
    }
}

#[tokio::test]
async fn sockets_are_their_owner_s_alone() {
    let feeds = between();
    let _subscriber = feeds.subscribe().await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let socket = fs::read_dir(feeds.folder()).unwrap().next().unwrap().unwrap().path();
    assert_eq!((mode(&feeds.folder()), mode(&socket)), (0o700, 0o600));
}

#[tokio::test]
async fn a_path_that_is_too_long_for_a_socket_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let long = folder.path().join("x".repeat(100));
    fs::create_dir(&long).unwrap();
    let feed = SocketFeed::new(&long, 8);
    let error = feed.subscribe().await.err().expect("no socket can be there");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let text = error.to_string();
    assert!(text.starts_with("listen for results at ") && text.contains("at most 107 bytes"));
    assert!(text.ends_with("choose a shorter data folder"), "{text}");
}

#[tokio::test]
async fn what_is_no_result_is_passed_over() {
    let feeds = between();
    let mut subscriber = feeds.subscribe().await.unwrap();
    let socket = fs::read_dir(feeds.folder()).unwrap().next().unwrap().unwrap().path();
    let mut stranger = std::os::unix::net::UnixStream::connect(&socket).unwrap();
    let newer = result(7).to_json().unwrap().replacen("\"v\":1", "\"v\":2", 1);
    for body in ["not JSON", &newer, &result(3).to_json().unwrap()] {
        let bytes = u32::try_from(body.len()).unwrap().to_be_bytes();
        std::io::Write::write_all(&mut stranger, &[&bytes, body.as_bytes()].concat()).unwrap();
    }
    assert_eq!(next(&mut subscriber).await, Some(Update::Result(result(3))));
}

#[tokio::test]
async fn a_feed_that_ended_says_so() {
    let feeds = between();
    let mut subscriber = feeds.subscribe().await.unwrap();
    drop(feeds);
    assert_eq!(next(&mut subscriber).await, None);
}
