//! A setting as `--set` has it.

use std::fmt;

/// One `--set`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Setting {
    /// `inbound`, `outbound` or `route`, where it was written.
    pub(super) table: Option<&'static str>,
    pub(super) key: String,
    /// As TOML.
    pub(super) value: String,
}

impl Setting {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "write a key and a value: min_version=TLSv1.2".to_owned();
        let (key, value) = text.split_once('=').ok_or_else(wrong)?;
        let (key, value) = (key.trim(), value.trim());
        let (table, key) = match key.split_once('.') {
            None => (None, key),
            Some((table, key)) => {
                let known = ["inbound", "outbound", "route"].into_iter().find(|known| *known == table);
                (Some(known.ok_or("a key stands in inbound, outbound or route: inbound.min_version=TLSv1.2")?), key)
            }
        };
        let is_bare = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_bare || value.is_empty() {
            return Err(wrong());
        }
        Ok(Self { table, key: key.to_owned(), value: toml_value(value) })
    }
}

/// A word of the configuration needs no quotes here.
fn toml_value(text: &str) -> String {
    let is_toml = format!("x = {text}").parse::<toml::Table>().is_ok_and(|table| table.len() == 1);
    if is_toml { text.to_owned() } else { toml::Value::from(text).to_string() }
}

/// As it would be written in a file.
impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.key, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_with_or_without_quotes_and_table() {
        for (text, expected) in [
            ("min_version=TLSv1.2", Ok((None, "min_version = \"TLSv1.2\""))),
            ("inbound.mode=report", Ok((Some("inbound"), "mode = \"report\""))),
            ("route.match=[\"mx\"]", Ok((Some("route"), "match = [\"mx\"]"))),
            ("cipher = \"aead\"", Ok((None, "cipher = \"aead\""))),
            ("mode=\"a\nb = 1", Ok((None, "mode = \"\"\"\n\"a\nb = 1\"\"\""))),
            ("mode=a\nmode=b", Ok((None, "mode = \"\"\"\na\nmode=b\"\"\""))),
            ("concurrency=5", Ok((None, "concurrency = 5"))),
            ("mode", Err(())),
            ("mode=", Err(())),
            ("=report", Err(())),
            ("relay.mode=report", Err(())),
            ("a b=report", Err(())),
        ] {
            let parsed = Setting::parse(text).map(|set| (set.table, set.to_string())).map_err(|_| ());
            assert_eq!(parsed, expected.map(|(table, line)| (table, line.to_owned())), "{text}");
        }
    }
}
