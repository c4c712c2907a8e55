//! Numbers of things in words.

use std::fmt::Display;

/// So many things: `1 row`, `2 rows`.
pub fn counted<N: Display + PartialEq + From<u8>>(count: N, thing: &str) -> String {
    let plural = if count == N::from(1) { "" } else { "s" };
    format!("{count} {thing}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_no_plural() {
        let rows = [0_u64, 1, 2].map(|count| counted(count, "row"));
        assert_eq!(rows, ["0 rows", "1 row", "2 rows"]);
    }
}
