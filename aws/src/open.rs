//! Opens the AWS backend: every bucket, queue and stream that the configuration names is asked for at once, and every
//! one that is missing, refused or silent is named. What is not permitted is asked for a minute long.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use aws_config::{ConfigLoader, SdkConfig};
use aws_sdk_sqs::Client;
use services::config::Config;
use services::retry::Backoff;
use services::{DataFolder, ErrorKind, ModelName, OpenBackend, PortError, Ports, WorkQueue};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::error::is_not_permitted;
use crate::{FirehoseStream, ReplyQueueFeed, S3Store, SqsQueue, chain, s3_client};

/// The longest that it may take to find region and credentials and have all checks answered.
const START_TIMEOUT: Duration = Duration::from_secs(9);
/// How long a service that is away or throttles is asked again, and the pauses between: the calls that describe things
/// have quotas of a few a second for a whole account, and many programs may start at once.
const START_PATIENCE: Duration = Duration::from_secs(4);
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long it may take until a new role or policy is known to all of AWS
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency>), and
/// the longest pause between tries.
const PERMISSION_PATIENCE: Duration = Duration::from_secs(60);
const LONGEST_PERMISSION_PAUSE: Duration = Duration::from_secs(5);
/// What is asked of a queue.
const QUEUE_CALLS: &str = "sqs:GetQueueUrl and sqs:GetQueueAttributes";

/// Opens the backend and checks that everything the configuration names is there.
///
/// # Errors
/// Names each resource that is not, with the call and the cause, within [`START_TIMEOUT`]; after
/// [`PERMISSION_PATIENCE`] where nothing but permissions is missing.
pub async fn open(config: &Config) -> Result<OpenBackend, PortError> {
    open_by(chain(), config, PERMISSION_PATIENCE).await
}

async fn open_by(
    chain: ConfigLoader,
    config: &Config,
    patience: Duration,
) -> Result<OpenBackend, PortError> {
    let sdk = find_region(chain, Instant::now() + START_TIMEOUT).await?;
    let ports = open_permitted(&sdk, config, patience).await?;
    Ok(OpenBackend { ports, filer: None, keeper: None, folder: DataFolder::new(&config.data) })
}

/// Asks for everything, again for as long as nothing but permissions is missing and `patience` lasts; it says so.
async fn open_permitted(
    sdk: &SdkConfig,
    config: &Config,
    patience: Duration,
) -> Result<Ports, PortError> {
    let patient_until = Instant::now() + patience;
    let mut backoff = Backoff::new(SHORTEST_PAUSE, LONGEST_PERMISSION_PAUSE);
    loop {
        let problems = match open_ports(sdk, config, Instant::now() + START_TIMEOUT).await {
            Ok(ports) => return Ok(ports),
            Err(problems) => problems,
        };
        let may_come = problems.iter().all(is_not_permitted);
        let left = patient_until.saturating_duration_since(Instant::now());
        let error = all_in_one(problems);
        let wait = backoff.wait(rand::random());
        if !may_come || left < wait {
            return Err(error);
        }
        tracing::warn!(
            %error,
            patience_s = left.as_secs(),
            "not permitted, asked again: a new role or policy may not be known everywhere yet"
        );
        tokio::time::sleep(wait).await;
    }
}

/// Loads the SDK's configuration; where environment and profile name no region, that asks the machine's metadata.
async fn find_region(chain: ConfigLoader, deadline: Instant) -> Result<SdkConfig, PortError> {
    let attempt = "find the AWS region";
    let loaded = timeout_at(deadline, chain.load()).await;
    let sdk = loaded.map_err(|_| no_answer(attempt.to_owned()))?;
    if sdk.region().is_none() {
        let cause = "neither AWS_REGION nor the profile nor the machine's metadata name one";
        return Err(PortError::because(ErrorKind::Invalid, attempt, cause));
    }
    Ok(sdk)
}

/// Asks for everything at once; gives all that is wrong.
async fn open_ports(
    sdk: &SdkConfig,
    config: &Config,
    deadline: Instant,
) -> Result<Ports, Vec<PortError>> {
    let (bucket, stream) = (config.aws.bucket(), config.aws.delivery_stream());
    let reply_queue = config.aws.reply_queue.as_deref();
    let sqs = aws_sdk_sqs::Client::new(sdk);
    let firehose = aws_sdk_firehose::Client::new(sdk);
    let (store, delivery, feed, queues) = tokio::join!(
        by(
            deadline,
            || format!("open bucket {bucket:?}: s3:ListObjectsV2"),
            || S3Store::open(s3_client(sdk), &bucket)
        ),
        by(
            deadline,
            || format!("open delivery stream {stream:?}: firehose:DescribeDeliveryStream"),
            || FirehoseStream::open(firehose.clone(), &stream)
        ),
        by(
            deadline,
            || format!("open reply queue {:?}: {QUEUE_CALLS}", reply_queue.unwrap_or_default()),
            || ReplyQueueFeed::open(sqs.clone(), reply_queue)
        ),
        open_queues(&sqs, config, deadline),
    );
    let mut problems = Vec::new();
    let store = kept(store, &mut problems);
    let delivery = kept(delivery, &mut problems);
    let feed = kept(feed, &mut problems);
    let queues: BTreeMap<_, _> = queues
        .into_iter()
        .filter_map(|(model, queue)| Some((model, WorkQueue::of(kept(queue, &mut problems)?))))
        .collect();
    match (store, delivery, feed) {
        (Some(store), Some(delivery), Some(feed)) if problems.is_empty() => Ok(Ports {
            bucket: store.into_bucket(),
            queues,
            delivery: Arc::new(delivery),
            feed: Arc::new(feed),
        }),
        _ => Err(problems),
    }
}

type OpenQueues = BTreeMap<ModelName, Result<SqsQueue, PortError>>;

async fn open_queues(sqs: &Client, config: &Config, deadline: Instant) -> OpenQueues {
    let mut opening = JoinSet::new();
    for model in config.models.keys().cloned() {
        let (sqs, name) = (sqs.clone(), config.aws.queue(&model));
        let tries = config.queue.max_receives;
        opening.spawn(async move {
            let asking = || format!("open queue {name:?}: {QUEUE_CALLS}");
            let queue = by(deadline, asking, || open_queue(sqs.clone(), &name, tries)).await;
            (model, queue)
        });
    }
    opening.join_all().await.into_iter().collect()
}

/// Opens a model's queue. Workers give a message up, with its reason, at their last try: SQS must not do so earlier.
async fn open_queue(sqs: Client, name: &str, tries: u32) -> Result<SqsQueue, PortError> {
    let queue = SqsQueue::open(sqs, name).await?;
    let allowed = queue.max_receives();
    if tries <= allowed {
        return Ok(queue);
    }
    let cause = format!(
        "its redrive policy allows {allowed} receives (maxReceiveCount), \
         queue.max_receives is {tries}: it must not be more"
    );
    Err(PortError::because(ErrorKind::Invalid, format!("open queue {name:?}"), cause))
}

/// What `opening` comes to, tried again for a while where that may help, or that `asking` gave no answer by the deadline.
async fn by<T, F: Future<Output = Result<T, PortError>>>(
    deadline: Instant,
    asking: impl FnOnce() -> String,
    opening: impl Fn() -> F,
) -> Result<T, PortError> {
    let opened = timeout_at(deadline, open_patiently(opening)).await;
    opened.unwrap_or_else(|_| Err(no_answer(asking())))
}

async fn open_patiently<T, F: Future<Output = Result<T, PortError>>>(
    opening: impl Fn() -> F,
) -> Result<T, PortError> {
    let patient_until = Instant::now() + START_PATIENCE;
    let mut backoff = Backoff::new(SHORTEST_PAUSE, LONGEST_PAUSE);
    loop {
        let opened = opening().await;
        let wait = backoff.wait(rand::random());
        match opened {
            Err(error) if error.is_retryable() && Instant::now() + wait < patient_until => {}
            opened => return opened,
        }
        tokio::time::sleep(wait).await;
    }
}

fn no_answer(attempt: String) -> PortError {
    let cause = format!("no answer within {} s", START_TIMEOUT.as_secs());
    PortError::because(ErrorKind::Unavailable, attempt, cause)
}

fn kept<T>(opened: Result<T, PortError>, problems: &mut Vec<PortError>) -> Option<T> {
    opened.map_err(|problem| problems.push(problem)).ok()
}

/// All problems in one, of the first one's kind.
fn all_in_one(mut problems: Vec<PortError>) -> PortError {
    if problems.len() == 1 {
        return problems.remove(0);
    }
    let kind = problems.first().map_or(ErrorKind::Unavailable, PortError::kind);
    let words: Vec<String> = problems.iter().map(ToString::to_string).collect();
    PortError::because(kind, "open backend on AWS", words.join("; "))
}

#[cfg(test)]
mod tests;
