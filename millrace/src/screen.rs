//! What the user sees: lines on standard output, and status lines that update in place on a terminal, or come
//! calmly one after another elsewhere.

use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use millrace::status::{StreamStatus, summary};

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

    /// Shows what the streams do at the moment.
    pub(crate) fn show(&mut self, streams: &[StreamStatus]) -> io::Result<()> {
        let lines = lines_of(streams);
        if !self.is_terminal {
            return self.note(&lines);
        }
        while self.lines.len() < lines.len() {
            let style =
                ProgressStyle::with_template("{wide_msg}").expect("the template is a constant");
            self.lines.push(self.bars.add(ProgressBar::new_spinner().with_style(style)));
        }
        for (bar, line) in self.lines.iter().zip(lines) {
            bar.set_message(line);
            bar.tick();
        }
        Ok(())
    }

    /// Shows what the streams did at last, and leaves it there.
    pub(crate) fn finish(&mut self, streams: &[StreamStatus]) -> io::Result<()> {
        for bar in self.lines.drain(..) {
            bar.finish_and_clear();
        }
        self.note(&lines_of(streams))
    }

    /// Writes lines where the status goes: standard error, so that answers can be piped on.
    fn note(&self, lines: &[String]) -> io::Result<()> {
        if !self.shows_status {
            return Ok(());
        }
        self.suspend(|| lines.iter().try_for_each(|line| writeln!(io::stderr(), "{line}")))
    }
}

fn lines_of(streams: &[StreamStatus]) -> Vec<String> {
    if streams.len() > MOST_LINES {
        return vec![summary(streams)];
    }
    let width = streams.iter().map(|status| status.stream.len()).max().unwrap_or(0);
    streams.iter().map(|status| status.line(width)).collect()
}
