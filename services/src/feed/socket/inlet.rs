//! The end at which results come in: a socket of this process, whose results go to its own subscribers.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use crate::error::{ErrorKind, PortError};
use crate::feed::{BroadcastFeed, ResultFeed as _};
use crate::queue::MAX_MESSAGE_BYTES;
use crate::result::FrameResult;

/// Most bytes of a socket's path (`sun_path` of unix(7), without the zero at its end).
const MAX_PATH_BYTES: usize = 107;
/// Most processes that publish here.
const MAX_PUBLISHERS: usize = 64;
/// The wait after a connection that could not be taken: for want of descriptors, say.
const PAUSE: Duration = Duration::from_millis(200);

/// Takes results in until it is dropped.
#[derive(Debug)]
pub(super) struct Inlet {
    path: PathBuf,
    _accepting: AbortOnDropHandle<()>,
}

impl Inlet {
    /// Listens at `folder`/`name`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the path is too long for a socket; else what the system says.
    pub(super) fn start(
        folder: &Path,
        name: &str,
        local: BroadcastFeed,
    ) -> Result<Self, PortError> {
        let path = folder.join(name);
        let attempt = || format!("listen for results at {path:?}");
        let bytes = path.as_os_str().as_bytes().len() + ".".len();
        if bytes > MAX_PATH_BYTES {
            let cause = format!(
                "a local socket's path has at most {MAX_PATH_BYTES} bytes, this one would have {bytes}: choose a shorter data folder"
            );
            return Err(PortError::because(ErrorKind::Invalid, attempt(), cause));
        }
        let listener = listen(folder, name).map_err(|error| PortError::io(attempt(), error))?;
        let accepting = AbortOnDropHandle::new(tokio::spawn(accept(listener, local)));
        Ok(Self { path, _accepting: accepting })
    }
}

impl Drop for Inlet {
    fn drop(&mut self) {
        // One that cannot be removed is, by the first publisher that finds nobody behind it.
        let _ = fs::remove_file(&self.path);
    }
}

/// A socket that has its name only when it can be connected to, by its owner alone: one that has a name and refuses
/// connections has no process any more.
fn listen(folder: &Path, name: &str) -> io::Result<UnixListener> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let hidden = folder.join(format!(".{name}"));
    let listener = UnixListener::bind(&hidden)?;
    fs::set_permissions(&hidden, Permissions::from_mode(0o600))?;
    fs::rename(&hidden, folder.join(name))?;
    Ok(listener)
}

async fn accept(listener: UnixListener, local: BroadcastFeed) {
    let mut reading = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                while reading.try_join_next().is_some() {}
                if reading.len() < MAX_PUBLISHERS {
                    reading.spawn(take_in(stream, local.clone()));
                } else {
                    tracing::warn!(most = MAX_PUBLISHERS, "too many processes publish results");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a process that publishes results is not heard");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn take_in(stream: UnixStream, local: BroadcastFeed) {
    // An end of the stream is its process's end.
    match read(stream, &local).await {
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
            tracing::warn!(%error, "a process's results are seen no more");
        }
        _ => {}
    }
}

async fn read(stream: UnixStream, local: &BroadcastFeed) -> io::Result<()> {
    let (mut stream, mut body, mut is_strange) = (BufReader::new(stream), Vec::new(), false);
    loop {
        let bytes = stream.read_u32().await? as usize;
        if bytes > MAX_MESSAGE_BYTES {
            let cause = format!("a result of {bytes} bytes, at most {MAX_MESSAGE_BYTES} are read");
            return Err(io::Error::new(io::ErrorKind::InvalidData, cause));
        }
        body.resize(bytes, 0);
        stream.read_exact(&mut body).await?;
        match FrameResult::from_json(&body) {
            // The broadcast takes everything.
            Ok(result) => drop(local.publish(result.into(), None)),
            Err(error) if !std::mem::replace(&mut is_strange, true) => {
                tracing::warn!(%error, "what a process publishes is no result");
            }
            Err(_) => {}
        }
    }
}
