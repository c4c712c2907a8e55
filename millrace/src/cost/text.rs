//! The estimate as text.

use std::io::{self, Write};

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, Width, presets};
use services::price::{PRICES, PayloadPrices, RETENTION_DAYS};

use super::{Comparison, Estimate, Load};

/// Writes an estimate: what a camera costs item by item, what frames one by one would, what was assumed.
///
/// # Errors
/// When `out` cannot be written to.
pub fn write_text(estimate: &Estimate, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}\n", bill(estimate))?;
    writeln!(out, "{}\n", compared(&estimate.comparison))?;
    for (load, prices) in estimate.loads.iter().zip(&estimate.payloads) {
        writeln!(out, "{}", described(load, prices))?;
    }
    writeln!(out, "{}\n", assumed(estimate))?;
    writeln!(out, "List prices of {} as of {}:", estimate.region, estimate.prices_as_of)?;
    writeln!(out, "{}", prices())
}

fn bill(estimate: &Estimate) -> String {
    let Estimate { cameras, dollars, dollars_per_camera, lines, .. } = estimate;
    let mut table = table();
    table.set_header(["PER CAMERA AND MONTH", "AMOUNT", "", "DOLLARS"]);
    for line in lines {
        let amount = grouped(line.amount / cameras);
        table.add_row([line.item, &amount, line.unit, &format!("{:.2}", line.dollars / cameras)]);
    }
    table.add_row(["all", "", "", &format!("{dollars_per_camera:.2}")]);
    let site = format!("all {}", counted(*cameras, "camera"));
    table.add_row([&site, "", "", &grouped_dollars(*dollars)]);
    right(&mut table, &[1, 3]);
    table.trim_fmt()
}

fn compared(comparison: &Comparison) -> String {
    let Comparison { dollars, dollars_one_by_one, puts_one_by_one, calls, calls_one_by_one } =
        comparison;
    format!(
        "From camera to delivery stream: ${dollars:.2} and {} calls for 1,000 frames.\n\
         One PUT, one message, one GET and one record per frame: ${dollars_one_by_one:.2} ({:.0} % of it PUTs) and \
         {} calls.",
        grouped(*calls),
        puts_one_by_one * 100.0,
        grouped(*calls_one_by_one),
    )
}

fn described(load: &Load, prices: &PayloadPrices) -> String {
    let way = if load.inline { "in messages" } else { "as objects" };
    let bytes = load.bundle_bytes / 1e3;
    let auto = if prices.inline_is_cheaper() { "messages" } else { "objects" };
    let million = |dollars: f64| format!("${:.2}", dollars * 1e6);
    let inline = prices.inline.map_or("more than a message holds".to_owned(), million);
    format!(
        "Model {}: {}, a frame every {} s; {} to a bundle of {} kB, {way}.\n  \
         payload = \"auto\" takes {auto}: a million bundles, objects kept for {} days, are {} as objects, {inline} in \
         messages.",
        load.model,
        counted(load.streams, "stream"),
        short(load.period),
        short(load.frames_per_bundle),
        grouped(bytes),
        short(RETENTION_DAYS),
        million(prices.object),
    )
}

fn assumed(estimate: &Estimate) -> String {
    let assumed = &estimate.assumptions;
    format!(
        "Assumed: frames of {} kB kept for {} days, {} rows a frame kept for {} days, {} queries a day that each read \
         a day's rows, {} for each model.\nNot counted: machines, network, logs, alarms, taxes.",
        short(assumed.frame_bytes / 1e3),
        short(assumed.retention_days),
        short(assumed.rows_per_frame),
        short(assumed.rows_retention_days),
        short(assumed.queries_per_day),
        counted(assumed.workers, "worker"),
    )
}

fn prices() -> String {
    let mut table = table();
    for price in PRICES {
        let per = if price.per > 1.0 { format!("{} ", grouped(price.per)) } else { String::new() };
        let dollars = format!("${}", price.dollars);
        table.add_row([price.what, &dollars, &format!("per {per}{}", price.unit), price.source]);
    }
    right(&mut table, &[1]);
    table.trim_fmt()
}

fn table() -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table
}

fn right(table: &mut Table, columns: &[usize]) {
    for column in columns {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    if let Some(column) = table.column_mut(0) {
        column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(24)));
    }
}

/// Few digits for what is a rough number anyway.
fn short(number: f64) -> String {
    let text = format!("{number:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.to_owned()
}

fn counted(number: f64, what: &str) -> String {
    let plural = if number == 1.0 { "" } else { "s" };
    format!("{} {what}{plural}", grouped(number))
}

/// Thousands apart; small numbers with decimals.
fn grouped(number: f64) -> String {
    if number < 100.0 {
        return short(number);
    }
    group(&format!("{number:.0}"))
}

fn grouped_dollars(dollars: f64) -> String {
    let text = format!("{dollars:.2}");
    let (whole, cents) = text.split_once('.').unwrap_or((&text, "00"));
    format!("{}.{cents}", group(whole))
}

fn group(digits: &str) -> String {
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_for_reading() {
        assert_eq!(
            [0.5, 2.0, 99.126, 100.4, 2_592_000.0].map(grouped),
            ["0.5", "2", "99.13", "100", "2,592,000"]
        );
        assert_eq!(grouped_dollars(12_345.678), "12,345.68");
        assert_eq!([1.0, 2.0].map(|n| counted(n, "camera")), ["1 camera", "2 cameras"]);
    }
}
