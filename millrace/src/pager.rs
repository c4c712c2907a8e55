//! Standard output, with a pager before it where somebody reads on a terminal.

use std::io::{self, IsTerminal as _, Stdout, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

/// What pages when `PAGER` does not say.
const PAGER: &str = "less";
/// How `less` pages when `LESS` does not say: not at all what fits the screen, colours as they are, wide lines cut
/// rather than broken (the arrow keys move to the side), and the answer stays on the screen.
const LESS: &str = "FRSX";

/// Where an answer goes.
#[derive(Debug)]
pub(crate) enum Pager {
    /// To standard output.
    None(Stdout),
    /// To the pager, until its reader has seen enough.
    Some(Child, ChildStdin),
}

impl Pager {
    /// The user's pager, where the answer is for reading and standard output is a terminal.
    pub(crate) fn new(is_for_reading: bool) -> Self {
        let shown = is_for_reading && io::stdout().is_terminal();
        let named = std::env::var("PAGER").ok();
        let words = if shown { words(named.as_deref()) } else { Vec::new() };
        Self::of(&words)
    }

    /// The pager that is called so; standard output where there is none, or it does not start.
    fn of(words: &[String]) -> Self {
        let Some((program, arguments)) = words.split_first() else {
            return Self::None(io::stdout());
        };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped());
        if std::env::var_os("LESS").is_none() {
            command.env("LESS", LESS);
        }
        match command.spawn() {
            Ok(mut child) => {
                let input = child.stdin.take().expect("the pager was started with a pipe");
                Self::Some(child, input)
            }
            Err(error) => {
                tracing::debug!(program, %error, "start pager");
                Self::None(io::stdout())
            }
        }
    }

    /// Waits until the reader has seen enough.
    pub(crate) fn finish(self) -> io::Result<()> {
        match self {
            Self::None(mut out) => out.flush(),
            Self::Some(mut child, input) => {
                drop(input);
                child.wait().map(drop)
            }
        }
    }

    fn out(&mut self) -> &mut dyn Write {
        match self {
            Self::None(out) => out,
            Self::Some(_, input) => input,
        }
    }
}

impl Write for Pager {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out().flush()
    }
}

/// The program and its arguments; none where the user wants no pager.
fn words(named: Option<&str>) -> Vec<String> {
    named.unwrap_or(PAGER).split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pager_is_the_users_or_none() {
        assert_eq!(words(None), ["less"]);
        assert_eq!(words(Some("more -s")), ["more", "-s"]);
        assert!(words(Some("")).is_empty());
    }

    #[test]
    fn a_pager_gets_the_answer_and_may_end_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let seen = folder.path().join("seen");
        let mut pager = Pager::of(&["tee".to_owned(), seen.to_str().unwrap().to_owned()]);
        pager.write_all(b"1 row\n").unwrap();
        pager.finish().unwrap();
        assert_eq!(std::fs::read(&seen).unwrap(), b"1 row\n");

        let mut quits = Pager::of(&["true".to_owned()]);
        let error = (0..).find_map(|_| quits.write_all(&[b'x'; 65_536]).err()).unwrap();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        quits.finish().unwrap();
    }

    #[test]
    fn a_pager_that_is_not_there_costs_no_answer() {
        assert!(matches!(Pager::of(&["/no/such/pager".to_owned()]), Pager::None(_)));
    }
}
