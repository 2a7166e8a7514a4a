//! Parts of a whole in one line, and amounts side by side.

use maud::{Markup, html};

/// Draws parts of a whole: a name for each in the style sheet, how much, and its title.
pub(crate) fn shares(parts: &[(&str, f64, String)]) -> Markup {
    let whole: f64 = parts.iter().map(|(_, much, _)| much).sum::<f64>().max(f64::MIN_POSITIVE);
    let mut before = 0.0;
    let places: Vec<(f64, f64)> = parts
        .iter()
        .map(|(_, much, _)| {
            let place = (before, much / whole * 100.0);
            before += place.1;
            place
        })
        .collect();
    html! {
        svg.shares width="100%" height="10" aria-hidden="true" {
            @for ((class, _, title), (x, width)) in parts.iter().zip(places) {
                rect class=(class) x={(format!("{x:.2}")) "%"} width={(format!("{width:.2}")) "%"} height="10" { title { (title) } }
            }
        }
    }
}

/// Draws amounts as columns, the last one marked; with the line of what is usual.
#[allow(clippy::cast_precision_loss)] // places on paper
pub(crate) fn columns(amounts: &[(String, f64, String)], usual: Option<f64>, label: &str) -> Markup {
    const HEIGHT: f64 = 56.0;
    let most = amounts.iter().map(|(_, much, _)| *much).chain(usual).fold(f64::MIN_POSITIVE, f64::max);
    let each = 100.0 / amounts.len().max(1) as f64;
    html! {
        svg.columns width="100%" height=(HEIGHT + 18.0) role="img" aria-label=(label) {
            @for (n, (name, much, title)) in amounts.iter().enumerate() {
                @let height = (much / most * HEIGHT).max(1.0);
                @let x = n as f64 * each;
                rect.last[n + 1 == amounts.len()] x={(format!("{:.2}", x + each * 0.12)) "%"} width={(format!("{:.2}", each * 0.76)) "%"} y=(format!("{:.1}", HEIGHT - height)) height=(format!("{height:.1}")) rx="1.5" { title { (title) } }
                text x={(format!("{:.2}", x + each / 2.0)) "%"} y=(HEIGHT + 13.0) text-anchor="middle" { (name) }
            }
            @if let Some(usual) = usual {
                @let y = format!("{:.1}", HEIGHT - usual / most * HEIGHT);
                line.usual x1="0" x2="100%" y1=(y) y2=(y) {}
            }
        }
    }
}
