//! The server: accepts connections, runs the cameras, and lets faults be set while it runs.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use rtsp_types::Url;
use serde::Serialize;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::camera::Camera;
use crate::config::{CameraConfig, Feed};
use crate::connection::{Cameras, Connection};
use crate::control;
use crate::error::{FaultError, SourceError, StartError};
use crate::fault::{Fault, Faults};
use crate::source::{Footage, Preview};

/// Connections at one time; more are closed at once.
const MAX_CONNECTIONS: usize = 1_024;

/// Bytes on their way to one client.
const SEND_BUFFER: u32 = 256 * 1_024;

/// Connections that the system keeps until they are accepted.
const WAITING_CONNECTIONS: u32 = 128;

/// From one try to listen again to the next.
const REBIND: Duration = Duration::from_millis(100);

/// A running RTSP server. Dropping it stops it.
#[derive(Debug)]
pub struct FakeCamera {
    site: Arc<Site>,
    control: Option<SocketAddr>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// What a camera does and has done.
#[derive(Clone, Debug, Serialize)]
pub struct CameraStatus {
    /// The mount.
    pub name: String,
    /// Its URL, without login.
    pub url: String,
    /// How many watch now.
    pub viewers: usize,
    /// Access units made so far.
    pub units: u64,
    /// RTP packets sent so far, to all viewers.
    pub packets: u64,
    /// RTP packets left out as a fault.
    pub lost: u64,
    /// Access units that slow viewers missed.
    pub skipped: u64,
    /// What is wrong with it now.
    pub faults: Faults,
}

impl FakeCamera {
    /// Looks into all sources and starts to serve.
    ///
    /// # Errors
    /// The configuration makes no sense, a source can't be read, or an address is taken.
    pub async fn start(config: CameraConfig) -> Result<Self, StartError> {
        config.check()?;
        let cameras = open_cameras(config.cameras).await?;
        let listener = listen(config.listen).map_err(|source| StartError::Bind {
            what: "rtsp",
            addr: config.listen,
            source,
        })?;
        let addr = listener.local_addr().unwrap_or(config.listen);
        let site =
            Arc::new(Site { addr, cameras: Arc::new(cameras), open: watch::Sender::new(true) });
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let control = match config.control {
            Some(at) => Some(start_control(at, &site, &tasks, &stop).await?),
            None => None,
        };
        for camera in site.cameras.values() {
            tasks.spawn(Arc::clone(camera).run(stop.clone()));
        }
        tasks.spawn(Doors::new(&site, &tasks, &stop).keep(listener));
        Ok(Self { site, control, stop, tasks })
    }

    /// Where RTSP is served.
    pub fn rtsp_addr(&self) -> SocketAddr {
        self.site.addr
    }

    /// Where faults are taken over HTTP.
    pub fn control_addr(&self) -> Option<SocketAddr> {
        self.control
    }

    /// The URL of a camera, without login.
    pub fn url(&self, mount: &str) -> String {
        self.site.url(mount)
    }

    /// The URL of a camera with its user and password in it, if it asks for them.
    pub fn url_with_login(&self, mount: &str) -> String {
        let login = self.site.cameras.get(mount).and_then(|camera| camera.feed.login.as_ref());
        let mut url = Url::parse(&self.url(mount)).expect("our own URLs are right");
        if let Some(login) = login {
            url.set_username(&login.user).expect("a URL with a host takes a user");
            url.set_password(Some(&login.password)).expect("a URL with a host takes a password");
        }
        url.into()
    }

    /// Puts a fault on a camera, beside those it has.
    ///
    /// # Errors
    /// There is no such camera, or the fault makes no sense.
    pub fn set_fault(&self, mount: &str, fault: &Fault) -> Result<(), FaultError> {
        self.site.camera(mount)?.set_fault(fault)
    }

    /// Takes all faults off a camera.
    ///
    /// # Errors
    /// There is no such camera.
    pub fn clear_faults(&self, mount: &str) -> Result<(), FaultError> {
        self.site.camera(mount)?.clear_faults();
        Ok(())
    }

    /// Stops listening, so that new connections are refused by the system; or listens again.
    pub fn refuse_connections(&self, refuse: bool) {
        self.site.open.send_replace(!refuse);
    }

    /// Tells what the cameras do and have done.
    pub fn status(&self) -> Vec<CameraStatus> {
        self.site.status()
    }

    /// Closes all connections and ends all tasks.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for FakeCamera {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What the server and its control share.
#[derive(Debug)]
pub(crate) struct Site {
    addr: SocketAddr,
    cameras: Arc<Cameras>,
    /// Whether connections are accepted.
    pub(crate) open: watch::Sender<bool>,
}

impl Site {
    fn url(&self, mount: &str) -> String {
        format!("rtsp://{}/{mount}", self.addr)
    }

    pub(crate) fn camera(&self, mount: &str) -> Result<&Arc<Camera>, FaultError> {
        self.cameras.get(mount).ok_or_else(|| FaultError::unknown_camera(mount))
    }

    pub(crate) fn status(&self) -> Vec<CameraStatus> {
        self.cameras.values().map(|camera| self.status_of(camera)).collect()
    }

    pub(crate) fn status_of(&self, camera: &Camera) -> CameraStatus {
        let counters = &camera.counters;
        CameraStatus {
            name: camera.name.clone(),
            url: self.url(&camera.name),
            viewers: camera.viewers(),
            units: counters.units.load(Relaxed),
            packets: counters.packets.load(Relaxed),
            lost: counters.lost.load(Relaxed),
            skipped: counters.skipped.load(Relaxed),
            faults: camera.faults(),
        }
    }
}

/// Accepts connections while the site is open.
struct Doors {
    site: Arc<Site>,
    tasks: TaskTracker,
    stop: CancellationToken,
    places: Arc<Semaphore>,
    served: AtomicU64,
}

impl Doors {
    fn new(site: &Arc<Site>, tasks: &TaskTracker, stop: &CancellationToken) -> Self {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let (site, tasks, stop) = (Arc::clone(site), tasks.clone(), stop.clone());
        Self { site, tasks, stop, places, served: AtomicU64::new(0) }
    }

    async fn keep(self, first: TcpListener) {
        let stop = self.stop.clone();
        let _ = stop.run_until_cancelled(self.open_and_close(first)).await;
    }

    async fn open_and_close(self, first: TcpListener) {
        let mut open = self.site.open.subscribe();
        let mut listener = first;
        loop {
            tokio::select! {
                biased;
                _ = open.wait_for(|open| !open) => drop(listener),
                () = self.accept(&listener) => return,
            }
            if open.wait_for(|open| *open).await.is_err() {
                return;
            }
            listener = self.listen_again().await;
        }
    }

    async fn listen_again(&self) -> TcpListener {
        loop {
            match listen(self.site.addr) {
                Ok(listener) => return listener,
                Err(error) => warn!(addr = %self.site.addr, %error, "listen again"),
            }
            tokio::time::sleep(REBIND).await;
        }
    }

    async fn accept(&self, listener: &TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, client)) => {
                    if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
                        self.serve(stream, client, place);
                    }
                }
                Err(error) => {
                    warn!(%error, "accept connection");
                    tokio::time::sleep(REBIND).await;
                }
            }
        }
    }

    fn serve(&self, stream: TcpStream, client: SocketAddr, place: OwnedSemaphorePermit) {
        let nth = self.served.fetch_add(1, Relaxed);
        let connection = match Connection::new(stream, nth, Arc::clone(&self.site.cameras)) {
            Ok(connection) => connection,
            Err(error) => return debug!(%client, %error, "lose connection"),
        };
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            if let Some(Err(hangup)) = stop.run_until_cancelled(connection.run()).await {
                debug!(%client, error = &hangup as &dyn std::error::Error, "end connection");
            }
            drop(place);
        });
    }
}

/// Listens with small send buffers, so that a slow client is noticed after a moment and not after megabytes.
fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(addr)?;
    socket.listen(WAITING_CONNECTIONS)
}

async fn start_control(
    addr: SocketAddr,
    site: &Arc<Site>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<SocketAddr, StartError> {
    let bound = TcpListener::bind(addr).await;
    let listener = bound.map_err(|source| StartError::Bind { what: "control", addr, source })?;
    let at = listener.local_addr().unwrap_or(addr);
    tasks.spawn(control::serve(listener, Arc::clone(site), stop.clone()));
    Ok(at)
}

/// Looks into all sources at the same time.
async fn open_cameras(feeds: BTreeMap<String, Feed>) -> Result<Cameras, StartError> {
    let opened = feeds.into_iter().map(|(name, feed)| async move {
        let opening = feed.source.clone();
        let opened = tokio::task::spawn_blocking(move || Footage::open(&opening)).await;
        let opened =
            opened.unwrap_or_else(|panic| Err(SourceError::Thread(io::Error::other(panic))));
        open_camera(name, feed, opened)
    });
    futures::future::try_join_all(opened).await.map(|cameras| cameras.into_iter().collect())
}

fn open_camera(
    name: String,
    feed: Feed,
    opened: Result<(Footage, Preview), SourceError>,
) -> Result<(String, Arc<Camera>), StartError> {
    let footage = opened.map_err(|source| StartError::Source { camera: name.clone(), source })?;
    let camera = Camera::new(name.clone(), feed, footage)
        .map_err(|source| StartError::Fault { camera: name.clone(), source })?;
    Ok((name, Arc::new(camera)))
}
