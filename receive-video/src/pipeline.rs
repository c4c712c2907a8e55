//! All streams of a receiver: each in tasks and a thread of its own, supervised here.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use services::config::{Config, StreamConfig};
use services::{Clock, DataFolder, ModelName, PortError, Ports, StreamId};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::source::Address;
use crate::stage::{LaneConfig, Stage};
use crate::status::{StatusBoard, StreamBoard, StreamState};
use crate::store::{Shipper, Spool};
use crate::stream::Receiver;

/// How long after a shutdown bundles are still shipped; what is left stays in the spool.
const DRAIN: Duration = Duration::from_secs(20);

/// Receives all streams of the configuration until `shutdown` is cancelled, or until all of them have ended (files
/// that do not repeat) and their frames are with the queues.
///
/// At a shutdown, open bundles are closed and stored, and shipped as far as that goes within 20 s.
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
        let one = OneStream {
            id: id.clone(),
            config: stream.clone(),
            lanes: lanes(config, stream),
            bounds: config.receive.clone(),
            folder: DataFolder::new(&config.data),
            ports: ports.clone(),
            board: board.stream(id),
            shutdown: shutdown.clone(),
        };
        let id = id.clone();
        streams.spawn(async move { (id, supervise(one).await) });
    }
    let mut failed = Vec::new();
    while let Some(joined) = streams.join_next().await {
        let (id, ended) = joined.context("supervise stream")?;
        if let Err(error) = ended {
            failed.push(format!("stream \"{id}\": {error:#}"));
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(anyhow!(failed.join("; "))) }
}

fn lanes(config: &Config, stream: &StreamConfig) -> Vec<LaneConfig> {
    let asked = |model: &services::ModelName| {
        stream.models.as_ref().is_none_or(|models| models.contains(model))
    };
    let lane = |(model, entry): (&services::ModelName, &services::config::ModelConfig)| {
        LaneConfig { model: model.clone(), sample: entry.sample.clone() }
    };
    config.models.iter().filter(|(model, _)| asked(model)).map(lane).collect()
}

/// What one stream is made of.
struct OneStream {
    id: StreamId,
    config: StreamConfig,
    lanes: Vec<LaneConfig>,
    bounds: services::config::ReceiveConfig,
    folder: DataFolder,
    ports: Ports,
    board: StreamBoard,
    shutdown: CancellationToken,
}

/// Runs a stream; its panic is its own failure and nobody else's.
async fn supervise(one: OneStream) -> anyhow::Result<()> {
    let board = one.board.clone();
    let ended = match AbortOnDropHandle::new(tokio::spawn(one.run())).await {
        Ok(ended) => ended,
        Err(error) => Err(anyhow!(error).context("a task of it panicked")),
    };
    match &ended {
        Ok(()) => board.state(StreamState::Ended, "ended"),
        Err(error) => {
            let words = format!("{error:#}");
            tracing::error!(stream = %board.id(), error = %words, "stream is given up");
            board.update(|status| status.last_error = Some(words.clone()));
            board.state(StreamState::Refused, words);
        }
    }
    ended
}

impl OneStream {
    async fn run(self) -> anyhow::Result<()> {
        let address = Address::of(&self.config)?;
        let spool = self.open_spool().await?;
        self.board.spooled(spool.counts());
        let (drained, stop) = (CancellationToken::new(), CancellationToken::new());
        let mut shippers = self.start_shippers(&spool, &drained, &stop);
        let (inbox, outbox) = mpsc::channel(self.bounds.channel_units.max(1));
        let stage = self.stage(&spool);
        let runtime = Handle::current();
        let thread = std::thread::Builder::new()
            .name(format!("stage {}", self.id))
            .spawn(move || stage.run(outbox, &runtime))
            .context("start a thread")?;
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
        let received = receiver.receive().await;
        let staged = tokio::task::spawn_blocking(move || thread.join()).await?;
        drained.cancel();
        self.wait_for(&mut shippers, &stop).await;
        match staged {
            Ok(staged) => staged?,
            Err(panic) => std::panic::resume_unwind(panic),
        }
        Ok(received?)
    }

    async fn open_spool(&self) -> anyhow::Result<Arc<Spool>> {
        let (folder, id, policy) =
            (self.folder.clone(), self.id.clone(), self.config.spool_policy());
        let bound = self.bounds.spool_bytes.bytes();
        let served: Vec<ModelName> = self.ports.queues.keys().cloned().collect();
        let opened = tokio::task::spawn_blocking(move || {
            let spool = Spool::open(&folder, &id, bound, policy)?;
            let frames = spool.keep_only(&served)?;
            if frames > 0 {
                tracing::warn!(stream = %id, frames, "frames of models that are gone are given up");
            }
            Ok::<_, PortError>(spool)
        });
        Ok(Arc::new(opened.await??))
    }

    fn stage(&self, spool: &Arc<Spool>) -> Stage {
        Stage {
            stream: self.id.clone(),
            lanes: self.lanes.clone(),
            bucket: self.ports.bucket.name.clone(),
            reply_to: self.ports.feed.reply_to(),
            max_pixels: self.bounds.max_pixels,
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
            shippers.spawn(shipper.run(drained.clone(), stop.clone()));
        }
        shippers
    }

    /// Lets the shippers finish: without end after a file, for a while after a shutdown.
    async fn wait_for(&self, shippers: &mut JoinSet<()>, stop: &CancellationToken) {
        let patience = async {
            self.shutdown.cancelled().await;
            tokio::time::sleep(DRAIN).await;
            stop.cancel();
        };
        let all = async { while shippers.join_next().await.is_some() {} };
        tokio::pin!(patience, all);
        tokio::select! {
            () = &mut all => return,
            () = &mut patience => {}
        }
        all.await;
    }
}
