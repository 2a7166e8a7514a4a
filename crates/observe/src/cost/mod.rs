//! What runs cost: bookings taken from timelines, and reports over many runs.

mod booking;

pub(crate) use booking::sum;
pub use booking::{Booking, bookings};
