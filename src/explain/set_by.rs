//! By what a key was set, in the words of the page and of the JSON.

use crate::model::time::Timestamp;
use crate::policy::provenance::{Level, Origin};
use crate::policy::timed::Part;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetBy {
    BuiltIn,
    /// Nobody here: the domain publishes it, or its hosts have shown it.
    Published,
    Listener,
    Route,
    Default,
    DomainFile,
    Step(Timestamp),
    Shadow,
    Exception,
}

impl From<Origin<'_>> for SetBy {
    fn from(origin: Origin<'_>) -> Self {
        match (origin.part, origin.level) {
            (Part::Base, Level::Default) => Self::Default,
            (Part::Base, Level::DomainFile) => Self::DomainFile,
            (Part::Step(from), _) => Self::Step(from),
            (Part::Shadow, _) => Self::Shadow,
            (Part::Exception(_), _) => Self::Exception,
        }
    }
}

impl SetBy {
    /// The word of the JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BuiltIn => "built-in",
            Self::Published => "published",
            Self::Listener => "listener",
            Self::Route => "route",
            Self::Default => "default",
            Self::DomainFile => "domain-file",
            Self::Step(_) => "step",
            Self::Shadow => "shadow",
            Self::Exception => "exception",
        }
    }

    /// In at most 15 columns; what is built in says so by its place.
    pub fn in_words(self) -> String {
        match self {
            Self::BuiltIn => String::new(),
            Self::DomainFile => "domain file".to_owned(),
            Self::Step(from) => format!("step {}", from.day()),
            other => other.as_str().to_owned(),
        }
    }
}
