//! The functions that the engine lacks and Athena has, or has with another meaning, under the same names.

mod date_format;
mod json;

use datafusion::logical_expr::ScalarUDF;

/// All of them.
pub(crate) fn all() -> [ScalarUDF; 2] {
    [
        ScalarUDF::from(json::JsonExtractScalar::new()),
        ScalarUDF::from(date_format::DateFormat::new()),
    ]
}
