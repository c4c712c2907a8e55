//! Which AWS call a request is, and how its service says "slow down".

use super::http::Message;

/// A call of an AWS service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    service: Service,
    action: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    S3,
    Sqs,
    Firehose,
    Athena,
    Other,
}

impl Call {
    /// The call that a request makes: JSON services name it in a header, S3 by method and path.
    pub(super) fn of(request: &Message) -> Self {
        match request.header("x-amz-target").and_then(|target| target.split_once('.')) {
            Some((service, action)) => {
                Self { service: Service::of(service), action: action.to_owned() }
            }
            None => Self { service: Service::S3, action: s3_action(&request.start) },
        }
    }

    /// Service and action, as `sqs:ReceiveMessage`.
    pub(super) fn name(&self) -> String {
        let service = match self.service {
            Service::S3 => "s3",
            Service::Sqs => "sqs",
            Service::Firehose => "firehose",
            Service::Athena => "athena",
            Service::Other => "other",
        };
        format!("{service}:{}", self.action)
    }

    /// The answer by which the service asks for fewer calls.
    pub(super) fn slow_down(&self) -> Message {
        let json = |status: &str, kind: &str, extra: &[(&str, &str)]| {
            let mut headers = vec![
                ("content-type", "application/x-amz-json-1.1"),
                ("x-amzn-errortype", kind),
                ("x-amzn-requestid", "proxy"),
            ];
            headers.extend(extra);
            let body = format!(r#"{{"__type":"{kind}","message":"Rate exceeded"}}"#);
            Message::answer(status, &headers, body)
        };
        match self.service {
            // https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
            Service::S3 => {
                let headers = [("content-type", "application/xml"), ("x-amz-request-id", "proxy")];
                let body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>SlowDown</Code>\
                            <Message>Please reduce your request rate.</Message></Error>";
                Message::answer("503 Slow Down", &headers, body.to_owned())
            }
            // https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
            Service::Sqs => {
                let query = [("x-amzn-query-error", "RequestThrottled;Sender")];
                json("400 Bad Request", "com.amazonaws.sqs#RequestThrottled", &query)
            }
            // https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html
            Service::Firehose => {
                json("503 Service Unavailable", "ServiceUnavailableException", &[])
            }
            // https://docs.aws.amazon.com/athena/latest/APIReference/API_StartQueryExecution.html
            Service::Athena => json("400 Bad Request", "TooManyRequestsException", &[]),
            Service::Other => json("400 Bad Request", "ThrottlingException", &[]),
        }
    }
}

impl Service {
    /// The service by the first part of its `x-amz-target`.
    fn of(target: &str) -> Self {
        match target {
            "AmazonSQS" => Self::Sqs,
            "AmazonAthena" => Self::Athena,
            _ if target.starts_with("Firehose") => Self::Firehose,
            _ => Self::Other,
        }
    }
}

/// S3's action: the SDK names it in `x-id` where two share a method, else method and path tell.
fn s3_action(start: &str) -> String {
    let mut words = start.split(' ');
    let method = words.next().unwrap_or_default();
    let target = words.next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let parameters = || query.split('&').map(|one| one.split_once('=').unwrap_or((one, "")));
    if let Some((_, action)) = parameters().find(|(name, _)| *name == "x-id") {
        return action.to_owned();
    }
    let has = |wanted: &str| parameters().any(|(name, _)| name == wanted);
    let of_bucket = !path.trim_matches('/').contains('/');
    let action = match (method, of_bucket) {
        ("PUT", true) => "CreateBucket",
        ("PUT", false) => "PutObject",
        ("GET", true) if has("list-type") => "ListObjectsV2",
        ("GET", true) if has("location") => "GetBucketLocation",
        ("GET", false) => "GetObject",
        ("HEAD", true) => "HeadBucket",
        ("HEAD", false) => "HeadObject",
        ("DELETE", true) => "DeleteBucket",
        ("DELETE", false) => "DeleteObject",
        ("POST", true) if has("delete") => "DeleteObjects",
        _ => return format!("{method} {path}"),
    };
    action.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(text: &str) -> Call {
        let text = format!("{text}\r\n\r\n");
        let request = Message::read_request(&mut text.as_bytes(), std::io::sink());
        Call::of(&request.unwrap().unwrap())
    }

    #[test]
    fn a_call_is_named_by_service_and_action() {
        let named = [
            ("PUT /frames/frames/gate/1/0.jpg?x-id=PutObject HTTP/1.1", "s3:PutObject"),
            ("GET /frames/frames/gate/1/0.jpg HTTP/1.1", "s3:GetObject"),
            ("GET /frames?list-type=2&prefix=frames%2F HTTP/1.1", "s3:ListObjectsV2"),
            ("HEAD /frames/ HTTP/1.1", "s3:HeadBucket"),
            ("POST /frames?delete HTTP/1.1", "s3:DeleteObjects"),
            ("POST / HTTP/1.1\r\nX-Amz-Target: AmazonSQS.ReceiveMessage", "sqs:ReceiveMessage"),
            (
                "POST / HTTP/1.1\r\nX-Amz-Target: Firehose_20150804.PutRecordBatch",
                "firehose:PutRecordBatch",
            ),
            (
                "POST / HTTP/1.1\r\nx-amz-target: AmazonAthena.StartQueryExecution",
                "athena:StartQueryExecution",
            ),
        ];
        for (text, name) in named {
            assert_eq!(call(text).name(), name);
        }
    }

    #[test]
    fn every_service_says_slow_down_in_its_own_words() {
        assert_eq!(call("PUT /b/k HTTP/1.1").slow_down().start, "HTTP/1.1 503 Slow Down");
        let sqs = call("POST / HTTP/1.1\r\nx-amz-target: AmazonSQS.SendMessageBatch").slow_down();
        assert_eq!(sqs.header("x-amzn-query-error"), Some("RequestThrottled;Sender"));
        let firehose = call("POST / HTTP/1.1\r\nx-amz-target: Firehose_20150804.PutRecordBatch");
        let error = firehose.slow_down();
        assert_eq!(error.header("x-amzn-errortype"), Some("ServiceUnavailableException"));
    }
}
