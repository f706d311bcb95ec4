//! Questions that cannot be put.

use crate::model::assumed::AssumedError;
use crate::model::human::shown;

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
            Self::NoSuchListener { names, .. } => format!("name one of these: {}", names.join(", ")),
            Self::Cipher { error, .. } => error.examples(),
        }
    }
}

fn refused(name: &str, error: &AssumedError) -> String {
    match error {
        AssumedError::NoSuchSuite(_) => format!("no cipher suite is named \"{}\"", shown(name)),
        AssumedError::NotOfVersion { .. } => error.to_string(),
    }
}
