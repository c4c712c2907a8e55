//! What the relay costs, apart from the RTSP library: two sessions of one camera at once, one of them behind a relay, each
//! read by a thread that does nothing but read. A measurement and no test; its command is in `docs/benchmarks.md`.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use fake_camera::{CameraConfig, FakeCamera, Feed, SceneSource};
use media::scene::SceneConfig;
use services::config::StreamConfig;
use tokio::sync::oneshot;
use url::Url;

use super::super::address::{Address, RtspAddress};
use super::Relay;

/// How long sessions play before they are measured: their first group of pictures comes at once.
const WARM_UP: Duration = Duration::from_secs(3);

/// The time that a thread of this process has had of a processor.
fn cpu_of(thread: &str) -> Duration {
    let stat = fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

fn this_thread() -> String {
    let link = fs::read_link("/proc/thread-self").unwrap();
    link.file_name().unwrap().to_str().unwrap().to_owned()
}

/// A session of a client that speaks enough of RTSP.
struct Session {
    stream: BufReader<TcpStream>,
    requests: u32,
    id: String,
}

impl Session {
    /// Has a camera play, by itself or behind the relay.
    fn play(url: &str) -> Self {
        let parsed = Url::parse(url).unwrap();
        let place = (parsed.host_str().unwrap(), parsed.port().unwrap());
        let stream = BufReader::with_capacity(1 << 16, TcpStream::connect(place).unwrap());
        let mut session = Self { stream, requests: 0, id: String::new() };
        let description = session.ask("DESCRIBE", url, "Accept: application/sdp");
        let track = description.lines().rev().find_map(|line| line.strip_prefix("a=control:"));
        let track = format!("{url}/{}", track.unwrap());
        session.ask("SETUP", &track, "Transport: RTP/AVP/TCP;unicast;interleaved=0-1");
        session.ask("PLAY", url, "Range: npt=0-");
        session
    }

    /// Asks for something; gives the body of the answer.
    fn ask(&mut self, method: &str, url: &str, header: &str) -> String {
        self.requests += 1;
        let id =
            if self.id.is_empty() { String::new() } else { format!("Session: {}\r\n", self.id) };
        let number = self.requests;
        let request = format!("{method} {url} RTSP/1.0\r\nCSeq: {number}\r\n{id}{header}\r\n\r\n");
        self.stream.get_mut().write_all(request.as_bytes()).unwrap();
        let mut len = 0;
        for line in
            self.stream.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty())
        {
            match line.split_once(": ") {
                Some(("Session", id)) => id.split(';').next().unwrap().clone_into(&mut self.id),
                Some(("Content-Length", bytes)) => len = bytes.parse().unwrap(),
                Some(_) => {}
                None => assert!(line.contains(" 200 "), "{method}: {line}"),
            }
        }
        let mut body = vec![0; len];
        self.stream.read_exact(&mut body).unwrap();
        String::from_utf8(body).unwrap()
    }

    /// Reads until then; gives how many bytes came.
    fn read_until(&mut self, end: Instant) -> usize {
        let mut bytes = 0;
        while Instant::now() < end {
            let read = self.stream.fill_buf().unwrap().len();
            assert!(read > 0, "it ended the session");
            self.stream.consume(read);
            bytes += read;
        }
        bytes
    }
}

/// What a session's reader had: bytes, time of a processor, time.
fn read(url: &str, time: Duration) -> (usize, Duration, Duration) {
    let (mut session, me) = (Session::play(url), this_thread());
    session.read_until(Instant::now() + WARM_UP);
    let (began, before) = (Instant::now(), cpu_of(&me));
    let bytes = session.read_until(began + time);
    (bytes, cpu_of(&me) - before, began.elapsed())
}

/// A relay on a thread of its own; gives its URL and that thread.
fn relay(address: RtspAddress, stop: oneshot::Receiver<()>) -> (String, String) {
    let (told, tell) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let relay = Relay::start(&address).await.unwrap();
            told.send((relay.url().to_string(), this_thread())).unwrap();
            let mut units = tokio::time::interval(Duration::from_secs(1));
            let settling = async {
                loop {
                    units.tick().await;
                    relay.settle();
                }
            };
            tokio::select! {
                _ = stop => {}
                () = settling => {}
            }
        });
    });
    tell.recv().unwrap()
}

fn share(cpu: Duration, time: Duration) -> f64 {
    100.0 * cpu.as_secs_f64() / time.as_secs_f64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: its command is in docs/benchmarks.md"]
async fn what_the_relay_costs() {
    let seconds = std::env::var("RELAY_SECONDS").ok().and_then(|text| text.parse().ok());
    let time = Duration::from_secs(seconds.unwrap_or(40));
    let scene = SceneConfig { seed: 7, width: 1_920, height: 1_080, ..SceneConfig::default() };
    let scene = SceneSource {
        // It needs less: 3.9 Mb/s.
        bitrate: 10_000_000,
        key_interval: 25,
        repeat: Some(Duration::from_secs(5)),
        ..SceneSource::new(scene)
    };
    let config = CameraConfig::loopback().with("gate", Feed::scene(scene));
    let camera = FakeCamera::start(config).await.unwrap();
    let url = camera.url("gate");
    let stream: StreamConfig = serde_json::from_value(serde_json::json!({ "url": url })).unwrap();
    let Address::Rtsp(address) = Address::of(&stream).unwrap() else { panic!("{url}") };
    let (_stop, stopped) = oneshot::channel();
    let measured = tokio::task::spawn_blocking(move || {
        let direct = thread::spawn(move || read(&url, time));
        let (behind, its_thread) = relay(address, stopped);
        let relayed = thread::spawn(move || read(&behind, time));
        thread::sleep(WARM_UP);
        let (began, before) = (Instant::now(), cpu_of(&its_thread));
        thread::sleep(time);
        let relay = share(cpu_of(&its_thread) - before, began.elapsed());
        (relay, direct.join().unwrap(), relayed.join().unwrap())
    });
    let (relay, direct, relayed) = measured.await.unwrap();
    let readers = [&direct, &relayed].map(|(_, cpu, time)| share(*cpu, *time));
    let rates =
        [&direct, &relayed].map(|(bytes, _, time)| 8e-6 * *bytes as f64 / time.as_secs_f64());
    println!("Mb/s: {:.2} without the relay, {:.2} behind it", rates[0], rates[1]);
    println!(
        "reader, % of a core: {:.3} without the relay, {:.3} behind it",
        readers[0], readers[1]
    );
    println!("relay, % of a core: {relay:.3}");
}
