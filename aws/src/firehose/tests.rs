//! The stream against an emulator by the port's contract, and against answers that no emulator gives.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use services::delivery::contract::{Delivered, row};
use services::delivery::{MAX_BATCH_BYTES, MAX_RECORD_BYTES};

use super::*;
use crate::scripted::{Reply, Request, Scripted};
use crate::{CALL_TIMEOUT, s3_client, test_site};

/// A stream and the bucket that it writes into.
struct IntoBucket {
    stream: FirehoseStream,
    s3: aws_sdk_s3::Client,
    bucket: String,
}

#[async_trait]
impl Delivered for IntoBucket {
    fn stream(&self) -> &dyn DeliveryStream {
        &self.stream
    }

    async fn frame_ids(&self) -> Vec<String> {
        let listed = self.s3.list_objects_v2().bucket(&self.bucket).prefix("detections/");
        let mut ids = Vec::new();
        for object in listed.send().await.unwrap().contents() {
            let body = self.s3.get_object().bucket(&self.bucket).key(object.key().unwrap());
            let body = body.send().await.unwrap().body.collect().await.unwrap().to_vec();
            let lines = String::from_utf8(body).unwrap();
            ids.extend(lines.lines().map(frame_id));
        }
        ids.sort();
        ids
    }
}

fn frame_id(line: &str) -> String {
    let row: Value = serde_json::from_str(line).unwrap();
    row["frame_id"].as_str().unwrap().to_owned()
}

services::delivery_contract!(await async || {
    let sdk = test_site::client_config().await?;
    let bucket = test_site::bucket(&sdk).await;
    let name = test_site::delivery_stream(&sdk, &bucket).await;
    let stream = FirehoseStream::open(Client::new(&sdk), &name).await.unwrap();
    Some(IntoBucket { stream, s3: s3_client(&sdk), bucket })
});

fn described(status: &str) -> Reply {
    let stream = json!({
        "DeliveryStreamName": "rows", "DeliveryStreamARN": "arn:aws:firehose:::rows",
        "DeliveryStreamStatus": status, "DeliveryStreamType": "DirectPut", "VersionId": "1",
        "Destinations": [], "HasMoreDestinations": false,
    });
    Reply::ok(json!({ "DeliveryStreamDescription": stream }).to_string())
}

/// An answer to PutRecordBatch: for each record, an error code if it failed.
fn answer(failed: i32, codes: &[Option<&str>]) -> Reply {
    let entry = |code: &Option<&str>| match code {
        None => json!({ "RecordId": "id" }),
        Some(code) => json!({ "ErrorCode": code, "ErrorMessage": "Slow down." }),
    };
    let entries: Vec<Value> = codes.iter().map(entry).collect();
    Reply::ok(json!({ "FailedPutCount": failed, "RequestResponses": entries }).to_string())
}

/// A stream that was opened, with the answers that come after that.
async fn stream(script: impl IntoIterator<Item = Reply>) -> (Scripted, FirehoseStream) {
    stream_with(script, CALL_TIMEOUT).await
}

async fn stream_with(
    script: impl IntoIterator<Item = Reply>,
    patience: Duration,
) -> (Scripted, FirehoseStream) {
    let endpoint = Scripted::start([described("ACTIVE")].into_iter().chain(script)).await;
    let patience = TimeoutConfig::builder().operation_attempt_timeout(patience).build();
    let sdk = endpoint.sdk_config().await.into_builder().timeout_config(patience).build();
    let stream = FirehoseStream::open(Client::new(&sdk), "rows").await.unwrap();
    (endpoint, stream)
}

/// Three rows of which no two fit one record.
fn three_records() -> Vec<DetectionRow> {
    let extra = Some("x".repeat(MAX_RECORD_BYTES * 2 / 3));
    (0..3).map(|seq| DetectionRow { extra: extra.clone(), ..row("gate", seq, 0) }).collect()
}

fn kinds(outcomes: &[Result<(), PortError>]) -> Vec<Option<ErrorKind>> {
    outcomes.iter().map(|outcome| outcome.as_ref().err().map(PortError::kind)).collect()
}

/// The frame ids in each record of a request.
fn sent(request: &Request) -> Vec<Vec<String>> {
    assert_eq!(request.operation(), "PutRecordBatch");
    let request = request.json();
    let records = request["Records"].as_array().unwrap().iter();
    let text = |record: &Value| BASE64.decode(record["Data"].as_str().unwrap()).unwrap();
    records
        .map(|record| String::from_utf8(text(record)).unwrap().lines().map(frame_id).collect())
        .collect()
}

#[tokio::test]
async fn rows_go_together_in_one_record() {
    let (endpoint, stream) = stream([answer(0, &[None])]).await;
    let rows: Vec<_> = (0..100).map(|seq| row("gate", seq, 0)).collect();
    assert_eq!(kinds(&stream.put(&rows).await.unwrap()), [None; 100]);
    let frame_ids: Vec<_> = rows.iter().map(|row| row.frame_id.clone()).collect();
    assert_eq!(sent(&endpoint.requests()[1]), [frame_ids]);
}

#[tokio::test]
async fn the_rows_of_a_failed_record_fail_and_no_others() {
    let (endpoint, stream) =
        stream([answer(1, &[None, Some("ServiceUnavailableException"), None])]).await;
    let outcomes = stream.put(&three_records()).await.unwrap();
    assert_eq!(kinds(&outcomes), [None, Some(ErrorKind::Unavailable), None]);
    let told = "deliver 3 rows to stream \"rows\": firehose:PutRecordBatch: \
                ServiceUnavailableException: Slow down.";
    assert_eq!(outcomes[1].as_ref().unwrap_err().to_string(), told);
    assert_eq!(endpoint.requests().len(), 2, "nobody retries inside");
}

#[tokio::test]
async fn all_rows_of_a_record_share_its_outcome() {
    let (_endpoint, stream) = stream([answer(1, &[Some("InternalFailure")])]).await;
    let rows: Vec<_> = (0..3).map(|seq| row("gate", seq, 0)).collect();
    let outcomes = stream.put(&rows).await.unwrap();
    assert_eq!(kinds(&outcomes), [Some(ErrorKind::Unavailable); 3]);
}

#[tokio::test]
async fn an_answer_that_does_not_add_up_accepts_nothing() {
    let answers = [
        (answer(0, &[]), "0 outcomes for 1 records"),
        (answer(0, &[None, None]), "2 outcomes for 1 records"),
        (answer(1, &[None]), "1 failures counted, 0 listed"),
        (answer(0, &[Some("InternalFailure")]), "0 failures counted, 1 listed"),
        (Reply::ok("{}"), "0 outcomes for 1 records"),
        (Reply::ok(r#"{"FailedPutCount":0,"RequestResponses":[{}]}"#), "0 failures counted"),
    ];
    for (answer, cause) in answers {
        let (_endpoint, stream) = stream([answer.clone()]).await;
        let error = stream.put(&[row("gate", 0, 0)]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{answer:?}: {error}");
        assert!(error.to_string().contains(cause), "{answer:?}: {error}");
    }
}

#[tokio::test]
async fn a_call_that_failed_tells_whether_another_may_pass() {
    let refused = |code: &str| Reply::json_error(400, code, "No.");
    let replies = [
        (Reply::json_error(503, "ServiceUnavailableException", "No."), ErrorKind::Unavailable),
        (refused("ThrottlingException"), ErrorKind::Unavailable),
        (Reply::status(500), ErrorKind::Unavailable),
        (Reply::closed(), ErrorKind::Unavailable),
        (answer(0, &[None]).cut_at(20), ErrorKind::Unavailable),
        (refused("ResourceNotFoundException"), ErrorKind::NotFound),
        (refused("AccessDeniedException"), ErrorKind::Denied),
        (refused("InvalidArgumentException"), ErrorKind::Invalid),
    ];
    for (reply, kind) in replies {
        let (endpoint, stream) = stream([reply.clone()]).await;
        let error = stream.put(&[row("gate", 0, 0)]).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{reply:?}: {error}");
        assert_eq!(endpoint.requests().len(), 2, "nobody retries inside: {error}");
    }
}

#[tokio::test]
async fn rows_whose_answer_was_lost_go_out_again_unchanged() {
    let (endpoint, stream) = stream([Reply::closed(), answer(0, &[None])]).await;
    let rows = [row("gate", 0, 0), row("gate", 1, 0)];
    assert!(stream.put(&rows).await.unwrap_err().is_retryable());
    assert_eq!(kinds(&stream.put(&rows).await.unwrap()), [None, None]);
    let requests = endpoint.requests();
    assert_eq!(requests[1].json(), requests[2].json());
}

#[tokio::test]
async fn an_answer_that_comes_too_late_accepts_nothing() {
    let late = answer(0, &[None]).after(CALL_TIMEOUT * 2);
    let (_endpoint, stream) = stream_with([late], Duration::from_secs(1)).await;
    let error = stream.put(&[row("gate", 0, 0)]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("timeout"), "{error}");
}

#[tokio::test]
async fn a_slow_answer_is_an_answer() {
    let (_endpoint, stream) = stream([answer(0, &[None]).after(Duration::from_millis(100))]).await;
    assert_eq!(kinds(&stream.put(&[row("gate", 0, 0)]).await.unwrap()), [None]);
}

#[tokio::test]
async fn many_bytes_of_rows_have_time_for_a_slow_link() {
    let late = answer(0, &[None; 3]).after(Duration::from_secs(1));
    let (_endpoint, stream) = stream_with([late], Duration::from_millis(500)).await;
    assert_eq!(kinds(&stream.put(&three_records()).await.unwrap()), [None; 3]);
}

/// Eight rows within the port's limit that the text of their times brings over the limit of one call.
fn two_calls() -> Vec<DetectionRow> {
    let bare = serde_json::to_string(&row("gate", 0, 0)).unwrap().len();
    let extra = "x".repeat(MAX_BATCH_BYTES / 8 - bare + "null".len() - 2);
    let long = |seq| DetectionRow { extra: Some(extra.clone()), ..row("gate", seq, 0) };
    (0..8).map(long).collect()
}

#[tokio::test]
async fn a_second_call_that_fails_takes_nothing_back_of_the_first() {
    let (endpoint, stream) = stream([answer(0, &[None; 7]), Reply::status(500)]).await;
    let outcomes = stream.put(&two_calls()).await.unwrap();
    assert_eq!(endpoint.requests().len(), 3);
    let mut expected = vec![None; 7];
    expected.push(Some(ErrorKind::Unavailable));
    assert_eq!(kinds(&outcomes), expected);
}

async fn open_error(reply: Reply) -> PortError {
    let endpoint = Scripted::start([reply]).await;
    let client = Client::new(&endpoint.sdk_config().await);
    FirehoseStream::open(client, "rows").await.unwrap_err()
}

#[tokio::test]
async fn a_stream_that_takes_no_records_is_not_opened() {
    let error = open_error(described("CREATING")).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let told = "open delivery stream \"rows\": its status is CREATING, expected ACTIVE";
    assert_eq!(error.to_string(), told);

    let missing = Reply::json_error(400, "ResourceNotFoundException", "Firehose rows not found");
    let error = open_error(missing).await;
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let told = "open delivery stream \"rows\": firehose:DescribeDeliveryStream: \
                ResourceNotFoundException: Firehose rows not found";
    assert!(error.to_string().starts_with(told), "{error}");
}
