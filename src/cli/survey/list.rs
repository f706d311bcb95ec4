//! The domains to ask about, as they stand in a file, and the file of results.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write as _};
use std::path::Path;

use crate::cli::output::Failure;
use crate::cli::waiting::Waiting;
use crate::model::domain::Domain;
use crate::model::human::shown;
use crate::model::os_error;

use super::record::Surveyed;

/// Domains of one survey.
pub(super) const DOMAINS_MAX: usize = 100_000;
/// Longest list of domains, in bytes.
const LIST_BYTES_MAX: u64 = 32 << 20;
/// Longest file of results, in bytes.
const RESULTS_BYTES_MAX: u64 = 2 << 30;

/// Reads the list; every line that is no domain is an error, all told at once.
pub(super) fn read(path: &Path) -> Result<Vec<Domain>, Failure> {
    let mut text = String::new();
    let read = match path.to_str() {
        Some("-") => io::stdin().lock().take(LIST_BYTES_MAX + 1).read_to_string(&mut text),
        _ => File::open(path).and_then(|file| file.take(LIST_BYTES_MAX + 1).read_to_string(&mut text)),
    };
    let name = shown(&path.display().to_string()).into_owned();
    let wrong = |why: String| Failure::usage(format!("{name}: {why}"), "write one domain a line; # begins a comment");
    read.map_err(|error| {
        let message = format!("cannot read {name}: {}", os_error::why(&error));
        Failure::usage(message, "name a file with one domain a line, or - for what comes on stdin")
    })?;
    if text.len() as u64 > LIST_BYTES_MAX {
        return Err(wrong(format!("longer than {LIST_BYTES_MAX} bytes")));
    }
    parse(&text).map_err(|errors| wrong(errors.join("\n")))
}

/// Errors that are told of one list.
const ERRORS_MAX: usize = 10;

/// Each domain once, in the order of the file.
fn parse(text: &str) -> Result<Vec<Domain>, Vec<String>> {
    let (mut domains, mut known, mut errors) = (Vec::new(), BTreeSet::new(), Vec::new());
    for (number, line) in (1..).zip(text.lines()) {
        let word = line.split('#').next().unwrap_or_default().trim();
        if word.is_empty() {
            continue;
        }
        match Domain::parse(word) {
            Ok(domain) if known.contains(&domain) => {}
            Ok(domain) => {
                known.insert(domain.clone());
                domains.push(domain);
            }
            Err(error) if errors.len() < ERRORS_MAX => {
                errors.push(format!("line {number}: \"{}\": {error}", shown(word)));
            }
            Err(_) => {}
        }
    }
    if domains.len() > DOMAINS_MAX {
        errors.push(format!("more than {DOMAINS_MAX} domains"));
    }
    if domains.is_empty() && errors.is_empty() {
        errors.push("it names no domain".to_owned());
    }
    if errors.is_empty() { Ok(domains) } else { Err(errors) }
}

/// What an earlier survey found, the last line of each domain.
pub(super) fn results(path: &Path) -> Result<BTreeMap<Domain, Surveyed>, Failure> {
    let _waiting = Waiting::on("reading what was found before");
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(RESULTS_BYTES_MAX + 1).read_to_end(&mut bytes));
    read.map_err(|error| of_results(path, &os_error::why(&error)))?;
    if bytes.len() as u64 > RESULTS_BYTES_MAX {
        return Err(of_results(path, &format!("longer than {RESULTS_BYTES_MAX} bytes")));
    }
    results_of(whole(&bytes)).map_err(|why| of_results(path, &why))
}

fn of_results(path: &Path, why: &str) -> Failure {
    let message = format!("{}: {}", shown(&path.display().to_string()), shown(why));
    Failure::usage(message, "name a file that `gatepost survey --out FILE` wrote, or a new one")
}

fn results_of(bytes: &[u8]) -> Result<BTreeMap<Domain, Surveyed>, String> {
    let mut results = BTreeMap::new();
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let surveyed: Surveyed = serde_json::from_slice(line).map_err(|error| format!("line {number}: {error}"))?;
        results.insert(surveyed.domain.clone(), surveyed);
    }
    Ok(results)
}

/// Without a last line that was cut off.
fn whole(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    bytes.get(..end).unwrap_or_default()
}

/// Results are appended, each in one write, so that the file is whole whenever the survey ends.
#[derive(Debug)]
pub(super) struct Output {
    file: File,
}

impl Output {
    /// Opens the file and gives what stands in it. A last line that was cut off by a crash is cut away.
    pub(super) fn open(path: &Path) -> Result<(Self, BTreeMap<Domain, Surveyed>), Failure> {
        let failed = |error: io::Error| of_results(path, &error.to_string());
        let mut options = fs::OpenOptions::new();
        let mut file = options.read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
        let known = results(path)?;
        let length = whole_length(&mut file).map_err(failed)?;
        file.set_len(length).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        Ok((Self { file }, known))
    }

    pub(super) fn write(&mut self, surveyed: &Surveyed) -> io::Result<()> {
        let mut line = serde_json::to_vec(surveyed)?;
        line.push(b'\n');
        self.file.write_all(&line)
    }
}

fn whole_length(file: &mut File) -> io::Result<u64> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut bytes)?;
    Ok(whole(&bytes).len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::Timestamp;

    #[test]
    fn lists_have_comments_and_names_of_all_languages_and_name_each_domain_once() {
        for (text, expected) in [
            ("bank.example\n", Ok("bank.example")),
            ("# all\n\nbank.example # the bank\r\n  Other.Example.\nBANK.example\n", Ok("bank.example other.example")),
            ("m\u{fc}ller.example", Ok("xn--mller-kva.example")),
            ("", Err("it names no domain")),
            ("a b\nok.example\n-x.example", Err("line 1: \"a b\"")),
        ] {
            match (parse(text), expected) {
                (Ok(domains), Ok(expected)) => {
                    let domains: Vec<String> = domains.iter().map(ToString::to_string).collect();
                    assert_eq!(domains.join(" "), expected, "{text:?}");
                }
                (Err(errors), Err(expected)) => assert!(errors.join("; ").contains(expected), "{errors:?}"),
                (seen, expected) => panic!("{text:?}: {seen:?}, expected {expected:?}"),
            }
        }
        assert_eq!(parse("a b\nok.example\n-x.example").unwrap_err().len(), 2);
    }

    #[test]
    fn results_are_read_again_whatever_the_last_write_came_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        let surveyed =
            |name: &str, second| Surveyed::unfinished(Domain::parse(name).unwrap(), Timestamp::from_secs(second));
        let (mut output, known) = Output::open(&path).unwrap();
        assert!(known.is_empty());
        for (name, second) in [("a.example", 1), ("b.example", 2), ("a.example", 3)] {
            output.write(&surveyed(name, second)).unwrap();
        }
        let whole = fs::read(&path).unwrap();
        let last = whole.len() - serde_json::to_vec(&surveyed("a.example", 3)).unwrap().len() - 1;
        for cut in last..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let (mut output, known) = Output::open(&path).unwrap();
            assert_eq!(
                known.values().cloned().collect::<Vec<_>>(),
                [surveyed("a.example", 1), surveyed("b.example", 2)]
            );
            output.write(&surveyed("c.example", 4)).unwrap();
            assert_eq!(results(&path).unwrap().len(), 3, "{cut}");
        }
        fs::write(&path, &whole).unwrap();
        assert_eq!(results(&path).unwrap()[&Domain::parse("a.example").unwrap()], surveyed("a.example", 3));
        fs::write(&path, "{\"domain\": 1}\n").unwrap();
        assert!(matches!(Output::open(&path), Err(Failure::Told { .. })));
    }
}
