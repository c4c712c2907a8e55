//! What an ONNX file says about itself, as ultralytics writes it (`metadata_props`).

use std::iter::Peekable;
use std::str::Chars;

/// The metadata that decides how a model is run; whatever is absent or unreadable is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The labels, from `names`.
    pub labels: Option<Vec<String>>,
    /// The task, from `task`: `detect`, `classify`, …
    pub task: Option<String>,
    /// Width and height of the input, from `imgsz` (which has the height first).
    pub input_size: Option<(u32, u32)>,
}

impl Metadata {
    /// Reads metadata from the file's keys and values.
    pub fn read<'a>(properties: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut metadata = Self::default();
        for (key, value) in properties {
            match key {
                "names" => metadata.labels = parse_names(value),
                "task" => metadata.task = Some(value.trim().to_owned()),
                "imgsz" => metadata.input_size = parse_size(value),
                _ => {}
            }
        }
        metadata
    }
}

/// Reads `[height, width]` or one number for both.
fn parse_size(text: &str) -> Option<(u32, u32)> {
    let inner = text.trim().trim_start_matches(['[', '(']).trim_end_matches([']', ')']);
    let sides: Option<Vec<u32>> = inner.split(',').map(|side| side.trim().parse().ok()).collect();
    match sides?.as_slice() {
        [side] if *side > 0 => Some((*side, *side)),
        [height, width] if *height > 0 && *width > 0 => Some((*width, *height)),
        _ => None,
    }
}

/// Reads labels from a Python or JSON dictionary (`{0: 'person', 1: "it's"}`) or list (`['a', 'b']`).
///
/// A dictionary's keys have to be all the numbers from 0, in any order.
pub(crate) fn parse_names(text: &str) -> Option<Vec<String>> {
    let mut scanner = Scanner { chars: text.chars().peekable() };
    let labels = match scanner.next_mark()? {
        '{' => scanner.dictionary()?,
        '[' | '(' => scanner.list()?,
        _ => return None,
    };
    (scanner.next_mark().is_none() && !labels.is_empty()).then_some(labels)
}

struct Scanner<'a> {
    chars: Peekable<Chars<'a>>,
}

impl Scanner<'_> {
    fn next_mark(&mut self) -> Option<char> {
        self.skip_spaces();
        self.chars.next()
    }

    fn skip_spaces(&mut self) {
        while self.chars.next_if(|c| c.is_whitespace()).is_some() {}
    }

    fn takes(&mut self, marks: &[char]) -> bool {
        self.skip_spaces();
        self.chars.next_if(|c| marks.contains(c)).is_some()
    }

    fn dictionary(&mut self) -> Option<Vec<String>> {
        let mut entries = Vec::new();
        while !self.takes(&['}']) {
            let key: usize = self.word()?.trim().parse().ok()?;
            (self.next_mark()? == ':').then_some(())?;
            entries.push((key, self.word()?));
            if !self.takes(&[',']) {
                self.takes(&['}']).then_some(())?;
                break;
            }
        }
        entries.sort();
        let complete = entries.iter().enumerate().all(|(i, (key, _))| i == *key);
        complete.then(|| entries.into_iter().map(|(_, label)| label).collect())
    }

    fn list(&mut self) -> Option<Vec<String>> {
        let mut labels = Vec::new();
        while !self.takes(&[']', ')']) {
            labels.push(self.word()?);
            if !self.takes(&[',']) {
                self.takes(&[']', ')']).then_some(())?;
                break;
            }
        }
        Some(labels)
    }

    /// A quoted string, or bare characters up to a separator.
    fn word(&mut self) -> Option<String> {
        self.skip_spaces();
        match self.chars.next_if(|c| matches!(c, '\'' | '"')) {
            Some(quote) => self.quoted(quote),
            None => {
                let mut word = String::new();
                while let Some(c) = self.chars.next_if(|c| !",:}])".contains(*c)) {
                    word.push(c);
                }
                let word = word.trim_end().to_owned();
                (!word.is_empty()).then_some(word)
            }
        }
    }

    fn quoted(&mut self, quote: char) -> Option<String> {
        let mut text = String::new();
        loop {
            match self.chars.next()? {
                '\\' => text.push(self.escaped()?),
                c if c == quote => return Some(text),
                c => text.push(c),
            }
        }
    }

    fn escaped(&mut self) -> Option<char> {
        match self.chars.next()? {
            'n' => Some('\n'),
            't' => Some('\t'),
            'r' => Some('\r'),
            'x' => self.code_point(2),
            'u' => self.code_point(4),
            c => Some(c),
        }
    }

    fn code_point(&mut self, digits: usize) -> Option<char> {
        let hex: String = self.chars.by_ref().take(digits).collect();
        char::from_u32(u32::from_str_radix(&hex, 16).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_read_as_python_and_json_write_them() {
        let cases: [(&str, &[&str]); 7] = [
            ("{0: 'person', 1: \"it's\"}", &["person", "it's"]),
            (r"{0: 'it\'s', 1: 'a\\b', 2: 'na\u00efve'}", &["it's", "a\\b", "naïve"]),
            ("{1: 'b', 0: 'a, c: {d}',}", &["a, c: {d}", "b"]),
            (r#"{"0": "a", "1": "b"}"#, &["a", "b"]),
            ("['a', 'b']", &["a", "b"]),
            ("{0: a b, 1: c}", &["a b", "c"]),
            (" {0 : 'x'} ", &["x"]),
        ];
        for (text, labels) in cases {
            assert_eq!(parse_names(text).unwrap(), labels, "{text}");
        }
    }

    #[test]
    fn names_that_leave_a_class_out_or_do_not_end_are_no_labels() {
        for text in
            ["", "{}", "{0: 'a', 2: 'b'}", "{0: 'a'", "{0: 'a} ", "{0 'a'}", "{0: 'a'} x", "person"]
        {
            assert_eq!(parse_names(text), None, "{text}");
        }
    }

    #[test]
    fn the_size_has_its_height_first() {
        let read = |imgsz| Metadata::read([("imgsz", imgsz)]).input_size;
        assert_eq!(read("[192, 320]"), Some((320, 192)));
        assert_eq!(read("640"), Some((640, 640)));
        assert_eq!(read("[0, 640]"), None);
        assert_eq!(read("large"), None);
    }

    proptest! {
        #[test]
        fn any_labels_survive_python_s_repr(labels in prop::collection::vec("\\PC{0,12}", 1..20)) {
            let repr = |label: &String| format!("'{}'", label.replace('\\', "\\\\").replace('\'', "\\'"));
            let entries: Vec<String> =
                labels.iter().enumerate().map(|(i, label)| format!("{i}: {}", repr(label))).collect();
            prop_assert_eq!(parse_names(&format!("{{{}}}", entries.join(", "))), Some(labels));
        }

        #[test]
        fn no_text_breaks_the_reader(text in "[{}\\[\\]0-9:,'\"\\\\a-f ]{0,60}") {
            let _ = parse_names(&text);
        }
    }
}
