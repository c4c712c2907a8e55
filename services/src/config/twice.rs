//! Finds the first of two equal names in a TOML text, so that an error can name both lines.

use super::error::Problem;

/// What is defined twice, when the second definition is at `offset`.
pub(super) fn find(text: &str, offset: usize) -> Option<Problem> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let second = text.get(..offset)?.matches('\n').count();
    let header_of = |line: &str| line.strip_prefix('[')?.split(']').next().map(plain);
    let (first, what) = match header_of(lines.get(second)?) {
        Some(header) => {
            let first =
                lines[..second].iter().position(|line| header_of(line) == Some(header.clone()))?;
            (first, describe(&header))
        }
        None => {
            let key = key_of(lines.get(second)?)?;
            let table = lines[..second].iter().rposition(|line| line.starts_with('[')).unwrap_or(0);
            let same_key = |line: &&str| key_of(line).as_ref() == Some(&key);
            let first = table + lines[table..second].iter().position(same_key)?;
            (first, format!("key {key:?}"))
        }
    };
    Some(Problem::Twice { what, first: first + 1, second: second + 1 })
}

fn key_of(line: &str) -> Option<String> {
    line.split_once('=').map(|(key, _)| plain(key))
}

fn plain(name: &str) -> String {
    name.chars().filter(|c| !c.is_whitespace() && !matches!(c, '"' | '\'')).collect()
}

fn describe(header: &str) -> String {
    match header.split_once('.') {
        Some(("streams", id)) => format!("stream {id:?}"),
        Some(("models", name)) => format!("model {name:?}"),
        _ => format!("table {header:?}"),
    }
}
