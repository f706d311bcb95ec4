//! Files of policy cases: reading them, and where their cases stand.

use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::config::diagnostic::{Diagnostic, Excerpt, Severity};
use crate::config::document::Table;
use crate::config::load::{Document, domain_paths, read_source};
use crate::config::place::Problems;
use crate::config::source::{SourceFile, count};
use crate::config::whereabouts::FileKind;

use super::{Case, CaseKey, Places, read};

/// The most files of cases at once.
const CASE_FILES_MAX: usize = 10_000;
/// The longest line that is quoted in a finding.
const EXCERPT_LINE_BYTES_MAX: usize = 2000;

/// A file and the cases in it that can be put to the engine.
#[derive(Debug)]
pub struct CaseFile {
    source: SourceFile,
    /// Offsets.
    line_starts: Vec<usize>,
    pub cases: Vec<Case>,
}

/// Reads files of cases, and of folders every `*.toml`, with every error in them at once. Names are relative to the
/// folder of the main file where they can be. A folder that is not there has no cases if it is the configuration's own.
pub fn load_cases(config: &Config, paths: &[PathBuf]) -> (Vec<CaseFile>, Vec<Diagnostic>) {
    let root = config.file.parent().unwrap_or(Path::new("/"));
    let problems = Problems::default();
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            match domain_paths(path) {
                Ok(found) => files.extend(found),
                Err(error) => problems.push(0, 0, unreadable(path, format!("cannot read the folder: {error}"))),
            }
        } else if *path != config.cases || path.exists() {
            files.push(path.clone());
        }
    }
    if files.len() > CASE_FILES_MAX {
        let message = format!("there are more than {CASE_FILES_MAX} files of cases");
        problems.push(0, 0, unreadable(root, message));
        files.truncate(CASE_FILES_MAX);
    }
    let read = |(index, path): (usize, &PathBuf)| {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        Some(CaseFile::read(read_source(&path, root, (FileKind::Cases, index + 1), &problems)?, &problems))
    };
    let files = files.iter().enumerate().filter_map(read).collect();
    (files, problems.into_sorted())
}

fn unreadable(path: &Path, message: String) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        file: path.display().to_string(),
        line: 1,
        column: 1,
        key: String::new(),
        message,
        remedy: "name readable files of [[case]] tables".to_owned(),
        excerpt: None,
    }
}

impl CaseFile {
    fn read(source: SourceFile, problems: &Problems) -> Self {
        let document = Document::parse(&source, problems);
        let mut cases = Vec::new();
        if document.is_whole {
            let mut table = Table::root(&source, problems, document.entries.get_ref());
            for table in table.sections("case") {
                let before = problems.count();
                // A case with a finding is not the one that was meant.
                cases.extend(read::case(table).filter(|_| problems.count() == before));
            }
            table.finish();
        }
        drop(document);
        let ends = source.text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let line_starts = std::iter::once(0).chain(ends).collect();
        Self { source, line_starts, cases }
    }

    /// As findings name it.
    pub fn name(&self) -> &str {
        &self.source.name
    }

    /// The line of the case, from 1.
    pub fn line(&self, case: &Case) -> u32 {
        count(self.line_index(case.places.case.start) + 1)
    }

    /// An error about one key of a case.
    pub fn finding(&self, case: &Case, key: CaseKey, (message, remedy): (String, String)) -> Diagnostic {
        let Places { expect, listener, mx, .. } = &case.places;
        let (key, span) = match key {
            CaseKey::Expect => ("case.expect", expect),
            CaseKey::Listener => ("case.listener", listener.as_ref().unwrap_or(expect)),
            CaseKey::Mx => ("case.mx", mx.as_ref().unwrap_or(expect)),
        };
        let index = self.line_index(span.start);
        let start = self.line_starts.get(index).copied().unwrap_or_default();
        let column = self.source.text.get(start..span.start).map_or(0, |before| before.chars().count());
        Diagnostic {
            severity: Severity::Error,
            file: self.source.name.to_string(),
            line: count(index + 1),
            column: count(column + 1),
            key: key.to_owned(),
            message,
            remedy,
            excerpt: self.excerpt(start, span),
        }
    }

    /// From 0; found without counting from the top, as there may be many cases.
    fn line_index(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset).saturating_sub(1)
    }

    fn excerpt(&self, start: usize, span: &Range<usize>) -> Option<Excerpt> {
        let line = self.source.text.get(start..)?.lines().next()?;
        let within = |offset: usize| offset.saturating_sub(start).min(line.len());
        (line.len() <= EXCERPT_LINE_BYTES_MAX).then(|| Excerpt {
            line: line.to_owned(),
            start: within(span.start),
            end: within(span.end),
        })
    }
}
