//! Pictures drawn on the server, as SVG that the style sheet colours: no scripts, no fonts, no inline style.

mod axis;
mod bars;
mod histogram;
mod scale;
mod shares;

pub(crate) use axis::axis;
pub(crate) use bars::{Bar, Kind, bars, patterns};
pub(crate) use histogram::histogram;
pub(crate) use scale::Scale;
pub(crate) use shares::{columns, shares};
