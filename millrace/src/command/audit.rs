//! `millrace audit`: the loss equation, from what is on disk.

use std::process::ExitCode;

use millrace::audit::{
    Books, Equation, FoldedEpochs, Gap, Grouping, Removed, gather, gather_aws, write_text,
};
use serde::{Serialize, Serializer};
use services::DataFolder;
use services::config::Backend;
use services::delivery::Hour;
use table::TimeRange;

use crate::cli::AuditArgs;
use crate::screen::Screen;

#[derive(Serialize)]
struct Report {
    closes: bool,
    unreadable_messages: u64,
    gaps: Vec<Gap>,
    /// Rows that were delivered before this hour left the table with their time.
    #[serde(serialize_with = "in_utc")]
    retired_before: Option<Hour>,
    removed: Vec<Removed>,
    folded: Vec<FoldedEpochs>,
    equations: Vec<Equation>,
}

/// When the hour begins, RFC 3339.
fn in_utc<S: Serializer>(hour: &Option<Hour>, serializer: S) -> Result<S::Ok, S::Error> {
    hour.map(|hour| hour.begin().to_string()).serialize(serializer)
}

pub(crate) async fn run(args: &AuditArgs, screen: &Screen) -> anyhow::Result<ExitCode> {
    let (config, range) = (args.site.place()?, args.range.range()?);
    let books = match config.backend {
        Backend::Embedded => gather(&args.site.data_folder()?, range).await?,
        Backend::Aws => {
            let backend = backend::open(&config).await?;
            gather_aws(&config, &backend, table::open(&config).await?.as_ref(), range).await?
        }
    };
    let report = report(&books);
    if args.json {
        screen.say(serde_json::to_string_pretty(&report)?)?;
    } else {
        let grouping = if args.epochs { Grouping::Epochs } else { Grouping::Streams };
        write(&report, grouping, screen)?;
    }
    Ok(if report.closes { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn report(books: &Books) -> Report {
    let equations = books.equations();
    let closes = books.gaps.is_empty() && equations.iter().all(|equation| equation.closes);
    Report {
        closes,
        unreadable_messages: books.unreadable,
        gaps: books.gaps.clone(),
        retired_before: books.retired_before,
        removed: books.removed.clone(),
        folded: books.folded_epochs(),
        equations,
    }
}

fn write(report: &Report, grouping: Grouping, screen: &Screen) -> anyhow::Result<()> {
    let mut text = Vec::new();
    write_text(&report.equations, &report.gaps, report.retired_before, grouping, &mut text)?;
    screen.print(&text)?;
    for Removed { words, .. } in &report.removed {
        screen.say(words)?;
    }
    for epochs in &report.folded {
        screen.say(epochs.to_string())?;
    }
    if report.unreadable_messages > 0 {
        let count = report.unreadable_messages;
        let what =
            if count == 1 { "message is no frame batch" } else { "messages are no frame batches" };
        screen.say(format!("{count} {what}: see \"millrace dead-letters list\""))?;
    }
    Ok(())
}

/// Prints the loss equation, and gives its numbers.
pub(super) async fn print(folder: &DataFolder, screen: &Screen) -> anyhow::Result<Vec<Equation>> {
    let report = report(&gather(folder, TimeRange::default()).await?);
    write(&report, Grouping::Streams, screen)?;
    Ok(report.equations)
}
