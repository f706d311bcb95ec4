//! What a server said in its answer to EHLO that it can do (RFC 5321 section 4.1.1.1).
//!
//! Must not: remember anything of a session before TLS; the session makes a new value then (RFC 3207 section 4.2).

use crate::model::reply::Reply;

/// Most keyword lines that are looked at.
pub const CAPABILITY_LINES_MAX: usize = 64;

/// The extensions that matter to this client. The default is a server that knows none, such as after HELO.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// RFC 2920.
    pub pipelining: bool,
    /// RFC 1870: `None` not offered, `Some(None)` offered without a limit, else the limit in octets.
    pub size: Option<Option<u64>>,
    /// RFC 6152.
    pub eight_bit_mime: bool,
    /// RFC 6531.
    pub smtputf8: bool,
    /// RFC 3461.
    pub dsn: bool,
    /// RFC 3207.
    pub starttls: bool,
    /// RFC 2034.
    pub enhanced_status: bool,
    /// RFC 3030.
    pub chunking: bool,
    /// RFC 8689.
    pub requiretls: bool,
}

impl Capabilities {
    /// Reads the answer to EHLO. The first line is the server's name; unknown keywords are ignored.
    pub fn from_reply(reply: &Reply) -> Self {
        let mut capabilities = Self::default();
        for line in reply.lines.iter().skip(1).take(CAPABILITY_LINES_MAX) {
            capabilities.add(line);
        }
        capabilities
    }

    /// Whether a message of so many octets may be larger than the server takes (RFC 1870 section 3: 0 is no limit).
    pub fn is_too_big(&self, size: u64) -> bool {
        matches!(self.size, Some(Some(limit)) if size > limit)
    }

    fn add(&mut self, line: &str) {
        let mut words = line.split_ascii_whitespace();
        let Some(keyword) = words.next() else { return };
        match keyword.to_ascii_uppercase().as_str() {
            "PIPELINING" => self.pipelining = true,
            "SIZE" => self.size = Some(words.next().and_then(parse_limit)),
            "8BITMIME" => self.eight_bit_mime = true,
            "SMTPUTF8" => self.smtputf8 = true,
            "DSN" => self.dsn = true,
            "STARTTLS" => self.starttls = true,
            "ENHANCEDSTATUSCODES" => self.enhanced_status = true,
            "CHUNKING" => self.chunking = true,
            "REQUIRETLS" => self.requiretls = true,
            _ => {}
        }
    }
}

/// A limit that is 0, no number or beyond 64 bits limits nothing that we could send.
fn parse_limit(word: &str) -> Option<u64> {
    word.parse().ok().filter(|limit| *limit != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::reply::Code;

    fn parse(lines: &[&str]) -> Capabilities {
        let lines = lines.iter().map(ToString::to_string).collect();
        Capabilities::from_reply(&Reply { code: Code::OK, enhanced: None, lines })
    }

    #[test]
    fn keywords_are_read_in_any_case_and_others_are_ignored() {
        let none = Capabilities::default;
        for (line, expected) in [
            ("PIPELINING", Capabilities { pipelining: true, ..none() }),
            ("pipelining", Capabilities { pipelining: true, ..none() }),
            ("SIZE", Capabilities { size: Some(None), ..none() }),
            ("SIZE 0", Capabilities { size: Some(None), ..none() }),
            ("SIZE many", Capabilities { size: Some(None), ..none() }),
            ("SIZE 99999999999999999999999", Capabilities { size: Some(None), ..none() }),
            ("SIZE 1000", Capabilities { size: Some(Some(1000)), ..none() }),
            ("8BITMIME", Capabilities { eight_bit_mime: true, ..none() }),
            ("SMTPUTF8", Capabilities { smtputf8: true, ..none() }),
            ("DSN", Capabilities { dsn: true, ..none() }),
            ("STARTTLS", Capabilities { starttls: true, ..none() }),
            ("ENHANCEDSTATUSCODES", Capabilities { enhanced_status: true, ..none() }),
            ("CHUNKING", Capabilities { chunking: true, ..none() }),
            ("REQUIRETLS", Capabilities { requiretls: true, ..none() }),
            ("XSTARTTLS", none()),
            ("AUTH PLAIN STARTTLS", none()),
            ("", none()),
        ] {
            assert_eq!(parse(&["mx.example", line]), expected, "{line:?}");
        }
    }

    #[test]
    fn the_first_line_is_a_name_and_lines_beyond_the_bound_do_not_count() {
        assert_eq!(parse(&["STARTTLS", "DSN"]), Capabilities { dsn: true, ..Capabilities::default() });
        let mut lines = vec!["x"; 1 + CAPABILITY_LINES_MAX];
        lines.push("STARTTLS");
        assert!(!parse(&lines).starttls);
    }

    #[test]
    fn only_a_limit_makes_a_message_too_big() {
        for (line, size, expected) in [
            ("SIZE 100", 100, false),
            ("SIZE 100", 101, true),
            ("SIZE 0", u64::MAX, false),
            ("SIZE", u64::MAX, false),
            ("DSN", u64::MAX, false),
        ] {
            assert_eq!(parse(&["mx", line]).is_too_big(size), expected, "{line} {size}");
        }
    }
}
