//! The store against an emulator by the port's contract, and against answers that no emulator gives.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;

use super::*;
use crate::scripted::{Reply, Scripted};
use crate::{s3_client, test_site};

services::object_store_contract!(await async || {
    let sdk = test_site::client_config().await?;
    let bucket = test_site::bucket(&sdk).await;
    Some(((), Arc::new(S3Store::open(s3_client(&sdk), &bucket).await.unwrap())))
});

const LISTED: &str = "<ListBucketResult></ListBucketResult>";

/// A store that was opened, with the answers that come after that; a call is given up after half a second.
async fn store(script: impl IntoIterator<Item = Reply>) -> (Scripted, S3Store) {
    let endpoint = Scripted::start([Reply::ok(LISTED)].into_iter().chain(script)).await;
    let patience = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_millis(500));
    let sdk = endpoint.sdk_config().await.into_builder().timeout_config(patience.build()).build();
    let store = S3Store::open(s3_client(&sdk), "frames").await.unwrap();
    (endpoint, store)
}

async fn put_error(reply: Reply) -> PortError {
    let (endpoint, store) = store([reply]).await;
    let error = store.put("a/b.jpg", Bytes::from_static(b"jpeg")).await.unwrap_err();
    assert_eq!(endpoint.requests().len(), 2, "nobody retries inside: {error}");
    assert_eq!(endpoint.requests()[1].path, "/frames/a/b.jpg?x-id=PutObject");
    error
}

#[tokio::test]
async fn a_failed_put_says_what_can_be_done_and_why() {
    let id = |reply: Reply| reply.header("x-amz-request-id", "4442587FB7D0A2F9");
    let cases = [
        (
            id(Reply::xml_error(503, "SlowDown", "Please reduce your request rate.")),
            ErrorKind::Unavailable,
            "SlowDown: Please reduce your request rate. (request id 4442587FB7D0A2F9)",
        ),
        (
            Reply::xml_error(500, "InternalError", "We encountered an internal error."),
            ErrorKind::Unavailable,
            "InternalError: We encountered an internal error.",
        ),
        (Reply::status(502), ErrorKind::Unavailable, "server error (HTTP 502)"),
        (
            Reply::xml_error(403, "AccessDenied", "User: arn:aws:iam::1:user/a is not authorized"),
            ErrorKind::Denied,
            "AccessDenied: User: arn:aws:iam::1:user/a is not authorized",
        ),
        (
            Reply::xml_error(400, "ExpiredToken", "The provided token has expired."),
            ErrorKind::Denied,
            "ExpiredToken: The provided token has expired.",
        ),
        (
            Reply::xml_error(404, "NoSuchBucket", "The specified bucket does not exist"),
            ErrorKind::Unavailable,
            "NoSuchBucket: The specified bucket does not exist",
        ),
        (
            Reply::xml_error(301, "PermanentRedirect", "Use another endpoint.")
                .header("x-amz-bucket-region", "ap-south-1"),
            ErrorKind::NotFound,
            "PermanentRedirect: Use another endpoint. (the bucket is in region ap-south-1)",
        ),
    ];
    for (reply, kind, cause) in cases {
        let error = put_error(reply).await;
        let expected =
            format!("put object \"a/b.jpg\" in bucket \"frames\": s3:PutObject: {cause}");
        assert_eq!((error.kind(), error.to_string()), (kind, expected));
    }
}

#[tokio::test]
async fn a_connection_that_breaks_or_stalls_is_worth_another_try() {
    let closed = put_error(Reply::closed()).await;
    assert_eq!(closed.kind(), ErrorKind::Unavailable);
    let why = "client error (SendRequest): connection closed before message completed";
    assert!(closed.to_string().ends_with(&format!("s3:PutObject: {why}")), "{closed}");

    let slow = put_error(Reply::status(200).after(Duration::from_secs(60))).await;
    assert_eq!(slow.kind(), ErrorKind::Unavailable);
    let why = "operation attempt timeout (single attempt) occurred after 500ms";
    assert!(slow.to_string().ends_with(&format!("s3:PutObject: {why}")), "{slow}");
}

#[tokio::test]
async fn a_large_object_has_time_for_a_slow_link() {
    let (endpoint, store) = store([Reply::status(200).after(Duration::from_secs(1))]).await;
    store.put("a/b.mjpeg", Bytes::from(vec![0; 2 * 64 * 1_024])).await.unwrap();
    assert_eq!(endpoint.requests()[1].body.len(), 2 * 64 * 1_024);
}

#[tokio::test]
async fn a_head_without_words_is_told_by_its_status() {
    for (status, kind, cause) in [
        (404, ErrorKind::NotFound, "NotFound"),
        (403, ErrorKind::Denied, "access denied (HTTP 403)"),
        (503, ErrorKind::Unavailable, "slow down (HTTP 503)"),
    ] {
        let (_endpoint, store) = store([Reply::status(status)]).await;
        let error = store.head("a").await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let text = error.to_string();
        assert!(
            text.starts_with("look at object \"a\" in bucket \"frames\": s3:HeadObject: "),
            "{text}"
        );
        assert!(text.contains(cause), "{text}");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_short_object() {
    let (_endpoint, store) = store([Reply::ok("0123456789").cut_at(4)]).await;
    let error = store.get("digits", None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("end of file before message length reached"), "{error}");
}

#[tokio::test]
async fn a_body_that_stands_still_is_given_up() {
    let (_endpoint, store) = store([Reply::ok("0123456789").stalls_at(4)]).await;
    let error = store.get("digits", None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("throughput of 0 B/s was observed"), "{error}");
}

#[tokio::test]
async fn a_body_other_than_its_checksum_is_refused() {
    let reply = Reply::ok("0123456789").header("x-amz-checksum-crc32", "AAAAAA==");
    let (_endpoint, store) = store([reply]).await;
    let error = store.get("digits", None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("body checksum mismatch"), "{error}");
}

#[tokio::test]
async fn only_the_range_asked_for_is_taken() {
    let part =
        |body: &str, range: &str| Reply::status(206).body(body).header("content-range", range);
    let (endpoint, store) = store([
        part("345", "bytes 3-5/10"),
        part("9", "bytes 9-9/10"),
        Reply::ok("0123456789"),
        Reply::xml_error(416, "InvalidRange", "The requested range is not satisfiable"),
    ])
    .await;
    assert_eq!(store.get("digits", Some(3..6)).await.unwrap(), "345");
    for (range, cause) in [
        (9..11, "bytes 9..11: answered with bytes 9-9/10"),
        (3..6, "bytes 3..6: answered with the whole object"),
        (10..11, "InvalidRange: The requested range is not satisfiable"),
    ] {
        let error = store.get("digits", Some(range)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let text = format!("get object \"digits\" in bucket \"frames\": s3:GetObject: {cause}");
        assert_eq!(error.to_string(), text);
    }
    let asked: Vec<_> =
        endpoint.requests()[1..].iter().map(|r| r.headers["range"].clone()).collect();
    assert_eq!(asked, ["bytes=3-5", "bytes=9-10", "bytes=3-5", "bytes=10-10"]);
}

#[tokio::test]
async fn an_empty_range_needs_an_object_that_reaches_so_far() {
    let ten = || Reply::status(200).header("content-length", "10");
    let (_endpoint, store) = store([ten(), ten()]).await;
    assert_eq!(store.get("digits", Some(10..10)).await.unwrap(), "");
    let error = store.get("digits", Some(11..11)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().ends_with("bytes 11..11: of an object of 10"), "{error}");
    let reversed = store.get("digits", Some(Range { start: 3, end: 2 })).await.unwrap_err();
    assert_eq!(reversed.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn a_listing_goes_on_over_pages_to_its_limit() {
    let page = |keys: &[&str], next: &str| {
        let of = |key: &&str| format!("<Contents><Key>{key}</Key><Size>3</Size></Contents>");
        let contents: String = keys.iter().map(of).collect();
        Reply::ok(format!("<ListBucketResult>{contents}{next}</ListBucketResult>"))
    };
    let next = "<NextContinuationToken>more</NextContinuationToken>";
    let (endpoint, store) =
        store([page(&["a/1", "a/folder/"], next), page(&[], next), page(&["a/2"], "")]).await;
    let found = store.list("a/", Some("a/0"), 2_500).await.unwrap();
    let meta = |key: &str| ObjectMeta { key: key.to_owned(), size: 3 };
    assert_eq!(found, [meta("a/1"), meta("a/2")]);

    let asked: Vec<_> = endpoint.requests()[1..].iter().map(|r| r.path.clone()).collect();
    let first = "/frames?list-type=2&max-keys=1000&prefix=a%2F&start-after=a%2F0";
    let then =
        "/frames?list-type=2&continuation-token=more&max-keys=1000&prefix=a%2F&start-after=a%2F0";
    assert_eq!(asked.len(), 3);
    for (path, expected) in asked.iter().zip([first, then, then]) {
        let parts = |path: &str| {
            let (_, query) = path.split_once('?').unwrap();
            query.split('&').map(str::to_owned).collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(parts(path), parts(expected));
    }
}

#[tokio::test]
async fn a_bucket_says_where_its_objects_are() {
    let (_endpoint, store) = store([]).await;
    let bucket = store.into_bucket();
    assert_eq!(
        (bucket.name.as_str(), bucket.object_uri("a/b")),
        ("frames", "s3://frames/a/b".to_owned())
    );
}
