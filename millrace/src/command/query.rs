//! `millrace query`: SQL over the rows.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context as _;
use services::DataFolder;
use table::print::{Format, print};
use table::{EmbeddedTable, NAMED_QUERIES, Table as _, named_query};

use crate::cli::QueryArgs;

pub(crate) async fn run(args: &QueryArgs) -> anyhow::Result<ExitCode> {
    let sql = match (&args.sql, &args.named) {
        (Some(sql), _) => sql,
        (None, Some(name)) => named_query(name).with_context(|| unknown(name))?.sql,
        (None, None) => unreachable!("the command line has a query or a name"),
    };
    answer(&args.site.data_folder()?, sql, args.format, &mut io::stdout()).await?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the answer to a query.
pub(super) async fn answer(
    folder: &DataFolder,
    sql: &str,
    format: Format,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    let table = EmbeddedTable::open(folder)?;
    let answer = table.query(sql).await?;
    match print(answer, format, out).await {
        Err(error) if !error.is_closed_pipe() => Err(error.into()),
        _ => Ok(()),
    }
}

fn unknown(name: &str) -> String {
    let names: Vec<&str> = NAMED_QUERIES.iter().map(|query| query.name).collect();
    format!("query {name:?} is not known, expected one of {}", names.join(", "))
}
