//! Grades of ciphers and lists of excluded ones, held against our own grades.

use crate::model::cipher::{CipherGrade, CipherSuite};

/// The words of `smtp_tls_mandatory_ciphers` and its like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grade {
    /// Without encryption.
    Null,
    Export,
    Low,
    Medium,
    High,
}

impl Grade {
    pub fn parse(word: &str) -> Option<Self> {
        const WORDS: [(&str, Grade); 5] = [
            ("null", Grade::Null),
            ("export", Grade::Export),
            ("low", Grade::Low),
            ("medium", Grade::Medium),
            ("high", Grade::High),
        ];
        let word = word.trim();
        WORDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map(|(_, grade)| *grade)
    }

    /// The lowest grade of ours that takes nothing which this one leaves out; for `High` all but SEED.
    pub const fn as_ours(self) -> CipherGrade {
        match self {
            Self::Null | Self::Export | Self::Low | Self::Medium => CipherGrade::Any,
            Self::High => CipherGrade::Strong,
        }
    }
}

/// The grade that all suites of a list of OpenSSL have; `None` where it names more than single suites.
pub fn grade_of_list(list: &str) -> Option<CipherGrade> {
    let names = list.split([':', ',', ' ']).filter(|name| !name.is_empty() && !name.starts_with(['!', '-', '@']));
    let grades: Option<Vec<_>> = names.map(|name| Some(CipherSuite::by_name(name)?.grade)).collect();
    grades?.into_iter().min()
}

/// What is left out by every session of ours: no encryption, no authentication, less than 112 bits, shared secrets.
const NEVER: &[&str] = &[
    "ANULL",
    "ENULL",
    "NULL",
    "EXP",
    "EXPORT",
    "EXPORT40",
    "EXPORT56",
    "EXP1024",
    "LOW",
    "DES",
    "DES-CBC-SHA",
    "RC2",
    "ADH",
    "AECDH",
    "SSLV2",
    "PSK",
    "APSK",
    "KPSK",
    "SRP",
    "ASRP",
    "KSRP",
    "KRB5",
    "KKRB5",
    "AKRB5",
    "DSS",
    "ADSS",
    "KFZA",
    "FZA",
    "AGOST",
    "KGOST",
    "GOST",
    "KDHD",
    "KDHR",
    "KECDHE",
    "KECDHR",
    "NULL-MD5",
    "NULL-SHA",
    "KRB5-DES",
    "CBC3-SHA",
];
/// What `"strong"` leaves out besides.
const STRONG: &[&str] = &["RC4", "3DES", "DES3", "MD5", "RC4-SHA", "RC4-MD5", "DES-CBC3-SHA", "DES-CBC3", "DES-EDE3"];
/// What `"forward-secret"` leaves out besides.
const FORWARD_SECRET: &[&str] = &[
    "KRSA",
    "RSA",
    "IDEA",
    "AES128-SHA",
    "AES256-SHA",
    "AES128-SHA256",
    "AES256-SHA256",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "CAMELLIA128-SHA",
    "CAMELLIA256-SHA",
    "IDEA-CBC-SHA",
    "SEED-SHA",
];

/// What a list of excluded ciphers comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Excluded {
    /// The grade that leaves all of them out but for `kept`.
    pub grade: CipherGrade,
    /// Those that no grade leaves out by itself.
    pub kept: Vec<String>,
}

/// Reads the value of `smtp_tls_exclude_ciphers` and its like. `A+B` stands for ciphers that are both, so that it is
/// enough to leave one of them out.
pub fn excluded(list: &str) -> Excluded {
    let mut found = Excluded::default();
    for word in list.split([',', ':', ' ', '\t']).filter(|word| !word.is_empty()) {
        let parts = word.split('+').filter_map(grade_without);
        match parts.min() {
            Some(grade) => found.grade = found.grade.max(grade),
            None => found.kept.push(word.to_owned()),
        }
    }
    found
}

/// The lowest grade without these ciphers; `None` where no grade is.
fn grade_without(part: &str) -> Option<CipherGrade> {
    let part = part.trim_start_matches('!').to_ascii_uppercase();
    let lists =
        [(NEVER, CipherGrade::Any), (STRONG, CipherGrade::Strong), (FORWARD_SECRET, CipherGrade::ForwardSecret)];
    lists.into_iter().find(|(list, _)| list.contains(&part.as_str())).map(|(_, grade)| grade)
}

#[cfg(test)]
mod tests {
    use super::*;
    use CipherGrade::{Any, ForwardSecret, Strong};

    #[test]
    fn excluded_ciphers_become_the_lowest_grade_without_them() {
        for (list, grade, kept) in [
            ("", Any, vec![]),
            ("aNULL, eNULL, EXPORT, DES", Any, vec![]),
            ("aNULL, MD5, DES, RC4", Strong, vec![]),
            ("RC4:3DES", Strong, vec![]),
            ("kRSA, RC4", ForwardSecret, vec![]),
            ("aNULL+AES, kEDH+RC4", Strong, vec![]),
            ("CAMELLIA, SEED, RC4", Strong, vec!["CAMELLIA", "SEED"]),
            ("CBC", Any, vec!["CBC"]),
            ("kEDH+CAMELLIA", Any, vec!["kEDH+CAMELLIA"]),
        ] {
            let kept = kept.into_iter().map(str::to_owned).collect();
            assert_eq!(excluded(list), Excluded { grade, kept }, "{list}");
        }
    }

    #[test]
    fn a_list_of_suites_has_the_grade_of_its_weakest() {
        for (list, expected) in [
            ("ECDHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384", Some(CipherGrade::Aead)),
            ("ECDHE-RSA-AES128-GCM-SHA256 ECDHE-RSA-AES128-SHA !aNULL @STRENGTH", Some(ForwardSecret)),
            ("ECDHE-RSA-AES128-GCM-SHA256:DES-CBC3-SHA", Some(Any)),
            ("aNULL:-aNULL:HIGH:@STRENGTH", None),
            ("ECDHE+AESGCM", None),
            ("", None),
        ] {
            assert_eq!(grade_of_list(list), expected, "{list}");
        }
    }

    #[test]
    fn no_grade_of_ours_takes_what_its_list_says_is_left_out() {
        use crate::model::cipher::SUITES;
        for (list, grade) in [(STRONG, Strong), (FORWARD_SECRET, ForwardSecret)] {
            for suite in SUITES.iter().filter(|suite| suite.grade >= grade) {
                let name = suite.openssl;
                assert!(!list.contains(&name), "{name}");
            }
        }
        let weak = |name: &str| name.contains("RC4") || name.contains("DES") || name.contains("MD5");
        assert!(SUITES.iter().filter(|suite| suite.grade >= Strong).all(|suite| !weak(suite.openssl)));
    }
}
