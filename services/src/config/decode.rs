//! Turns the tree into the typed keys, and lets every error find its place on the way back.

use std::fmt::Display;

use serde::de::value::{StrDeserializer, StringDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, Expected, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;

use super::error::{ConfigError, Place, Problem};
use super::tree::{Entry, Hidden, Node, Value};

/// Reads a value of type `T` from the tree.
pub(super) fn decode<T: serde::de::DeserializeOwned>(tree: &Node) -> Result<T, ConfigError> {
    T::deserialize(tree).map_err(|mut fault| {
        fault.path.reverse();
        let place = fault.place.unwrap_or_else(|| tree.place.clone());
        ConfigError::new(place, fault.path, fault.problem)
    })
}

/// An error on its way from a value to the root; the path is gathered innermost first.
#[derive(Debug)]
pub(super) struct Fault {
    place: Option<Place>,
    path: Vec<String>,
    problem: Problem,
}

impl Fault {
    fn at(mut self, node: &Node) -> Self {
        if self.place.is_none() {
            self.place = Some(node.place.clone());
            self.problem = hide(self.problem, node.hidden.as_ref());
        }
        self
    }

    fn under(mut self, key: &str) -> Self {
        self.path.push(key.to_owned());
        self
    }
}

fn hide(problem: Problem, hidden: Option<&Hidden>) -> Problem {
    match (problem, hidden) {
        (Problem::Rule(_), Some(hidden)) => Problem::Rule(format!("{hidden} is not allowed here")),
        (problem, hidden) => hide_found(problem, hidden),
    }
}

/// The problem without the value that was found, if that must not be shown.
pub(super) fn hide_found(problem: Problem, hidden: Option<&Hidden>) -> Problem {
    match (problem, hidden) {
        (Problem::Wrong { wanted, .. }, Some(hidden)) => {
            Problem::Wrong { found: hidden.to_string(), wanted }
        }
        (problem, _) => problem,
    }
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        Self { place: None, path: Vec::new(), problem }
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.problem.fmt(f)
    }
}

impl std::error::Error for Fault {}

impl serde::de::Error for Fault {
    fn custom<T: Display>(message: T) -> Self {
        Problem::Rule(message.to_string()).into()
    }

    fn invalid_type(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        let wanted = in_words(&wanted.to_string()).to_owned();
        let found = match found {
            Unexpected::Map => "a table".to_owned(),
            Unexpected::Seq => "a list".to_owned(),
            other => other.to_string(),
        };
        Problem::Wrong { found, wanted }.into()
    }

    fn invalid_value(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::invalid_type(found, wanted)
    }

    fn unknown_variant(found: &str, known: &'static [&'static str]) -> Self {
        Problem::Wrong { found: format!("{found:?}"), wanted: one_of(known) }.into()
    }

    fn unknown_field(found: &str, known: &'static [&'static str]) -> Self {
        let hint = match known.iter().min_by_key(|key| distance(found, key)) {
            Some(key) if distance(found, key) <= 1 + found.len() / 4 => {
                format!("did you mean {key:?}?")
            }
            _ => format!("wanted {}", one_of(known)),
        };
        Problem::Unknown(hint).into()
    }

    fn missing_field(key: &'static str) -> Self {
        Problem::Missing(key.to_owned()).into()
    }
}

/// A type as whoever writes TOML knows it, by the name that serde has for it.
pub fn in_words(wanted: &str) -> &str {
    match wanted {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number that is not negative",
        "i64" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "a table",
        other if other.starts_with("struct ") => "a table",
        other => other,
    }
}

fn one_of(known: &[&str]) -> String {
    let quoted: Vec<String> = known.iter().map(|name| format!("{name:?}")).collect();
    match quoted.as_slice() {
        [] => "nothing".to_owned(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// Levenshtein's distance: the single-character changes between two words.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.chars().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.chars().count()]
}

/// Numbers and flags in text from a variable are read as the type that is wanted.
macro_rules! from_text {
    ($($method:ident $type:ident $visit:ident $wanted:literal),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            let Value::Raw(text) = &self.value else { return self.deserialize_any(visitor) };
            text.trim()
                .parse::<$type>()
                .map_err(|_| Fault::invalid_type(Unexpected::Str(text), &$wanted))
                .and_then(|value| visitor.$visit(value))
                .map_err(|fault| fault.at(self))
        }
    )*};
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.value {
            Value::Text(text) | Value::Raw(text) => visitor.visit_str(text),
            Value::Integer(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Array(items) => visitor.visit_seq(Items { items: items.iter() }),
            Value::Table(table) => visitor.visit_map(Entries { entries: table.iter(), next: None }),
        }
        .map_err(|fault| fault.at(self))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self).map_err(|fault| fault.at(self))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self).map_err(|fault| fault.at(self))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let (Value::Text(text) | Value::Raw(text)) = &self.value else {
            return self.deserialize_any(visitor);
        };
        let word: StrDeserializer<'_, Fault> = text.as_str().into_deserializer();
        word.deserialize_enum(name, variants, visitor).map_err(|fault| fault.at(self))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let Value::Raw(text) = &self.value else { return self.deserialize_any(visitor) };
        let words =
            text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned);
        let list: Vec<String> = words.collect();
        let list = serde::de::value::SeqDeserializer::<_, Fault>::new(list.into_iter());
        visitor.visit_seq(list).map_err(|fault| fault.at(self))
    }

    from_text! {
        deserialize_bool bool visit_bool "true or false",
        deserialize_u8 u64 visit_u64 "a whole number",
        deserialize_u16 u64 visit_u64 "a whole number",
        deserialize_u32 u64 visit_u64 "a whole number",
        deserialize_u64 u64 visit_u64 "a whole number",
        deserialize_i64 i64 visit_i64 "a whole number",
        deserialize_f64 f64 visit_f64 "a number"
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u128 f32 char str string bytes byte_buf unit unit_struct tuple tuple_struct map struct
        identifier ignored_any
    }
}

struct Items<'de> {
    items: std::collections::btree_map::Iter<'de, usize, Node>,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        let Some((index, node)) = self.items.next() else { return Ok(None) };
        seed.deserialize(node).map(Some).map_err(|fault| fault.at(node).under(&index.to_string()))
    }
}

struct Entries<'de> {
    entries: std::collections::btree_map::Iter<'de, String, Entry>,
    next: Option<(&'de String, &'de Node)>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        let Some((key, entry)) = self.entries.next() else { return Ok(None) };
        self.next = Some((key, &entry.node));
        let text: StringDeserializer<Fault> = key.clone().into_deserializer();
        seed.deserialize(text).map(Some).map_err(|mut fault| {
            fault.place = Some(entry.key_place.clone());
            fault.under(key)
        })
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let (key, node) = self.next.take().expect("serde asks for a value after its key");
        seed.deserialize(node).map_err(|fault| fault.at(node).under(key))
    }
}
