//! Lists of TLS versions in both forms: `>=TLSv1.2` and `!SSLv2, !SSLv3`.

use crate::model::tls::ProtocolVersion;

/// The versions that are enabled, without SSL: no library of these days has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocols {
    /// The lowest one.
    pub min: ProtocolVersion,
    /// The highest one, where a higher one is left out.
    pub max: Option<ProtocolVersion>,
    /// A version between enabled ones is left out. OpenSSL then does only those below it, and `max` says which.
    pub has_gap: bool,
}

/// A list that names no version, or a version that there is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolsError {
    #[error("there is no such version")]
    Unknown,
    #[error("no version is left")]
    Nothing,
}

/// As the versions stand in lists, lowest first; those of SSL have no number of ours.
const NAMES: [(&str, u16, Option<ProtocolVersion>); 6] = [
    ("SSLv2", 0x0002, None),
    ("SSLv3", 0x0300, None),
    ("TLSv1", 0x0301, Some(ProtocolVersion::Tls1_0)),
    ("TLSv1.1", 0x0302, Some(ProtocolVersion::Tls1_1)),
    ("TLSv1.2", 0x0303, Some(ProtocolVersion::Tls1_2)),
    ("TLSv1.3", 0x0304, Some(ProtocolVersion::Tls1_3)),
];

/// Reads the value of `smtp_tls_protocols` and its like. An empty one enables all.
pub fn parse(list: &str) -> Result<Protocols, ProtocolsError> {
    let (mut excluded, mut included) = ([false; NAMES.len()], [false; NAMES.len()]);
    let (mut floor, mut ceiling) = (0, NAMES.len() - 1);
    for word in list.split([',', ':', ' ', '\t']).filter(|word| !word.is_empty()) {
        if let Some(version) = word.strip_prefix(">=") {
            floor = bound(version)?;
        } else if let Some(version) = word.strip_prefix("<=") {
            ceiling = bound(version)?;
        } else if let Some(version) = word.strip_prefix('!') {
            mark(&mut excluded, version)?;
        } else {
            mark(&mut included, word)?;
        }
    }
    let lists_some = included.contains(&true);
    let on = (0..)
        .zip(excluded.iter().zip(&included))
        .map(|(at, (excluded, included))| (floor..=ceiling).contains(&at) && !excluded && (*included || !lists_some));
    let enabled = NAMES.iter().zip(on).filter_map(|((_, _, version), on)| Some(((*version)?, on)));
    range(&enabled.collect::<Vec<_>>())
}

/// The lowest run without a gap.
fn range(versions: &[(ProtocolVersion, bool)]) -> Result<Protocols, ProtocolsError> {
    let from_lowest = versions.iter().skip_while(|(_, on)| !on);
    let (min, _) = from_lowest.clone().next().ok_or(ProtocolsError::Nothing)?;
    let last = from_lowest.clone().take_while(|(_, on)| *on).last().map(|(version, _)| *version);
    let has_gap = from_lowest.skip_while(|(_, on)| *on).any(|(_, on)| *on);
    let highest = versions.last().map(|(version, _)| *version);
    Ok(Protocols { min: *min, max: last.filter(|last| Some(*last) != highest), has_gap })
}

fn index(name: &str) -> Result<usize, ProtocolsError> {
    NAMES.iter().position(|(known, ..)| known.eq_ignore_ascii_case(name)).ok_or(ProtocolsError::Unknown)
}

/// A name, or a number such as `0303`.
fn bound(text: &str) -> Result<usize, ProtocolsError> {
    let digits = text.trim_start_matches("0x");
    match u16::from_str_radix(digits, 16) {
        Ok(number) => NAMES.iter().position(|(_, known, _)| *known == number).ok_or(ProtocolsError::Unknown),
        Err(_) => index(text),
    }
}

fn mark(marks: &mut [bool], name: &str) -> Result<(), ProtocolsError> {
    let at = index(name)?;
    marks.iter_mut().skip(at).take(1).for_each(|mark| *mark = true);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ProtocolVersion::{Tls1_0, Tls1_1, Tls1_2, Tls1_3};

    #[test]
    fn both_forms_give_the_same_bounds() {
        for (list, min, max, has_gap) in [
            ("", Tls1_0, None, false),
            (">=TLSv1", Tls1_0, None, false),
            (">=TLSv1.2", Tls1_2, None, false),
            (">=TLSv1.2, <=TLSv1.3", Tls1_2, None, false),
            (">=0303", Tls1_2, None, false),
            (">=0x0304", Tls1_3, None, false),
            ("!SSLv2,!SSLv3", Tls1_0, None, false),
            ("!SSLv2:!SSLv3:!TLSv1:!TLSv1.1", Tls1_2, None, false),
            ("!SSLv2, !SSLv3 !TLSv1", Tls1_1, None, false),
            ("TLSv1.2", Tls1_2, Some(Tls1_2), false),
            ("TLSv1.2 TLSv1.3", Tls1_2, None, false),
            ("SSLv3, TLSv1", Tls1_0, Some(Tls1_0), false),
            ("!TLSv1.3", Tls1_0, Some(Tls1_2), false),
            ("!SSLv2,!SSLv3,!TLSv1.1", Tls1_0, Some(Tls1_0), true),
            ("!TLSv1,!TLSv1.2", Tls1_1, Some(Tls1_1), true),
            ("tlsv1.2, !tlsv1.1", Tls1_2, Some(Tls1_2), false),
        ] {
            assert_eq!(parse(list), Ok(Protocols { min, max, has_gap }), "{list}");
        }
    }

    #[test]
    fn a_list_of_nothing_and_versions_that_there_are_not_are_errors() {
        for (list, expected) in [
            ("TLSv1.4", ProtocolsError::Unknown),
            (">=0305", ProtocolsError::Unknown),
            ("!TLS1.2", ProtocolsError::Unknown),
            ("SSLv3", ProtocolsError::Nothing),
            ("TLSv1.2, !TLSv1.2", ProtocolsError::Nothing),
            (">=TLSv1.3 <=TLSv1.2", ProtocolsError::Nothing),
        ] {
            assert_eq!(parse(list), Err(expected), "{list}");
        }
    }
}
