//! `millrace query`: SQL over the rows.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use services::DataFolder;
use services::config::Backend;
use services::price::{ATHENA_SCAN, athena_terabytes};
use table::print::{Format, print};
use table::{EmbeddedTable, NAMED_QUERIES, Table, named_query};
use tokio::time::timeout;

use crate::cli::QueryArgs;

/// Longest that stopping a query elsewhere may take.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// The exit code after Ctrl-C.
const INTERRUPTED: u8 = 130;

pub(crate) async fn run(args: &QueryArgs) -> anyhow::Result<ExitCode> {
    let sql = match (&args.sql, &args.named) {
        (Some(sql), _) => sql,
        (None, Some(name)) => named_query(name).with_context(|| unknown(name))?.sql,
        (None, None) => unreachable!("the command line has a query or a name"),
    };
    let config = args.site.place()?;
    if config.backend == Backend::Embedded {
        args.site.data_folder()?;
    }
    let table = table::open(&config).await?;
    let mut out = io::stdout();
    let answered = tokio::select! {
        answered = write(table.as_ref(), sql, args.format, &mut out) => answered?,
        () = interrupted() => {
            timeout(STOP_TIMEOUT, table.idle()).await.context("stop the query")?;
            return Ok(ExitCode::from(INTERRUPTED));
        }
    };
    if let Some(bytes) = answered {
        writeln!(io::stderr(), "{}", scanned(bytes))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the answer to a query over a data folder.
pub(super) async fn answer(
    folder: &DataFolder,
    sql: &str,
    format: Format,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    write(&EmbeddedTable::open(folder)?, sql, format, out).await?;
    Ok(())
}

/// Writes the answer to a query; gives the bytes that were read for it, where they have a price.
async fn write(
    table: &dyn Table,
    sql: &str,
    format: Format,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<Option<u64>> {
    let answer = table.query(sql).await?;
    let scanned = answer.scanned_bytes();
    match print(answer, format, out).await {
        Err(error) if !error.is_closed_pipe() => Err(error.into()),
        _ => Ok(scanned),
    }
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
