//! `millrace dead-letters`: what could not be answered, why, and another try for it.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use comfy_table::{ContentArrangement, Table, presets};
use millrace::audit::letters;
use services::clock::Clock;
use services::config::Backend;
use services::delivery::{Loss, gone};
use services::queue::{DeadLetter, DeadLetters, LetterId, Outcome, QueueOptions, ReopenedQueue};
use services::{DataFolder, ErrorKind, FrameBatch, ModelName, counted};
use telemetry::program::SiteArgs;

use crate::cli::DeadLettersCommand;
use crate::screen::Screen;

/// The dead letters of each model.
type Dead = BTreeMap<ModelName, Arc<dyn DeadLetters>>;

pub(crate) async fn run(command: &DeadLettersCommand, screen: &Screen) -> anyhow::Result<ExitCode> {
    match command {
        DeadLettersCommand::List { site } => list(site, screen).await?,
        DeadLettersCommand::Show { id, site } => show(id, site, screen).await?,
        DeadLettersCommand::Replay { id: Some(id), site, .. } => replay(id, site, screen).await?,
        DeadLettersCommand::Replay { id: None, site, .. } => replay_all(site, screen).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(site: &SiteArgs, screen: &Screen) -> anyhow::Result<()> {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["ID", "MODEL", "WHEN", "RECEIVES", "FRAMES", "REASON"]);
    let mut failed = None;
    for (model, dead) in dead(site).await? {
        match letters(dead.as_ref()).await {
            Ok(letters) => letters.iter().for_each(|letter| _ = table.add_row(row(&model, letter))),
            // One queue that cannot be read hides no other's letters.
            Err(error) => _ = failed.get_or_insert(error),
        }
    }
    match unreadable_rows(site).await {
        Ok(rows) => rows.iter().for_each(|lost| _ = table.add_row(lost_row(lost))),
        Err(error) => _ = failed.get_or_insert(error),
    }
    if !table.is_empty() {
        screen.say(table.trim_fmt())?;
    } else if failed.is_none() {
        screen.say("no dead letters")?;
    }
    failed.map_or(Ok(()), Err)
}

fn row(model: &ModelName, letter: &DeadLetter) -> [String; 6] {
    [
        shown_id(model, &letter.id),
        model.to_string(),
        letter.died_at.to_string(),
        letter.receives.to_string(),
        frames_of(letter),
        one_line(&letter.reason),
    ]
}

/// The answers that were set aside before they came into a file; none on AWS, where Firehose has its own errors.
async fn unreadable_rows(site: &SiteArgs) -> anyhow::Result<Vec<Loss>> {
    if site.place()?.backend != Backend::Embedded {
        return Ok(Vec::new());
    }
    let buffer = site.data_folder()?.buffer();
    match tokio::task::spawn_blocking(move || gone(&buffer)).await.context("list rows")? {
        Ok(gone) => Ok(gone.losses.into_iter().filter(Loss::is_buffered_row).collect()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// A row has no message any more that could be shown or sent again.
fn lost_row(lost: &Loss) -> [String; 6] {
    let [none, when] = ["-".to_owned(), lost.found_at.to_string()];
    let reason = format!("row of the table that cannot be read: {}", one_line(&lost.reason));
    [lost.place.replace(' ', "-"), none.clone(), when, none, "?".to_owned(), reason]
}

async fn show(id: &str, site: &SiteArgs, screen: &Screen) -> anyhow::Result<()> {
    let (dead, letter) = find(id, site).await?;
    let letters = letters(dead.as_ref()).await?;
    let found = letters.iter().find(|other| other.id == letter);
    let found = found.with_context(|| format!("dead letter {id:?} is not there"))?;
    screen.say(format!(
        "died {} after {} receives: {}\n{}",
        found.died_at, found.receives, found.reason, found.body
    ))?;
    Ok(())
}

async fn replay(id: &str, site: &SiteArgs, screen: &Screen) -> anyhow::Result<()> {
    let (dead, letter) = find(id, site).await?;
    dead.replay(&[letter]).await?.into_iter().collect::<Result<(), _>>()?;
    screen.say(format!("replayed {id}"))?;
    Ok(())
}

async fn replay_all(site: &SiteArgs, screen: &Screen) -> anyhow::Result<()> {
    let mut replayed = Replayed::default();
    for (model, dead) in dead(site).await? {
        if let Err(error) = replay_of(&model, dead.as_ref(), &mut replayed).await {
            replayed.failed.get_or_insert(error);
        }
    }
    screen.say(replayed.words())?;
    replayed.failed.map_or(Ok(()), Err)
}

async fn replay_of(
    model: &ModelName,
    dead: &dyn DeadLetters,
    replayed: &mut Replayed,
) -> anyhow::Result<()> {
    // Those that die again meanwhile come behind the ones listed here.
    let ids: Vec<_> = letters(dead).await?.into_iter().map(|letter| letter.id).collect();
    for (id, outcome) in ids.iter().zip(dead.replay(&ids).await?) {
        replayed.take(model, id, outcome);
    }
    Ok(())
}

/// What became of letters that were to be replayed.
#[derive(Debug, Default)]
struct Replayed {
    sent: u64,
    /// Letters that others replayed or deleted meanwhile.
    gone: u64,
    failed: Option<anyhow::Error>,
}

impl Replayed {
    fn take(&mut self, model: &ModelName, id: &LetterId, outcome: Outcome) {
        match outcome {
            Ok(()) => self.sent += 1,
            Err(error) if error.kind() == ErrorKind::NotFound => self.gone += 1,
            Err(error) => {
                let id = shown_id(model, id);
                let failure = anyhow::Error::new(error).context(format!("replay {id:?}"));
                self.failed.get_or_insert(failure);
            }
        }
    }

    fn words(&self) -> String {
        match self.gone {
            0 => format!("replayed {}", counted(self.sent, "dead letter")),
            gone => format!("replayed {}; gone before: {gone}", counted(self.sent, "dead letter")),
        }
    }
}

/// The dead letters of all models that have a queue.
async fn dead(site: &SiteArgs) -> anyhow::Result<Dead> {
    let config = site.place()?;
    match config.backend {
        Backend::Embedded => dead_in(&site.data_folder()?),
        Backend::Aws => {
            let queues = backend::open(&config).await?.ports.queues;
            Ok(queues.into_iter().map(|(model, queue)| (model, queue.dead)).collect())
        }
    }
}

/// The dead letters of all queues of a data folder, of models too that are configured no more.
fn dead_in(folder: &DataFolder) -> anyhow::Result<Dead> {
    let queue = |model: ModelName| {
        // Opened when it is asked: one that is damaged is in no other's way.
        let (path, options) = (folder.queue(&model), QueueOptions::default());
        let queue = ReopenedQueue::new(path, options, Clock::system());
        (model, Arc::new(queue) as Arc<dyn DeadLetters>)
    };
    Ok(folder.models()?.into_iter().map(queue).collect())
}

fn shown_id(model: &ModelName, id: &LetterId) -> String {
    format!("{model}/{}", id.0)
}

async fn find(id: &str, site: &SiteArgs) -> anyhow::Result<(Arc<dyn DeadLetters>, LetterId)> {
    let expected =
        || format!("read dead letter id {id:?}, expected MODEL/ID as \"list\" prints it");
    let (name, letter) = id.split_once('/').with_context(expected)?;
    ensure!(!letter.is_empty(), expected());
    let mut queues = dead(site).await?.into_iter();
    let (_, dead) = queues
        .find(|(model, _)| model.as_str() == name)
        .with_context(|| format!("model {name:?} has no queue here"))?;
    Ok((dead, LetterId(letter.to_owned())))
}

/// The frames that a letter asks about, the first of them by id.
fn frames_of(letter: &DeadLetter) -> String {
    let Ok(batch) = FrameBatch::from_json(&letter.body) else { return "?".to_owned() };
    let ids: Vec<String> =
        batch.answered().map(|entry| batch.frame_id(entry).to_string()).collect();
    match ids.as_slice() {
        [] => "0".to_owned(),
        [only] => only.clone(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
    }
}

fn one_line(reason: &str) -> String {
    reason.split_whitespace().collect::<Vec<_>>().join(" ")
}
