//! How the cost of a run is spread: a histogram with the median, the 95th percentile and three medians.

use std::fmt::Write as _;

use midwatch_workflow::Money;
use serde::Serialize;

use crate::baseline::Spread;
use crate::why::MEDIANS;
use crate::words::usd;

/// Into how many bars a histogram is divided.
const BARS: usize = 24;

/// How a cost is spread.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Distribution {
    /// The ranks.
    pub spread: Spread<Money>,
    /// The most that a run cost.
    pub max: Money,
    /// Three medians.
    pub line: Money,
    /// How many runs cost more than that.
    pub beyond: u64,
    /// How wide a bar is.
    pub width: Money,
    /// How many runs fall into each bar; the last one holds everything beyond.
    pub bars: Vec<u64>,
}

impl Distribution {
    /// Counts costs; runs that cost nothing are left out. `None` if there are no others.
    pub fn of(costs: impl IntoIterator<Item = Money>) -> Option<Self> {
        let costs: Vec<Money> = costs.into_iter().filter(|cost| *cost > Money::ZERO).collect();
        let spread = Spread::of(costs.clone())?;
        let max = costs.iter().copied().max()?;
        let line = spread.median.times(MEDIANS);
        // One far outlier must not press all others into one bar.
        let top = max.min(Money::from_picos((line.as_picos() / 3 * 4).max(spread.p95.as_picos() / 9 * 10)));
        let width = Money::from_picos(top.as_picos().div_ceil(BARS as u64).max(1));
        let mut bars = vec![0; BARS];
        for cost in &costs {
            let bar = usize::try_from(cost.as_picos().saturating_sub(1) / width.as_picos()).unwrap_or(BARS);
            bars[bar.min(BARS - 1)] += 1;
        }
        let beyond = costs.iter().filter(|cost| **cost > line).count() as u64;
        Some(Self { spread, max, line, beyond, width, bars })
    }

    /// Where an amount lies, as a share of the whole width; more than 1 is beyond it.
    pub fn place(&self, amount: Money) -> f64 {
        #[allow(clippy::cast_precision_loss)] // a place on paper
        let bars = self.bars.len() as f64;
        amount.as_usd() / (self.width.as_usd() * bars).max(f64::MIN_POSITIVE)
    }

    /// Draws it.
    #[allow(clippy::cast_precision_loss)] // places on paper
    pub fn svg(&self, title: &str) -> String {
        const W: f64 = 720.0;
        const H: f64 = 240.0;
        const LEFT: f64 = 48.0;
        const TOP: f64 = 56.0;
        let most = self.bars.iter().copied().max().unwrap_or(1).max(1) as f64;
        let bar = W / self.bars.len() as f64;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 816 360\" font-family=\"sans-serif\" font-size=\"12\">\
             <title>{0}</title><rect width=\"816\" height=\"360\" fill=\"#fff\"/><text x=\"48\" y=\"24\" font-size=\"15\">{0}</text>",
            escape(title)
        );
        for (n, count) in self.bars.iter().enumerate().filter(|(_, count)| **count > 0) {
            let height = (*count as f64 / most * H).max(1.0);
            let (x, y) = (LEFT + n as f64 * bar, TOP + H - height);
            let color = if (n as f64 * bar) / W >= self.place(self.line) { "#c4442b" } else { "#4472a8" };
            let _ = write!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{height:.1}\" fill=\"{color}\"><title>{count}</title></rect>",
                bar - 1.0
            );
        }
        let _ = write!(svg, "<path d=\"M48 296H768\" stroke=\"#333\"/>");
        let lines = [("median", self.spread.median), ("p95", self.spread.p95), ("3 × median", self.line)];
        for (n, (name, amount)) in
            lines.into_iter().enumerate().filter(|(_, (_, amount))| self.place(*amount) <= 1.0)
        {
            let x = LEFT + self.place(amount) * W;
            let y = 312 + 14 * n;
            let _ = write!(
                svg,
                "<path d=\"M{x:.1} 48V296\" stroke=\"#333\" stroke-dasharray=\"4 3\"/><text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{name} {}</text>",
                usd(amount)
            );
        }
        svg.push_str("</svg>\n");
        svg
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_run_is_in_a_bar_and_a_far_one_in_the_last() {
        let costs = (1..=100).map(Money::from_cents).chain([Money::from_cents(90_000)]);
        let spread = Distribution::of(costs).unwrap();
        assert_eq!(spread.bars.iter().sum::<u64>(), 101);
        assert_eq!(spread.beyond, 1);
        assert!(spread.bars[BARS - 1] >= 1 && spread.place(spread.line) < 1.0);
        assert!(spread.svg("a < b").contains("a &lt; b"));
    }
}
