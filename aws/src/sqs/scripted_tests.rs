//! What no emulator of SQS does: throttling, slow and broken answers, failures of single entries.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use aws_sdk_sqs::config::Builder;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use serde_json::{Value, json};
use services::ErrorKind;
use services::queue::{DeadLetters as _, LetterId, Outcome, Queue as _, Receipt};

use super::SqsQueue;
use crate::scripted::{Reply, Request, Scripted};

const LEASE: Duration = Duration::from_secs(30);
const URL: &str = "https://sqs.test/000000000000/shapes";
const DEAD_URL: &str = "https://sqs.test/000000000000/shapes-dead";

fn answer(body: &Value) -> Reply {
    Reply::ok(body.to_string())
}

fn policy() -> String {
    let arn = "arn:aws:sqs:eu-north-1:000000000000:shapes-dead";
    json!({ "deadLetterTargetArn": arn, "maxReceiveCount": 3 }).to_string()
}

/// What the calls of `open` are answered.
fn opening() -> [Reply; 4] {
    [
        answer(&json!({ "QueueUrl": URL })),
        answer(
            &json!({ "Attributes": { "RedrivePolicy": policy(), "MaximumMessageSize": "1048576" } }),
        ),
        answer(&json!({ "QueueUrl": DEAD_URL })),
        answer(&json!({ "Attributes": { "MaximumMessageSize": "1048576" } })),
    ]
}

async fn queue(name: &str, script: Vec<Reply>) -> (Scripted, SqsQueue) {
    let endpoint = Scripted::start(opening().into_iter().chain(script)).await;
    let client = aws_sdk_sqs::Client::new(&endpoint.sdk_config().await);
    let queue = SqsQueue::open(client, name).await.unwrap();
    (endpoint, queue)
}

/// What was asked after the queue was opened.
fn asked(endpoint: &Scripted) -> Vec<Request> {
    endpoint.requests().split_off(opening().len())
}

fn operations(endpoint: &Scripted) -> Vec<String> {
    asked(endpoint).iter().map(|request| request.operation().to_owned()).collect()
}

fn message(id: &str, receipt: &str, receives: u32) -> Value {
    json!({
        "MessageId": id, "ReceiptHandle": receipt, "Body": "{}",
        "Attributes": { "ApproximateReceiveCount": receives.to_string() },
    })
}

fn received(messages: &[Value]) -> Reply {
    answer(&json!({ "Messages": messages }))
}

fn succeeded(ids: &[&str]) -> Reply {
    let entry = |id: &&str| json!({ "Id": id, "MessageId": "m", "MD5OfMessageBody": "x" });
    answer(&json!({ "Successful": ids.iter().map(entry).collect::<Vec<_>>(), "Failed": [] }))
}

fn failed(code: &str, sender_fault: bool) -> Reply {
    let entry = json!({ "Id": "0", "Code": code, "SenderFault": sender_fault, "Message": "no" });
    answer(&json!({ "Successful": [], "Failed": [entry] }))
}

fn bodies(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

fn kinds(outcomes: &[Outcome]) -> Vec<Option<ErrorKind>> {
    outcomes.iter().map(|outcome| outcome.as_ref().err().map(|error| error.kind())).collect()
}

async fn receive_one(queue: &SqsQueue) -> Receipt {
    let mut got = queue.receive(1, LEASE, Duration::ZERO).await.unwrap();
    assert_eq!(got.len(), 1);
    got.remove(0).receipt
}

async fn refusal(answers: Vec<Reply>) -> String {
    let endpoint = Scripted::start(answers).await;
    let client = aws_sdk_sqs::Client::new(&endpoint.sdk_config().await);
    SqsQueue::open(client, "shapes").await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_queue_without_dead_letters_is_refused() {
    let [url, ..] = opening();
    let words = refusal(vec![url, answer(&json!({ "Attributes": {} }))]).await;
    let expected =
        "open queue \"shapes\": it has no redrive policy, which names its dead-letter queue";
    assert_eq!(words, expected);
}

#[tokio::test]
async fn a_queue_for_smaller_messages_is_refused() {
    let [url, ..] = opening();
    let small = json!({ "RedrivePolicy": policy(), "MaximumMessageSize": "262144" });
    let words = refusal(vec![url, answer(&json!({ "Attributes": small }))]).await;
    let expected =
        "it takes messages of at most 262144 bytes (MaximumMessageSize), 1048576 are needed";
    assert!(words.ends_with(expected), "{words}");
}

#[tokio::test]
async fn a_queue_whose_dead_letters_are_gone_is_refused_by_their_name() {
    let [url, attributes, ..] = opening();
    let gone = Reply::json_error(400, "QueueDoesNotExist", "The specified queue does not exist.");
    let words = refusal(vec![url, attributes, gone]).await;
    assert!(
        words.starts_with("open queue \"shapes-dead\": sqs:GetQueueUrl: QueueDoesNotExist"),
        "{words}"
    );
}

#[tokio::test]
async fn a_call_that_fails_as_a_whole_is_worth_another_try_and_tried_once_here() {
    let script = vec![
        Reply::json_error(400, "RequestThrottled", "slow down"),
        Reply::status(500),
        Reply::status(503),
        Reply::closed(),
        Reply::ok("{\"Successful\": [").cut_at(3),
    ];
    let tries = script.len();
    let (endpoint, queue) = queue("shapes", script).await;
    for _ in 0..tries {
        let error = queue.send(&bodies(2)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(
            error.to_string().starts_with("send to queue \"shapes\": sqs:SendMessage"),
            "{error}"
        );
    }
    assert_eq!(asked(&endpoint).len(), tries);
}

#[tokio::test]
async fn a_call_that_may_not_be_made_is_denied() {
    let denied = Reply::json_error(400, "AccessDenied", "not authorized");
    let (_endpoint, queue) = queue("shapes", vec![denied]).await;
    let error = queue.receive(1, LEASE, Duration::ZERO).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
}

#[tokio::test]
async fn a_receive_has_patience_where_other_calls_have_none() {
    let late = Duration::from_millis(800);
    let script = [succeeded(&["0"]).after(late), received(&[message("m1", "r1", 1)]).after(late)];
    let endpoint = Scripted::start(opening().into_iter().chain(script)).await;
    let impatient = TimeoutConfig::builder().operation_attempt_timeout(late / 2).build();
    let config = Builder::from(&endpoint.sdk_config().await).timeout_config(impatient).build();
    let queue = SqsQueue::open(aws_sdk_sqs::Client::from_conf(config), "shapes").await.unwrap();
    assert_eq!(queue.send(&bodies(1)).await.unwrap_err().kind(), ErrorKind::Unavailable);
    let got = queue.receive(1, LEASE, Duration::from_secs(20)).await.unwrap();
    assert_eq!(got[0].receipt, Receipt("r1".to_owned()));
}

#[tokio::test]
async fn a_large_message_has_time_for_a_slow_link() {
    let late = succeeded(&["0"]).after(Duration::from_secs(1));
    let endpoint = Scripted::start(opening().into_iter().chain([late])).await;
    let patience = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_millis(500));
    let sdk = endpoint.sdk_config().await.into_builder().timeout_config(patience.build()).build();
    let queue = SqsQueue::open(aws_sdk_sqs::Client::new(&sdk), "shapes").await.unwrap();
    let sent = queue.send(&["x".repeat(2 * 64 * 1_024)]).await.unwrap();
    assert_eq!(kinds(&sent), [None]);
}

#[tokio::test]
async fn each_message_sent_finds_its_outcome_whatever_the_order() {
    let entries = json!({
        "Successful": [
            { "Id": "4", "MessageId": "m4", "MD5OfMessageBody": "x" },
            { "Id": "0", "MessageId": "m0", "MD5OfMessageBody": "x" },
        ],
        "Failed": [
            { "Id": "3", "Code": "InternalError", "SenderFault": false },
            { "Id": "1", "Code": "InvalidMessageContents", "SenderFault": true, "Message": "no" },
        ],
    });
    let (_endpoint, queue) = queue("shapes", vec![answer(&entries)]).await;
    let outcomes = queue.send(&bodies(5)).await.unwrap();
    let (invalid, away) = (Some(ErrorKind::Invalid), Some(ErrorKind::Unavailable));
    assert_eq!(kinds(&outcomes), [None, invalid, away, away, None]);
    let words = outcomes[1].as_ref().unwrap_err().to_string();
    assert_eq!(words, "send to queue \"shapes\": InvalidMessageContents: no");
}

#[tokio::test]
async fn a_message_delivered_twice_is_answered_by_its_latest_receipt_alone() {
    let twice = [message("m1", "old", 1), message("m1", "new", 2)];
    let (endpoint, queue) = queue("shapes", vec![received(&twice), succeeded(&["0"])]).await;
    let got = queue.receive(10, LEASE, Duration::ZERO).await.unwrap();
    let receipts: Vec<_> = got.into_iter().map(|got| got.receipt).collect();
    let outcomes = queue.acknowledge(&receipts).await.unwrap();
    assert_eq!(kinds(&outcomes), [Some(ErrorKind::NotFound), None]);
    let entries = asked(&endpoint)[1].json()["Entries"].clone();
    assert_eq!(entries, json!([{ "Id": "0", "ReceiptHandle": "new" }]));
}

#[tokio::test]
async fn a_message_that_tells_nothing_of_itself_is_received() {
    let bare = json!({ "MessageId": "m1", "ReceiptHandle": "r1" });
    let (_endpoint, queue) = queue("shapes", vec![received(&[bare, json!({ "Body": "x" })])]).await;
    let got = queue.receive(10, LEASE, Duration::ZERO).await.unwrap();
    assert_eq!((got.len(), got[0].body.as_str(), got[0].receives), (1, "", 1));
}

#[tokio::test]
async fn a_lease_that_sqs_says_has_ended_is_not_asked_for_again() {
    for code in ["ReceiptHandleIsInvalid", "MessageNotInflight", "InvalidParameterValue"] {
        let script = vec![received(&[message("m1", "r1", 1)]), failed(code, true)];
        let (endpoint, queue) = queue("shapes", script).await;
        let receipts = [receive_one(&queue).await];
        let gone = [Some(ErrorKind::NotFound)];
        assert_eq!(kinds(&queue.extend(&receipts, LEASE).await.unwrap()), gone, "{code}");
        assert_eq!(kinds(&queue.acknowledge(&receipts).await.unwrap()), gone, "{code}");
        assert_eq!(asked(&endpoint).len(), 2);
    }
}

#[tokio::test]
async fn a_lease_whose_extension_failed_on_their_side_is_still_held() {
    let script = vec![
        received(&[message("m1", "r1", 1)]),
        failed("InternalError", false),
        succeeded(&["0"]),
    ];
    let (_endpoint, queue) = queue("shapes", script).await;
    let receipts = [receive_one(&queue).await];
    let away = [Some(ErrorKind::Unavailable)];
    assert_eq!(kinds(&queue.extend(&receipts, LEASE).await.unwrap()), away);
    assert_eq!(kinds(&queue.acknowledge(&receipts).await.unwrap()), [None]);
}

#[tokio::test]
async fn a_receipt_that_was_not_given_out_here_is_refused_without_a_call() {
    let (endpoint, queue) = queue("shapes", Vec::new()).await;
    let foreign = Receipt("of another process".to_owned());
    let gone = [Some(ErrorKind::NotFound)];
    let receipts = std::slice::from_ref(&foreign);
    assert_eq!(kinds(&queue.extend(receipts, LEASE).await.unwrap()), gone);
    assert_eq!(kinds(&queue.acknowledge(receipts).await.unwrap()), gone);
    assert_eq!(kinds(&queue.release(&[(foreign.clone(), None)]).await.unwrap()), gone);
    assert_eq!(queue.bury(&foreign, "no").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(asked(&endpoint).len(), 0);
}

#[tokio::test]
async fn the_last_release_with_a_reason_sends_the_letter_before_it_deletes_the_message() {
    let script = vec![
        received(&[message("m1", "r1", 3), message("m2", "r2", 2), message("m3", "r3", 3)]),
        succeeded(&["0", "1"]),
        succeeded(&["0"]),
        succeeded(&["0"]),
    ];
    let (endpoint, queue) = queue("shapes", script).await;
    let got = queue.receive(3, LEASE, Duration::ZERO).await.unwrap();
    let reason = Some("no such object".to_owned());
    let releases = [
        (got[0].receipt.clone(), reason.clone()),
        (got[1].receipt.clone(), reason),
        (got[2].receipt.clone(), None),
    ];
    assert_eq!(kinds(&queue.release(&releases).await.unwrap()), [None, None, None]);
    let expected = [
        "ReceiveMessage",
        "ChangeMessageVisibilityBatch",
        "SendMessageBatch",
        "DeleteMessageBatch",
    ];
    assert_eq!(operations(&endpoint), expected);
    let letter = asked(&endpoint)[2].json();
    assert_eq!(letter["QueueUrl"], DEAD_URL);
    let attributes = &letter["Entries"][0]["MessageAttributes"];
    assert_eq!(attributes["reason"]["StringValue"], "no such object");
    assert_eq!(attributes["receives"]["StringValue"], "3");
    assert_eq!(asked(&endpoint)[3].json()["QueueUrl"], URL);
}

#[tokio::test]
async fn a_letter_that_could_not_be_sent_leaves_the_message_where_it_is() {
    let script = vec![
        received(&[message("m1", "r1", 1)]),
        Reply::status(500),
        failed("InternalError", false),
        succeeded(&["0"]),
        succeeded(&["0"]),
    ];
    let (endpoint, queue) = queue("shapes", script).await;
    let receipt = receive_one(&queue).await;
    for _ in 0..2 {
        let error = queue.bury(&receipt, "not JSON").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
    }
    queue.bury(&receipt, "not JSON").await.unwrap();
    let sent = "SendMessageBatch";
    let expected = ["ReceiveMessage", sent, sent, sent, "DeleteMessageBatch"];
    assert_eq!(operations(&endpoint), expected);
}

#[tokio::test]
async fn a_letter_that_could_not_be_replayed_is_given_back() {
    let script = vec![
        received(&[message("m1", "r1", 1), message("m2", "r2", 1)]),
        Reply::closed(),
        succeeded(&["0", "1"]),
    ];
    let (endpoint, queue) = queue("shapes", script).await;
    let error = queue.replay(&[LetterId("m1".to_owned())]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let expected = ["ReceiveMessage", "SendMessageBatch", "ChangeMessageVisibilityBatch"];
    assert_eq!(operations(&endpoint), expected);
    assert_eq!(asked(&endpoint)[2].json()["Entries"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_replay_of_all_letters_takes_three_calls_for_ten_of_them() {
    let waiting = Mutex::new((0..300).map(|number| format!("m{number}")).collect::<Vec<_>>());
    let opening = Mutex::new(VecDeque::from(opening()));
    let endpoint = Scripted::answering(move |request: &Request| {
        if let Some(reply) = opening.lock().unwrap().pop_front() {
            return reply;
        }
        match request.operation() {
            "ReceiveMessage" => {
                let mut waiting = waiting.lock().unwrap();
                let rest = waiting.len().saturating_sub(10);
                let page = waiting.split_off(rest);
                received(&page.iter().map(|id| message(id, id, 1)).collect::<Vec<_>>())
            }
            _ => succeeded(&["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]),
        }
    })
    .await;
    let client = aws_sdk_sqs::Client::new(&endpoint.sdk_config().await);
    let queue = SqsQueue::open(client, "shapes").await.unwrap();
    let letters: Vec<_> = (0..301).map(|number| LetterId(format!("m{number}"))).collect();
    let outcomes = queue.replay(&letters).await.unwrap();
    assert_eq!(kinds(&outcomes[300..]), [Some(ErrorKind::NotFound)]);
    assert!(outcomes[..300].iter().all(Result::is_ok));
    // One more look tells that the last one is gone.
    assert_eq!(asked(&endpoint).len(), 3 * 30 + 1);
}

#[tokio::test]
async fn a_replay_that_fails_half_way_tells_what_became_of_each_letter() {
    let script = vec![
        received(&[message("m1", "r1", 1)]),
        succeeded(&["0"]),
        succeeded(&["0"]),
        Reply::json_error(400, "RequestThrottled", "slow down"),
    ];
    let (_endpoint, queue) = queue("shapes", script).await;
    let letters = ["m1", "m2"].map(|id| LetterId(id.to_owned()));
    let outcomes = queue.replay(&letters).await.unwrap();
    assert_eq!(kinds(&outcomes), [None, Some(ErrorKind::Unavailable)]);
}

#[tokio::test]
async fn a_look_at_the_letters_that_fails_gives_back_what_it_has() {
    let script = vec![
        received(&[message("m1", "r1", 1)]),
        Reply::json_error(400, "RequestThrottled", "slow down"),
        succeeded(&["0"]),
    ];
    let (endpoint, queue) = queue("shapes", script).await;
    assert_eq!(queue.list(None, 9).await.unwrap_err().kind(), ErrorKind::Unavailable);
    let expected = ["ReceiveMessage", "ReceiveMessage", "ChangeMessageVisibilityBatch"];
    assert_eq!(operations(&endpoint), expected);
    assert_eq!(asked(&endpoint)[2].json()["Entries"][0]["VisibilityTimeout"], 0);
}

#[tokio::test]
async fn a_fifo_queue_is_asked_again_for_what_a_lost_answer_held() {
    let script = vec![Reply::closed(), received(&[message("m1", "r1", 1)]), received(&[])];
    let (endpoint, queue) = queue("shapes.fifo", script).await;
    queue.receive(1, LEASE, Duration::ZERO).await.unwrap_err();
    receive_one(&queue).await;
    assert_eq!(queue.receive(1, LEASE, Duration::ZERO).await.unwrap(), []);
    let ids: Vec<_> = asked(&endpoint)
        .iter()
        .map(|request| request.json()["ReceiveRequestAttemptId"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[1], ids[2]);
}

#[tokio::test]
async fn a_message_of_a_fifo_queue_is_not_sent_before_an_earlier_one() {
    let script =
        vec![succeeded(&["0"]), failed("InvalidMessageContents", true), failed("Throttled", false)];
    let (endpoint, queue) = queue("shapes.fifo", script).await;
    let outcomes = queue.send(&bodies(5)).await.unwrap();
    let (refused, later) = (Some(ErrorKind::Invalid), Some(ErrorKind::Unavailable));
    assert_eq!(kinds(&outcomes), [None, refused, later, later, later]);
    assert_eq!(operations(&endpoint), ["SendMessageBatch"; 3]);
}

#[tokio::test]
async fn a_message_of_a_fifo_queue_has_its_stream_as_group_and_one_id_for_all_its_tries() {
    let script = vec![succeeded(&["0"]), succeeded(&["0"]), succeeded(&["0"])];
    let (endpoint, queue) = queue("shapes.fifo", script).await;
    let bodies = [r#"{"stream":"gate"}"#.to_owned(), "not JSON".to_owned()];
    queue.send(&bodies).await.unwrap();
    queue.send(&bodies[..1]).await.unwrap();
    let entries: Vec<_> =
        asked(&endpoint).iter().map(|request| request.json()["Entries"].clone()).collect();
    let [group, id] = ["MessageGroupId", "MessageDeduplicationId"];
    let [first, other, again] = [0, 1, 2].map(|call| &entries[call][0]);
    assert_eq!(first[group], "gate");
    assert_eq!(other[group], other[id]);
    assert_eq!(first[id], again[id]);
    assert_ne!(first[id], other[id]);
}
