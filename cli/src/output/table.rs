//! Aligned columns for people. Colour only on a terminal, and lines no wider than the terminal.

use comfy_table::{CellAlignment, Color, ColumnConstraint, ContentArrangement, Row, Table, Width, presets};

use super::{colour, text};

/// A cell of a table.
#[derive(Debug)]
pub(crate) struct Cell(comfy_table::Cell);

impl Cell {
    pub(crate) fn text(content: &str) -> Self {
        Self(comfy_table::Cell::new(text::line(content)))
    }

    /// Aligned to the right.
    pub(crate) fn number(number: impl ToString) -> Self {
        Self(comfy_table::Cell::new(number.to_string()).set_alignment(CellAlignment::Right))
    }

    pub(crate) fn coloured(content: &str, tone: Tone) -> Self {
        let Self(cell) = Self::text(content);
        Self(if colour::on_stdout() { cell.fg(tone.colour()) } else { cell })
    }
}

/// A word in its colour, if standard output takes colour.
pub(crate) fn painted(word: &str, tone: Tone) -> String {
    let code = match tone {
        Tone::Good => 32,
        Tone::Busy => 34,
        Tone::Bad => 31,
        Tone::Warning => 33,
        Tone::Quiet => 90,
    };
    if colour::on_stdout() { format!("\x1b[1;{code}m{word}\x1b[0m") } else { word.to_owned() }
}

/// How good or bad a status is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tone {
    Good,
    Busy,
    Bad,
    Warning,
    Quiet,
}

impl Tone {
    fn colour(self) -> Color {
        match self {
            Self::Good => Color::Green,
            Self::Busy => Color::Blue,
            Self::Bad => Color::Red,
            Self::Warning => Color::Yellow,
            Self::Quiet => Color::DarkGrey,
        }
    }
}

/// The space between two columns.
const GAP: u16 = 2;
/// A column is cut to no less than this, or left out.
const LEAST: u16 = 12;

/// Rows under a header. A pipe gets them whole. A narrow terminal gets the first column whole, without as many of the
/// `spare` columns, the first ones first, as do not fit, and with other long cells cut.
pub(crate) fn table(columns: &[&str], spare: &[&str], rows: impl Iterator<Item = Vec<Cell>>) -> String {
    let mut table = plain(columns.len());
    table.set_header(columns.iter().copied());
    for cells in rows {
        let mut row = Row::from(cells.into_iter().map(|Cell(cell)| cell).collect::<Vec<_>>());
        row.max_height(1);
        table.add_row(row);
    }
    if let Some(width) = table.width() {
        fit(&mut table, columns, spare, width);
    }
    finish(&table)
}

/// Hides columns until the others fit into this width, each at least as wide as it must be.
fn fit(table: &mut Table, columns: &[&str], spare: &[&str], width: u16) {
    let least = |(index, (content, name)): (usize, (u16, &&str))| {
        let header = u16::try_from(name.chars().count()).unwrap_or(u16::MAX);
        GAP.saturating_add(if index == 0 { content } else { content.min(header.max(LEAST)) })
    };
    let mut shown: Vec<Option<u16>> =
        table.column_max_content_widths().into_iter().zip(columns).enumerate().map(|it| Some(least(it))).collect();
    for name in spare {
        if shown.iter().flatten().fold(0, |sum: u16, least| sum.saturating_add(*least)) <= width {
            break;
        }
        if let Some(index) = columns.iter().position(|it| it == name) {
            shown[index] = None;
        }
    }
    for (column, least) in table.column_iter_mut().zip(shown) {
        column.set_constraint(match least {
            Some(least) => ColumnConstraint::LowerBoundary(Width::Fixed(least)),
            None => ColumnConstraint::Hidden,
        });
    }
}

/// A name and a text on each line; a text of several lines is indented under its name.
pub(crate) fn details(pairs: &[(&str, String)]) -> String {
    let pairs: Vec<_> = pairs.iter().filter(|(_, value)| !value.is_empty()).collect();
    let width = pairs.iter().map(|(name, _)| name.chars().count() + 1).max().unwrap_or_default();
    let mut lines = String::new();
    for (name, value) in pairs {
        let value = text::block(value).replace('\n', &format!("\n{:width$}  ", ""));
        lines.push_str(&format!("{:<width$}  {value}\n", format!("{name}:")));
    }
    lines
}

fn plain(columns: usize) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_truncation_indicator("…");
    if colour::on_stdout() {
        // The table is written to a string, so comfy-table finds no terminal and would leave out the colours.
        table.enforce_styling();
    }
    // The header creates the columns.
    table.set_header(vec![""; columns]);
    for column in table.column_iter_mut() {
        column.set_padding((0, GAP));
    }
    table
}

fn finish(table: &Table) -> String {
    let mut lines = String::new();
    for line in table.lines() {
        lines.push_str(line.trim_end());
        lines.push('\n');
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_nothing_trails() {
        let rows = vec![vec![Cell::text("a"), Cell::number(5)], vec![Cell::text("longer"), Cell::number(1234)]];
        assert_eq!(table(&["NAME", "RUNS"], &[], rows.into_iter()), "NAME    RUNS\na          5\nlonger  1234\n");
    }

    #[test]
    fn a_cell_stays_on_its_line() {
        let rows = vec![vec![Cell::text("a\nb\x1b[0m")]];
        assert_eq!(table(&["NAME"], &[], rows.into_iter()), "NAME\na\\nb\\u{1b}[0m\n");
    }

    #[test]
    fn details_leave_out_what_is_empty_and_indent_lines() {
        let pairs = [("Id", "7".to_owned()), ("Labels", String::new()), ("Error", "one\ntwo".to_owned())];
        assert_eq!(details(&pairs), "Id:     7\nError:  one\n        two\n");
    }
}
