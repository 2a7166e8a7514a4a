//! The few styles there are, and what they mean.

use anstyle::{AnsiColor, Style};
use midwatch_journal::Status;
use midwatch_observe::tell::Tone;

/// Nothing special.
pub(crate) const PLAIN: Style = Style::new();
/// What the eye should find first.
pub(crate) const STRONG: Style = Style::new().bold();
/// What may be skipped.
pub(crate) const FAINT: Style = Style::new().dimmed();
/// It went well.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// It goes on.
pub(crate) const ACTIVE: Style = AnsiColor::Cyan.on_default();
/// Somebody should look.
pub(crate) const WARN: Style = AnsiColor::Yellow.on_default();
/// It failed.
pub(crate) const BAD: Style = AnsiColor::Red.on_default();

/// The style of a status.
pub(crate) fn of(status: Status) -> Style {
    match status {
        Status::Running | Status::Compensating => ACTIVE,
        Status::Waiting => PLAIN,
        Status::Paused | Status::Parked => WARN,
        Status::Completed => GOOD,
        Status::Failed | Status::Compensated | Status::Cancelled => BAD,
    }
}

/// The style of a tone.
pub(crate) fn tone(tone: Tone) -> Style {
    match tone {
        Tone::Plain => PLAIN,
        Tone::Faint => FAINT,
        Tone::Good => GOOD,
        Tone::Active => ACTIVE,
        Tone::Warn => WARN,
        Tone::Bad => BAD,
    }
}
