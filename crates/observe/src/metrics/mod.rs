//! Metrics: a fold from events and from how a journal stands to counters, histograms and gauges, as data.
//!
//! [`family`] names every family once; what renders them, draws them or alerts on them is checked against it. There is no
//! label for a run, a step or a workflow id, and values that users choose are bounded: beyond [`SERIES_MAX`] sets of
//! labels, they become `other`.

mod count;
pub mod family;
mod gauge;
mod value;

pub use count::Counts;
pub use family::{Family, Kind, Label, Unit};
pub use gauge::gauges;
pub use value::{Histogram, Metrics, OTHER, SERIES_MAX, Value};
