//! Marks along a timeline, counted from the run's start.

use std::time::Duration;

use maud::{Markup, html};
use midwatch_workflow::Timestamp;

use super::Scale;
use super::scale::step;
use crate::html::span;

/// So many marks at most.
const MARKS_MAX: u128 = 6;

/// Draws the marks of what a scale shows of a run that began at `start`.
pub(crate) fn axis(scale: Scale, start: Timestamp) -> Markup {
    let step = step(scale.length(), MARKS_MAX);
    let step_us = step.as_micros().max(1);
    let first = scale.from.since(start).as_micros().div_ceil(step_us);
    let last = scale.to.since(start).as_micros() / step_us;
    let marks: Vec<(f64, String)> = (first..=last)
        .take(20)
        .map(|mark| {
            let after = Duration::from_micros(u64::try_from(mark * step_us).unwrap_or(u64::MAX));
            (scale.place(start + after), if mark == 0 { "0".to_owned() } else { format!("+{}", tidy(after)) })
        })
        .collect();
    html! {
        svg.axis width="100%" height="18" aria-hidden="true" {
            @for (x, text) in &marks {
                line x1=(pc(*x)) x2=(pc(*x)) y1="12" y2="18" {}
                text x=(pc(*x)) y="10" text-anchor=(anchor(*x)) { (text) }
            }
        }
    }
}

/// A duration without the zeroes that a round mark has.
fn tidy(duration: Duration) -> String {
    let text = span(duration);
    let text = text
        .strip_suffix(".00s")
        .or_else(|| text.strip_suffix(".0s"))
        .map(|whole| format!("{whole}s"))
        .unwrap_or(text);
    let text = text.strip_suffix("m00s").map(|whole| format!("{whole}m")).unwrap_or(text);
    let text = text.strip_suffix("h00m").map(|whole| format!("{whole}h")).unwrap_or(text);
    text.strip_suffix("d00h").map(|whole| format!("{whole}d")).unwrap_or(text)
}

fn anchor(x: f64) -> &'static str {
    if x < 3.0 {
        "start"
    } else if x > 95.0 {
        "end"
    } else {
        "middle"
    }
}

fn pc(x: f64) -> String {
    format!("{x:.2}%")
}
