//! How the cost of runs is spread, with the median, the 95th percentile and three times the median.

use maud::{Markup, html};
use midwatch_observe::cost::Distribution;
use midwatch_observe::tell::amount;
use midwatch_workflow::Money;

const HEIGHT: f64 = 150.0;
const TOP: f64 = 34.0;

/// Draws a distribution.
#[allow(clippy::cast_precision_loss)] // places on paper
pub(crate) fn histogram(spread: &Distribution) -> Markup {
    let most = spread.bars.iter().copied().max().unwrap_or(1).max(1) as f64;
    let each = 100.0 / spread.bars.len().max(1) as f64;
    let beyond = spread.place(spread.line) * 100.0;
    let lines = [
        ("median", spread.spread.median, 10),
        ("p95", spread.spread.p95, 22),
        ("3 × median", spread.line, 10),
    ];
    let text = format!(
        "How the cost of {} is spread: median {}, 95th percentile {}, three medians {}, {} beyond, the most {}.",
        amount::counted(spread.spread.n, "run"),
        amount::money(spread.spread.median),
        amount::money(spread.spread.p95),
        amount::money(spread.line),
        amount::count(spread.beyond),
        amount::money(spread.max)
    );
    html! {
        svg.histogram width="100%" height=(TOP + HEIGHT + 22.0) role="img" aria-label=(text) {
            @for (n, count) in spread.bars.iter().enumerate().filter(|(_, count)| **count > 0) {
                @let height = (*count as f64 / most * HEIGHT).max(1.5);
                @let x = n as f64 * each;
                rect.beyond[x >= beyond - each / 2.0] x=(pc(x + each * 0.06)) width=(pc(each * 0.88)) y=(format!("{:.1}", TOP + HEIGHT - height)) height=(format!("{height:.1}")) rx="1.5" {
                    title { (amount::counted(*count, "run")) " from " (amount::money(bar_at(spread, n))) }
                }
            }
            line.ground x1="0" x2="100%" y1=(TOP + HEIGHT) y2=(TOP + HEIGHT) {}
            @for (name, at, y) in lines {
                @let x = spread.place(at) * 100.0;
                @if x <= 100.0 {
                    line.mark.three[name == "3 × median"] x1=(pc(x)) x2=(pc(x)) y1=(y + 3) y2=(TOP + HEIGHT) {}
                    text x=(pc(x)) y=(y) text-anchor=(if x > 80.0 { "end" } else { "start" }) dx=(if x > 80.0 { "-3" } else { "3" }) { (name) " " (amount::money(at)) }
                }
            }
            text x="0" y=(TOP + HEIGHT + 15.0) { "$0" }
            text x="100%" y=(TOP + HEIGHT + 15.0) text-anchor="end" { (amount::money(bar_at(spread, spread.bars.len()))) }
        }
    }
}

fn bar_at(spread: &Distribution, n: usize) -> Money {
    spread.width.times(n as u64)
}

fn pc(x: f64) -> String {
    format!("{x:.2}%")
}
