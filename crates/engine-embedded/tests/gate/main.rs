//! Gates in a whole engine, under a virtual clock.

mod amplification;
mod line;
mod target;
