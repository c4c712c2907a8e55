//! `millrace audit`: the loss equation, from what is on disk.

use std::process::ExitCode;

use millrace::audit::{Books, Equation, Grouping, gather, gather_aws, write_text};
use serde::Serialize;
use services::DataFolder;
use services::config::Backend;

use crate::cli::AuditArgs;
use crate::screen::Screen;

#[derive(Serialize)]
struct Report {
    closes: bool,
    unreadable_messages: u64,
    equations: Vec<Equation>,
}

pub(crate) async fn run(args: &AuditArgs, screen: &Screen) -> anyhow::Result<ExitCode> {
    let config = args.site.place()?;
    let books = match config.backend {
        Backend::Embedded => gather(&args.site.data_folder()?).await?,
        Backend::Aws => {
            let backend = services::open(&config).await?;
            gather_aws(&config, &backend, table::open(&config).await?.as_ref()).await?
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
    let closes = equations.iter().all(|equation| equation.closes);
    Report { closes, unreadable_messages: books.unreadable, equations }
}

fn write(report: &Report, grouping: Grouping, screen: &Screen) -> anyhow::Result<()> {
    let mut text = Vec::new();
    write_text(&report.equations, grouping, &mut text)?;
    screen.print(&text)?;
    if report.unreadable_messages > 0 {
        let count = report.unreadable_messages;
        screen.say(format!(
            "{count} messages are no frame batches: see \"millrace dead-letters list\""
        ))?;
    }
    Ok(())
}

/// Prints the loss equation, and gives its numbers.
pub(super) async fn print(folder: &DataFolder, screen: &Screen) -> anyhow::Result<Vec<Equation>> {
    let report = report(&gather(folder).await?);
    write(&report, Grouping::Streams, screen)?;
    Ok(report.equations)
}
