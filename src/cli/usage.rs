//! A wrong command line, told as every other failure is: what is wrong, what was probably meant, and where to read on.

use std::ffi::OsString;

use clap::CommandFactory as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::model::spelling::nearest;

use super::arguments::Arguments;
use super::output::Failure;

/// Values of a closed list that are told beside a suggestion.
const CHOICES_BESIDE_SUGGESTION_MAX: usize = 8;

/// What the parser found wrong with `args`; `None` for help and version, and for what it says best itself.
pub(super) fn failure(error: &clap::Error, args: &[OsString]) -> Option<Failure> {
    let (message, meant) = told(error)?;
    let read_on = format!("`{} --help` tells more", called(args));
    let help = match meant.as_str() {
        "" => read_on,
        meant if meant.ends_with('?') => format!("{meant} {read_on}"),
        meant => format!("{meant}; {read_on}"),
    };
    Some(Failure::usage(message, help))
}

/// What is wrong, and what was probably meant.
fn told(error: &clap::Error) -> Option<(String, String)> {
    let words = |kind| words(error, kind);
    let word = |kind| words(kind).into_iter().next();
    Some(match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let wrong = word(ContextKind::InvalidSubcommand)?;
            let near =
                close(&wrong, &words(ContextKind::SuggestedSubcommand)).map(|near| format!("did you mean `{near}`?"));
            (format!("there is no command \"{wrong}\""), near.unwrap_or_default())
        }
        ErrorKind::MissingSubcommand => {
            let known = words(ContextKind::ValidSubcommand).into_iter().filter(|known| known != "help");
            ("a command is missing at the end".to_owned(), format!("add {}", among(known.collect())))
        }
        ErrorKind::UnknownArgument => {
            let wrong = word(ContextKind::InvalidArg)?;
            let message = match wrong.starts_with('-') {
                true => format!("there is no option {wrong} here"),
                false => format!("\"{wrong}\" is one word too many"),
            };
            let near = close(&wrong, &words(ContextKind::SuggestedArg)).map(|near| format!("did you mean {near}?"));
            (message, near.unwrap_or_default())
        }
        ErrorKind::MissingRequiredArgument => {
            let missing: Vec<_> = words(ContextKind::InvalidArg).iter().map(|name| plain(name)).collect();
            let verb = if missing.len() == 1 { "is" } else { "are" };
            (format!("{} {verb} missing", missing.join(" and ")), String::new())
        }
        ErrorKind::ArgumentConflict => {
            let (one, others) = (named(&word(ContextKind::InvalidArg)?), words(ContextKind::PriorArg));
            let others: Vec<_> = others.iter().map(|name| named(name)).collect();
            match others.contains(&one) || others.is_empty() {
                true => (format!("{one} is given more than once"), "give it once".to_owned()),
                false => (format!("{one} cannot stand beside {}", others.join(" and ")), "leave one out".to_owned()),
            }
        }
        ErrorKind::InvalidUtf8 => ("an argument is not UTF-8".to_owned(), "write it in UTF-8".to_owned()),
        ErrorKind::InvalidValue => {
            let (argument, value) = (word(ContextKind::InvalidArg)?, word(ContextKind::InvalidValue)?);
            let known = words(ContextKind::ValidValue);
            let message = match value.as_str() {
                "" => format!("{} lacks its value", named(&argument)),
                value => format!("invalid value \"{value}\" for {}", named(&argument)),
            };
            (message, choice(&value, known))
        }
        ErrorKind::ValueValidation => {
            let why = std::error::Error::source(error)?;
            let (argument, value) = (word(ContextKind::InvalidArg)?, word(ContextKind::InvalidValue)?);
            (format!("invalid value \"{value}\" for {}: {}", named(&argument), reworded(why)), String::new())
        }
        _ => return None,
    })
}

/// Of what the parser suggests, what is a few characters off or the beginning is right of; it suggests the farthest
/// things.
fn close<'a>(wrong: &str, suggested: &'a [String]) -> Option<&'a str> {
    let begins = |suggested: &&str| suggested.starts_with(wrong) || wrong.starts_with(suggested);
    let suggested = || suggested.iter().map(String::as_str);
    nearest(wrong, suggested()).or_else(|| suggested().find(begins))
}

/// Of a closed list: the value that was probably meant, and the others unless they are many.
fn choice(value: &str, known: Vec<String>) -> String {
    let near = nearest(value, known.iter().map(String::as_str)).map(|near| format!("did you mean \"{near}\"?"));
    match near {
        _ if known.is_empty() => String::new(),
        Some(near) if known.len() > CHOICES_BESIDE_SUGGESTION_MAX => near,
        Some(near) => format!("{near} It is one of {}", known.join(", ")),
        None => format!("write {}", among(known)),
    }
}

/// The parsers of the standard library say what is wrong, not what is right.
fn reworded(why: &(dyn std::error::Error + 'static)) -> String {
    match why.downcast_ref::<std::net::AddrParseError>() {
        Some(_) => "write an address such as 192.0.2.1 or 2001:db8::1".to_owned(),
        None if why.is::<std::num::ParseIntError>() => "write a number".to_owned(),
        None => why.to_string(),
    }
}

fn words(error: &clap::Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        _ => Vec::new(),
    }
}

/// `--set` of `--set <KEY=VALUE>`, and `ID` of `<ID>`.
fn named(argument: &str) -> String {
    plain(argument.split(' ').next().unwrap_or(argument))
}

/// `--from ADDRESS` of `--from <ADDRESS>`, `TARGET` of `<TARGET>...`, `DURATION or --end` of `<DURATION|--end>`.
fn plain(argument: &str) -> String {
    argument.replace(['<', '>', '[', ']'], "").trim_end_matches("...").replace('|', " or ")
}

/// `a, b or c`.
fn among(words: Vec<String>) -> String {
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((only, _)) => only.clone(),
        None => String::new(),
    }
}

/// The command as far as it was understood, such as `gatepost queue list`.
fn called(args: &[OsString]) -> String {
    let mut command = &Arguments::command();
    let mut called = command.get_name().to_owned();
    for word in args.iter().skip(1) {
        if let Some(below) = command.find_subcommand(word) {
            command = below;
            called = format!("{called} {}", below.get_name());
        }
    }
    called
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::output::Console;

    #[test]
    fn a_wrong_command_line_is_told_with_what_was_meant_and_where_to_read_on() {
        let explain = "policy explain --from a@b.example --to c@d.example";
        let explained = |more: &str| format!("{explain} {more}");
        for (line, error, meant, read_on) in [
            ("chek", "there is no command \"chek\"", "did you mean `check`?", ""),
            ("queue frobnicate", "there is no command \"frobnicate\"", "", "queue"),
            ("queue del", "there is no command \"del\"", "did you mean `delete`?", "queue"),
            ("status --sokcet x", "there is no option --sokcet here", "did you mean --socket?", "status"),
            ("check all", "\"all\" is one word too many", "", "check"),
            ("policy explain", "--from ADDRESS and --to ADDRESS are missing", "", "policy explain"),
            ("audit digest --format mail --domain a.example", "--to ADDRESS is missing", "", "audit digest"),
            ("probe", "TARGET is missing", "", "probe"),
            ("spool keep", "DURATION or --end is missing", "", "spool keep"),
            (
                &explained("--tls 1.2"),
                "invalid value \"1.2\" for --tls",
                "did you mean \"TLSv1.2\"? It is one of SSLv3, TLSv1, TLSv1.1, TLSv1.2, TLSv1.3;",
                "policy explain",
            ),
            (
                "queue list --reason start-tls-not-supported",
                "invalid value \"start-tls-not-supported\" for --reason",
                "did you mean \"starttls-not-supported\"?",
                "queue list",
            ),
            (
                &explained("--direction x"),
                "invalid value \"x\" for --direction",
                "write inbound or outbound;",
                "policy explain",
            ),
            (
                &explained("--client 1.2.3"),
                "invalid value \"1.2.3\" for --client: write an address such as 192.0.2.1 or 2001:db8::1",
                "",
                "policy explain",
            ),
            (
                &explained("--plaintext --tls TLSv1"),
                "--plaintext cannot stand beside --tls",
                "leave one out;",
                "policy explain",
            ),
            ("check --config a --config b", "--config is given more than once", "give it once;", "check"),
            ("check --config", "--config lacks its value", "", "check"),
            (
                "queue show 7",
                "invalid value \"7\" for ID: not an id: 26 letters and digits are expected",
                "",
                "queue show",
            ),
        ] {
            let args: Vec<OsString> = ["gatepost"].into_iter().chain(line.split(' ')).map(OsString::from).collect();
            let found = Arguments::try_parse_from(&args).unwrap_err();
            let (mut out, mut err) = (Vec::new(), Vec::new());
            failure(&found, &args).unwrap().tell(&mut Console::plain(&mut out, &mut err));
            let said = anstream::adapter::strip_str(&String::from_utf8(err).unwrap()).to_string();
            let expected = format!("error: {error} help: {meant} `gatepost {read_on} --help` tells more");
            let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert_eq!(words(&said), words(&expected), "{line}");
            assert!(out.is_empty() && said.lines().all(|line| line.chars().count() <= 80), "{line}: {said}");
        }
    }
}
