//! Questions that cannot be put.

use crate::model::assumed::AssumedError;
use crate::model::cipher::SUITES;
use crate::model::human::shown;
use crate::model::spelling::{choice, nearest};

/// What is wrong with a question. [`remedy`](Self::remedy) says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {
    #[error("no listener is named \"{}\"", shown(name))]
    NoSuchListener {
        name: String,
        /// Those that there are.
        names: Vec<String>,
    },
    #[error("{}", refused(name, error))]
    Cipher {
        /// As it was written.
        name: String,
        error: AssumedError,
    },
}

impl QuestionError {
    /// Names that would do.
    pub fn remedy(&self) -> String {
        match self {
            Self::NoSuchListener { name, names } => choice(name, &names.iter().map(String::as_str).collect::<Vec<_>>()),
            Self::Cipher { name, error: AssumedError::NoSuchSuite(_) } if near_suite(name).is_some() => {
                format!("did you mean {}?", near_suite(name).unwrap_or_default())
            }
            Self::Cipher { error, .. } => error.examples(),
        }
    }
}

fn near_suite(name: &str) -> Option<&'static str> {
    nearest(name, SUITES.iter().flat_map(|suite| [suite.openssl, suite.name]))
}

fn refused(name: &str, error: &AssumedError) -> String {
    match error {
        AssumedError::NoSuchSuite(_) => format!("no cipher suite is named \"{}\"", shown(name)),
        AssumedError::NotOfVersion { .. } => error.to_string(),
    }
}
