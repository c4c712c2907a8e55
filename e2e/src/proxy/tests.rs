use std::io::{Read as _, Write as _};

use super::*;

/// A service that answers every request with `yes` until its process ends.
fn service() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            let mut from = BufReader::new(&client);
            while let Ok(Some(_)) = Message::read_request(&mut from, &client) {
                Message::answer("200 OK", &[], "yes".to_owned()).write(&client).unwrap();
            }
        }
    });
    url
}

struct Client(TcpStream);

impl Client {
    fn of(proxy: &Proxy) -> Self {
        Self(TcpStream::connect(proxy.address).unwrap())
    }

    /// Puts an object; gives the status line.
    fn put(&self) -> io::Result<String> {
        (&self.0).write_all(b"PUT /b/k HTTP/1.1\r\ncontent-length: 2\r\n\r\nhi")?;
        Ok(Message::read_answer(&mut BufReader::new(&self.0), false)?.start)
    }
}

#[test]
fn calls_are_passed_on_and_counted() {
    let proxy = Proxy::start(&service()).unwrap();
    let client = Client::of(&proxy);
    for _ in 0..3 {
        assert_eq!(client.put().unwrap(), "HTTP/1.1 200 OK");
    }
    assert_eq!(proxy.calls(), BTreeMap::from([("s3:PutObject".to_owned(), 3)]));
    proxy.reset();
    assert_eq!(proxy.seen(), Seen::default());
}

#[test]
fn the_same_calls_are_throttled_for_the_same_seed() {
    let run = || {
        let proxy = Proxy::start(&service()).unwrap();
        proxy.throttle(0.5, 3);
        let client = Client::of(&proxy);
        let answers: Vec<String> = (0..40).map(|_| client.put().unwrap()).collect();
        let throttled = answers.iter().filter(|answer| *answer == "HTTP/1.1 503 Slow Down").count();
        let seen = proxy.seen();
        assert_eq!(seen.throttled, throttled as u64);
        assert_eq!(seen.calls["s3:PutObject"], 40 - seen.throttled);
        assert!((10..30).contains(&throttled), "{throttled}");
        answers
    };
    assert_eq!(run(), run());
}

#[test]
fn a_lost_answer_is_a_call_that_was_done() {
    let proxy = Proxy::start(&service()).unwrap();
    proxy.lose_answers(1.0, 0);
    assert!(Client::of(&proxy).put().is_err());
    let seen = proxy.seen();
    assert_eq!((seen.calls["s3:PutObject"], seen.unanswered), (1, 1));
    proxy.lose_answers(0.0, 0);
    assert!(Client::of(&proxy).put().is_ok());
}

#[test]
fn what_is_cut_stays_cut_until_it_is_not() {
    let proxy = Proxy::start(&service()).unwrap();
    let before = Client::of(&proxy);
    before.put().unwrap();
    proxy.cut(true);
    assert!(before.put().is_err());
    assert!(Client::of(&proxy).put().is_err());
    proxy.cut(false);
    assert!(Client::of(&proxy).put().is_ok());
    assert_eq!(proxy.calls()["s3:PutObject"], 2);
}

#[test]
fn a_service_that_is_not_there_breaks_the_connection() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let proxy = Proxy::start(&url).unwrap();
    assert!(Client::of(&proxy).put().is_err());
    let error = Proxy::start("localhost:4566").unwrap_err();
    assert_eq!(error.to_string(), "start proxy: \"localhost:4566\" is not http://HOST:PORT");
}

#[test]
fn a_dropped_proxy_takes_no_calls() {
    let proxy = Proxy::start(&service()).unwrap();
    let (address, client) = (proxy.address, Client::of(&proxy));
    client.put().unwrap();
    drop(proxy);
    let mut rest = Vec::new();
    assert_eq!((&client.0).read_to_end(&mut rest).unwrap_or(0), 0);
    // The listener goes when the thread that waits on it has woken up.
    crate::eventually("the port is closed", Duration::from_secs(10), || {
        TcpStream::connect(address).err().map(|_| ()).ok_or_else(|| "it connects".to_owned())
    });
}
