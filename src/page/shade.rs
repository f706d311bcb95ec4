//! The kinds of sessions as charts tell them apart: the newest protocol version first, plaintext last.

use crate::model::tls::ProtocolVersion;

/// A part of a chart: its colour is a class of the style sheet, its name always stands beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shade {
    Version(ProtocolVersion),
    Plaintext,
}

impl Shade {
    /// In the order in which they are stacked.
    pub const ALL: [Self; 6] = [
        Self::Version(ProtocolVersion::Tls1_3),
        Self::Version(ProtocolVersion::Tls1_2),
        Self::Version(ProtocolVersion::Tls1_1),
        Self::Version(ProtocolVersion::Tls1_0),
        Self::Version(ProtocolVersion::Ssl3),
        Self::Plaintext,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Version(version) => version.as_str(),
            Self::Plaintext => "plaintext",
        }
    }

    /// Of the style sheet.
    pub const fn class(self) -> &'static str {
        match self {
            Self::Version(ProtocolVersion::Tls1_3) => "tls13",
            Self::Version(ProtocolVersion::Tls1_2) => "tls12",
            Self::Version(ProtocolVersion::Tls1_1) => "tls11",
            Self::Version(ProtocolVersion::Tls1_0) => "tls10",
            Self::Version(ProtocolVersion::Ssl3) => "ssl3",
            Self::Plaintext => "plain",
        }
    }
}
