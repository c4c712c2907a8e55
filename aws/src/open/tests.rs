//! What a start says when something is missing, refused or silent, and that it says so within 10 s; that it waits for
//! what is not permitted yet.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use services::config::{Overrides, parse};

use super::*;
use crate::scripted::{Reply, Request, Scripted, made_up_chain};
use crate::test_site;

/// A patience that no test uses up.
const LONG: Duration = Duration::from_secs(600);

/// The configuration of one model, `shapes`, and what else the file says.
fn config(prefix: &str, more: &str) -> Config {
    let text = format!(
        "backend = \"aws\"\naws.prefix = \"{prefix}\"\n{more}\n[models.shapes]\nalgorithm = \"circles\"\n"
    );
    parse(Some((&text, Path::new("millrace.toml"))), &BTreeMap::new(), &Overrides::default())
        .unwrap()
}

/// The error of a start that waits for no permission, which has to come within 10 s.
async fn refused(chain: ConfigLoader, config: &Config) -> PortError {
    let began = Instant::now();
    let error = open_by(chain, config, Duration::ZERO).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(10), "{error} after {:?}", began.elapsed());
    error
}

/// That each of what the configuration names is named, with the call and a cause.
fn assert_all_named(error: &PortError, causes: [&str; 3]) {
    let text = error.to_string();
    let heads = [
        "open bucket \"mill-frames\": s3:ListObjectsV2: ",
        "open delivery stream \"mill-detections\": firehose:DescribeDeliveryStream: ",
        "open queue \"mill-shapes\": sqs:GetQueueUrl: ",
    ];
    assert!(text.starts_with("open backend on AWS: open bucket"), "{text}");
    for (head, cause) in heads.into_iter().zip(causes) {
        assert_told(&text, head, cause);
    }
}

/// That a text of several problems has one that begins and goes on so.
fn assert_told(text: &str, head: &str, cause: &str) {
    let (_, rest) = text.split_once(head).unwrap_or_else(|| panic!("{head:?} in {text:?}"));
    let told = rest.split("; open ").next().unwrap();
    assert!(told.contains(cause), "{cause:?} in {told:?}");
}

/// An endpoint that answers everything with the same error.
async fn refusing(status: u16, code: &'static str, message: &'static str) -> Scripted {
    Scripted::answering(move |request| match request.operation() {
        "" => Reply::xml_error(status, code, message),
        _ => Reply::json_error(status, code, message),
    })
    .await
}

#[tokio::test]
async fn where_nothing_listens_everything_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = refused(made_up_chain(&url), &config("mill", "")).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_all_named(&error, ["Connection refused"; 3]);
}

#[tokio::test]
async fn denied_access_and_expired_credentials_are_told_in_the_services_words() {
    for (code, message) in [
        ("AccessDenied", "User: arn:aws:sts::1:assumed-role/worker is not authorized"),
        ("ExpiredToken", "The security token included in the request is expired"),
        ("SignatureDoesNotMatch", "Check your AWS Secret Access Key and signing method."),
    ] {
        let endpoint = refusing(403, code, message).await;
        let error = refused(made_up_chain(endpoint.url()), &config("mill", "")).await;
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert_all_named(&error, [&format!("{code}: {message}"); 3]);
        assert!(!error.to_string().contains("made-up-secret"), "{error}");
        assert_eq!(endpoint.requests().len(), 3, "nobody retries inside");
    }
}

/// An endpoint that permits nothing at the first `denied` questions for the bucket.
async fn permitting_after(denied: usize) -> Scripted {
    let asked = AtomicUsize::new(0);
    Scripted::answering(move |request| match request.operation() {
        "" if asked.fetch_add(1, Ordering::Relaxed) < denied => {
            Reply::xml_error(403, "AccessDenied", "is not authorized to perform: s3:ListBucket")
        }
        "" => Reply::xml_error(404, "NoSuchBucket", "The specified bucket does not exist"),
        _ => Reply::json_error(400, "AccessDeniedException", "is not authorized"),
    })
    .await
}

#[tokio::test]
async fn a_start_that_is_not_permitted_yet_is_tried_again_until_something_else_is_wrong() {
    let endpoint = permitting_after(3).await;
    let config = config("mill", "");
    let error = open_by(made_up_chain(endpoint.url()), &config, LONG).await.unwrap_err();
    assert_told(&error.to_string(), "s3:ListObjectsV2: ", "NoSuchBucket");
    let of_bucket = |request: &&Request| request.operation().is_empty();
    assert_eq!(endpoint.requests().iter().filter(of_bucket).count(), 4);
}

#[tokio::test]
async fn a_start_that_stays_without_permission_ends_when_the_patience_does() {
    let endpoint = permitting_after(usize::MAX).await;
    let (config, patience) = (config("mill", ""), Duration::from_secs(1));
    let began = Instant::now();
    let error = open_by(made_up_chain(endpoint.url()), &config, patience).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_all_named(&error, ["is not authorized"; 3]);
    assert!(began.elapsed() < patience + START_TIMEOUT, "{:?}", began.elapsed());
    assert!(endpoint.requests().len() > 6, "{} questions", endpoint.requests().len());
}

#[tokio::test]
async fn credentials_that_are_wrong_are_told_at_once() {
    let endpoint = refusing(403, "ExpiredToken", "The security token is expired").await;
    let (config, began) = (config("mill", ""), Instant::now());
    let error = open_by(made_up_chain(endpoint.url()), &config, LONG).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(began.elapsed() < LONG, "{:?}", began.elapsed());
    assert_eq!(endpoint.requests().len(), 3, "no time makes them right");
}

#[tokio::test]
async fn a_chain_without_credentials_is_denied() {
    #[derive(Debug)]
    struct Nobody;

    impl ProvideCredentials for Nobody {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let none = CredentialsError::not_loaded("no providers in chain provided credentials");
            future::ProvideCredentials::ready(Err(none))
        }
    }

    let endpoint = refusing(500, "InternalError", "nobody should ask").await;
    let chain = made_up_chain(endpoint.url()).credentials_provider(Nobody);
    let error = refused(chain, &config("mill", "")).await;
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_all_named(&error, ["no providers in chain provided credentials"; 3]);
    assert_eq!(endpoint.requests().len(), 0);
}

#[tokio::test]
async fn a_machine_without_a_region_is_told_where_it_is_looked_for() {
    #[derive(Debug)]
    struct Nowhere;

    impl aws_config::meta::region::ProvideRegion for Nowhere {
        fn region(&self) -> aws_config::meta::region::future::ProvideRegion<'_> {
            aws_config::meta::region::future::ProvideRegion::ready(None)
        }
    }

    let chain = made_up_chain("http://127.0.0.1:1").region(Nowhere);
    let error = refused(chain, &config("mill", "")).await;
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let expected = "find the AWS region: neither AWS_REGION nor the profile nor the machine's metadata name one";
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn a_throttled_start_is_tried_again() {
    let asked = AtomicUsize::new(0);
    let endpoint = Scripted::answering(move |request| match request.operation() {
        "DescribeDeliveryStream" if asked.fetch_add(1, Ordering::Relaxed) < 3 => {
            Reply::json_error(400, "ThrottlingException", "Rate exceeded")
        }
        _ => Reply::json_error(400, "AccessDeniedException", "no"),
    })
    .await;
    let error = refused(made_up_chain(endpoint.url()), &config("mill", "")).await;
    assert_told(&error.to_string(), "firehose:DescribeDeliveryStream: ", "no");
    let described = |request: &&Request| request.operation() == "DescribeDeliveryStream";
    assert_eq!(endpoint.requests().iter().filter(described).count(), 4);
}

#[tokio::test]
async fn an_endpoint_that_says_nothing_is_given_up_in_time() {
    let silent = |_: &Request| Reply::status(200).after(Duration::from_secs(600));
    let endpoint = Scripted::answering(silent).await;
    let error = refused(made_up_chain(endpoint.url()), &config("mill", "")).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let text = error.to_string();
    for asked in [
        "open bucket \"mill-frames\": s3:ListObjectsV2",
        "open delivery stream \"mill-detections\": firehose:DescribeDeliveryStream",
        "open queue \"mill-shapes\": sqs:GetQueueUrl and sqs:GetQueueAttributes",
    ] {
        assert!(text.contains(&format!("{asked}: no answer within 9 s")), "{text}");
    }
}

#[tokio::test]
async fn a_bucket_of_another_region_is_told_with_its_own() {
    let endpoint = Scripted::answering(|request: &Request| match request.operation() {
        "" => Reply::xml_error(301, "PermanentRedirect", "Use another endpoint.")
            .header("x-amz-bucket-region", "ap-south-1"),
        _ => Reply::json_error(400, "AccessDeniedException", "no"),
    })
    .await;
    let error = refused(made_up_chain(endpoint.url()), &config("mill", "")).await;
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_all_named(&error, ["(the bucket is in region ap-south-1)", "no", "no"]);
}

#[tokio::test]
async fn what_was_never_made_is_named() {
    let Some(_sdk) = test_site::client_config().await else { return };
    let prefix = test_site::unique_name("mill");
    let config = config(&prefix, "aws.reply_queue = \"gone\"");
    let error = refused(chain(), &config).await;
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let text = error.to_string();
    for (named, cause) in [
        (format!("open bucket \"{prefix}-frames\": s3:ListObjectsV2: "), "NoSuchBucket"),
        (
            format!(
                "open delivery stream \"{prefix}-detections\": firehose:DescribeDeliveryStream: "
            ),
            "ResourceNotFound",
        ),
        ("open queue \"gone\": sqs:GetQueueUrl: ".to_owned(), "does not exist"),
        (format!("open queue \"{prefix}-shapes\": sqs:GetQueueUrl: "), "does not exist"),
    ] {
        assert_told(&text, &named, cause);
    }
}

#[tokio::test]
async fn what_is_there_opens_unless_its_queue_gives_up_too_early() {
    let Some(sdk) = test_site::client_config().await else { return };
    let prefix = test_site::unique_name("mill");
    let bucket = format!("{prefix}-frames");
    test_site::make_bucket(&sdk, &bucket).await;
    test_site::make_delivery_stream(&sdk, &format!("{prefix}-detections"), &bucket).await;
    test_site::make_queue(&sdk, &format!("{prefix}-shapes"), 4).await;

    let error = refused(chain(), &config(&prefix, "queue = { max_receives = 5 }")).await;
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let expected = format!(
        "open queue \"{prefix}-shapes\": its redrive policy allows 4 receives (maxReceiveCount), \
         queue.max_receives is 5: it must not be more"
    );
    assert_eq!(error.to_string(), expected);

    let config = config(&prefix, "queue = { max_receives = 4 }");
    let open = open_by(chain(), &config, Duration::ZERO).await.unwrap();
    assert_eq!(open.ports.bucket.uri, format!("s3://{prefix}-frames"));
    assert_eq!(open.ports.queues.keys().map(ModelName::as_str).collect::<Vec<_>>(), ["shapes"]);
    assert!(open.filer.is_none(), "Firehose makes the files");
}
