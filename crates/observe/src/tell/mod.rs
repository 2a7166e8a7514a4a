//! The words in which views are told to people: amounts, durations, events. Every surface uses these and no others.

pub mod amount;
pub mod event;
pub mod text;
pub mod time;

/// What a piece of text means for whoever looks at it; how that looks is each surface's own affair.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tone {
    /// Nothing special.
    Plain,
    /// What may be skipped.
    Faint,
    /// It went well.
    Good,
    /// It goes on.
    Active,
    /// Somebody should look.
    Warn,
    /// It failed.
    Bad,
}
