//! All streams of a receiver: each in tasks and a thread of its own, supervised here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use services::config::{Config, StreamConfig};
use services::stop::SHIP;
use services::{Account, Clock, DataFolder, Keep, ModelName, PortError, Ports, StreamId};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::inbox::inbox;
use crate::own_thread::on_own_thread;
use crate::retry::{Panicked, Retry};
use crate::source::{Address, SourceError};
use crate::stage::{LaneConfig, Stage};
use crate::status::{StatusBoard, StreamBoard, StreamState};
use crate::store::{Shipper, Spool, SpoolOptions};
use crate::stream::Receiver;

/// Receives all streams of the configuration until `shutdown` is cancelled, or until all of them have ended (files
/// that do not repeat) and their frames are with the queues.
///
/// A camera that failed in a way that may pass is tried again, also when all of them did: a crashed receiver's locks may
/// outlive it on a file system of the network, a full disk may be cleared, descriptors may be closed. A panic of one
/// stream is a failure of it alone, and tried again likewise. A file is tried again while others are received.
///
/// At a shutdown, open bundles are closed and stored, and shipped as far as that goes within [`SHIP`].
///
/// # Errors
/// Names the streams that could not be received, each with its cause; the others are not touched by it.
pub async fn run(
    config: &Config,
    ports: &Ports,
    board: StatusBoard,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut streams = JoinSet::new();
    for (id, stream) in &config.streams {
        streams.spawn(supervise(OneStream {
            id: id.clone(),
            config: stream.clone(),
            lanes: lanes(config, stream),
            retry: Retry::new(stream),
            bounds: config.receive.clone(),
            accounts: config.retention.accounts.into(),
            folder: DataFolder::new(&config.data),
            ports: ports.clone(),
            board: board.stream(id),
            shutdown: shutdown.clone(),
        }));
    }
    let (mut waiting, mut failed) = (JoinSet::new(), Vec::new());
    loop {
        let (mut one, ended) = tokio::select! {
            Some(joined) = streams.join_next() => joined.context("supervise stream")?,
            Some(joined) = waiting.join_next() => {
                streams.spawn(supervise(joined.context("wait for stream")?));
                continue;
            }
            else => break,
        };
        let Err(Failure { error, lived }) = ended else { continue };
        match one.retry.wait(&error, lived, !streams.is_empty(), rand::random()) {
            Some(wait) if !shutdown.is_cancelled() => {
                one.say_wait(&error, wait);
                waiting.spawn(one.wait(wait));
            }
            _ => {
                one.give_up(&error);
                failed.push(format!("stream \"{}\": {error:#}", one.id));
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(anyhow!(failed.join("; "))) }
}

fn lanes(config: &Config, stream: &StreamConfig) -> Vec<LaneConfig> {
    let asked = |model: &services::ModelName| {
        stream.models.as_ref().is_none_or(|models| models.contains(model))
    };
    let lane = |(model, entry): (&services::ModelName, &services::config::ModelConfig)| {
        let mut sample = entry.sample.clone();
        // What is read ahead of its time line is as old as nobody can say.
        sample.fresh = sample.fresh.filter(|_| stream.is_timely());
        LaneConfig { model: model.clone(), sample }
    };
    config.models.iter().filter(|(model, _)| asked(model)).map(lane).collect()
}

/// What one stream is made of.
#[derive(Clone)]
struct OneStream {
    id: StreamId,
    config: StreamConfig,
    lanes: Vec<LaneConfig>,
    retry: Retry,
    bounds: services::config::ReceiveConfig,
    accounts: Keep,
    folder: DataFolder,
    ports: Ports,
    board: StreamBoard,
    shutdown: CancellationToken,
}

/// Why a stream is not received any more, and how long it was.
#[derive(Debug)]
struct Failure {
    error: anyhow::Error,
    lived: Duration,
}

/// Runs a stream; its panic is its own failure and nobody else's.
async fn supervise(one: OneStream) -> (OneStream, Result<(), Failure>) {
    let began = Instant::now();
    let task = AbortOnDropHandle::new(tokio::spawn(one.clone().run()));
    let ended = task.await.unwrap_or_else(|error| Err(Panicked::of("its source", error).into()));
    if ended.is_ok() {
        one.board.state(StreamState::Ended, "ended");
        one.warn_of_nothing();
    }
    (one, ended.map_err(|error| Failure { error, lived: began.elapsed() }))
}

impl OneStream {
    /// Lets the pause before its next try pass.
    async fn wait(self, wait: Duration) -> Self {
        let _ = self.shutdown.run_until_cancelled(tokio::time::sleep(wait)).await;
        self
    }

    /// Says why nothing was taken of a source that came to its end: an empty answer must not look like an empty scene.
    fn warn_of_nothing(&self) {
        if self.shutdown.is_cancelled() {
            return;
        }
        self.board.update(|status| {
            for (model, account) in &status.accounts {
                if account.received > 0 && account.taken == 0 {
                    let Account { received, undecodable, skipped, .. } = account;
                    let (stream, skipped) = (&self.id, format!("{skipped:?}"));
                    tracing::warn!(%stream, %model, received, undecodable, skipped, "no frame was taken");
                }
            }
        });
    }

    fn say_wait(&self, error: &anyhow::Error, wait: Duration) {
        let words = format!("{error:#}; next try in {:.1} s", wait.as_secs_f64());
        tracing::warn!(stream = %self.id, "{words}");
        self.say(StreamState::Waiting, error, words);
    }

    fn give_up(&self, error: &anyhow::Error) {
        let words = format!("{error:#}");
        tracing::error!(target: "receive_video::given_up", stream = %self.id, error = %words, "stream is given up");
        self.say(StreamState::Refused, error, words);
    }

    fn say(&self, state: StreamState, error: &anyhow::Error, words: String) {
        self.board.tell(state, Some(reason(error)), words);
    }

    async fn run(self) -> anyhow::Result<()> {
        let address = Address::of(&self.config)?;
        self.board.begin();
        let spool = self.open_spool().await?;
        self.board.spooled(spool.counts());
        let (drained, stop) = (CancellationToken::new(), CancellationToken::new());
        let mut shippers = self.start_shippers(&spool, &drained, &stop);
        let patience = stop_shipping(self.shutdown.clone(), stop, SHIP);
        let _patience = AbortOnDropHandle::new(tokio::spawn(patience));
        let (inbox, outbox) = inbox(self.bounds.channel_units, self.bounds.channel_bytes.bytes());
        let stage = self.stage(&spool);
        let runtime = Handle::current();
        let thread = std::thread::Builder::new()
            .name(format!("stage {}", self.id))
            .spawn(move || stage.run(outbox, &runtime))
            .map_err(|error| PortError::io("start a thread", error))?;
        let receiver = Receiver {
            config: self.config.clone(),
            address,
            bounds: self.bounds.clone(),
            spool,
            inbox,
            board: self.board.clone(),
            clock: Clock::system(),
            shutdown: self.shutdown.clone(),
        };
        let name = format!("source {}", self.id);
        let received = on_own_thread(name, move || receiver.receive()).await?;
        let staged = tokio::task::spawn_blocking(move || thread.join()).await?;
        drained.cancel();
        while shippers.join_next().await.is_some() {}
        staged.map_err(|panic| Panicked::new("its stage", &*panic))??;
        Ok(received?)
    }

    async fn open_spool(&self) -> anyhow::Result<Arc<Spool>> {
        let (folder, id) = (self.folder.clone(), self.id.clone());
        let options = SpoolOptions {
            bound: self.bounds.spool_bytes.bytes(),
            policy: self.config.spool_policy(),
            accounts: self.accounts,
            clock: Clock::system(),
        };
        let served: Vec<ModelName> = self.ports.queues.keys().cloned().collect();
        let opened = tokio::task::spawn_blocking(move || {
            let spool = Spool::open(&folder, &id, options)?;
            let frames = spool.keep_only(&served)?;
            if frames > 0 {
                tracing::warn!(stream = %id, frames, "frames of models that are gone are given up");
            }
            Ok::<_, PortError>(spool)
        });
        Ok(Arc::new(opened.await.map_err(|error| Panicked::of("its spool", error))??))
    }

    fn stage(&self, spool: &Arc<Spool>) -> Stage {
        Stage {
            stream: self.id.clone(),
            lanes: self.lanes.clone(),
            bucket: self.ports.bucket.name.clone(),
            reply_to: self.ports.feed.reply_to(),
            max_pixels: self.bounds.max_pixels,
            window_bytes: self.bounds.window_bytes,
            policy: self.config.spool_policy(),
            spool: Arc::clone(spool),
            board: self.board.clone(),
            clock: Clock::system(),
            stop: self.shutdown.clone(),
        }
    }

    /// One for every queue there is: a crash may have left bundles of a model that this stream no longer asks.
    fn start_shippers(
        &self,
        spool: &Arc<Spool>,
        drained: &CancellationToken,
        stop: &CancellationToken,
    ) -> JoinSet<()> {
        let mut shippers = JoinSet::new();
        for (model, queue) in &self.ports.queues {
            let shipper = Shipper {
                spool: Arc::clone(spool),
                model: model.clone(),
                bucket: self.ports.bucket.clone(),
                queue: Arc::clone(&queue.queue),
                board: self.board.clone(),
            };
            shippers.spawn(shipper.keep_running(drained.clone(), stop.clone()));
        }
        shippers
    }
}

/// What a failure is counted under.
fn reason(error: &anyhow::Error) -> &'static str {
    let source = error.downcast_ref().map(SourceError::event);
    let panic = error.downcast_ref().map(|_: &Panicked| "panic");
    let port = error.downcast_ref().map(|_: &PortError| "storage");
    source.or(panic).or(port).unwrap_or("failed")
}

/// Lets the shippers go on for a while after a shutdown, counted from its very moment: what the stage still has to do
/// takes from it.
async fn stop_shipping(shutdown: CancellationToken, stop: CancellationToken, drain: Duration) {
    shutdown.cancelled().await;
    tokio::time::sleep(drain).await;
    stop.cancel();
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use services::config::{Overrides, parse};

    use super::*;

    #[test]
    fn a_stream_that_is_read_ahead_of_its_time_line_has_no_deadlines() {
        let text = "data = \"data\"\n[streams.ahead]\nurl = \"scene:\"\n\
                    [streams.paced]\nurl = \"scene:\"\npaced = true\n\
                    [models.eye]\nalgorithm = \"circles\"\nsample = { fresh = \"2s\" }\n";
        let file = Some((text, Path::new("millrace.toml")));
        let config = parse(file, &BTreeMap::new(), &Overrides::default()).unwrap();
        let fresh = config.streams.values().map(|stream| lanes(&config, stream)[0].sample.fresh);
        assert_eq!(fresh.map(|fresh| fresh.is_some()).collect::<Vec<_>>(), [false, true]);
    }

    #[tokio::test]
    async fn the_time_to_ship_runs_from_the_shutdown_while_the_stage_still_works() {
        let (shutdown, stop) = (CancellationToken::new(), CancellationToken::new());
        let drain = Duration::from_millis(50);
        let patience = tokio::spawn(stop_shipping(shutdown.clone(), stop.clone(), drain));
        assert!(tokio::time::timeout(drain * 4, stop.cancelled()).await.is_err(), "no shutdown");
        shutdown.cancel();
        stop.cancelled().await;
        patience.await.unwrap();
    }
}
