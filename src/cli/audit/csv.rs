//! Rows as comma-separated values (RFC 4180).

/// One row with its line end.
pub(super) fn row<'a>(fields: impl IntoIterator<Item = &'a str>) -> String {
    let fields: Vec<String> = fields.into_iter().map(field).collect();
    format!("{}\r\n", fields.join(","))
}

fn field(text: &str) -> String {
    let needs_quotes = text.contains(['"', ',', '\r', '\n']);
    if needs_quotes { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        assert_eq!(row(["a", "b c", "", "d,e", "f\"g", "h\r\ni"]), "a,b c,,\"d,e\",\"f\"\"g\",\"h\r\ni\"\r\n");
    }
}
