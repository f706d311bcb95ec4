//! master.cf as text: the services, and the parameters that each overrides.

use super::Place;
use super::lines::{in_braces, logical_lines, split_outside_braces};
use super::main_cf::{Setting, assignment};

/// One service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// What stands first: `smtp`, `submission`, `127.0.0.1:10025`, or the name of a transport.
    pub name: String,
    /// `inet`, `unix`, `pass` and so on.
    pub kind: String,
    /// The program: `smtpd`, `smtp`, `pipe`.
    pub program: String,
    /// What `-o` sets.
    pub overrides: Vec<Setting>,
    pub place: Place,
}

/// The blanks between name and program: type, private, unprivileged, chroot, wakeup and the most processes.
const COLUMNS_BEFORE_PROGRAM: usize = 7;

/// The services in their order. Lines with too few columns are left out, and told by their place.
pub fn parse(text: &str) -> (Vec<Service>, Vec<Place>) {
    const FILE: &str = "master.cf";
    let (mut services, mut malformed) = (Vec::new(), Vec::new());
    for line in logical_lines(text) {
        let place = Place::new(FILE, line.number);
        match service(&line.text, &place) {
            Some(service) => services.push(service),
            None => malformed.push(place),
        }
    }
    (services, malformed)
}

fn service(line: &str, place: &Place) -> Option<Service> {
    // Commas belong to the words here.
    let words = split_outside_braces(line, char::is_whitespace);
    let (name, kind) = (words.first()?, words.get(1)?);
    let program = words.get(COLUMNS_BEFORE_PROGRAM)?;
    let arguments = words.get(COLUMNS_BEFORE_PROGRAM + 1..).unwrap_or_default();
    Some(Service {
        name: (*name).to_owned(),
        kind: (*kind).to_owned(),
        program: (*program).to_owned(),
        overrides: overrides(arguments, place),
        place: place.clone(),
    })
}

/// What `-o name=value` and `-o { name = value }` set.
fn overrides(arguments: &[&str], place: &Place) -> Vec<Setting> {
    let mut found = Vec::new();
    let mut rest = arguments.iter();
    while let Some(word) = rest.next() {
        let written = match word.strip_prefix("-o") {
            Some("") => rest.next().copied(),
            Some(joined) => Some(joined),
            None => None,
        };
        let written = written.map(|written| in_braces(written).unwrap_or(written));
        if let Some((name, value)) = written.and_then(assignment) {
            let place = place.clone();
            found.push(Setting { name: name.to_owned(), value: value.to_owned(), place });
        }
    }
    found
}

/// The port of a service of type inet, and the host before it, if one is written. `None` where the port is unknown.
pub fn address(name: &str) -> Option<(Option<&str>, u16)> {
    let (host, port) = match name.rsplit_once(':') {
        Some((host, port)) => (Some(host.trim_start_matches('[').trim_end_matches(']')), port),
        None => (None, name),
    };
    Some((host.filter(|host| !host.is_empty()), port_of(port)?))
}

/// A port by its number or by its name in /etc/services.
pub fn port_of(text: &str) -> Option<u16> {
    match text {
        "smtp" | "mail" => Some(25),
        "submission" => Some(587),
        "smtps" | "submissions" | "ssmtp" | "urd" => Some(465),
        "lmtp" => Some(24),
        digits => digits.parse().ok().filter(|port| *port > 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_read_with_what_they_override() {
        let text = "# service type ...\n\
                    smtp      inet  n       -       y       -       -       smtpd\n\
                    submission inet n - - - - smtpd\n  -o smtpd_tls_security_level=encrypt\n\
                    #  -o gone=1\n  -o { smtpd_client_restrictions = permit_mynetworks, reject }\n  -osyslog_name=x\n\
                    slow unix - - n - - smtp -v -o smtp_tls_security_level=may\n\
                    broken unix - - n\n";
        let (found, malformed) = parse(text);
        let seen: Vec<_> = found.iter().map(|s| (s.name.as_str(), s.kind.as_str(), s.program.as_str())).collect();
        assert_eq!(seen, [("smtp", "inet", "smtpd"), ("submission", "inet", "smtpd"), ("slow", "unix", "smtp")]);
        let set: Vec<_> = found[1].overrides.iter().map(|s| (s.name.as_str(), s.value.as_str())).collect();
        let expected = [
            ("smtpd_tls_security_level", "encrypt"),
            ("smtpd_client_restrictions", "permit_mynetworks, reject"),
            ("syslog_name", "x"),
        ];
        assert_eq!(set, expected);
        assert_eq!(found[2].overrides[0].value, "may");
        assert_eq!(malformed, [Place::new("master.cf", 9)]);
    }

    #[test]
    fn addresses_of_services_have_a_port_and_perhaps_a_host() {
        for (name, expected) in [
            ("smtp", Some((None, 25))),
            ("127.0.0.1:10025", Some((Some("127.0.0.1"), 10025))),
            ("[::1]:submission", Some((Some("::1"), 587))),
            ("smtps", Some((None, 465))),
            ("mail.example:0", None),
            ("nobody-knows", None),
        ] {
            assert_eq!(address(name), expected, "{name}");
        }
    }
}
