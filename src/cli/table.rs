//! Columns that line up within a width: what does not fit is cut with "…", never wrapped.

use anstyle::Style;

use crate::model::human::cut;

const GAP: &str = "  ";
/// No column is cut below this.
const WIDTH_MIN: usize = 4;

/// How one column is laid out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column<'a> {
    title: &'a str,
    right: bool,
    width_min: usize,
    shrinks: bool,
}

impl<'a> Column<'a> {
    pub(super) const fn left(title: &'a str) -> Self {
        Self { title, right: false, width_min: title.len(), shrinks: false }
    }

    pub(super) const fn right(title: &'a str) -> Self {
        Self { right: true, ..Self::left(title) }
    }

    /// As wide as this at least, so that tables of the same columns line up with each other.
    pub(super) const fn at_least(self, width_min: usize) -> Self {
        Self { width_min, ..self }
    }

    /// Cut before the other columns are.
    pub(super) const fn shrinking(self) -> Self {
        Self { shrinks: true, ..self }
    }
}

/// A text and how it looks.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(super) fn styled(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(text, Style::new())
    }
}

/// The lines of a table: the titles, then one for each row. No line is wider than `width_max` columns, as long as that
/// holds four characters of each column.
pub(super) fn lines(columns: &[Column<'_>], rows: &[Vec<Cell>], width_max: usize) -> Vec<String> {
    let widths = widths(columns, rows, width_max);
    let titles: Vec<Cell> = columns.iter().map(|column| Cell::styled(column.title, super::output::DIM)).collect();
    std::iter::once(&titles).chain(rows).map(|row| line(columns, &widths, row)).collect()
}

fn widths(columns: &[Column<'_>], rows: &[Vec<Cell>], width_max: usize) -> Vec<usize> {
    let widest =
        |index: usize| rows.iter().filter_map(|row| row.get(index)).map(|cell| cell.text.chars().count()).max();
    let mut widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| widest(index).unwrap_or(0).max(column.width_min).max(column.title.chars().count()))
        .collect();
    let gaps = GAP.len() * columns.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > width_max {
        let mut wide: Vec<_> = widths.iter_mut().zip(columns).filter(|(width, _)| **width > WIDTH_MIN).collect();
        wide.sort_by_key(|(width, column)| (column.shrinks, **width));
        match wide.pop() {
            Some((width, _)) => *width -= 1,
            None => break,
        }
    }
    widths
}

fn line(columns: &[Column<'_>], widths: &[usize], row: &[Cell]) -> String {
    let mut out = String::new();
    // Blanks are held back until something follows, so that no line ends with them.
    let mut blanks = 0;
    for (index, ((column, width), cell)) in columns.iter().zip(widths).zip(row).enumerate() {
        let text = cut(&cell.text, *width);
        let fill = width - text.chars().count();
        blanks += if index > 0 { GAP.len() } else { 0 } + if column.right { fill } else { 0 };
        if !text.is_empty() {
            out.extend(std::iter::repeat_n(' ', std::mem::take(&mut blanks)));
            out.push_str(&format!("{}{text}{:#}", cell.style, cell.style));
        }
        blanks += if column.right { 0 } else { fill };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_the_shrinking_ones_are_cut_first() {
        let columns = [Column::left("NAME").shrinking(), Column::right("SIZE"), Column::left("STATE")];
        let rows = [
            vec![Cell::from("a-name-that-is-long.example"), "12kB".into(), "waiting".into()],
            vec!["short".into(), "1B".into(), "".into()],
        ];
        let plain = |width| {
            let text = lines(&columns, &rows, width).join("\n");
            anstream::adapter::strip_str(&text).to_string()
        };
        assert_eq!(
            plain(80),
            "NAME                         SIZE  STATE\n\
             a-name-that-is-long.example  12kB  waiting\n\
             short                          1B"
        );
        assert_eq!(plain(24), "NAME       SIZE  STATE\na-name-t…  12kB  waiting\nshort        1B");
        assert_eq!(plain(16), "NAME  SIZE  STA…\na-n…  12kB  wai…\nsho…    1B");
    }
}
