//! The `Received:` field that this relay puts before a message (RFC 5321 section 4.4).
//!
//! Must not: let what the client said end the field, a comment or a line.

use std::net::IpAddr;

use crate::model::address::{Address, Host};
use crate::model::id::MessageId;
use crate::model::time::Timestamp;
use crate::model::tls::TlsFacts;

use super::fold::field;

/// Most characters of a greeting name that is no host name and is therefore shown in a comment.
const HELO_COMMENT_CHARS_MAX: usize = 255;

/// How the client opened its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Greeting {
    Helo,
    Ehlo,
}

/// The protocol of the session, as `with` tells it apart (RFC 3848, RFC 6531 section 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocol {
    pub greeting: Greeting,
    /// The client logged in.
    pub authenticated: bool,
    /// MAIL had the SMTPUTF8 parameter.
    pub smtputf8: bool,
}

/// The session that brought the message.
#[derive(Clone, Debug)]
pub struct Client<'a> {
    /// The name of HELO or EHLO, escaped.
    pub helo: &'a str,
    pub ip: IpAddr,
    pub protocol: Protocol,
    pub tls: Option<&'a TlsFacts>,
}

/// What one trace field says.
#[derive(Clone, Debug)]
pub struct Trace<'a> {
    /// `None` for a message that the relay wrote itself.
    pub client: Option<Client<'a>>,
    /// Our host name.
    pub hostname: &'a str,
    pub id: MessageId,
    /// The recipient, if the transaction has exactly one: others would learn of each other.
    pub recipient: Option<&'a Address>,
    pub at: Timestamp,
}

impl Trace<'_> {
    /// The whole field, folded, ASCII only, CRLF at the end.
    pub fn field(&self) -> String {
        let mut clauses = Vec::new();
        if let Some(client) = &self.client {
            clauses.push(from_clause(client));
        }
        clauses.push(format!("by {}", self.hostname));
        if let Some(client) = &self.client {
            let version = client.tls.map(|tls| format!(" ({})", tls.version)).unwrap_or_default();
            clauses.push(format!("with {}{version}", client.protocol.keyword(client.tls.is_some())));
        }
        clauses.push(format!("id {}", self.id));
        if let Some(recipient) = self.recipient.filter(|address| !address.needs_utf8()) {
            clauses.push(format!("for <{recipient}>"));
        }
        // RFC 5321 puts registered clauses behind all others.
        clauses.extend(self.client.as_ref().and_then(|client| client.tls).and_then(tls_clause));
        field("Received", &format!("{}; {}", clauses.join(" "), self.at.rfc5322()))
    }
}

impl Protocol {
    /// The registered keyword. There is none for HELO under TLS; only a client of ESMTP can have said STARTTLS.
    fn keyword(self, tls: bool) -> String {
        if self.greeting == Greeting::Helo && !tls && !self.authenticated && !self.smtputf8 {
            return "SMTP".to_owned();
        }
        let base = if self.smtputf8 { "UTF8SMTP" } else { "ESMTP" };
        let tls = if tls { "S" } else { "" };
        let authenticated = if self.authenticated { "A" } else { "" };
        format!("{base}{tls}{authenticated}")
    }
}

/// `from name ([address])`, or the address first and the name in a comment if it is no name that the grammar allows.
fn from_clause(client: &Client<'_>) -> String {
    let literal = Host::Literal(client.ip.to_canonical());
    if client.helo.is_ascii() && Host::parse(client.helo).is_ok() {
        return format!("from {} ({literal})", client.helo);
    }
    format!("from {literal} (HELO {})", comment_text(client.helo))
}

/// Text that may stand inside a comment (RFC 5322 section 3.2.2).
fn comment_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars().take(HELO_COMMENT_CHARS_MAX) {
        match c {
            '(' | ')' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            _ => out.push('?'),
        }
    }
    out
}

/// RFC 8314 section 4.3: the IANA name of the suite, and the group of the key exchange if it is known.
fn tls_clause(tls: &TlsFacts) -> Option<String> {
    let is_atom =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    if !is_atom(&tls.cipher) {
        return None;
    }
    let group = tls.group.as_deref().and_then(registered_group).filter(|group| is_atom(group));
    Some(match group {
        Some(group) => format!("tls {} group {group}", tls.cipher),
        None => format!("tls {}", tls.cipher),
    })
}

/// The name in the registry "TLS Supported Groups". What a server of old makes up for DHE has none.
fn registered_group(group: &str) -> Option<&str> {
    match group {
        "x25519mlkem768" => Some("X25519MLKEM768"),
        "secp256r1mlkem768" => Some("SecP256r1MLKEM768"),
        "secp384r1mlkem1024" => Some("SecP384r1MLKEM1024"),
        group if group.starts_with("dh-") => None,
        group => Some(group),
    }
}

#[cfg(test)]
mod tests {
    use mail_parser::MessageParser;

    use super::*;
    use crate::model::cipher::CipherSuite;
    use crate::model::tls::ProtocolVersion;

    const PLAIN: Protocol = Protocol { greeting: Greeting::Ehlo, authenticated: false, smtputf8: false };

    fn facts() -> TlsFacts {
        let suite = CipherSuite::by_name("TLS_AES_256_GCM_SHA384").unwrap();
        TlsFacts { group: Some("x25519".to_owned()), ..TlsFacts::assumed(ProtocolVersion::Tls1_3, suite) }
    }

    fn trace<'a>(client: Option<Client<'a>>, recipient: Option<&'a Address>) -> Trace<'a> {
        let at = Timestamp::from_secs(1_798_859_045);
        Trace { client, hostname: "mx1.example.org", id: MessageId::from_u128(7), recipient, at }
    }

    fn from(helo: &'static str, ip: &str) -> Client<'static> {
        Client { helo, ip: ip.parse().unwrap(), protocol: PLAIN, tls: None }
    }

    #[test]
    fn the_field_tells_who_brought_the_message_how_and_when() {
        let tls = facts();
        let to: Address = "b@bank.example".parse().unwrap();
        let client = Client { tls: Some(&tls), ..from("mail.partner.example", "203.0.113.9") };
        assert_eq!(
            trace(Some(client), Some(&to)).field(),
            "Received: from mail.partner.example ([203.0.113.9]) by mx1.example.org with\r\n \
             ESMTPS (TLSv1.3) id 00000000000000000000000007 for <b@bank.example> tls\r\n \
             TLS_AES_256_GCM_SHA384 group x25519; Sat, 02 Jan 2027 03:04:05 +0000\r\n"
        );
        assert_eq!(
            trace(None, None).field(),
            "Received: by mx1.example.org id 00000000000000000000000007; Sat, 02 Jan 2027\r\n 03:04:05 +0000\r\n"
        );
    }

    #[test]
    fn the_protocol_keywords_are_the_registered_ones() {
        use Greeting::{Ehlo, Helo};
        for (greeting, authenticated, smtputf8, tls, expected) in [
            (Helo, false, false, false, "SMTP"),
            (Helo, false, false, true, "ESMTPS"),
            (Ehlo, false, false, false, "ESMTP"),
            (Ehlo, false, false, true, "ESMTPS"),
            (Ehlo, true, false, false, "ESMTPA"),
            (Ehlo, true, false, true, "ESMTPSA"),
            (Ehlo, false, true, false, "UTF8SMTP"),
            (Ehlo, false, true, true, "UTF8SMTPS"),
            (Ehlo, true, true, false, "UTF8SMTPA"),
            (Ehlo, true, true, true, "UTF8SMTPSA"),
        ] {
            assert_eq!(Protocol { greeting, authenticated, smtputf8 }.keyword(tls), expected);
        }
    }

    #[test]
    fn a_greeting_name_cannot_leave_its_place() {
        for (helo, ip, expected) in [
            ("mail.example", "192.0.2.1", "from mail.example ([192.0.2.1])"),
            ("[192.0.2.1]", "192.0.2.1", "from [192.0.2.1] ([192.0.2.1])"),
            ("mail.example", "2001:db8::1", "from mail.example ([IPv6:2001:db8::1])"),
            ("mail.example", "::ffff:192.0.2.1", "from mail.example ([192.0.2.1])"),
            ("", "192.0.2.1", "from [192.0.2.1] (HELO )"),
            ("a b", "192.0.2.1", "from [192.0.2.1] (HELO a b)"),
            ("x) by evil (", "192.0.2.1", "from [192.0.2.1] (HELO x\\) by evil \\()"),
            ("x\\x0d", "192.0.2.1", "from [192.0.2.1] (HELO x\\\\x0d)"),
            ("x\r\nBcc: y", "192.0.2.1", "from [192.0.2.1] (HELO x??Bcc: y)"),
            ("m\u{fc}ller.example", "192.0.2.1", "from [192.0.2.1] (HELO m?ller.example)"),
        ] {
            assert_eq!(from_clause(&from(helo, ip)), expected, "{helo:?}");
        }
        let field = trace(Some(from("((((\\", "192.0.2.1")), None).field();
        assert_eq!(field.matches("\r\n").count(), field.matches("\r\n ").count() + 1);
    }

    #[test]
    fn an_address_outside_ascii_is_left_out() {
        let to: Address = "\u{f6}@bank.example".parse().unwrap();
        let field = trace(None, Some(&to)).field();
        assert!(field.is_ascii() && !field.contains(" for "), "{field}");
    }

    #[test]
    fn another_parser_reads_the_field() {
        let tls = facts();
        let to: Address = "b@bank.example".parse().unwrap();
        let client = Client { tls: Some(&tls), ..from("mail.partner.example", "203.0.113.9") };
        let message = format!("{}Subject: x\r\n\r\nbody\r\n", trace(Some(client), Some(&to)).field());
        let message = MessageParser::new().parse(message.as_bytes()).unwrap();
        let received = message.received().unwrap();
        assert_eq!(received.from().map(|host| host.to_string()).as_deref(), Some("mail.partner.example"));
        assert_eq!(received.from_ip(), Some("203.0.113.9".parse().unwrap()));
        assert_eq!(received.by().map(|host| host.to_string()).as_deref(), Some("mx1.example.org"));
        assert_eq!(received.with(), Some(mail_parser::Protocol::ESMTPS));
        assert_eq!(received.id(), Some("00000000000000000000000007"));
        assert_eq!(received.for_(), Some("b@bank.example"));
        assert_eq!(received.tls_cipher(), Some("TLS_AES_256_GCM_SHA384"));
        assert_eq!(received.date().map(|date| date.to_timestamp()), Some(1_798_859_045));
    }
}
