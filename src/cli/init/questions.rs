//! What `gatepost init` asks at a terminal: each option that was not given, one question in a line.

use std::io::{BufRead, Read as _, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum as _;

use crate::config::starter::domain_of;
use crate::model::domain::Domain;
use crate::model::tls::ProtocolVersion;

use super::super::output::{BOLD, Failure, ODD};
use super::arguments::{Init, Role, network, next_hop};

/// An answer is no longer than this.
const ANSWER_BYTES_MAX: u64 = 4096;
/// Wrong answers to one question.
const TRIES_MAX: usize = 10;
const MAILBOXES: &str = "127.0.0.1:2525";
const ANY: &str = "any";
const SELF_SIGNED: &str = "self-signed";

/// The options with the answers.
pub(super) fn ask(
    asked: &Init,
    system: &Domain,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
) -> Result<Init, Failure> {
    let mut init = asked.clone();
    let mut talk = Talk { input, out };
    let hostname = match &init.hostname {
        Some(name) => name.clone(),
        None => talk.question("Name of this mail host", Some(system.as_str()), domain)?,
    };
    init.hostname = Some(hostname.clone());
    let role = match init.role {
        Some(role) => role,
        None => {
            talk.say(
                "It can take mail for your domains from anyone (mx), send the mail of your own\n\
                      hosts to anywhere (smarthost), or do both.",
            )?;
            talk.question("Role: mx, smarthost or both", Some("mx"), |text| Role::from_str(text, true))?
        }
    };
    init.role = Some(role);
    if init.domains.is_empty() {
        let own = domain_of(&hostname);
        init.domains = talk.question("Your domains", Some(own.as_str()), |text| each(text, domain))?;
    }
    if role != Role::Smarthost && init.mailboxes.is_empty() {
        let text = "Server that keeps their mailboxes, HOST:PORT";
        init.mailboxes = talk.question(text, Some(MAILBOXES), |text| each(text, next_hop))?;
    }
    if role != Role::Mx && init.trusted.is_empty() {
        let text = "Networks of your own hosts, such as 10.0.0.0/8";
        init.trusted = talk.question(text, None, |text| each(text, network))?;
    }
    if role != Role::Smarthost && init.min_version.is_none() {
        talk.say("Mail with less than this TLS is only reported at first, until you say more.")?;
        init.min_version =
            talk.question("Lowest TLS for mail from and to your domains", Some(ANY), |text| match text {
                ANY => Ok(None),
                text => {
                    ProtocolVersion::parse(text).map(Some).ok_or_else(|| "write TLSv1.2, TLSv1.3, or any".to_owned())
                }
            })?;
    }
    if init.certificate.is_none() {
        let text = "Certificate that others trust, a PEM file";
        let chain = talk.question(text, Some(SELF_SIGNED), |text| match text {
            SELF_SIGNED => Ok(None),
            text => file(text).map(Some),
        })?;
        if chain.is_some() {
            init.key = Some(talk.question("Its private key, a PEM file", None, file)?);
            init.certificate = chain;
        }
    }
    talk.say("")?;
    Ok(init)
}

struct Talk<'a> {
    input: &'a mut dyn BufRead,
    out: &'a mut dyn Write,
}

impl Talk<'_> {
    fn say(&mut self, text: &str) -> Result<(), Failure> {
        Ok(writeln!(self.out, "{text}")?)
    }

    /// Asks until the answer can be read. An empty one stands for the default.
    fn question<T>(
        &mut self,
        text: &str,
        default: Option<&str>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, Failure> {
        let shown = default.map(|default| format!(" [{default}]")).unwrap_or_default();
        for _ in 0..TRIES_MAX {
            write!(self.out, "{BOLD}{text}{BOLD:#}{shown}: ")?;
            self.out.flush()?;
            let mut line = String::new();
            let read = (&mut *self.input).take(ANSWER_BYTES_MAX).read_line(&mut line);
            if read.map_err(|error| broken_off(&error.to_string()))? == 0 {
                return Err(broken_off("the answers ended"));
            }
            let answer = Some(line.trim()).filter(|answer| !answer.is_empty()).or(default);
            match answer.map(&parse) {
                Some(Ok(value)) => return Ok(value),
                Some(Err(why)) => writeln!(self.out, "  {ODD}{why}{ODD:#}")?,
                None => writeln!(self.out, "  {ODD}this has no default{ODD:#}")?,
            }
        }
        Err(broken_off("no answer could be read"))
    }
}

fn broken_off(why: &str) -> Failure {
    Failure::usage(format!("nothing was written: {why}"), "give what is asked as options; see gatepost init --help")
}

fn domain(text: &str) -> Result<Domain, String> {
    Domain::parse(text).map_err(|error| error.to_string())
}

/// Several, with spaces or commas between.
fn each<T>(text: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    text.split([' ', ',']).filter(|word| !word.is_empty()).map(parse).collect()
}

fn file(text: &str) -> Result<PathBuf, String> {
    let path = Path::new(text);
    if path.is_file() { Ok(path.to_owned()) } else { Err("there is no such file".to_owned()) }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn empty() -> Init {
        let (domains, mailboxes, trusted, bind) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (dir, hostname, role, certificate, key) = ("x".into(), None, None, None, None);
        let (min_version, mode, defaults) = (None, None, false);
        Init { dir, hostname, role, domains, mailboxes, trusted, bind, min_version, mode, certificate, key, defaults }
    }

    /// What was taken from these answers, and what was said.
    fn asked(init: &Init, answers: &str) -> (Result<Init, Failure>, String) {
        let (system, mut out) = (Domain::parse("mx1.bank.example").unwrap(), Vec::new());
        let taken = ask(init, &system, &mut Cursor::new(answers), &mut out);
        (taken, anstream::adapter::strip_str(&String::from_utf8(out).unwrap()).to_string())
    }

    #[test]
    fn empty_answers_are_the_defaults() {
        let (taken, said) = asked(&empty(), "\n\n\n\n\n\n");
        let taken = taken.unwrap();
        assert_eq!(taken.hostname.unwrap().as_str(), "mx1.bank.example");
        assert_eq!((taken.role, taken.domains[0].as_str()), (Some(Role::Mx), "bank.example"));
        assert_eq!((taken.min_version, taken.mode), (None, None));
        assert_eq!((taken.mailboxes, taken.trusted, taken.certificate), (vec![MAILBOXES.to_owned()], vec![], None));
        // The end of a line is what is typed.
        let lines = said.replace("]: ", "]: \n");
        assert!(lines.lines().all(|line| line.chars().count() <= 80), "{said}");
    }

    #[test]
    fn wrong_answers_are_asked_again_and_given_options_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let (chain, key) = (folder.path().join("c.pem"), folder.path().join("c.key"));
        std::fs::write(&chain, "x").unwrap();
        std::fs::write(&key, "x").unwrap();
        let given = Init { hostname: Some(Domain::parse("out.shop.example").unwrap()), ..empty() };
        let answers = format!(
            "mailer\nboth\na.example, b.example\nhost:x\n[2001:db8::1]:24\n\n10.0.0.0/8 ::1\n\
             TLS1.2\nTLSv1.2\n/none\n{}\n{}\n",
            chain.display(),
            key.display()
        );
        let (taken, said) = asked(&given, &answers);
        let taken = taken.unwrap();
        assert_eq!(taken.domains.iter().map(Domain::as_str).collect::<Vec<_>>(), ["a.example", "b.example"]);
        assert_eq!((taken.role, taken.mailboxes), (Some(Role::Both), vec!["[2001:db8::1]:24".to_owned()]));
        assert_eq!(taken.trusted.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.0/8", "::1/128"]);
        assert_eq!(taken.min_version, Some(ProtocolVersion::Tls1_2));
        assert_eq!((taken.certificate, taken.key), (Some(chain), Some(key)));
        assert!(!said.contains("Name of this mail host") && said.contains("this has no default"), "{said}");
        assert!(said.contains("there is no such file") && said.contains("no next hop"), "{said}");
    }

    #[test]
    fn what_cannot_be_answered_ends_without_a_file() {
        for answers in ["", "\nsmarthost\n\n", &"?\n".repeat(20)] {
            let said = asked(&empty(), answers).0.unwrap_err().into_message();
            assert!(said.starts_with("nothing was written: "), "{said}");
        }
    }
}
