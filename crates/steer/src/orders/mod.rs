//! The orders, one a file.

mod budget;
mod cancel;
mod fork;
mod pause;
mod resolve;
mod resume;
mod retry;
mod signal;

pub use budget::RaiseBudget;
pub use cancel::Cancel;
pub use fork::{Fork, ForkAt};
pub use pause::Pause;
pub use resolve::Resolve;
pub use resume::Resume;
pub use retry::{Retry, Waits};
pub use signal::Signal;
