//! What a path finds in a JSON text.

use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::{ArrayRef, StringArray};
use arrow_schema::DataType;
use datafusion::arrow::compute::cast;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use serde_json::Value;

/// `json_extract_scalar(json, path)`: the number, text or truth value at a path in a JSON text, as text; null for
/// what has parts, for JSON's null, for nothing, and in a text that is no JSON
/// (<https://trino.io/docs/current/functions/json.html#json_extract_scalar>).
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct JsonExtractScalar {
    signature: Signature,
}

impl JsonExtractScalar {
    pub(super) fn new() -> Self {
        Self { signature: Signature::string(2, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for JsonExtractScalar {
    fn name(&self) -> &'static str {
        "json_extract_scalar"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns = ColumnarValue::values_to_arrays(&args.args)?;
        let texts = columns.iter().map(|column| Ok(cast(column, &DataType::Utf8)?));
        let texts = texts.collect::<Result<Vec<ArrayRef>>>()?;
        let rows = texts[0].as_string::<i32>().iter().zip(texts[1].as_string::<i32>());
        let found = rows.map(|(json, path)| match (json, path) {
            (json, Some(path)) => {
                let steps = steps(path)?;
                Ok(json.and_then(|json| scalar_at(json, &steps)))
            }
            (_, None) => Ok(None),
        });
        Ok(ColumnarValue::Array(Arc::new(found.collect::<Result<StringArray>>()?)))
    }
}

/// One step of a path into JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step<'a> {
    Member(&'a str),
    Item(usize),
}

/// Reads `$.member["another member"][0]`.
fn steps(path: &str) -> Result<Vec<Step<'_>>> {
    let mut steps = Vec::new();
    let mut rest = path.strip_prefix('$');
    while let Some(text) = rest {
        if text.is_empty() {
            return Ok(steps);
        }
        let taken = step(text);
        steps.extend(taken.map(|(step, _)| step));
        rest = taken.map(|(_, rest)| rest);
    }
    plan_err!("\"{path}\" is no JSON path, expected one such as $.eyes[0].x")
}

/// The first step of a path, and what follows it.
fn step(text: &str) -> Option<(Step<'_>, &str)> {
    if let Some(name) = text.strip_prefix('.') {
        let (name, rest) = name.split_at(name.find(['.', '[']).unwrap_or(name.len()));
        return (!name.is_empty()).then_some((Step::Member(name), rest));
    }
    let inside = text.strip_prefix('[')?;
    if let Some(name) = inside.strip_prefix('"') {
        let (name, rest) = name.split_once("\"]")?;
        return Some((Step::Member(name), rest));
    }
    let (index, rest) = inside.split_once(']')?;
    Some((Step::Item(index.parse().ok()?), rest))
}

fn scalar_at(json: &str, steps: &[Step<'_>]) -> Option<String> {
    let document: Value = serde_json::from_str(json).ok()?;
    let value = steps.iter().try_fold(&document, |value, step| match step {
        Step::Member(name) => value.as_object()?.get(*name),
        Step::Item(index) => value.as_array()?.get(*index),
    })?;
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str) -> Option<String> {
        let json = r#"{"a": {"b c": [1, "x", true, null, 2.5]}, "d": "ü"}"#;
        scalar_at(json, &steps(path).unwrap())
    }

    #[test]
    fn a_path_leads_to_a_scalar_or_to_nothing() {
        for (path, scalar) in [
            ("$.d", Some("ü")),
            (r#"$.a["b c"][0]"#, Some("1")),
            (r#"$.a["b c"][1]"#, Some("x")),
            (r#"$["a"]["b c"][2]"#, Some("true")),
            (r#"$.a["b c"][3]"#, None),
            (r#"$.a["b c"][4]"#, Some("2.5")),
            (r#"$.a["b c"][5]"#, None),
            ("$.a", None),
            ("$.d.e", None),
            ("$", None),
        ] {
            assert_eq!(found(path).as_deref(), scalar, "{path}");
        }
        assert_eq!(scalar_at("{", &[]), None);
        assert_eq!(scalar_at("7", &[]).as_deref(), Some("7"));
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for path in ["", "a", "$.", "$a", "$[", "$[x]", "$[-1]", "$[\"a]", "$..a"] {
            let error = steps(path).unwrap_err().to_string();
            assert!(error.contains("is no JSON path"), "{path}: {error}");
        }
    }
}
