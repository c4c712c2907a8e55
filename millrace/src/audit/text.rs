//! The equations as text.

use std::collections::BTreeMap;
use std::io::{self, Write};

use services::delivery::Hour;
use services::{Account, ModelName, StreamId, counted};

use super::{Equation, Gap};

/// How much the text tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// One equation per stream and model, summed over its epochs; epochs that do not close stand alone.
    Streams,
    /// One equation per stream, epoch and model.
    Epochs,
}

/// Writes the equations, what could not be read and what left the table with its time, and tells at the end whether all of
/// the equations close.
///
/// # Errors
/// When `out` takes no more.
pub fn write_text(
    equations: &[Equation],
    gaps: &[Gap],
    retired_before: Option<Hour>,
    grouping: Grouping,
    out: &mut dyn Write,
) -> io::Result<()> {
    for group in groups(equations, grouping) {
        write_group(&group, out)?;
    }
    for Gap { place, cause } in gaps {
        writeln!(out, "{place} could not be read: {cause}")?;
    }
    if let Some(before) = retired_before {
        let frames: u64 = equations.iter().map(|equation| equation.retired).sum();
        writeln!(
            out,
            "rows delivered before {before} left the table with their time: those of {}",
            counted(frames, "frame")
        )?;
    }
    let open = equations.iter().filter(|equation| !equation.closes).count();
    match (equations.len(), open, gaps.len()) {
        (0, _, 0) => writeln!(out, "nothing was received yet"),
        (_, 0, 0) => writeln!(out, "the loss equation closes"),
        (_, 0, _) => writeln!(out, "the loss equation closes where it could be read"),
        (all, open, _) => writeln!(out, "{open} of {all} loss equations do not close"),
    }
}

#[derive(Default)]
struct Sum {
    title: String,
    account: Account,
    delivered: u64,
    in_flight: u64,
    dead: u64,
    retired: u64,
    is_open: bool,
    has_gap: bool,
}

impl Sum {
    fn add(&mut self, equation: &Equation) {
        self.account.add(&equation.account);
        self.delivered += equation.delivered;
        self.in_flight += equation.in_flight;
        self.dead += equation.dead;
        self.retired += equation.retired;
        self.is_open |= !equation.closes;
        self.has_gap |= equation.has_gap;
    }
}

fn groups(equations: &[Equation], grouping: Grouping) -> Vec<Sum> {
    let mut sums = Vec::new();
    let mut summed: BTreeMap<(&StreamId, &ModelName), Vec<&Equation>> = BTreeMap::new();
    for equation in equations {
        if equation.closes && grouping == Grouping::Streams {
            summed.entry((&equation.stream, &equation.model)).or_default().push(equation);
        } else {
            let Equation { stream, model, epoch, .. } = equation;
            let which = if equation.folded { "epochs up to" } else { "epoch" };
            let title = format!("stream {stream}, model {model}, {which} {epoch}");
            let mut sum = Sum { title, ..Sum::default() };
            sum.add(equation);
            sums.push(sum);
        }
    }
    for ((stream, model), epochs) in summed {
        let title = format!("stream {stream}, model {model}, {}", epochs_of(&epochs));
        let mut sum = Sum { title, ..Sum::default() };
        epochs.into_iter().for_each(|equation| sum.add(equation));
        sums.push(sum);
    }
    sums
}

/// How many epochs, in words.
fn epochs_of(equations: &[&Equation]) -> String {
    let sum = equations.iter().find(|one| one.folded);
    let apart = equations.len() - usize::from(sum.is_some());
    let count = counted(apart, "epoch");
    match sum {
        None => count,
        Some(sum) if apart == 0 => format!("epochs up to {}", sum.epoch),
        Some(sum) => format!("{count} and those up to {}", sum.epoch),
    }
}

fn write_group(sum: &Sum, out: &mut dyn Write) -> io::Result<()> {
    let Account { received, taken, undecodable, pending, .. } = sum.account;
    let Sum { delivered, in_flight, dead, .. } = sum;
    let skipped = by_reason(&sum.account.skipped);
    let shed = by_reason(&sum.account.shed);
    let retired = match sum.retired {
        0 => String::new(),
        frames => format!(" + retired {frames}"),
    };
    let width = received.to_string().len();
    let verdict = match (sum.is_open, sum.has_gap) {
        (false, _) => "",
        (true, false) => ": does not close",
        (true, true) => ": does not close, for a part of it could not be read",
    };
    writeln!(out, "{}{verdict}", sum.title)?;
    writeln!(
        out,
        "  received {received:>width$} = taken {taken} + skipped {skipped} + undecodable {undecodable} + pending \
         {pending}"
    )?;
    writeln!(
        out,
        "  taken    {taken:>width$} = delivered {delivered} + in flight {in_flight} + shed {shed} + dead {dead}{retired}"
    )
}

fn by_reason(counts: &BTreeMap<String, u64>) -> String {
    let total: u64 = counts.values().sum();
    if counts.is_empty() {
        return total.to_string();
    }
    let parts: Vec<String> =
        counts.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    format!("{total} ({})", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::Place;
    use super::*;
    use services::Epoch;

    fn equation(epoch: u64, delivered: u64) -> Equation {
        let mut account = Account { received: 250, taken: 10, ..Account::default() };
        account.skip("not-due", 235);
        account.skip("context", 5);
        account.shed("spool-full", 1);
        Equation {
            stream: "gate".parse().unwrap(),
            epoch: Epoch(epoch),
            model: "shapes".parse().unwrap(),
            folded: epoch == 0,
            account,
            delivered,
            in_flight: 1,
            dead: 0,
            retired: 0,
            closes: delivered == 8,
            has_gap: false,
        }
    }

    fn text(equations: &[Equation], grouping: Grouping) -> String {
        let mut out = Vec::new();
        write_text(equations, &[], None, grouping, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn epochs_that_close_are_summed_and_others_stand_alone() {
        insta::assert_snapshot!(
            text(&[equation(1, 8), equation(2, 7), equation(3, 8)], Grouping::Streams),
            @r"
        stream gate, model shapes, epoch 0000000000002: does not close
          received 250 = taken 10 + skipped 240 (context 5, not-due 235) + undecodable 0 + pending 0
          taken     10 = delivered 7 + in flight 1 + shed 1 (spool-full 1) + dead 0
        stream gate, model shapes, 2 epochs
          received 500 = taken 20 + skipped 480 (context 10, not-due 470) + undecodable 0 + pending 0
          taken     20 = delivered 16 + in flight 2 + shed 2 (spool-full 2) + dead 0
        1 of 3 loss equations do not close
        "
        );
    }

    #[test]
    fn each_epoch_is_shown_when_asked_for() {
        let text = text(&[equation(1, 8), equation(2, 8)], Grouping::Epochs);
        assert_eq!(text.matches("epoch 000000000000").count(), 2);
        assert!(text.ends_with("the loss equation closes\n"));
    }

    #[test]
    fn epochs_that_have_one_account_together_are_named_by_their_last() {
        let title = |equations: &[Equation], grouping| {
            text(equations, grouping).lines().next().unwrap().to_owned()
        };
        let (sum, one) = (equation(0, 8), equation(1, 8));
        let both = title(&[sum.clone(), one.clone()], Grouping::Streams);
        assert_eq!(both, "stream gate, model shapes, 1 epoch and those up to 0000000000000");
        let alone = "stream gate, model shapes, epochs up to 0000000000000";
        assert_eq!(title(std::slice::from_ref(&sum), Grouping::Streams), alone);
        assert_eq!(title(&[sum, one], Grouping::Epochs), alone);
    }

    #[test]
    fn what_left_the_table_is_counted_and_told_with_its_boundary() {
        let retired = Equation { retired: 3, closes: true, ..equation(1, 5) };
        let mut out = Vec::new();
        let before = Some(Hour(498_684));
        write_text(&[retired, equation(2, 8)], &[], before, Grouping::Streams, &mut out).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r"
        stream gate, model shapes, 2 epochs
          received 500 = taken 20 + skipped 480 (context 10, not-due 470) + undecodable 0 + pending 0
          taken     20 = delivered 13 + in flight 2 + shed 2 (spool-full 2) + dead 0 + retired 3
        rows delivered before 2026-11-21 12:00 UTC left the table with their time: those of 3 frames
        the loss equation closes
        ");
    }

    #[test]
    fn nothing_received_is_said() {
        assert_eq!(text(&[], Grouping::Streams), "nothing was received yet\n");
    }

    #[test]
    fn what_could_not_be_read_is_named_and_proves_nothing() {
        let place = Place::Queue("shapes".parse().unwrap());
        let gaps = [Gap { place, cause: "open queue \"q\": damaged".to_owned() }];
        let told = |delivered| {
            let mut out = Vec::new();
            let equation = Equation { has_gap: true, ..equation(1, delivered) };
            write_text(&[equation], &gaps, None, Grouping::Streams, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let closed = told(8);
        assert!(
            closed.contains("the queue of model shapes could not be read: open queue"),
            "{closed}"
        );
        assert!(closed.ends_with("the loss equation closes where it could be read\n"), "{closed}");
        assert!(told(7).contains("does not close, for a part of it could not be read\n"));
    }
}
