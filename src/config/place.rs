//! Values that know where they were written, and the list that every finding about them goes to.

use std::cell::RefCell;
use std::ops::Range;

use crate::policy::settings::{Source, Sourced};

use super::diagnostic::{Diagnostic, Severity};
use super::source::SourceFile;

/// All findings of one reading of the configuration.
#[derive(Debug, Default)]
pub(super) struct Problems {
    found: RefCell<Vec<Found>>,
}

#[derive(Debug)]
struct Found {
    file_order: usize,
    offset: usize,
    diagnostic: Diagnostic,
}

impl Problems {
    /// `file_order` and `offset` say where it is listed among the others.
    pub(super) fn push(&self, file_order: usize, offset: usize, diagnostic: Diagnostic) {
        self.found.borrow_mut().push(Found { file_order, offset, diagnostic });
    }

    /// How many there are so far.
    pub(super) fn count(&self) -> usize {
        self.found.borrow().len()
    }

    /// In the order of the files and of the places in them.
    pub(super) fn into_sorted(self) -> Vec<Diagnostic> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|found| (found.file_order, found.offset));
        // What holds on several days is found on each of them.
        found.dedup_by(|next, before| next.diagnostic == before.diagnostic);
        found.into_iter().map(|found| found.diagnostic).collect()
    }
}

/// Where a key or value stands.
#[derive(Clone, Debug)]
pub(super) struct Place<'a> {
    pub(super) file: &'a SourceFile,
    pub(super) problems: &'a Problems,
    /// Path of the key from the top of the file.
    pub(super) key: String,
    /// Bytes of the file.
    pub(super) span: Range<usize>,
}

impl Place<'_> {
    pub(super) fn error(&self, message: impl Into<String>, remedy: impl Into<String>) {
        self.report(Severity::Error, message.into(), remedy.into());
    }

    pub(super) fn warn(&self, message: impl Into<String>, remedy: impl Into<String>) {
        self.report(Severity::Warning, message.into(), remedy.into());
    }

    pub(super) fn not_implemented(&self, what: &str, remedy: impl Into<String>) {
        self.error(format!("`{what}` is not implemented yet"), remedy);
    }

    pub(super) fn source(&self) -> Source {
        Source::File { file: self.file.name.clone(), line: self.file.position(self.span.start).line }
    }

    fn report(&self, severity: Severity, message: String, remedy: String) {
        let position = self.file.position(self.span.start);
        let diagnostic = Diagnostic {
            severity,
            file: self.file.name.to_string(),
            line: position.line,
            column: position.column,
            key: self.key.clone(),
            message,
            remedy,
            excerpt: self.file.excerpt(&self.span),
        };
        self.problems.push(self.file.order, self.span.start, diagnostic);
    }
}

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(super) struct At<'a, T> {
    pub(super) value: T,
    pub(super) place: Place<'a>,
}

impl<'a, T> At<'a, T> {
    /// Another value of the same place.
    pub(super) fn with<U>(&self, value: U) -> At<'a, U> {
        At { value, place: self.place.clone() }
    }

    pub(super) fn sourced(&self) -> Sourced<T>
    where
        T: Clone,
    {
        Sourced { value: self.value.clone(), source: self.place.source() }
    }
}

impl<T: Clone> At<'_, Vec<At<'_, T>>> {
    /// The items without their places.
    pub(super) fn items(&self) -> Vec<T> {
        self.value.iter().map(|item| item.value.clone()).collect()
    }
}
