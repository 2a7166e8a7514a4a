//! A table: columns as wide as they must be, the patient ones narrower if there is no room.

use anstyle::Style;

use super::look::{FAINT, PLAIN};
use super::text::{clean, fit, width};

/// A column.
pub(crate) struct Column {
    title: &'static str,
    align: Align,
    /// The width below which it is not cut; `None` if it is never cut.
    least: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Align {
    Left,
    Right,
}

impl Column {
    /// Text that is never cut.
    pub(crate) fn left(title: &'static str) -> Self {
        Self { title, align: Align::Left, least: None }
    }

    /// Numbers.
    pub(crate) fn right(title: &'static str) -> Self {
        Self { title, align: Align::Right, least: None }
    }

    /// Text that is cut down to `least` columns if there is no room.
    pub(crate) fn patient(title: &'static str, least: usize) -> Self {
        Self { title, align: Align::Left, least: Some(least) }
    }
}

/// A cell.
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A cell without style.
    pub(crate) fn new(text: impl AsRef<str>) -> Self {
        Self::styled(text, PLAIN)
    }

    /// A cell with style.
    pub(crate) fn styled(text: impl AsRef<str>, style: Style) -> Self {
        Self { text: clean(text.as_ref()).into_owned(), style }
    }
}

const GAP: usize = 2;

/// Lays out a table; the first line has the titles.
pub(crate) fn lines(columns: &[Column], rows: &[Vec<Cell>], limit: Option<usize>) -> Vec<String> {
    let widths = widths(columns, rows, limit);
    let head: Vec<Cell> = columns.iter().map(|column| Cell::styled(column.title, FAINT)).collect();
    std::iter::once(&head).chain(rows).map(|row| line(columns, &widths, row)).collect()
}

fn widths(columns: &[Column], rows: &[Vec<Cell>], limit: Option<usize>) -> Vec<usize> {
    let mut widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(n, column)| {
            let cells = rows.iter().filter_map(|row| row.get(n)).map(|cell| width(&cell.text));
            cells.chain([width(column.title)]).max().unwrap_or(0)
        })
        .collect();
    let Some(limit) = limit else { return widths };
    let gaps = GAP * columns.len().saturating_sub(1);
    let mut excess = (widths.iter().sum::<usize>() + gaps).saturating_sub(limit);
    // The widest of the patient ones gives way first.
    while excess > 0 {
        let patient = columns
            .iter()
            .enumerate()
            .filter(|(n, column)| column.least.is_some_and(|least| widths[*n] > least));
        let Some((widest, _)) = patient.max_by_key(|(n, _)| widths[*n]) else { break };
        widths[widest] -= 1;
        excess -= 1;
    }
    widths
}

fn line(columns: &[Column], widths: &[usize], row: &[Cell]) -> String {
    let mut line = String::new();
    for ((column, room), cell) in columns.iter().zip(widths).zip(row) {
        let text = fit(&cell.text, *room);
        let space = " ".repeat(room - width(&text));
        let style = cell.style;
        let painted = if text.is_empty() { String::new() } else { format!("{style}{text}{style:#}") };
        match column.align {
            Align::Left => line.push_str(&format!("{painted}{space}")),
            Align::Right => line.push_str(&format!("{space}{painted}")),
        }
        line.push_str(&" ".repeat(GAP));
    }
    line.truncate(line.trim_end().len());
    line
}
