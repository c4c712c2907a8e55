//! `millrace query`: SQL over the rows.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use services::DataFolder;
use services::config::Backend;
use services::price::{ATHENA_SCAN, athena_terabytes};
use table::print::{Format, print};
use table::{Answer, EmbeddedTable, NAMED_QUERIES, NamedQuery, Table, named_query, query_within};
use tokio::time::timeout;

use crate::cli::QueryArgs;
use crate::pager::Pager;

/// Longest that stopping a query elsewhere may take.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// The exit code of an answer that rows of the table are missing from.
const WITH_GAPS: u8 = 3;
/// The exit code after Ctrl-C.
const INTERRUPTED: u8 = 130;

pub(crate) async fn run(args: &QueryArgs) -> anyhow::Result<ExitCode> {
    if args.named.as_deref() == Some("") {
        io::stdout().write_all(list().as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let sql = question(args)?;
    let config = args.site.place()?;
    if config.backend == Backend::Embedded {
        args.site.data_folder()?;
    }
    let table = table::open(&config).await?;
    let mut out = Pager::new(args.format.is_for_reading());
    let answered = tokio::select! {
        answered = write(table.as_ref(), &sql, args, &mut out) => answered,
        () = interrupted() => {
            timeout(STOP_TIMEOUT, table.idle()).await.context("stop the query")?;
            out.finish()?;
            return Ok(ExitCode::from(INTERRUPTED));
        }
    };
    out.finish()?;
    let answered = answered?;
    if let Some(bytes) = answered.scanned_bytes() {
        writeln!(io::stderr(), "{}", scanned(bytes))?;
    }
    Ok(if tell_gaps(&answered)? { ExitCode::from(WITH_GAPS) } else { ExitCode::SUCCESS })
}

/// Writes the answer to a query over a data folder.
pub(super) async fn answer(
    folder: &DataFolder,
    sql: &str,
    format: Format,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    let table = EmbeddedTable::open(folder)?;
    let mut answer = table.query(sql).await?;
    write_answer(&mut answer, format, out).await?;
    tell_gaps(&answer)?;
    Ok(())
}

/// Writes the answer to a query; gives it for what is known of it behind its rows.
async fn write(
    table: &dyn Table,
    sql: &str,
    args: &QueryArgs,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<Answer> {
    let mut answer = query_within(table, sql, args.timeout.duration()).await?;
    write_answer(&mut answer, args.format, out).await?;
    Ok(answer)
}

/// Names what an answer cannot take account of; tells whether there is any.
fn tell_gaps(answer: &Answer) -> io::Result<bool> {
    let gaps = answer.gaps();
    for gap in &gaps {
        writeln!(
            io::stderr(),
            "not in the answer: {gap}; \"millrace repair\" takes it out of the table"
        )?;
    }
    Ok(!gaps.is_empty())
}

async fn write_answer(
    answer: &mut Answer,
    format: Format,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    match print(answer, format, out).await {
        Err(error) if !error.is_closed_pipe() => Err(error.into()),
        _ => Ok(()),
    }
}

/// The text of the question: the argument, standard input, or a named query over its range.
fn question(args: &QueryArgs) -> anyhow::Result<String> {
    let range = args.range.range()?;
    if let Some(name) = &args.named {
        return Ok(range.over(named_query(name).with_context(|| unknown(name))?.sql));
    }
    ensure!(range.is_all(), "--since and --until are for --named: write captured_at >= … in SQL");
    match args.sql.as_deref() {
        Some("-") => Ok(io::read_to_string(io::stdin()).context("read query from standard input")?),
        Some(sql) => Ok(sql.to_owned()),
        None => unreachable!("the command line has a query or a name"),
    }
}

/// The named queries and what they answer.
fn list() -> String {
    let width = NAMED_QUERIES.iter().map(|query| query.name.len()).max().unwrap_or(0);
    let line = |query: &NamedQuery| format!("{:width$}  {}\n", query.name, query.title());
    NAMED_QUERIES.iter().map(line).collect()
}

/// Waits for Ctrl-C.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        // Without a handler the signal ends the process by itself.
        std::future::pending::<()>().await;
    }
}

fn scanned(bytes: u64) -> String {
    let dollars = ATHENA_SCAN.of(athena_terabytes(bytes as f64));
    format!("read {:.1} MB for ${dollars:.6}", bytes as f64 / 1e6)
}

fn unknown(name: &str) -> String {
    let names: Vec<&str> = NAMED_QUERIES.iter().map(|query| query.name).collect();
    format!("query {name:?} is not known, expected one of {}", names.join(", "))
}
