//! Points in time between the server's form and midwatch's.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use midwatch_workflow::Timestamp;

/// A time of the server's as a time stamp; before 1970 it is 0.
pub(crate) fn timestamp(at: SystemTime) -> Timestamp {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}
