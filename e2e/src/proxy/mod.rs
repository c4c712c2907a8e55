//! A proxy before AWS's endpoint, or LocalStack's: it counts calls by service and action, and breaks some on demand.
//!
//! HTTP/1.1 without TLS, a thread for each connection. What breaks is decided by a seed and the call's number, so
//! that a run can be repeated.

mod call;
mod http;
mod luck;

use std::collections::BTreeMap;
use std::io::{self, BufReader};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use call::Call;
use http::Message;
use luck::Luck;

/// A running proxy; dropped, it takes no more connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// What a proxy has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Calls that were passed on, as `s3:PutObject`, `sqs:SendMessageBatch`, `firehose:PutRecordBatch`.
    pub calls: BTreeMap<String, u64>,
    /// Calls that were answered with "slow down" and not passed on.
    pub throttled: u64,
    /// Calls that were passed on, and whose answers were thrown away.
    pub unanswered: u64,
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    seen: Seen,
    throttle: Luck,
    lose: Luck,
    delay: Duration,
    is_cut: bool,
    is_stopped: bool,
    clients: BTreeMap<u64, TcpStream>,
    next_client: u64,
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Answered,
    Throttled,
    Unanswered,
}

impl Proxy {
    /// Starts a proxy for `upstream` (`http://HOST:PORT`) on a free port of this machine.
    ///
    /// # Errors
    /// When `upstream` is no such address, or no port can be had.
    pub fn start(upstream: &str) -> io::Result<Self> {
        let shared = Shared { upstream: resolve(upstream)?, state: Mutex::default() };
        let shared = Arc::new(shared);
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &accepting));
        Ok(Self { address, shared })
    }

    /// The proxy's own URL, for `AWS_ENDPOINT_URL`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The calls that were passed on since the start or the last [`Self::reset`], by service and action.
    pub fn calls(&self) -> BTreeMap<String, u64> {
        self.seen().calls
    }

    /// All that was seen since the start or the last [`Self::reset`].
    pub fn seen(&self) -> Seen {
        self.shared.lock().seen.clone()
    }

    /// Counts from nought again.
    pub fn reset(&self) {
        self.shared.lock().seen = Seen::default();
    }

    /// Answers a share of the calls, 0 to 1, as a service does that wants fewer of them.
    pub fn throttle(&self, share: f64, seed: u64) {
        self.shared.lock().throttle = Luck::new(share, seed);
    }

    /// Passes a share of the calls on and closes their connections unanswered: done, but nobody is told.
    pub fn lose_answers(&self, share: f64, seed: u64) {
        self.shared.lock().lose = Luck::new(share, seed);
    }

    /// Lets every call wait before it is passed on.
    pub fn delay(&self, delay: Duration) {
        self.shared.lock().delay = delay;
    }

    /// Cuts all connections and every new one (`true`), or takes connections again (`false`).
    pub fn cut(&self, cut: bool) {
        let mut state = self.shared.lock();
        state.is_cut = cut;
        if cut {
            state.close_clients();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.is_stopped = true;
        state.close_clients();
        drop(state);
        // Wakes the thread that waits for connections; without a listener there is none to wake.
        TcpStream::connect(self.address).ok();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a client's calls until it, or a fault, closes the connection.
    fn serve(&self, client: &TcpStream) -> io::Result<()> {
        let mut requests = BufReader::new(client);
        while let Some(request) = Message::read_request(&mut requests, client)? {
            let call = Call::of(&request);
            let (fate, delay) = self.lock().decide();
            thread::sleep(delay);
            if fate == Fate::Throttled {
                call.slow_down().write(client)?;
                continue;
            }
            self.lock().count(&call);
            let answer = self.ask(request)?;
            if fate == Fate::Unanswered {
                return Ok(());
            }
            answer.write(client)?;
        }
        Ok(())
    }

    /// Asks upstream, over a connection of its own: one kept open may be closed there at any moment, which no client
    /// would be to blame for.
    fn ask(&self, request: Message) -> io::Result<Message> {
        let upstream = TcpStream::connect(self.upstream)?;
        let is_head = request.start.starts_with("HEAD ");
        request.closing().write(&upstream)?;
        Message::read_answer(&mut BufReader::new(&upstream), is_head)
    }
}

impl State {
    fn decide(&mut self) -> (Fate, Duration) {
        let fate = if self.throttle.draw() {
            self.seen.throttled += 1;
            Fate::Throttled
        } else if self.lose.draw() {
            self.seen.unanswered += 1;
            Fate::Unanswered
        } else {
            Fate::Answered
        };
        (fate, self.delay)
    }

    fn count(&mut self, call: &Call) {
        *self.seen.calls.entry(call.name()).or_default() += 1;
    }

    /// Takes a client in, unless connections are cut.
    fn admit(&mut self, client: &TcpStream) -> Option<u64> {
        if self.is_cut {
            return None;
        }
        let id = self.next_client;
        self.next_client += 1;
        self.clients.insert(id, client.try_clone().ok()?);
        Some(id)
    }

    fn close_clients(&mut self) {
        for client in self.clients.values() {
            // One that its client has closed already is as closed as can be.
            client.shutdown(Shutdown::Both).ok();
        }
        self.clients.clear();
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        let mut state = shared.lock();
        if state.is_stopped {
            return;
        }
        let Ok(client) = client else { continue };
        let Some(id) = state.admit(&client) else { continue };
        drop(state);
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            // Whatever breaks a connection, its client sees as a broken connection.
            shared.serve(&client).ok();
            client.shutdown(Shutdown::Both).ok();
            shared.lock().clients.remove(&id);
        });
    }
}

fn resolve(url: &str) -> io::Result<SocketAddr> {
    let refuse = || {
        let text = format!("start proxy: {url:?} is not http://HOST:PORT");
        io::Error::new(io::ErrorKind::InvalidInput, text)
    };
    let authority = url.strip_prefix("http://").ok_or_else(refuse)?;
    let authority = authority.split('/').next().unwrap_or_default();
    authority.to_socket_addrs()?.next().ok_or_else(refuse)
}

#[cfg(test)]
mod tests;
