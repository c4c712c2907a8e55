//! What the user sees: lines on standard output, and status lines that update in place on a terminal, or come
//! calmly one after another elsewhere.

use std::borrow::Cow;
use std::io::{self, IsTerminal as _, Write};
use std::iter::repeat;
use std::time::Duration;

use console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use millrace::pace::ModelPace;
use millrace::status::{StreamStatus, summed};

/// More streams than these share one line.
const MOST_LINES: usize = 12;
/// Time between two updates in place.
const UPDATE: Duration = Duration::from_millis(500);
/// Time between two status lines that stay.
const CALM: Duration = Duration::from_secs(5);

/// Standard output, and the status lines on standard error.
#[derive(Clone, Debug)]
pub(crate) struct Screen {
    bars: MultiProgress,
    lines: Vec<ProgressBar>,
    is_terminal: bool,
    shows_status: bool,
}

impl Screen {
    /// A screen; without status, standard error is left to the logs.
    pub(crate) fn new(shows_status: bool) -> Self {
        let is_terminal = shows_status && io::stderr().is_terminal();
        let target =
            if is_terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self {
            bars: MultiProgress::with_draw_target(target),
            lines: Vec::new(),
            is_terminal,
            shows_status,
        }
    }

    /// Whether status lines update in place.
    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// How long a status is good for.
    pub(crate) fn period(&self) -> Duration {
        if self.is_terminal { UPDATE } else { CALM }
    }

    /// Does something with the status lines out of the way.
    pub(crate) fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bars.suspend(write)
    }

    /// Prints a line on standard output.
    pub(crate) fn say(&self, line: impl AsRef<str>) -> io::Result<()> {
        self.print(format!("{}\n", line.as_ref()).as_bytes())
    }

    /// Prints text on standard output.
    pub(crate) fn print(&self, text: &[u8]) -> io::Result<()> {
        self.suspend(|| {
            let mut out = io::stdout().lock();
            out.write_all(text)?;
            out.flush()
        })
    }

    /// Shows what the streams and models do at the moment.
    pub(crate) fn show(&mut self, streams: &[StreamStatus], models: &[ModelPace]) {
        let paces = lines_of_models(models);
        if !self.is_terminal {
            return self.note(&[lines_of(streams), paces].concat());
        }
        let columns = usize::from(Term::stderr().size().1);
        let mut lines = lines_within(columns, streams);
        lines.extend(paces.iter().flat_map(|line| wrapped(line, columns)));
        while self.lines.len() < lines.len() {
            let style =
                ProgressStyle::with_template("{wide_msg}").expect("the template is a constant");
            self.lines.push(self.bars.add(ProgressBar::new_spinner().with_style(style)));
        }
        // A bar that is not needed at the moment keeps its place.
        for (bar, line) in self.lines.iter().zip(lines.into_iter().chain(repeat(String::new()))) {
            bar.set_message(line);
            bar.tick();
        }
    }

    /// Shows what the streams did at last, and which models were behind, and leaves it there.
    pub(crate) fn finish(&mut self, streams: &[StreamStatus], models: &[ModelPace]) {
        for bar in self.lines.drain(..) {
            bar.finish_and_clear();
        }
        self.note(&lines_of(streams));
        self.note(&models.iter().filter_map(ModelPace::sentence).collect::<Vec<_>>());
    }

    /// Writes lines where the status goes: standard error, so that answers can be piped on. Cameras do not stop
    /// because nobody reads it, or its disk is full.
    pub(crate) fn note(&self, lines: &[String]) {
        if self.shows_status {
            self.suspend(|| {
                lines.iter().for_each(|line| _ = writeln!(io::stderr(), "{line}"));
            });
        }
    }
}

/// A line for each stream, or one for all of many.
fn lines_of(streams: &[StreamStatus]) -> Vec<String> {
    let shown = shown(streams);
    let width = shown.iter().map(|status| status.stream.len()).max().unwrap_or(0);
    shown.iter().map(|status| status.line(width)).collect()
}

/// A line for each model, and one more for each that is behind; of many models these alone.
fn lines_of_models(models: &[ModelPace]) -> Vec<String> {
    let width = models.iter().map(|pace| pace.model.len()).max().unwrap_or(0);
    let is_shown = |pace: &&ModelPace| models.len() <= MOST_LINES || pace.is_behind;
    let lines = |pace: &ModelPace| {
        let sentence = pace.sentence().map(|sentence| format!("  {sentence}"));
        [pace.line(width)].into_iter().chain(sentence).collect::<Vec<_>>()
    };
    models.iter().filter(is_shown).flat_map(lines).collect()
}

/// A line in lines of at most so many columns, where its words allow it; those that go on are set in.
fn wrapped(line: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in line.split_inclusive(' ') {
        let last = lines.last_mut().expect("there is one from the start");
        if !last.is_empty() && last.chars().count() + word.trim_end().chars().count() > columns {
            lines.push(format!("    {word}"));
        } else {
            last.push_str(word);
        }
    }
    lines
}

/// The same for a terminal of so many columns: where a line is too long, each takes two.
fn lines_within(columns: usize, streams: &[StreamStatus]) -> Vec<String> {
    let lines = lines_of(streams);
    if lines.iter().all(|line| line.chars().count() <= columns) {
        return lines;
    }
    shown(streams).iter().flat_map(StreamStatus::two_lines).collect()
}

fn shown(streams: &[StreamStatus]) -> Cow<'_, [StreamStatus]> {
    if streams.len() > MOST_LINES { vec![summed(streams)].into() } else { streams.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_is_behind_has_a_sentence_that_fits_the_terminal() {
        let pace = |model: &str, is_behind| ModelPace {
            model: model.into(),
            is_behind,
            ..ModelPace::default()
        };
        let lines = lines_of_models(&[pace("objects", true), pace("faces", false)]);
        assert_eq!(lines.len(), 3);
        assert!(lines[1].starts_with("  objects is slower than its streams: "), "{lines:?}");
        let narrow = wrapped(&lines[1], 40);
        assert!(
            narrow.len() > 1 && narrow.iter().all(|line| line.trim_end().len() <= 40),
            "{narrow:?}"
        );
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&narrow.concat()), words(&lines[1]));
    }

    #[test]
    fn of_many_models_those_that_are_behind_are_shown() {
        let pace = |n: usize| ModelPace {
            model: format!("m{n}"),
            is_behind: n == 7,
            ..ModelPace::default()
        };
        let lines = lines_of_models(&(0..20).map(pace).collect::<Vec<_>>());
        assert!(lines.len() == 2 && lines[0].starts_with("m7 "), "{lines:?}");
    }
}
