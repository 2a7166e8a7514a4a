//! The command as people and scripts use it: a real process on a real journal.

mod journal;
mod ls;
mod midwatch;
mod show;
