//! Buckets, queues and delivery streams of their own for tests, on the endpoint that the SDK's environment names.
//!
//! Without `AWS_ENDPOINT_URL` a test fails, unless `SKIP_AWS=1` leaves it out: nothing here ever reaches an account.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "only tests call it")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_sdk_firehose::types::{
    BufferingHints, CompressionFormat, DeliveryStreamStatus, DeliveryStreamType,
    EncryptionConfiguration, ExtendedS3DestinationConfiguration, NoEncryptionConfig,
};
use aws_sdk_sqs::types::QueueAttributeName;

/// Tells whether the tests on AWS are to run: not with `SKIP_AWS=1`.
///
/// # Panics
/// When they are, and no endpoint is named.
pub fn is_wanted() -> bool {
    if std::env::var("SKIP_AWS").is_ok_and(|skip| skip == "1") {
        println!("skipped: SKIP_AWS=1");
        return false;
    }
    assert!(
        std::env::var_os("AWS_ENDPOINT_URL").is_some(),
        "AWS_ENDPOINT_URL is not set: `make test` starts an emulator, `eval \"$(localstack/run start)\"` too; \
         SKIP_AWS=1 leaves out what needs one"
    );
    true
}

/// The SDK's configuration for the endpoint of the tests; none when they are not to run.
pub async fn client_config() -> Option<SdkConfig> {
    if is_wanted() { Some(crate::chain().load().await) } else { None }
}

/// A name that no other test has, of small letters, digits and `-`.
pub fn unique_name(prefix: &str) -> String {
    static NAMES: AtomicU32 = AtomicU32::new(0);
    let number = NAMES.fetch_add(1, Ordering::Relaxed);
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    format!("{prefix}-{:x}-{}-{number}", since_1970.as_millis(), std::process::id())
}

/// Makes an empty bucket and tells its name.
pub async fn bucket(config: &SdkConfig) -> String {
    let name = unique_name("bucket");
    make_bucket(config, &name).await;
    name
}

/// Makes an empty bucket of a name.
pub async fn make_bucket(config: &SdkConfig, name: &str) {
    crate::s3_client(config).create_bucket().bucket(name).send().await.unwrap();
}

/// Makes a queue with dead letters and tells its name.
pub async fn queue(config: &SdkConfig, max_receives: u32, fifo: bool) -> String {
    let name = unique_name("queue") + if fifo { ".fifo" } else { "" };
    make_queue(config, &name, max_receives).await;
    name
}

/// Makes a queue of a name, with dead letters as `QUEUE-dead` or `QUEUE-dead.fifo`.
pub async fn make_queue(config: &SdkConfig, name: &str, max_receives: u32) {
    let client = aws_sdk_sqs::Client::new(config);
    let dead = match name.strip_suffix(".fifo") {
        Some(stem) => format!("{stem}-dead.fifo"),
        None => format!("{name}-dead"),
    };
    let dead_url = create_queue(&client, &dead, None).await;
    let asked = client.get_queue_attributes().queue_url(dead_url);
    let found = asked.attribute_names(QueueAttributeName::QueueArn).send().await.unwrap();
    let arn = &found.attributes.unwrap()[&QueueAttributeName::QueueArn];
    let redrive =
        serde_json::json!({ "deadLetterTargetArn": arn, "maxReceiveCount": max_receives });
    create_queue(&client, name, Some(redrive.to_string())).await;
}

/// Makes a queue without dead letters, tells its name.
pub async fn plain_queue(config: &SdkConfig) -> String {
    let name = unique_name("queue");
    create_queue(&aws_sdk_sqs::Client::new(config), &name, None).await;
    name
}

async fn create_queue(client: &aws_sdk_sqs::Client, name: &str, redrive: Option<String>) -> String {
    let mut queue = client.create_queue().queue_name(name);
    if name.ends_with(".fifo") {
        queue = queue.attributes(QueueAttributeName::FifoQueue, "true");
    }
    if let Some(redrive) = redrive {
        queue = queue.attributes(QueueAttributeName::RedrivePolicy, redrive);
    }
    queue.send().await.unwrap().queue_url.unwrap()
}

/// Makes a delivery stream that writes objects into a bucket under `detections/`, and tells its name.
pub async fn delivery_stream(config: &SdkConfig, bucket: &str) -> String {
    let name = unique_name("stream");
    make_delivery_stream(config, &name, bucket).await;
    name
}

/// Makes a delivery stream of a name that writes objects into a bucket under `detections/`.
pub async fn make_delivery_stream(config: &SdkConfig, name: &str, bucket: &str) {
    let client = aws_sdk_firehose::Client::new(config);
    let hints = BufferingHints::builder().interval_in_seconds(1).size_in_mbs(1).build();
    // LocalStack describes what it was told and no defaults; the SDK refuses a description without these.
    let plain = EncryptionConfiguration::builder()
        .no_encryption_config(NoEncryptionConfig::NoEncryption)
        .build();
    let destination = ExtendedS3DestinationConfiguration::builder()
        .compression_format(CompressionFormat::Uncompressed)
        .encryption_configuration(plain)
        .role_arn("arn:aws:iam::000000000000:role/delivery")
        .bucket_arn(format!("arn:aws:s3:::{bucket}"))
        .prefix("detections/")
        .buffering_hints(hints)
        .build()
        .unwrap();
    let stream = client.create_delivery_stream().delivery_stream_name(name);
    let stream = stream.delivery_stream_type(DeliveryStreamType::DirectPut);
    stream.extended_s3_destination_configuration(destination).send().await.unwrap();
    while !is_active(&client, name).await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn is_active(client: &aws_sdk_firehose::Client, name: &str) -> bool {
    let asked = client.describe_delivery_stream().delivery_stream_name(name);
    let found = asked.send().await.unwrap().delivery_stream_description.unwrap();
    found.delivery_stream_status == DeliveryStreamStatus::Active
}
