//! A time as text, by MySQL's specifiers.

use std::sync::Arc;

use arrow_array::{Array as _, StringArray};
use arrow_schema::DataType;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

/// `date_format(time, format)`: the time in its zone, by MySQL's specifiers
/// (<https://trino.io/docs/current/functions/datetime.html#mysql-date-functions>). The engine has a function of this name
/// with strftime's, in which `%M` are minutes where Athena has the month's name.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct DateFormat {
    signature: Signature,
}

impl DateFormat {
    pub(super) fn new() -> Self {
        Self { signature: Signature::any(2, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for DateFormat {
    fn name(&self) -> &'static str {
        "date_format"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [DataType::Timestamp(..), DataType::Utf8 | DataType::Utf8View] => Ok(DataType::Utf8),
            _ => plan_err!("date_format takes a timestamp and a text such as '%Y-%m-%d %H:%i'"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let ColumnarValue::Scalar(format) = &args.args[1] else {
            return plan_err!("date_format takes the same format for all rows");
        };
        let Some(format) = format.try_as_str().flatten() else {
            return plan_err!("date_format takes a format, which is not NULL");
        };
        let format = strftime(format)?;
        let times = args.args[0].to_array(args.number_rows)?;
        let options = FormatOptions::new()
            .with_timestamp_format(Some(&format))
            .with_timestamp_tz_format(Some(&format));
        let formatter = ArrayFormatter::try_new(times.as_ref(), &options)?;
        let text = |row| -> Result<Option<String>> {
            if times.is_null(row) {
                return Ok(None);
            }
            Ok(Some(formatter.value(row).try_to_string()?))
        };
        let texts = (0..times.len()).map(text).collect::<Result<StringArray>>()?;
        Ok(ColumnarValue::Array(Arc::new(texts)))
    }
}

/// MySQL's specifiers as strftime's.
fn strftime(format: &str) -> Result<String> {
    let mut out = String::new();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        let specifier = letters.next();
        out.push_str(match specifier {
            Some('a') => "%a",
            Some('b') => "%b",
            Some('c') => "%-m",
            Some('d') => "%d",
            Some('e') => "%-d",
            Some('f') => "%6f",
            Some('H') => "%H",
            Some('h' | 'I') => "%I",
            Some('i') => "%M",
            Some('j') => "%j",
            Some('k') => "%-H",
            Some('l') => "%-I",
            Some('M') => "%B",
            Some('m') => "%m",
            Some('p') => "%p",
            Some('r') => "%I:%M:%S %p",
            Some('S' | 's') => "%S",
            Some('T') => "%H:%M:%S",
            Some('v') => "%V",
            Some('W') => "%A",
            Some('x') => "%G",
            Some('Y') => "%Y",
            Some('y') => "%y",
            Some('%') => "%%",
            other => {
                let other: String = other.into_iter().collect();
                return plan_err!(
                    "date_format does not know \"%{other}\"; minutes are %i, months %m, seconds %s"
                );
            }
        });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specifiers_are_those_of_mysql() {
        assert_eq!(strftime("%Y-%m-%d %H:%i:%s.%f 100%%").unwrap(), "%Y-%m-%d %H:%M:%S.%6f 100%%");
        assert_eq!(strftime("%M %e, %l %p").unwrap(), "%B %-d, %-I %p");
        for format in ["%D", "%U", "%X", "%w", "%"] {
            let error = strftime(format).unwrap_err().to_string();
            assert!(error.contains(&format!("date_format does not know \"{format}\"")), "{error}");
        }
    }
}
