//! What `check` tells the operator: one finding with its place, the key, the source line and the remedy.

use std::fmt;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde::Serialize;

/// The terminal that findings are laid out for.
const WIDTH_COLUMNS: usize = 80;
/// `warning: `, the longest word before a title.
const TITLE_INDENT_COLUMNS: usize = 9;
/// The gutter and `= help: ` before a remedy, with line numbers of up to five digits.
const REMEDY_INDENT_COLUMNS: usize = 14;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The configuration is refused.
    Error,
    Warning,
}

impl Severity {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// The source line of a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Excerpt {
    /// Without its line end.
    pub line: String,
    /// The bytes of `line` that the finding is about.
    pub start: usize,
    pub end: usize,
}

/// One finding about the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    pub severity: Severity,
    /// Relative to the folder of the main file.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    /// Path of the key, such as `listener.tls`; empty for what concerns a whole file.
    pub key: String,
    pub message: String,
    /// What to do about it.
    pub remedy: String,
    pub excerpt: Option<Excerpt>,
}

impl Diagnostic {
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Several lines with the source excerpt, for a terminal of 80 columns. Ends without a line end.
    pub fn render(&self, colour: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = wrap(&self.subject(), WIDTH_COLUMNS - TITLE_INDENT_COLUMNS);
        let group = Group::with_title(level.primary_title(title));
        let line = usize::try_from(self.line).unwrap_or(usize::MAX);
        let group = match &self.excerpt {
            Some(excerpt) => group.element(
                Snippet::source(excerpt.line.as_str())
                    .line_start(line)
                    .path(self.file.as_str())
                    .annotation(AnnotationKind::Primary.span(excerpt.start..excerpt.end)),
            ),
            None => group.element(
                Origin::path(self.file.as_str())
                    .line(line)
                    .char_column(usize::try_from(self.column).unwrap_or(usize::MAX)),
            ),
        };
        let remedy = wrap(&self.remedy, WIDTH_COLUMNS - REMEDY_INDENT_COLUMNS);
        let group = if remedy.is_empty() { group } else { group.element(Level::HELP.message(remedy)) };
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        renderer.term_width(WIDTH_COLUMNS).render(&[group])
    }

    /// Key and message.
    fn subject(&self) -> String {
        if self.key.is_empty() { self.message.clone() } else { format!("{}: {}", self.key, self.message) }
    }
}

/// `domains.d/bank.toml:12:7: error: inbound.tls: message (remedy)`.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { severity, file, line, column, remedy, .. } = self;
        write!(f, "{file}:{line}:{column}: {}: {}", severity.as_str(), self.subject())?;
        if remedy.is_empty() { Ok(()) } else { write!(f, " ({remedy})") }
    }
}

/// Breaks lines between words; a longer word stays whole.
fn wrap(text: &str, columns_max: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let mut used = 0;
    for word in text.split_whitespace() {
        let columns = word.chars().count();
        if used > 0 && used + 1 + columns > columns_max {
            out.push('\n');
            used = 0;
        } else if used > 0 {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += columns;
    }
    out
}
