//! The calls of one SQS queue: requests out, one outcome per entry back, errors that name queue and call.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::error::BuildError;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, Message,
    MessageAttributeValue, MessageSystemAttributeName, QueueAttributeName,
    SendMessageBatchRequestEntry,
};
use aws_sdk_sqs::{Client, Config};
use services::queue::{Outcome, Receipt};
use services::{ErrorKind, PortError};

use super::translate::{entry_id, outcomes};
use crate::error::port_error;
use crate::{CALL_TIMEOUT, timeouts_to_send};

/// What messages tell of themselves when they are received.
const SYSTEM_ATTRIBUTES: [MessageSystemAttributeName; 3] = [
    MessageSystemAttributeName::ApproximateReceiveCount,
    MessageSystemAttributeName::DeadLetterQueueSourceArn,
    MessageSystemAttributeName::SentTimestamp,
];

/// One queue.
#[derive(Clone)]
pub(crate) struct Calls {
    client: Client,
    name: String,
    url: String,
}

/// What is sent as one message.
#[derive(Clone, Debug)]
pub(crate) struct Parcel<'a> {
    pub(crate) body: &'a str,
    /// Group and deduplication id; queues that are no FIFO queues do without.
    pub(crate) group: String,
    pub(crate) deduplication: String,
    pub(crate) attributes: HashMap<String, MessageAttributeValue>,
}

/// How messages are received.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Poll<'a> {
    pub(crate) max: usize,
    pub(crate) lease_seconds: i32,
    pub(crate) wait_seconds: i32,
    /// What makes a FIFO queue give the same messages again after an answer that was lost.
    pub(crate) attempt: Option<&'a str>,
}

impl Calls {
    /// Finds a queue by its name, in another account where one is named.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is none; the queue is named.
    pub(crate) async fn open(
        client: Client,
        name: &str,
        account: Option<String>,
    ) -> Result<Self, PortError> {
        let attempt = || format!("open queue {name:?}");
        let asked = client.get_queue_url().queue_name(name).set_queue_owner_aws_account_id(account);
        let found = asked.send().await;
        let found = found.map_err(|error| port_error(attempt(), "sqs:GetQueueUrl", &error))?;
        let url = found.queue_url.ok_or_else(|| {
            PortError::because(ErrorKind::Unavailable, attempt(), "the answer has no URL")
        })?;
        Ok(Self { client, name: name.to_owned(), url })
    }

    /// A queue by its URL.
    pub(crate) fn of_url(client: Client, url: &str) -> Self {
        let name = url.rsplit('/').next().unwrap_or(url);
        Self { client, name: name.to_owned(), url: url.to_owned() }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What is being done to this queue.
    pub(crate) fn attempt(&self, verb: &str) -> String {
        format!("{verb} queue {:?}", self.name)
    }

    pub(crate) fn is_fifo(&self) -> bool {
        self.name.ends_with(".fifo")
    }

    /// Reads some of the queue's attributes.
    pub(crate) async fn attributes(
        &self,
        names: &[QueueAttributeName],
    ) -> Result<HashMap<QueueAttributeName, String>, PortError> {
        let asked = self.client.get_queue_attributes().queue_url(&self.url);
        let found = asked.set_attribute_names(Some(names.to_vec())).send().await;
        let found = found.map_err(|error| {
            port_error(self.attempt("read attributes of"), "sqs:GetQueueAttributes", &error)
        })?;
        Ok(found.attributes.unwrap_or_default())
    }

    /// Sends messages.
    pub(crate) async fn send(&self, parcels: Vec<Parcel<'_>>) -> Result<Vec<Outcome>, PortError> {
        let (attempt, count) = (self.attempt("send to"), parcels.len());
        let bytes = parcels.iter().map(|parcel| parcel.body.len()).sum();
        let timeouts = timeouts_to_send(self.client.config().timeout_config(), bytes);
        let patience = Config::builder().timeout_config(timeouts);
        let entry = |(place, parcel): (usize, Parcel<'_>)| {
            let fifo = self.is_fifo();
            SendMessageBatchRequestEntry::builder()
                .id(entry_id(place))
                .message_body(parcel.body)
                .set_message_group_id(fifo.then_some(parcel.group))
                .set_message_deduplication_id(fifo.then_some(parcel.deduplication))
                .set_message_attributes(Some(parcel.attributes).filter(|some| !some.is_empty()))
                .build()
        };
        let entries: Result<Vec<_>, _> = parcels.into_iter().enumerate().map(entry).collect();
        let entries = entries.map_err(|error| unbuilt(&attempt, error))?;
        let asked = self.client.send_message_batch().queue_url(&self.url);
        let asked = asked.set_entries(Some(entries)).customize().config_override(patience);
        let sent = asked.send().await;
        let sent = sent.map_err(|error| port_error(&attempt, "sqs:SendMessage", &error))?;
        let succeeded = sent.successful().iter().map(|entry| entry.id());
        Ok(outcomes(&attempt, count, succeeded, sent.failed()))
    }

    /// Sends one message.
    pub(crate) async fn send_one(&self, parcel: Parcel<'_>) -> Outcome {
        self.only(self.send(vec![parcel]).await?)
    }

    /// Receives messages.
    pub(crate) async fn poll(&self, poll: Poll<'_>) -> Result<Vec<Message>, PortError> {
        let wait = Duration::from_secs(u64::try_from(poll.wait_seconds).unwrap_or(0));
        let patience = TimeoutConfig::builder().operation_attempt_timeout(CALL_TIMEOUT + wait);
        let patience = Config::builder().timeout_config(patience.build());
        let attempt = poll.attempt.filter(|_| self.is_fifo()).map(str::to_owned);
        let asked = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(i32::try_from(poll.max).unwrap_or(i32::MAX))
            .visibility_timeout(poll.lease_seconds)
            .wait_time_seconds(poll.wait_seconds)
            .set_receive_request_attempt_id(attempt)
            .set_message_system_attribute_names(Some(SYSTEM_ATTRIBUTES.to_vec()))
            .message_attribute_names("All");
        let received = asked.customize().config_override(patience).send().await;
        let received = received.map_err(|error| {
            port_error(self.attempt("receive from"), "sqs:ReceiveMessage", &error)
        })?;
        Ok(received.messages.unwrap_or_default())
    }

    /// Deletes messages; asks nothing when they are none.
    pub(crate) async fn delete(&self, receipts: &[Receipt]) -> Result<Vec<Outcome>, PortError> {
        let attempt = self.attempt("delete message of");
        let entry = |(place, receipt): (usize, &Receipt)| {
            DeleteMessageBatchRequestEntry::builder()
                .id(entry_id(place))
                .receipt_handle(&receipt.0)
                .build()
        };
        let entries: Result<Vec<_>, _> = receipts.iter().enumerate().map(entry).collect();
        let entries = entries.map_err(|error| unbuilt(&attempt, error))?;
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let asked = self.client.delete_message_batch().queue_url(&self.url);
        let deleted = asked.set_entries(Some(entries)).send().await;
        let deleted = deleted.map_err(|error| port_error(&attempt, "sqs:DeleteMessage", &error))?;
        let succeeded = deleted.successful().iter().map(|entry| entry.id());
        Ok(outcomes(&attempt, receipts.len(), succeeded, deleted.failed()))
    }

    /// Deletes one message.
    pub(crate) async fn delete_one(&self, receipt: &Receipt) -> Outcome {
        self.only(self.delete(std::slice::from_ref(receipt)).await?)
    }

    /// Sets how many seconds from now messages can be received again; asks nothing when they are none.
    pub(crate) async fn set_visibility(
        &self,
        receipts: &[Receipt],
        seconds: i32,
    ) -> Result<Vec<Outcome>, PortError> {
        let attempt = self.attempt("set lease of message of");
        let entry = |(place, receipt): (usize, &Receipt)| {
            ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(entry_id(place))
                .receipt_handle(&receipt.0)
                .visibility_timeout(seconds)
                .build()
        };
        let entries: Result<Vec<_>, _> = receipts.iter().enumerate().map(entry).collect();
        let entries = entries.map_err(|error| unbuilt(&attempt, error))?;
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let asked = self.client.change_message_visibility_batch().queue_url(&self.url);
        let changed = asked.set_entries(Some(entries)).send().await;
        let changed =
            changed.map_err(|error| port_error(&attempt, "sqs:ChangeMessageVisibility", &error))?;
        let succeeded = changed.successful().iter().map(|entry| entry.id());
        Ok(outcomes(&attempt, receipts.len(), succeeded, changed.failed()))
    }

    fn only(&self, outcomes: Vec<Outcome>) -> Outcome {
        let missing =
            || PortError::because(ErrorKind::Unavailable, self.attempt("ask"), "no answer");
        outcomes.into_iter().next().unwrap_or_else(|| Err(missing()))
    }
}

fn unbuilt(attempt: &str, error: BuildError) -> PortError {
    PortError::new(ErrorKind::Invalid, attempt, error)
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls").field("url", &self.url).finish_non_exhaustive()
    }
}
