//! Athena by script: what states, pages and failures come to.

use std::time::Duration;

use aws::scripted::{Reply, Request, Scripted};
use aws_sdk_athena::Client;
use serde_json::{Value, json};
use services::ErrorKind;
use services::config::AwsConfig;
use tokio::time::timeout;

use super::AthenaTable;
use crate::Table as _;
use crate::error::QueryError;

const PATIENCE: Duration = Duration::from_secs(20);

fn reply(body: Value) -> Reply {
    Reply::ok(body.to_string()).header("content-type", "application/x-amz-json-1.1")
}

fn refusal(status: u16, code: &str, message: &str) -> Reply {
    let body = json!({ "__type": code, "message": message }).to_string();
    Reply::status(status).body(body).header("content-type", "application/x-amz-json-1.1")
}

fn workgroup() -> Reply {
    reply(json!({ "WorkGroup": { "Name": "millrace" } }))
}

fn started() -> Reply {
    reply(json!({ "QueryExecutionId": "q-1" }))
}

fn state(state: &str) -> Reply {
    let reason = "Query timeout";
    reply(json!({ "QueryExecution": {
        "QueryExecutionId": "q-1", "StatementType": "DML",
        "Status": { "State": state, "StateChangeReason": reason },
        "Statistics": { "DataScannedInBytes": 4_096 }
    }}))
}

fn page(rows: &[&str], next: Option<&str>) -> Reply {
    let rows: Vec<Value> =
        rows.iter().map(|value| json!({ "Data": [{ "VarCharValue": value }] })).collect();
    let columns = json!([{ "Name": "n", "Type": "bigint" }]);
    let set = json!({ "Rows": rows, "ResultSetMetadata": { "ColumnInfo": columns } });
    reply(json!({ "ResultSet": set, "NextToken": next }))
}

async fn open(script: impl IntoIterator<Item = Reply>) -> (Scripted, AthenaTable) {
    let endpoint = Scripted::start([workgroup()].into_iter().chain(script)).await;
    let client = Client::new(&endpoint.sdk_config().await);
    let table = AthenaTable::open_with(client, &AwsConfig::default()).await.unwrap();
    (endpoint, table)
}

fn operations(requests: &[Request]) -> Vec<String> {
    requests.iter().skip(1).map(|request| request.operation().to_owned()).collect()
}

#[tokio::test]
async fn a_query_is_started_followed_and_read_in_pages() {
    let script = [
        started(),
        state("QUEUED"),
        state("RUNNING"),
        state("SUCCEEDED"),
        page(&["n", "1", "2"], Some("more")),
        page(&["3"], None),
    ];
    let (endpoint, table) = open(script).await;
    let answer = table.query("SELECT n FROM detections").await.unwrap();
    assert_eq!(answer.scanned_bytes(), Some(4_096));
    let rows = answer.collect().await.unwrap();
    assert_eq!(rows.integers("n").unwrap(), [Some(1), Some(2), Some(3)]);
    let requests = endpoint.requests();
    let start = requests[1].json();
    assert_eq!(start["QueryExecutionContext"]["Database"], "millrace");
    assert_eq!(start["WorkGroup"], "millrace");
    assert_eq!(requests[6].json()["NextToken"], "more");
}

#[tokio::test]
async fn a_throttled_call_is_made_again_and_a_start_is_the_same_start() {
    let busy = || refusal(400, "TooManyRequestsException", "Rate exceeded");
    let script = [
        busy(),
        started(),
        busy(),
        refusal(500, "InternalServerException", "oh"),
        state("SUCCEEDED"),
        Reply::status(503),
        page(&["n", "1"], None),
    ];
    let (endpoint, table) = open(script).await;
    let rows = table.query("SELECT n FROM detections").await.unwrap().collect().await.unwrap();
    assert_eq!(rows.integers("n").unwrap(), [Some(1)]);
    let requests = endpoint.requests();
    let tokens = [1, 2].map(|at: usize| requests[at].json()["ClientRequestToken"].clone());
    assert!(tokens[0].is_string() && tokens[0] == tokens[1], "{tokens:?}");
}

#[tokio::test]
async fn an_end_that_is_no_success_is_told_with_its_reason() {
    for word in ["FAILED", "CANCELLED"] {
        let (_endpoint, table) = open([started(), state(word)]).await;
        let error = table.query("SELECT n FROM detections").await.unwrap_err();
        assert_eq!(error.to_string(), format!("run query: Athena: {word}: Query timeout"));
    }
}

#[tokio::test]
async fn a_wrong_text_is_told_at_its_place() {
    let message = "line 1:8: mismatched input 'FROM'";
    let (_endpoint, table) = open([refusal(400, "InvalidRequestException", message)]).await;
    let error = table.query("SELECT n FROM detections").await.unwrap_err();
    assert!(matches!(error, QueryError::Sql(_)), "{error}");
    assert!(error.to_string().contains("line 1, column 8: mismatched input"), "{error}");
}

#[tokio::test]
async fn what_is_no_question_is_refused_before_any_call() {
    let (endpoint, table) = open([]).await;
    let error = table.query("DROP TABLE detections").await.unwrap_err();
    assert!(matches!(error, QueryError::Refused { .. }), "{error}");
    assert_eq!(endpoint.requests().len(), 1);
}

#[tokio::test]
async fn a_query_that_nobody_waits_for_is_stopped() {
    let endpoint = Scripted::answering(|request| match request.operation() {
        "GetWorkGroup" => workgroup(),
        "StartQueryExecution" => started(),
        "StopQueryExecution" => reply(json!({})),
        _ => state("RUNNING"),
    })
    .await;
    let client = Client::new(&endpoint.sdk_config().await);
    let table = AthenaTable::open_with(client, &AwsConfig::default()).await.unwrap();
    let asked = async {
        while !operations(&endpoint.requests()).iter().any(|name| name == "GetQueryExecution") {
            tokio::task::yield_now().await;
        }
    };
    let given_up = tokio::select! {
        _ = table.query("SELECT n FROM detections") => false,
        () = asked => true,
    };
    assert!(given_up);
    timeout(PATIENCE, table.idle()).await.unwrap();
    let last = operations(&endpoint.requests()).pop();
    assert_eq!(last.as_deref(), Some("StopQueryExecution"));
}

#[tokio::test]
async fn a_workgroup_that_is_missing_or_refused_is_named() {
    for (code, kind) in [
        ("AccessDeniedException", ErrorKind::Denied),
        ("InvalidRequestException", ErrorKind::Invalid),
    ] {
        let endpoint = Scripted::start([refusal(400, code, "WorkGroup is not found.")]).await;
        let client = Client::new(&endpoint.sdk_config().await);
        let error = AthenaTable::open_with(client, &AwsConfig::default()).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        let text = error.to_string();
        assert!(text.starts_with("open workgroup \"millrace\": athena:GetWorkGroup: "), "{text}");
    }
}
