//! The ports on AWS: adapters over S3, SQS and Firehose, and the checks at start-up that put them together.
//!
//! Translation only: what a port promises is said in `services`, and the clauses of its contract run here as they do
//! there. Limits of AWS are constants with the page that says them. Nobody retries inside.
//!
//! Region, credentials and endpoints come from the SDK's default chain: environment, profile, role of the task, pod
//! or machine. An emulator is an endpoint of that chain (`AWS_ENDPOINT_URL`) like any other.

pub mod error;
mod firehose;
mod open;
mod reply_queue;
mod s3;
#[cfg(any(test, feature = "test-site"))]
pub mod scripted;
mod sqs;
mod task_protection;
#[cfg(any(test, feature = "test-site"))]
pub mod test_site;

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, ConfigLoader, SdkConfig};

pub use firehose::FirehoseStream;
pub use open::open;
pub use reply_queue::ReplyQueueFeed;
pub use s3::S3Store;
pub use sqs::SqsQueue;
pub use task_protection::TaskProtection;

/// The longest that connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The longest that a call may take, up to its answer, and that an answer may stand still. What is sent with a call
/// has time of its own ([`timeouts_to_send`]).
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// A link that carries fewer bytes a second is as good as none.
const SLOWEST_LINK: usize = 64 * 1_024;

/// The timeouts of a call that sends so many bytes: the client's, and the time that a slow link needs for the bytes.
pub(crate) fn timeouts_to_send(client: Option<&TimeoutConfig>, bytes: usize) -> TimeoutConfig {
    let answer = client.and_then(TimeoutConfig::operation_attempt_timeout).unwrap_or(CALL_TIMEOUT);
    let sending = Duration::from_secs((bytes / SLOWEST_LINK) as u64);
    TimeoutConfig::builder().operation_attempt_timeout(answer + sending).build()
}

/// The SDK's default chain, without its retries: those are the callers' matter.
pub fn chain() -> ConfigLoader {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(CALL_TIMEOUT)
        .build();
    let stalled = StalledStreamProtectionConfig::enabled().grace_period(CALL_TIMEOUT).build();
    aws_config::defaults(BehaviorVersion::latest())
        .app_name(AppName::new("millrace").expect("the name is of letters"))
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        .stalled_stream_protection(stalled)
}

/// A client of S3. With an endpoint of one's own the bucket stands in the path: as part of the host's name it would
/// ask for a name and a certificate per bucket, which such endpoints seldom have.
pub fn s3_client(sdk: &SdkConfig) -> aws_sdk_s3::Client {
    let own = sdk.endpoint_url().is_some() || std::env::var_os("AWS_ENDPOINT_URL_S3").is_some();
    let config = aws_sdk_s3::config::Builder::from(sdk).force_path_style(own).build();
    aws_sdk_s3::Client::from_conf(config)
}
