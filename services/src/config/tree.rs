//! The configuration before it has types: values, and where each of them stands.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Place, Problem};
use super::twice;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) place: Place,
    pub(super) hidden: Option<Hidden>,
}

/// Why a value must not be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hidden {
    /// Its key holds secrets.
    Secret,
    /// The variable of this name is part of it.
    Variable(String),
}

/// What is said in the value's place.
impl fmt::Display for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret => f.write_str("a value that is not shown"),
            Self::Variable(variable) => write!(f, "the value of ${{{variable}}}"),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Text of the file.
    Text(String),
    /// Text of a variable or flag, which stands for whatever type is wanted.
    Raw(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    /// By index: what is wrong can be taken out, and the rest keeps its places.
    Array(BTreeMap<usize, Node>),
    Table(BTreeMap<String, Entry>),
}

/// A table's value, and where its key stands.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key_place: Place,
    pub(super) node: Node,
}

/// The table whose entries are streams. A URL that stands where one of them is wanted may hold a password.
const STREAMS: &str = "streams";
/// Keys whose values may hold a password.
const SECRET_KEYS: [&str; 4] = [STREAMS, "url", "username", "password"];

impl Node {
    /// The tree of a configuration in which nothing is said.
    pub(super) fn empty(place: Place) -> Self {
        Self { value: Value::Table(BTreeMap::new()), place, hidden: None }
    }

    /// Reads TOML.
    pub(super) fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        let lines = Lines { text, file };
        let table = DeTable::parse(text).map_err(|error| syntax_error(&error, &lines))?;
        let value = convert_table(table.get_ref(), &lines)?;
        Ok(Self { value, place: Place::File(file.to_owned()), hidden: None })
    }

    /// Sets the value at a path, over whatever the file says there; tables on the way are made.
    ///
    /// A piece of the path stands for a key that is there when they differ only in case and in `-`, `.`, `_`.
    pub(super) fn set(&mut self, path: &[String], text: &str, place: &Place) {
        let Some((first, rest)) = path.split_first() else {
            let hidden = self.hidden.take();
            *self = Self { value: Value::Raw(text.to_owned()), place: place.clone(), hidden };
            return;
        };
        if !matches!(self.value, Value::Table(_)) {
            *self = Self::empty(place.clone());
        }
        let Value::Table(table) = &mut self.value else {
            unreachable!("it was made a table above")
        };
        let key = table.keys().find(|key| same_name(key, first)).unwrap_or(first).clone();
        let entry = table.entry(key).or_insert_with(|| Entry {
            key_place: place.clone(),
            node: Self::empty(place.clone()),
        });
        entry.node.set(rest, text, place);
    }

    /// Removes the other keys of the root.
    pub(super) fn keep_only(&mut self, is_wanted: impl Fn(&str) -> bool) {
        if let Value::Table(table) = &mut self.value {
            table.retain(|name, _| is_wanted(name));
        }
    }

    /// Takes out what stands at a path; tells whether there was something.
    pub(super) fn remove(&mut self, path: &[String]) -> bool {
        let Some((first, rest)) = path.split_first() else { return false };
        match &mut self.value {
            Value::Table(table) => match table.get_mut(first) {
                Some(entry) if !rest.is_empty() && entry.node.holds_others() => {
                    entry.node.remove(rest)
                }
                _ => table.remove(first).is_some(),
            },
            Value::Array(items) => {
                first.parse().ok().and_then(|index: usize| items.remove(&index)).is_some()
            }
            _ => false,
        }
    }

    /// The texts of a list, by index.
    pub(super) fn texts(&self) -> Vec<(usize, String)> {
        let Value::Array(items) = &self.value else { return Vec::new() };
        let text = |(index, item): (&usize, &Self)| match &item.value {
            Value::Text(text) => Some((*index, text.clone())),
            _ => None,
        };
        items.iter().filter_map(text).collect()
    }

    fn holds_others(&self) -> bool {
        matches!(self.value, Value::Table(_) | Value::Array(_))
    }

    /// Marks every value that may hold a password.
    pub(super) fn hide_secrets(&mut self) {
        self.hide_secrets_of("", false);
    }

    fn hide_secrets_of(&mut self, key: &str, is_secret: bool) {
        match &mut self.value {
            Value::Table(table) => {
                for (name, entry) in table {
                    let is_secret = key == STREAMS || SECRET_KEYS.contains(&name.as_str());
                    entry.node.hide_secrets_of(name, is_secret);
                }
            }
            Value::Array(items) => {
                for item in items.values_mut() {
                    item.hide_secrets_of(key, is_secret);
                }
            }
            _ if is_secret => self.hidden = Some(Hidden::Secret),
            _ => {}
        }
    }

    /// Where the value at a path stands, or the nearest table around it.
    pub(super) fn place_of(&self, path: &[String]) -> &Place {
        self.get(path).map_or_else(
            || match path.split_last() {
                Some((_, parent)) => self.place_of(parent),
                None => &self.place,
            },
            |node| &node.place,
        )
    }

    /// The value at a path.
    pub(super) fn get(&self, path: &[String]) -> Option<&Self> {
        let Some((first, rest)) = path.split_first() else { return Some(self) };
        match &self.value {
            Value::Table(table) => table.get(first)?.node.get(rest),
            Value::Array(items) => items.get(&first.parse::<usize>().ok()?)?.get(rest),
            _ => None,
        }
    }
}

fn same_name(key: &str, piece: &str) -> bool {
    let plain = |c: char| if matches!(c, '-' | '.') { '_' } else { c.to_ascii_lowercase() };
    key.chars().map(plain).eq(piece.chars().map(plain))
}

/// The file's text, for turning byte offsets into lines and columns.
struct Lines<'a> {
    text: &'a str,
    file: &'a Path,
}

impl Lines<'_> {
    fn place(&self, offset: usize) -> Place {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Place::Position {
            file: self.file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

fn syntax_error(error: &toml::de::Error, lines: &Lines<'_>) -> ConfigError {
    let Some(span) = error.span() else {
        let problem = Problem::Syntax(error.message().to_owned());
        return ConfigError::new(Place::File(lines.file.to_owned()), Vec::new(), problem);
    };
    let problem = twice::find(lines.text, span.start)
        .filter(|_| error.message().starts_with("duplicate key"))
        .unwrap_or_else(|| Problem::Syntax(error.message().replace('\n', ", ")));
    ConfigError::new(lines.place(span.start), Vec::new(), problem)
}

fn convert_table(table: &DeTable<'_>, lines: &Lines<'_>) -> Result<Value, ConfigError> {
    let mut entries = BTreeMap::new();
    for (key, value) in table {
        let place = lines.place(value.span().start);
        let value = convert(value.get_ref(), &place, lines)?;
        let key_place = lines.place(key.span().start);
        let node = Node { value, place, hidden: None };
        entries.insert(key.get_ref().to_string(), Entry { key_place, node });
    }
    Ok(Value::Table(entries))
}

fn convert(value: &DeValue<'_>, place: &Place, lines: &Lines<'_>) -> Result<Value, ConfigError> {
    // Its digits may be a password that somebody left the quotes out of.
    let too_large = || {
        let [found, wanted] = ["a number of too many digits", "a smaller one"].map(str::to_owned);
        let problem = Problem::Wrong { found, wanted };
        ConfigError::new(place.clone(), Vec::new(), problem)
    };
    Ok(match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
            .map(Value::Integer)
            .map_err(|_| too_large())?,
        DeValue::Float(float) => {
            float.as_str().parse().map(Value::Float).map_err(|_| too_large())?
        }
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Datetime(time) => Value::Text(time.to_string()),
        DeValue::Table(table) => convert_table(table, lines)?,
        DeValue::Array(items) => {
            let convert_item = |(index, item): (usize, &toml::Spanned<DeValue<'_>>)| {
                let place = lines.place(item.span().start);
                let value = convert(item.get_ref(), &place, lines)?;
                Ok((index, Node { value, place, hidden: None }))
            };
            let items = items.iter().enumerate().map(convert_item);
            Value::Array(items.collect::<Result<_, ConfigError>>()?)
        }
    })
}
