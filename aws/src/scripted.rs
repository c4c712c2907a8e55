//! An HTTP endpoint that answers what a test tells it to, for what no emulator does: throttling, slow answers,
//! closed connections, failures of single entries.
//!
//! ```text
//! let endpoint = Scripted::start([Reply::status(503).body(SLOW_DOWN), Reply::ok("{}")]).await;
//! let client = aws_sdk_sqs::Client::new(&endpoint.sdk_config().await);
//! …
//! assert_eq!(endpoint.requests().len(), 1);
//! ```

#![allow(clippy::unwrap_used, reason = "only tests call it")]

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::{ConfigLoader, Region, SdkConfig};
use aws_credential_types::Credentials;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

/// What the endpoint answers to one request.
#[derive(Clone, Debug)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    delay: Duration,
    cut_at: Option<usize>,
    stalls: bool,
    closed: bool,
}

impl Reply {
    /// An answer with a status and no body.
    pub fn status(status: u16) -> Self {
        let (headers, body, delay) = (Vec::new(), Vec::new(), Duration::ZERO);
        Self { status, headers, body, delay, cut_at: None, stalls: false, closed: false }
    }

    /// An answer 200 with a body.
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::status(200).body(body)
    }

    /// The connection is closed without an answer.
    pub fn closed() -> Self {
        Self { closed: true, ..Self::status(0) }
    }

    /// An AWS JSON error, as SQS and Firehose and Athena write it.
    pub fn json_error(status: u16, code: &str, message: &str) -> Self {
        let body =
            serde_json::json!({ "__type": format!("com.amazonaws#{code}"), "message": message });
        Self::status(status).body(body.to_string())
    }

    /// An S3 error.
    pub fn xml_error(status: u16, code: &str, message: &str) -> Self {
        Self::status(status).body(format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
        ))
    }

    /// The same with a body.
    #[must_use]
    pub fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..self }
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same, so much later.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// The same, but the connection is closed after so many bytes of the body.
    #[must_use]
    pub fn cut_at(self, bytes: usize) -> Self {
        Self { cut_at: Some(bytes), ..self }
    }

    /// The same, but after so many bytes of the body nothing more comes, and the connection stays.
    #[must_use]
    pub fn stalls_at(self, bytes: usize) -> Self {
        Self { cut_at: Some(bytes), stalls: true, ..self }
    }
}

/// What was asked of the endpoint.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The headers, their names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// The operation of a JSON protocol, such as `SendMessageBatch`; empty for S3.
    pub fn operation(&self) -> &str {
        let target = self.headers.get("x-amz-target").map_or("", String::as_str);
        target.rsplit('.').next().unwrap_or_default()
    }

    /// The body as JSON; null when it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// The endpoint. It ends when it is dropped.
#[derive(Debug)]
pub struct Scripted {
    url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    _server: AbortOnDropHandle<()>,
}

type Answer = dyn Fn(&Request) -> Reply + Send + Sync;

impl Scripted {
    /// Answers the script in its order, and 418 past its end.
    pub async fn start(script: impl IntoIterator<Item = Reply>) -> Self {
        let script = Mutex::new(script.into_iter().collect::<VecDeque<_>>());
        let past = "the script is at its end";
        let next = move || script.lock().unwrap().pop_front();
        Self::answering(move |_| next().unwrap_or_else(|| Reply::status(418).body(past))).await
    }

    /// Answers each request by what it asks, for callers whose requests come in no fixed order.
    pub async fn answering(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::default();
        let server = serve(listener, Arc::new(answer), Arc::clone(&requests));
        Self { url, requests, _server: AbortOnDropHandle::new(tokio::spawn(server)) }
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it was asked so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// The SDK's configuration as in production, but with this endpoint and made-up credentials.
    pub async fn sdk_config(&self) -> SdkConfig {
        made_up_chain(&self.url).load().await
    }
}

/// The SDK's chain as in production, but with an endpoint and made-up credentials.
pub fn made_up_chain(endpoint: &str) -> ConfigLoader {
    let credentials = Credentials::new("made-up-id", "made-up-secret", None, None, "test");
    let chain = crate::chain().endpoint_url(endpoint).region(Region::new("eu-north-1"));
    chain.credentials_provider(credentials)
}

async fn serve(listener: TcpListener, answer: Arc<Answer>, requests: Arc<Mutex<Vec<Request>>>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (answer, requests) = (Arc::clone(&answer), Arc::clone(&requests));
        tokio::spawn(async move {
            let mut stream = BufReader::new(stream);
            // Whoever asks may be gone before it has its answer: that is part of what is tested.
            let Ok(request) = read_request(&mut stream).await else { return };
            let reply = answer(&request);
            requests.lock().unwrap().push(request);
            drop(write_reply(stream.into_inner(), &reply).await);
        });
    }
}

async fn read_request(stream: &mut BufReader<TcpStream>) -> io::Result<Request> {
    let head = read_head(stream).await?;
    let mut first = head[0].split(' ').map(str::to_owned);
    let (method, path) = (first.next().unwrap(), first.next().unwrap());
    let header = |line: &String| {
        let (name, value) = line.split_once(':').unwrap();
        (name.to_ascii_lowercase(), value.trim().to_owned())
    };
    let headers: BTreeMap<_, _> = head[1..].iter().map(header).collect();
    if headers.get("expect").is_some_and(|expect| expect == "100-continue") {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    let mut body = vec![0; headers.get("content-length").map_or(0, |len| len.parse().unwrap())];
    stream.read_exact(&mut body).await?;
    Ok(Request { method, path, headers, body })
}

/// The lines up to the empty one.
async fn read_head(stream: &mut BufReader<TcpStream>) -> io::Result<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match line.trim_end() {
            "" => return Ok(lines),
            line => lines.push(line.to_owned()),
        }
    }
}

async fn write_reply(mut stream: TcpStream, reply: &Reply) -> io::Result<()> {
    tokio::time::sleep(reply.delay).await;
    if reply.closed {
        return Ok(());
    }
    let mut head = format!("HTTP/1.1 {} Scripted\r\nconnection: close\r\n", reply.status);
    let has_len = reply.headers.iter().any(|(name, _)| name == "content-length");
    if !has_len {
        head.push_str(&format!("content-length: {}\r\n", reply.body.len()));
    }
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&reply.body[..reply.cut_at.unwrap_or(reply.body.len())]).await?;
    if reply.stalls {
        std::future::pending::<()>().await;
    }
    stream.shutdown().await
}
