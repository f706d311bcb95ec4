//! Charts as SVG: the share of each kind of session in a whole, and columns over time. They stretch to the width that
//! there is; every number stands in a table beside them too.

use maud::{Markup, html};

use super::figures::{scale_top, share};
use super::shade::Shade;

/// The sides of a drawing, in units that stretch.
const WIDTH: u64 = 1000;
const HEIGHT: u64 = 100;
/// The narrowest part that is still seen.
const PART_WIDTH_MIN: u64 = 4;

/// Between two parts.
const GAP_WIDTH: u64 = 2;

/// How many there are of each kind; kinds that do not occur may be left out.
pub type Parts = Vec<(Shade, u64)>;

/// One column of a chart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Such as `2027-01-02 03:00`.
    pub name: String,
    /// The same below the drawing, such as `03:00`.
    pub tick: String,
    pub parts: Parts,
}

impl Column {
    fn total(&self) -> u64 {
        self.parts.iter().map(|(_, count)| count).sum()
    }
}

fn count_of(parts: &Parts, shade: Shade) -> u64 {
    parts.iter().filter(|(of, _)| *of == shade).map(|(_, count)| count).sum()
}

/// A bar that is filled with the parts, and a list with their numbers: `number` says them with their noun.
pub fn shares(parts: &Parts, number: &dyn Fn(u64) -> String) -> Markup {
    let total: u64 = parts.iter().map(|(_, count)| count).sum();
    let present = Shade::ALL.into_iter().map(|shade| (shade, count_of(parts, shade))).filter(|(_, count)| *count > 0);
    let present: Vec<(Shade, u64)> = present.collect();
    let bars = widths(&present, total).into_iter().scan(0, |left, width| {
        let begin = *left;
        *left += width;
        Some((begin, width.saturating_sub(GAP_WIDTH).max(1)))
    });
    html! {
        svg.shares viewBox=(format!("0 0 {WIDTH} 10")) preserveAspectRatio="none" aria-hidden="true" focusable="false" {
            @for ((shade, _), (left, width)) in present.iter().zip(bars) {
                rect class=(shade.class()) x=(left) y="0" width=(width) height="10" {}
            }
        }
        ul.legend {
            @for (shade, count) in &present {
                li {
                    span.swatch.(shade.class()) {}
                    span.name { (shade.name()) }
                    span.share { (share(*count, total)) }
                    span.count { (number(*count)) }
                }
            }
        }
    }
}

/// The width of each part: what is there at all is seen.
fn widths(parts: &[(Shade, u64)], total: u64) -> Vec<u64> {
    let exact =
        |count: u64| u64::try_from(u128::from(count) * u128::from(WIDTH) / u128::from(total.max(1))).unwrap_or(WIDTH);
    let mut widths: Vec<u64> = parts.iter().map(|(_, count)| exact(*count).max(PART_WIDTH_MIN)).collect();
    let sum: u64 = widths.iter().sum();
    if let Some(widest) = widths.iter_mut().max() {
        *widest = (*widest + WIDTH).saturating_sub(sum).max(PART_WIDTH_MIN);
    }
    widths
}

/// Columns over time, each stacked from its kinds of sessions.
#[derive(Clone, Debug)]
pub struct Columns<'a> {
    /// What the chart shows, in a few words.
    pub title: &'a str,
    pub columns: &'a [Column],
    pub number: fn(u64) -> String,
}

impl Columns<'_> {
    pub fn draw(&self) -> Markup {
        let top = scale_top(self.columns.iter().map(Column::total).max().unwrap_or(0));
        let name = |column: Option<&Column>| column.map(|column| column.tick.clone()).unwrap_or_default();
        let middle = name(self.columns.get(self.columns.len() / 2));
        html! {
            figure.columns {
                figcaption { (self.title) span.top { "up to " ((self.number)(top)) } }
                (self.drawing(top))
                div.ticks aria-hidden="true" {
                    span { (name(self.columns.first())) }
                    span { (middle) }
                    span { (name(self.columns.last())) }
                }
                (self.table())
            }
        }
    }

    fn drawing(&self, top: u64) -> Markup {
        let count = u64::try_from(self.columns.len()).unwrap_or(1).max(1);
        let step = WIDTH * 10 / count;
        html! {
            svg viewBox=(format!("0 0 {} {HEIGHT}", WIDTH * 10)) preserveAspectRatio="none" aria-hidden="true"
                focusable="false" {
                @for height in [0, HEIGHT / 2, HEIGHT] {
                    line.grid x1="0" x2=(WIDTH * 10) y1=(height) y2=(height) {}
                }
                @for (place, column) in (0u64..).zip(self.columns) {
                    @if column.total() > 0 { (self.stack(column, (place * step, step), top)) }
                }
            }
        }
    }

    fn stack(&self, column: &Column, (left, step): (u64, u64), top: u64) -> Markup {
        let mut used: u64 = 0;
        let hundredths = |count: u64| {
            u64::try_from(u128::from(count) * u128::from(HEIGHT) * 100 / u128::from(top.max(1))).unwrap_or(0)
        };
        html! {
            g {
                title { (self.in_words(column)) }
                @for shade in Shade::ALL {
                    @let count = count_of(&column.parts, shade);
                    @if count > 0 {
                        @let begin = hundredths(used);
                        @let end = { used += count; hundredths(used) };
                        // A column that is there is seen, however low.
                        @let height = (end - begin).max(100);
                        rect class=(shade.class()) x=(left + step / 10) width=(step - step / 5)
                            y=(decimal((HEIGHT * 100).saturating_sub(begin + height))) height=(decimal(height)) {}
                    }
                }
            }
        }
    }

    fn in_words(&self, column: &Column) -> String {
        let part = |shade: Shade| Some((shade, count_of(&column.parts, shade))).filter(|(_, count)| *count > 0);
        let parts = Shade::ALL.into_iter().filter_map(part);
        let parts: Vec<String> =
            parts.map(|(shade, count)| format!("{} {}", shade.name(), (self.number)(count))).collect();
        format!("{}: {}", column.name, parts.join(", "))
    }

    /// The same as numbers, for those who do not see the drawing and for those who want them.
    fn table(&self) -> Markup {
        let is_met = |shade: &Shade| self.columns.iter().any(|column| count_of(&column.parts, *shade) > 0);
        let shades: Vec<Shade> = Shade::ALL.into_iter().filter(is_met).collect();
        html! {
            details {
                summary { "Numbers" span.unseen { ": " (self.title) } }
                @if shades.is_empty() { p.empty { "There was none." } } @else {
                    div.scroll tabindex="0" role="region" aria-label=(format!("Numbers: {}", self.title)) {
                        table {
                            thead { tr {
                                th scope="col" { "Time, UTC" }
                                @for shade in &shades { th.number scope="col" { (shade.name()) } }
                            } }
                            tbody {
                                @for column in self.columns.iter().rev().filter(|column| column.total() > 0) {
                                    tr {
                                        th scope="row" { (column.name) }
                                        @for shade in &shades {
                                            td.number { ((self.number)(count_of(&column.parts, *shade))) }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn decimal(hundredths: u64) -> String {
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tls::ProtocolVersion;

    const TLS13: Shade = Shade::Version(ProtocolVersion::Tls1_3);

    #[test]
    fn parts_fill_the_bar_and_the_least_is_seen() {
        for (counts, expected) in [
            (&[(TLS13, 1)][..], &[1000][..]),
            (&[(TLS13, 3), (Shade::Plaintext, 1)], &[750, 250]),
            (&[(TLS13, 1_000_000), (Shade::Plaintext, 1)], &[996, 4]),
            (&[], &[]),
        ] {
            assert_eq!(widths(counts, counts.iter().map(|(_, count)| count).sum()), expected, "{counts:?}");
        }
    }

    #[test]
    fn columns_stand_on_each_other_within_the_drawing() {
        let column = |name: &str, parts: Parts| Column { name: name.to_owned(), tick: name.to_owned(), parts };
        let columns = [column("one", vec![(Shade::Plaintext, 5), (TLS13, 5)]), column("two", vec![])];
        let chart = Columns { title: "Mail", columns: &columns, number: |count| count.to_string() };
        let drawn = chart.draw().into_string();
        for expected in [
            "<title>one: TLSv1.3 5, plaintext 5</title>",
            "class=\"tls13\" x=\"500\" width=\"4000\" y=\"50.00\" height=\"50.00\"",
            "class=\"plain\" x=\"500\" width=\"4000\" y=\"0.00\" height=\"50.00\"",
            "up to 10",
        ] {
            assert!(drawn.contains(expected), "{expected}: {drawn}");
        }
        assert!(!drawn.contains("two:"), "{drawn}");
    }
}
