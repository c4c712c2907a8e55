//! The end at which results go out: an outlet to each process that listens, with a bound of its own, so that one that does
//! not read holds up neither the publisher nor another.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{fs, io};

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::task::AbortOnDropHandle;

use super::SUFFIX;
use crate::error::{ErrorKind, PortError};
use crate::result::FrameResult;
use crate::sqlite::blocking;

/// Most results that wait, and for each outlet.
const MAX_RESULTS: usize = 1_024;
/// Most bytes of them that wait for one outlet.
const MAX_BYTES: usize = 4 << 20;
/// Results that are sent after one look at who listens.
const PAGE: usize = 64;
/// When a process that could not be connected to is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The way out of this process.
#[derive(Debug)]
pub(super) struct Outlets {
    results: mpsc::Sender<Arc<FrameResult>>,
    lost: Arc<AtomicU64>,
    _sending: AbortOnDropHandle<()>,
}

impl Outlets {
    /// Begins to send to all that listen in `folder` but to the one of the name `own`; `lost` counts what is dropped.
    pub(super) fn start(folder: PathBuf, own: String, lost: &Arc<AtomicU64>) -> Self {
        let (results, queue) = mpsc::channel(MAX_RESULTS);
        let peers = Peers { folder, own, by_name: HashMap::new(), lost: Arc::clone(lost) };
        let sending = AbortOnDropHandle::new(tokio::spawn(peers.send(queue)));
        Self { results, lost: Arc::clone(lost), _sending: sending }
    }

    /// Puts a result on its way.
    ///
    /// # Errors
    /// [`ErrorKind::Full`] when it has to be dropped.
    pub(super) fn put(&self, result: Arc<FrameResult>) -> Result<(), PortError> {
        self.results.try_send(result).map_err(|_| {
            self.lost.fetch_add(1, Ordering::Relaxed);
            let cause = "too many are on their way already, it is dropped";
            PortError::because(ErrorKind::Full, "publish result", cause)
        })
    }
}

/// The processes that listen, by the names of their sockets.
#[derive(Debug)]
struct Peers {
    folder: PathBuf,
    own: String,
    by_name: HashMap<OsString, Outlet>,
    lost: Arc<AtomicU64>,
}

impl Peers {
    async fn send(mut self, mut results: mpsc::Receiver<Arc<FrameResult>>) {
        let mut page = Vec::new();
        while results.recv_many(&mut page, PAGE).await > 0 {
            // After the results came: whoever subscribed before them is there.
            self.look().await;
            for result in page.drain(..).filter(|_| !self.by_name.is_empty()) {
                match result.to_json() {
                    Ok(body) => self.send_one(&framed(&body)),
                    Err(error) => {
                        self.lost.fetch_add(1, Ordering::Relaxed);
                        tracing::debug!(%error, "a result is not published");
                    }
                }
            }
        }
    }

    /// Looks who listens.
    async fn look(&mut self) {
        let folder = self.folder.clone();
        let attempt = || format!("list folder {:?}", self.folder);
        let listed = blocking(attempt, move || {
            names(&folder).map_err(|error| PortError::io("list folder", error))
        });
        let names = match listed.await {
            Ok(names) => names,
            Err(error) => {
                tracing::debug!(%error, "nobody is known to listen for results");
                Vec::new()
            }
        };
        self.by_name.retain(|name, outlet| names.contains(name) && !outlet.is_to_be_tried_again());
        for name in names.into_iter().filter(|name| *name != *self.own) {
            let path = self.folder.join(&name);
            self.by_name.entry(name).or_insert_with(|| Outlet::start(path));
        }
    }

    fn send_one(&self, bytes: &Bytes) {
        let refused = self.by_name.values().filter(|outlet| !outlet.put(bytes)).count();
        self.lost.fetch_add(refused as u64, Ordering::Relaxed);
    }
}

/// The sockets in a folder; one that is not there has none.
fn names(folder: &PathBuf) -> io::Result<Vec<OsString>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let shown = name.to_str();
        if shown.is_some_and(|name| name.ends_with(SUFFIX) && !name.starts_with('.')) {
            names.push(name);
        }
    }
    Ok(names)
}

/// A result as it goes over a socket.
fn framed(body: &str) -> Bytes {
    let mut bytes = BytesMut::with_capacity(4 + body.len());
    bytes.put_u32(u32::try_from(body.len()).expect("a result has at most a mebibyte"));
    bytes.put_slice(body.as_bytes());
    bytes.freeze()
}

/// The way to one process.
#[derive(Debug)]
struct Outlet {
    since: Instant,
    results: mpsc::Sender<(Bytes, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
    _writing: AbortOnDropHandle<()>,
}

impl Outlet {
    fn start(path: PathBuf) -> Self {
        let (results, queue) = mpsc::channel(MAX_RESULTS);
        let writing = async move {
            if let Err(error) = write(&path, queue).await {
                tracing::debug!(?path, %error, "a process does not get results");
                if error.kind() == io::ErrorKind::ConnectionRefused {
                    // Its process was killed.
                    let _ = fs::remove_file(&path);
                }
            }
        };
        Self {
            since: Instant::now(),
            results,
            room: Arc::new(Semaphore::new(MAX_BYTES)),
            _writing: AbortOnDropHandle::new(tokio::spawn(writing)),
        }
    }

    fn is_to_be_tried_again(&self) -> bool {
        self.results.is_closed() && self.since.elapsed() >= RETRY
    }

    /// Puts a result on its way; tells whether there was room. Nobody's result is not lost.
    fn put(&self, bytes: &Bytes) -> bool {
        if self.results.is_closed() {
            return true;
        }
        let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).try_acquire_many_owned(size);
        room.is_ok_and(|room| self.results.try_send((bytes.clone(), room)).is_ok())
    }
}

async fn write(
    path: &PathBuf,
    mut results: mpsc::Receiver<(Bytes, OwnedSemaphorePermit)>,
) -> io::Result<()> {
    let mut stream = UnixStream::connect(path).await?;
    while let Some((bytes, _room)) = results.recv().await {
        stream.write_all(&bytes).await?;
    }
    Ok(())
}
