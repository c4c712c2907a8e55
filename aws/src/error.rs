//! Errors of the AWS SDK as errors of the ports: what to do about them by code and status, and the cause in words.

use std::error::Error as StdError;
use std::fmt;
use std::iter::successors;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::RequestId as _;
use services::{ErrorKind, PortError};

/// Translates a failed call: `put object "a" in bucket "b": s3:PutObject: AccessDenied: … (request id …)`.
///
/// `attempt` is as in [`PortError::new`]; `call` is the operation with its service, such as `sqs:SendMessage`.
pub fn port_error<E>(
    attempt: impl Into<String>,
    call: &str,
    error: &SdkError<E, HttpResponse>,
) -> PortError
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    let code = error.code().map(str::to_owned);
    PortError::new(kind(error), attempt, FailedCall { code, words: words(call, error) })
}

/// The cause of an error of the ports that a call to AWS ended with.
#[derive(Debug)]
struct FailedCall {
    code: Option<String>,
    words: String,
}

impl fmt::Display for FailedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl StdError for FailedCall {}

/// Tells whether a service knows the caller and does not let it: a permission that is missing, or too new to be known.
pub(super) fn is_not_permitted(error: &PortError) -> bool {
    let call = error.cause().and_then(|cause| cause.downcast_ref::<FailedCall>());
    call.and_then(|call| call.code.as_deref()).is_some_and(|code| code.contains("AccessDenied"))
}

/// What a failed call says, with its name before it and the request's id behind it.
pub(crate) fn words<E>(call: &str, error: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    let Some(answer) = error.raw_response() else {
        return format!("{call}: {}", unanswered_words(error));
    };
    let status = answer.status().as_u16();
    let region = answer.headers().get("x-amz-bucket-region");
    let elsewhere = elsewhere(status, region).unwrap_or_default();
    let id = error.request_id().map(|id| format!(" (request id {id})")).unwrap_or_default();
    format!("{call}: {}{elsewhere}{id}", answer_words(error, status))
}

fn kind<E>(error: &SdkError<E, HttpResponse>) -> ErrorKind
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    match error.raw_response() {
        Some(answer) => kind_of(error.code().unwrap_or_default(), answer.status().as_u16()),
        None => unanswered_kind(error),
    }
}

/// What can be done about an error code of S3, SQS, Firehose or Athena
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html> and the API references of the others);
/// about its HTTP status where the code says nothing.
pub fn kind_of(code: &str, status: u16) -> ErrorKind {
    // SQS writes some codes with a prefix that is older than its present protocol.
    match code.strip_prefix("AWS.SimpleQueueService.").unwrap_or(code) {
        "NoSuchBucket"
        | "PermanentRedirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException"
        | "NoSuchKey"
        | "NotFound"
        | "QueueDoesNotExist"
        | "NonExistentQueue"
        | "ResourceNotFoundException"
        | "ReceiptHandleIsInvalid"
        | "MessageNotInflight" => ErrorKind::NotFound,
        "ExpiredToken"
        | "ExpiredTokenException"
        | "RequestExpired"
        | "InvalidToken"
        | "InvalidClientTokenId"
        | "InvalidAccessKeyId"
        | "UnrecognizedClientException"
        | "SignatureDoesNotMatch"
        | "InvalidSignatureException"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "OptInRequired"
        | "AllAccessDisabled"
        | "NotSignedUp" => ErrorKind::Denied,
        // Too many messages are leased: acknowledgements make room.
        "OverLimit" => ErrorKind::Unavailable,
        code if is_throttling(code) || is_passing(code) => ErrorKind::Unavailable,
        code if code.contains("AccessDenied") || code.to_ascii_uppercase().contains("KMS") => {
            ErrorKind::Denied
        }
        _ => kind_of_status(status),
    }
}

fn is_throttling(code: &str) -> bool {
    code.contains("Throttl")
        || code.contains("TooManyRequests")
        || code.contains("SlowDown")
        || code.contains("LimitExceeded")
        || code == "PriorRequestNotComplete"
}

fn is_passing(code: &str) -> bool {
    matches!(
        code,
        "RequestTimeout" | "RequestTimeoutException" | "OperationAborted" | "ServiceUnavailable"
    ) || code.starts_with("InternalError")
        || code.starts_with("InternalFailure")
        || code.starts_with("InternalServer")
        || code.starts_with("ServiceUnavailable")
}

fn kind_of_status(status: u16) -> ErrorKind {
    match status {
        401 | 403 => ErrorKind::Denied,
        301 | 307 | 404 | 410 => ErrorKind::NotFound,
        408 | 409 | 425 | 429 => ErrorKind::Unavailable,
        300..500 => ErrorKind::Invalid,
        // The server's own failure, or an answer of success that could not be read: the connection broke.
        _ => ErrorKind::Unavailable,
    }
}

/// The kind of a failure that no answer tells about.
fn unanswered_kind<E: StdError + 'static>(error: &SdkError<E, HttpResponse>) -> ErrorKind {
    let of_credentials = causes(error).find_map(|cause| cause.downcast_ref::<CredentialsError>());
    match (of_credentials, error) {
        (
            Some(
                CredentialsError::CredentialsNotLoaded(_)
                | CredentialsError::InvalidConfiguration(_),
            ),
            _,
        ) => ErrorKind::Denied,
        (None, SdkError::ConstructionFailure(_)) => ErrorKind::Invalid,
        _ => ErrorKind::Unavailable,
    }
}

/// What the service says; the status alone where it says nothing, as to HEAD requests.
fn answer_words<E>(error: &SdkError<E, HttpResponse>, status: u16) -> String
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => format!("{code} (HTTP {status})"),
        (None, Some(message)) => format!("{message} (HTTP {status})"),
        (None, None) if matches!(error, SdkError::ResponseError(_)) => chain(error),
        (None, None) => format!("{} (HTTP {status})", status_words(status)),
    }
}

fn status_words(status: u16) -> &'static str {
    match status {
        301 | 307 => "redirected",
        400 => "bad request",
        401 | 403 => "access denied",
        404 => "not found",
        412 => "precondition failed",
        416 => "range not satisfiable",
        429 | 503 => "slow down",
        500.. => "server error",
        _ => "refused",
    }
}

/// Where a bucket is that was asked for in another region.
fn elsewhere(status: u16, region: Option<&str>) -> Option<String> {
    let region = region.filter(|_| matches!(status, 301 | 307 | 400))?;
    Some(format!(" (the bucket is in region {region})"))
}

/// Why there is no answer, without the SDK's own words for where in it that showed.
fn unanswered_words<E: StdError + 'static>(error: &SdkError<E, HttpResponse>) -> String {
    match error {
        SdkError::DispatchFailure(_) => joined(causes(error).skip(2)),
        _ => joined(causes(error).skip(1)),
    }
}

/// An error and its causes in words.
pub(crate) fn chain(error: &(dyn StdError + 'static)) -> String {
    joined(causes(error))
}

fn joined<'a>(causes: impl Iterator<Item = &'a (dyn StdError + 'static)>) -> String {
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    successors(Some(error), |&cause| cause.source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_say_what_can_be_done_before_the_status_does() {
        for (code, status, kind) in [
            ("NoSuchKey", 404, ErrorKind::NotFound),
            ("AWS.SimpleQueueService.NonExistentQueue", 400, ErrorKind::NotFound),
            ("ResourceNotFoundException", 400, ErrorKind::NotFound),
            ("AccessDeniedException", 400, ErrorKind::Denied),
            ("ExpiredTokenException", 400, ErrorKind::Denied),
            ("PermanentRedirect", 301, ErrorKind::NotFound),
            ("KmsAccessDenied", 400, ErrorKind::Denied),
            ("KMS.DisabledException", 400, ErrorKind::Denied),
            ("OverLimit", 403, ErrorKind::Unavailable),
            ("ThrottlingException", 400, ErrorKind::Unavailable),
            ("RequestThrottled", 403, ErrorKind::Unavailable),
            ("KmsThrottled", 400, ErrorKind::Unavailable),
            ("LimitExceededException", 400, ErrorKind::Unavailable),
            ("RequestTimeout", 400, ErrorKind::Unavailable),
            ("ServiceUnavailableException", 500, ErrorKind::Unavailable),
            ("InvalidParameterValue", 400, ErrorKind::Invalid),
        ] {
            assert_eq!(kind_of(code, status), kind, "{code}");
        }
    }

    #[test]
    fn where_no_code_is_known_the_status_tells() {
        for (status, kind) in [
            (200, ErrorKind::Unavailable),
            (301, ErrorKind::NotFound),
            (400, ErrorKind::Invalid),
            (401, ErrorKind::Denied),
            (403, ErrorKind::Denied),
            (404, ErrorKind::NotFound),
            (409, ErrorKind::Unavailable),
            (416, ErrorKind::Invalid),
            (429, ErrorKind::Unavailable),
            (500, ErrorKind::Unavailable),
            (503, ErrorKind::Unavailable),
        ] {
            assert_eq!(kind_of("", status), kind, "{status}");
        }
    }
}
