//! Accepts HTTP connections within bounds: so many at a time, and none that says nothing.
//!
//! When all places are taken, the connection that has been open for longest gives its place up: whoever asks whether
//! the process is well is answered, however many others hold on to a connection.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

/// The pause after a connection could not be accepted: what it lacked, mostly descriptors, may be there again.
const REST: Duration = Duration::from_millis(200);

/// How much clients may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Connections at a time.
    pub(crate) connections: usize,
    /// Time from the start of a connection, or from its last answer, to the end of a request's header.
    pub(crate) header: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 32, header: Duration::from_secs(5) }
    }
}

/// Answers until it is dropped.
pub(crate) async fn serve(listener: TcpListener, router: Router, limits: Limits) {
    let mut open = Open { router, limits, tasks: JoinSet::new(), oldest_first: VecDeque::new() };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => open.take_in(stream),
            Err(error) if is_of_one_client(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "accept a connection for health and metrics");
                tokio::time::sleep(REST).await;
            }
        }
    }
}

/// Tells whether the next client may well be accepted at once.
fn is_of_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// The connections that are open.
struct Open {
    router: Router,
    limits: Limits,
    /// Dropped with the server, and its connections with it.
    tasks: JoinSet<()>,
    oldest_first: VecDeque<AbortHandle>,
}

impl Open {
    fn take_in(&mut self, stream: TcpStream) {
        while self.tasks.try_join_next().is_some() {}
        self.oldest_first.retain(|task| !task.is_finished());
        while self.oldest_first.len() >= self.limits.connections.max(1) {
            self.oldest_first.pop_front().inspect(AbortHandle::abort);
        }
        let task = self.tasks.spawn(answer(stream, self.router.clone(), self.limits.header));
        self.oldest_first.push_back(task);
    }
}

async fn answer(stream: TcpStream, router: Router, header: Duration) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection for health and metrics ended");
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::timeout;
    use tokio_util::task::AbortOnDropHandle;

    use super::*;

    /// Longer than anything here takes on a busy machine.
    const PATIENCE: Duration = Duration::from_secs(30);

    async fn start(limits: Limits) -> (SocketAddr, AbortOnDropHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/healthz", get(async || "well"));
        (address, AbortOnDropHandle::new(tokio::spawn(serve(listener, router, limits))))
    }

    async fn ask(address: SocketAddr) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = b"GET /healthz HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// Tells whether the server closes the connection.
    async fn is_closed(stream: &mut TcpStream) -> bool {
        let read = timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await;
        read.is_ok_and(|read| {
            read.is_ok() || read.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
        })
    }

    #[tokio::test]
    async fn idle_connections_are_bounded_and_keep_nobody_from_an_answer() {
        let limits = Limits { connections: 8, header: PATIENCE * 10 };
        let (address, _server) = start(limits).await;
        let mut idle = Vec::new();
        for _ in 0..230 {
            idle.push(TcpStream::connect(address).await.unwrap());
        }
        assert!(timeout(PATIENCE, ask(address)).await.unwrap().ends_with("well"));
        for stream in &mut idle[..230 - limits.connections] {
            assert!(is_closed(stream).await);
        }
    }

    #[tokio::test]
    async fn a_header_that_does_not_come_to_its_end_closes_its_connection() {
        let limits = Limits { header: Duration::from_millis(100), ..Limits::default() };
        let (address, _server) = start(limits).await;
        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(b"GET /healthz HTTP/1.1\r\nHost: te").await.unwrap();
        assert!(is_closed(&mut slow).await && is_closed(&mut silent).await);
        assert!(ask(address).await.ends_with("well"));
    }
}
