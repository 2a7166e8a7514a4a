//! Bars to scale: when something was under way, within the time that the whole took.

use anstyle::Style;
use midwatch_workflow::Timestamp;

/// A stretch of time and how it is drawn; later stretches are drawn over earlier ones.
pub(crate) struct Stretch {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    pub(crate) glyph: char,
    pub(crate) style: Style,
}

/// The time that a bar stands for, and the columns that it has.
#[derive(Clone, Copy)]
pub(crate) struct Scale {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    pub(crate) columns: usize,
}

impl Scale {
    /// Draws stretches; everything gets at least one column.
    pub(crate) fn draw(self, stretches: &[Stretch]) -> String {
        let mut cells: Vec<Option<&Stretch>> = vec![None; self.columns];
        for stretch in stretches {
            let first =
                self.columns_before(stretch.from, u128::div_euclid).min(self.columns.saturating_sub(1));
            let last = self.columns_before(stretch.to, u128::div_ceil).max(first + 1).min(self.columns);
            cells[first..last].fill(Some(stretch));
        }
        let mut bar = String::new();
        for cells in cells.chunk_by(|a, b| a.map(|a| (a.glyph, a.style)) == b.map(|b| (b.glyph, b.style))) {
            let glyphs = |glyph: char| glyph.to_string().repeat(cells.len());
            match cells.first().copied().flatten() {
                Some(Stretch { glyph, style, .. }) => {
                    bar.push_str(&format!("{style}{}{style:#}", glyphs(*glyph)))
                }
                None => bar.push_str(&glyphs(' ')),
            }
        }
        bar.truncate(bar.trim_end().len());
        bar
    }

    fn columns_before(self, at: Timestamp, divide: fn(u128, u128) -> u128) -> usize {
        let whole = self.to.since(self.from).as_micros().max(1);
        let part = at.since(self.from).as_micros().min(whole);
        usize::try_from(divide(part * self.columns as u128, whole)).unwrap_or(self.columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::look::PLAIN;

    #[test]
    fn a_bar_is_to_scale_and_a_moment_still_shows() {
        let at = Timestamp::from_micros;
        let scale = Scale { from: at(0), to: at(100), columns: 10 };
        let stretch = |from, to, glyph| Stretch { from: at(from), to: at(to), glyph, style: PLAIN };
        assert_eq!(scale.draw(&[stretch(0, 50, '#')]), "#####");
        assert_eq!(scale.draw(&[stretch(20, 50, '#'), stretch(50, 80, '.')]), "  ###...");
        assert_eq!(scale.draw(&[stretch(100, 100, '#')]), "         #");
    }
}
