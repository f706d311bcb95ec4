//! Text on a page of 80 columns: styles, wrapped paragraphs, labelled fields.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

pub(super) const COLUMNS: usize = 80;

pub(super) const PLAIN: Style = Style::new();
pub(super) const TITLE: Style = Style::new().bold();
pub(super) const FAINT: Style = Style::new().dimmed();
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(super) const NOTE: Style = AnsiColor::Yellow.on_default();

/// Where the story is written. Styles are always written; the stream drops them where they are not wanted.
pub(super) struct Page<'a> {
    pub(super) out: &'a mut dyn Write,
}

impl Page<'_> {
    pub(super) fn blank(&mut self) -> io::Result<()> {
        writeln!(self.out)
    }

    /// A heading of the page.
    pub(super) fn heading(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "\n{TITLE}{text}{TITLE:#}")
    }

    /// A line as it is, to be copied or with columns of its own.
    pub(super) fn line(&mut self, indent: usize, text: &str) -> io::Result<()> {
        writeln!(self.out, "{:indent$}{text}", "")
    }

    /// A paragraph.
    pub(super) fn text(&mut self, indent: usize, text: &str) -> io::Result<()> {
        self.field(indent, 0, ("", FAINT), (text, PLAIN))
    }

    /// A label of `width` columns, and text that keeps to the right of it.
    pub(super) fn field(
        &mut self,
        indent: usize,
        width: usize,
        (label, label_style): (&str, Style),
        (text, style): (&str, Style),
    ) -> io::Result<()> {
        let left = indent + width;
        for (number, line) in wrap(text, COLUMNS.saturating_sub(left)).iter().enumerate() {
            let label = cell(if number == 0 { label } else { "" }, width);
            writeln!(self.out, "{:indent$}{label_style}{label}{label_style:#}{style}{line}{style:#}", "")?;
        }
        Ok(())
    }
}

/// Breaks at spaces, and within words that are too long for a line.
pub(super) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let (held, wanted) = (line.chars().count(), word.chars().count());
        if held > 0 && held + 1 + wanted > columns {
            lines.push(std::mem::take(&mut line));
        } else if held > 0 {
            line.push(' ');
        }
        for letter in word.chars() {
            if line.chars().count() == columns {
                lines.push(std::mem::take(&mut line));
            }
            line.push(letter);
        }
    }
    lines.push(line);
    lines
}

/// Text cut to a column of a table and filled up with spaces.
pub(super) fn cell(text: &str, columns: usize) -> String {
    let length = text.chars().count();
    if length <= columns {
        return format!("{text}{:1$}", "", columns - length);
    }
    let kept: String = text.chars().take(columns.saturating_sub(1)).collect();
    format!("{kept}…")
}
