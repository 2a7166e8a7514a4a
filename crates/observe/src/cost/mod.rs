//! What runs cost: bookings taken from timelines, and reports over many runs.

mod booking;
mod distribution;
mod report;

pub use booking::{Booking, bookings};
pub use distribution::Distribution;
pub use report::{By, Certainties, Line, Outlier, Report, day};

pub(crate) use booking::sum;
