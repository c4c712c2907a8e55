//! Faults over HTTP.

use fake_camera::{CameraConfig, FakeCamera, Feed, Login};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{eventually, small_scene};

async fn serve() -> FakeCamera {
    let feed = Feed::scene(small_scene()).login(Login::digest("viewer", "sesame"));
    let mut config = CameraConfig::loopback().with("gate", feed);
    config.control = Some("127.0.0.1:0".parse().unwrap());
    FakeCamera::start(config).await.unwrap()
}

/// Sends one request and gives status, and body as JSON if it is.
async fn ask(camera: &FakeCamera, request: &str, host: &str, body: &str) -> (u16, Value, String) {
    let mut stream = TcpStream::connect(camera.control_addr().unwrap()).await.unwrap();
    let text = format!(
        "{request} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    (status, serde_json::from_str(body).unwrap_or(Value::Null), answer)
}

async fn local(camera: &FakeCamera, request: &str, body: &str) -> (u16, Value) {
    let (status, json, _) = ask(camera, request, "localhost", body).await;
    (status, json)
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_come_and_go_and_show_in_the_list() {
    let camera = serve().await;
    let lose = r#"{"kind":"lose","rate":0.25}"#;
    let (status, json) = local(&camera, "POST /cameras/gate/faults", lose).await;
    assert_eq!((status, &json["faults"]["lose"]), (200, &Value::from(0.25)));
    let (_, json) = local(&camera, "GET /cameras", "").await;
    assert_eq!(json[0]["name"], "gate");
    assert_eq!(json[0]["faults"]["lose"], 0.25);
    let (status, json) = local(&camera, "DELETE /cameras/gate/faults", "").await;
    assert_eq!((status, &json["faults"]["lose"]), (200, &Value::from(0.0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_answered_in_words() {
    let camera = serve().await;
    let freeze = r#"{"kind":"freeze"}"#;
    assert_eq!(local(&camera, "POST /cameras/garden/faults", freeze).await.0, 404);
    let senseless = r#"{"kind":"lose","rate":7}"#;
    let (status, json) = local(&camera, "POST /cameras/gate/faults", senseless).await;
    assert_eq!((status, &json["error"]), (422, &Value::from("set fault: rate 7 is not in 0 to 1")));
    let unknown = r#"{"kind":"explode"}"#;
    assert_eq!(local(&camera, "POST /cameras/gate/faults", unknown).await.0, 422);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_hosts_are_refused_and_passwords_are_not_told() {
    let camera = serve().await;
    let (status, _, _) = ask(&camera, "GET /cameras", "evil.example", "").await;
    assert_eq!(status, 403);
    let (status, _, answer) = ask(&camera, "GET /cameras", "127.0.0.1:8555", "").await;
    assert_eq!(status, 200);
    assert!(!answer.contains("sesame"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_server_can_be_closed_and_opened() {
    let camera = serve().await;
    let addr = camera.rtsp_addr();
    assert_eq!(local(&camera, "POST /refuse", "").await.0, 204);
    eventually("a refusal", async || TcpStream::connect(addr).await.is_err()).await;
    assert_eq!(local(&camera, "DELETE /refuse", "").await.0, 204);
    eventually("a welcome", async || TcpStream::connect(addr).await.is_ok()).await;
}
