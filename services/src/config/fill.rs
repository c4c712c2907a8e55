//! Fills `${NAME}` in the file's strings from the environment.

use std::collections::BTreeMap;

use super::error::{ConfigError, Problem};
use super::tree::{Hidden, Node, Value};

/// Fills every string of the tree; `$$` stands for one `$`.
///
/// # Errors
/// When a variable is not set, naming key and variable.
pub(super) fn fill(
    node: &mut Node,
    path: &mut Vec<String>,
    environment: &BTreeMap<String, String>,
) -> Result<(), ConfigError> {
    match &mut node.value {
        Value::Text(text) if text.contains('$') => {
            let (filled, variable) = fill_text(text, environment)
                .map_err(|problem| ConfigError::new(node.place.clone(), path.clone(), problem))?;
            *text = filled;
            if let (Some(variable), None) = (variable, &node.hidden) {
                node.hidden = Some(Hidden::Variable(variable));
            }
        }
        Value::Array(items) => {
            for (index, item) in items {
                fill_under(item, index.to_string(), path, environment)?;
            }
        }
        Value::Table(table) => {
            for (key, entry) in table {
                fill_under(&mut entry.node, key.clone(), path, environment)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn fill_under(
    node: &mut Node,
    key: String,
    path: &mut Vec<String>,
    environment: &BTreeMap<String, String>,
) -> Result<(), ConfigError> {
    path.push(key);
    fill(node, path, environment)?;
    path.pop();
    Ok(())
}

/// The text with its variables filled in, and the name of one of them.
fn fill_text(
    text: &str,
    environment: &BTreeMap<String, String>,
) -> Result<(String, Option<String>), Problem> {
    let mut filled = String::with_capacity(text.len());
    let mut variable = None;
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        filled.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            filled.push('$');
            rest = after;
        } else if let Some((name, after)) =
            rest.strip_prefix('{').and_then(|name| name.split_once('}'))
        {
            let value = environment.get(name).ok_or_else(|| {
                Problem::Fill(format!("${{{name}}}: environment variable {name} is not set"))
            })?;
            filled.push_str(value);
            variable = Some(name.to_owned());
            rest = after;
        } else {
            return Err(Problem::Fill(
                "a single \"$\": wanted \"${NAME}\", or \"$$\" for a dollar".into(),
            ));
        }
    }
    filled.push_str(rest);
    Ok((filled, variable))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> Result<String, String> {
        let environment = BTreeMap::from([("NAME".to_owned(), "gate".to_owned())]);
        fill_text(text, &environment).map(|(text, _)| text).map_err(|problem| problem.to_string())
    }

    #[test]
    fn variables_are_filled_and_dollars_escaped() {
        assert_eq!(filled("a${NAME}b$$c").unwrap(), "agateb$c");
        assert_eq!(filled("$${NAME}").unwrap(), "${NAME}");
    }

    #[test]
    fn what_cannot_be_filled_is_named() {
        assert_eq!(
            filled("${OTHER}").unwrap_err(),
            "${OTHER}: environment variable OTHER is not set"
        );
        assert!(filled("5 $").unwrap_err().contains("a single"));
        assert!(filled("${NAME").unwrap_err().contains("a single"));
    }
}
