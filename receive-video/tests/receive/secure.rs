//! Cameras in TLS: whom they have to be, and what becomes of those that are not, or that never finish.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fake_camera::{Feed, Login};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use services::config::Fingerprint;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::cameras::{check_numbers, serve, site, small_scene};
use crate::site::Site;

const SAMPLE: &str = "every = \"200ms\", pick = \"exact\", max_delay = \"100ms\"";

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/receive/tls").join(name)
}

fn certificate(name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(file(name)).unwrap()
}

fn fingerprint(name: &str) -> Fingerprint {
    Fingerprint::of(&certificate(name))
}

/// Puts TLS, with that certificate, before whoever listens behind a URL of `rtsp://`; gives the URL of it.
pub(crate) async fn in_tls(url: &str, name: &str) -> String {
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate(name)],
            PrivateKeyDer::from_pem_file(file("camera.key")).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let url = url::Url::parse(url).unwrap();
    let behind = (url.host_str().unwrap().to_owned(), url.port().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let user = if url.username().is_empty() { "" } else { "me:p%40ss@" };
    let secure = format!("rtsps://{user}127.0.0.1:{port}{}", url.path());
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (acceptor, behind) = (acceptor.clone(), behind.clone());
            tokio::spawn(async move {
                let Ok(mut tls) = acceptor.accept(tcp).await else { return };
                let mut camera = TcpStream::connect(behind).await.unwrap();
                // Either side may end it.
                tokio::io::copy_bidirectional(&mut tls, &mut camera).await.ok();
            });
        }
    });
    secure
}

/// Takes pictures of a camera with a login that shows a certificate.
async fn plays(name: &str, trust: &str) {
    let camera = serve(Feed::scene(small_scene()).login(Login::digest("me", "p@ss"))).await;
    let url = camera.url("gate").replace("rtsp://", "rtsp://me:p%40ss@");
    let site = site(&in_tls(&url, name).await, trust, SAMPLE);
    let running = site.start();
    running.until("gate", "frames", |status| status.taken >= 10).await;
    running.stop().await.unwrap();
    assert!(site.events("gate").is_empty(), "{:?}", site.events("gate"));
    check_numbers(&site.frames("eye").await);
}

#[tokio::test]
async fn a_camera_in_tls_plays_by_the_fingerprint_of_its_certificate() {
    let pin = format!("certificate_sha256 = \"{}\"", fingerprint("self-signed.pem"));
    plays("self-signed.pem", &pin).await;
}

#[tokio::test]
async fn an_expired_certificate_of_another_name_plays_by_its_fingerprint() {
    for name in ["expired.pem", "elsewhere.pem"] {
        let pin = format!("certificate_sha256 = \"{}\"", fingerprint(name));
        plays(name, &pin).await;
    }
}

#[tokio::test]
async fn a_camera_in_tls_plays_by_the_authority_that_issued_its_certificate() {
    plays("camera.pem", &format!("ca = {:?}", file("authority.pem"))).await;
}

#[tokio::test]
async fn a_self_signed_certificate_may_be_named_as_its_own_authority() {
    plays("self-signed.pem", &format!("ca = {:?}", file("self-signed.pem"))).await;
}

#[tokio::test]
async fn a_camera_whose_authority_cannot_be_read_for_a_while_plays_once_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("authority.pem");
    let camera = serve(Feed::scene(small_scene())).await;
    let url = in_tls(&camera.url("gate"), "camera.pem").await;
    let site = site(&url, &format!("ca = {authority:?}"), SAMPLE);
    let running = site.start();
    running.until("gate", "a refusal", |status| status.events >= 1).await;
    std::fs::copy(file("authority.pem"), &authority).unwrap();
    running.until("gate", "frames", |status| status.taken >= 5).await;
    running.stop().await.unwrap();
    let event = &site.events("gate")[0];
    assert_eq!(event.kind, "tls");
    assert!(event.words.contains("authority.pem\": No such file"), "{}", event.words);
}

/// What is said of a camera, with a login, that is not taken.
async fn refused(url: &str, keys: &str, kind: &str) -> String {
    let site = site(&url.replace("rtsps://", "rtsps://me:hunter2@"), keys, SAMPLE);
    let running = site.start();
    running.until("gate", "a refusal", |status| status.events >= 1).await;
    running.stop().await.unwrap();
    let events = site.events("gate");
    assert!(events.iter().all(|event| event.kind == kind), "{events:?}");
    let words = events[0].words.clone();
    assert!(!words.contains("hunter2") && !words.contains("me:"), "{words}");
    words
}

/// What is said of one that shows a certificate.
async fn not_trusted(name: &str, keys: &str) -> String {
    let camera = serve(Feed::scene(small_scene())).await;
    let url = in_tls(&camera.url("gate"), name).await;
    let words = refused(&url, keys, "untrusted-certificate").await;
    let advice = format!("set certificate_sha256 = \"{}\"", fingerprint(name));
    assert!(words.contains(&advice), "{words}");
    words
}

#[tokio::test]
async fn a_certificate_of_nobody_is_refused_with_its_fingerprint() {
    for name in ["self-signed.pem", "camera.pem"] {
        let words = not_trusted(name, "").await;
        assert!(words.contains("its certificate is not trusted: "), "{words}");
    }
    let authority = format!("ca = {:?}", file("authority.pem"));
    let words = not_trusted("self-signed.pem", &authority).await;
    assert!(words.contains("its certificate is not trusted: "), "{words}");
}

#[tokio::test]
async fn another_certificate_than_the_one_that_is_named_is_refused() {
    let pin = format!("certificate_sha256 = \"{}\"", fingerprint("camera.pem"));
    let words = not_trusted("self-signed.pem", &pin).await;
    assert!(words.contains("is not the one that certificate_sha256 names"), "{words}");
}

#[tokio::test]
async fn certificates_that_have_expired_or_are_of_another_name_are_refused() {
    let authority = format!("ca = {:?}", file("authority.pem"));
    let words = not_trusted("expired.pem", &authority).await;
    assert!(words.contains("it has expired"), "{words}");
    let words = not_trusted("elsewhere.pem", &authority).await;
    assert!(words.contains("127.0.0.1") && words.contains("elsewhere.invalid"), "{words}");
}

#[tokio::test]
async fn a_camera_that_speaks_no_tls_is_told() {
    let camera = serve(Feed::scene(small_scene())).await;
    let url = camera.url("gate").replace("rtsp://", "rtsps://");
    let words = refused(&url, "", "tls").await;
    assert!(words.contains("speak TLS at port"), "{words}");
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("rtsps://{}/gate", listener.local_addr().unwrap());
    let held = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((tcp, _)) = listener.accept().await {
            held.push(tcp);
        }
    });
    let site = Site::new(&format!(
        "[receive]\nconnect_timeout = \"300ms\"\nbackoff_min = \"100ms\"\nbackoff_max = \"500ms\"\n\
         [streams.gate]\nurl = \"{url}\"\n[models.eye]\nalgorithm = \"circles\"\n",
    ));
    let running = site.start();
    running.until("gate", "two refusals", |status| status.events >= 2).await;
    let stopped = Instant::now();
    running.stop().await.unwrap();
    assert!(stopped.elapsed() < Duration::from_secs(25), "{:?}", stopped.elapsed());
    assert!(site.events("gate").iter().all(|event| event.kind == "no-answer"));
    held.abort();
}
