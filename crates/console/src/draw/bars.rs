//! Stretches of time as bars: what an attempt came to is told by colour, texture and title.

use maud::{Markup, html};
use midwatch_workflow::{Class, Timestamp};

use super::Scale;

/// What a stretch of time was spent with; of two in one place, the later in this list is drawn over the other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    /// A rewind took it back.
    Void,
    /// It slept, or waited to try again.
    Wait,
    /// A closed gate, a full queue or a pause held it.
    Held,
    /// It waited for a signal.
    Signal,
    /// It waited for a person.
    Person,
    /// A child ran.
    Child,
    /// An attempt went well.
    Good,
    /// A compensation went well.
    Undo,
    /// An attempt is under way.
    Active,
    /// It failed: the target asks for less, or has no room.
    Pressure,
    /// It failed: no answer in time.
    Silence,
    /// It failed: the target or the way to it is broken.
    Fault,
    /// Its process died.
    Lost,
    /// It failed for good.
    Refused,
}

impl Kind {
    /// What an attempt that failed is drawn as.
    pub(crate) const fn of(class: Class) -> Self {
        match class {
            Class::RateLimited | Class::Overloaded => Self::Pressure,
            Class::Timeout | Class::Stalled => Self::Silence,
            Class::Connection | Class::Server | Class::Unknown => Self::Fault,
            Class::Lost => Self::Lost,
            Class::Cancelled => Self::Void,
            _ => Self::Refused,
        }
    }

    /// The class in the style sheet.
    pub(crate) const fn class(self) -> &'static str {
        match self {
            Self::Void => "k-void",
            Self::Wait => "k-wait",
            Self::Held => "k-held",
            Self::Signal => "k-signal",
            Self::Person => "k-person",
            Self::Child => "k-child",
            Self::Good => "k-good",
            Self::Undo => "k-undo",
            Self::Active => "k-active",
            Self::Pressure => "k-pressure",
            Self::Silence => "k-silence",
            Self::Fault => "k-fault",
            Self::Lost => "k-lost",
            Self::Refused => "k-refused",
        }
    }

    /// The words of the legend.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Void => "taken back",
            Self::Wait => "waits to retry, sleeps",
            Self::Held => "gate, queue or pause",
            Self::Signal => "waits for a signal",
            Self::Person => "waits for a person",
            Self::Child => "child run",
            Self::Good => "went well",
            Self::Undo => "compensation",
            Self::Active => "under way",
            Self::Pressure => "rate limited, overloaded",
            Self::Silence => "timeout, stalled",
            Self::Fault => "connection, server, unknown",
            Self::Lost => "process lost",
            Self::Refused => "failed for good",
        }
    }

    /// Whether an attempt failed.
    pub(crate) const fn is_failure(self) -> bool {
        matches!(self, Self::Pressure | Self::Silence | Self::Fault | Self::Lost | Self::Refused)
    }

    /// Whether it is only a thin line: nothing was done.
    pub(crate) const fn is_thin(self) -> bool {
        matches!(self, Self::Wait | Self::Held | Self::Signal | Self::Person)
    }
}

/// A stretch of time.
#[derive(Clone, Debug)]
pub(crate) struct Bar {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    pub(crate) kind: Kind,
    pub(crate) title: String,
}

/// The height of a line, in pixels.
const HEIGHT: u32 = 14;
/// A moment is still seen.
const WIDTH_MIN: f64 = 0.25;

/// Draws bars in a line.
pub(crate) fn bars(bars: &[Bar], scale: Scale) -> Markup {
    let mut seen: Vec<&Bar> = bars.iter().filter(|bar| scale.shows(bar.from, bar.to)).collect();
    seen.sort_by_key(|bar| (!bar.kind.is_thin(), bar.from));
    html! {
        svg.bar width="100%" height=(HEIGHT) aria-hidden="true" {
            @for bar in seen { (one(bar, scale)) }
        }
    }
}

fn one(bar: &Bar, scale: Scale) -> Markup {
    let (from, to) = (scale.place(bar.from), scale.place(bar.to));
    let width = (to - from).max(WIDTH_MIN);
    let from = from.min(100.0 - width);
    let (y, height) = if bar.kind.is_thin() { (6, 3) } else { (1, 12) };
    html! {
        rect class=(bar.kind.class()) x={(format!("{from:.2}")) "%"} width={(format!("{width:.2}")) "%"} y=(y) height=(height) rx="1.5" {
            @if !bar.title.is_empty() { title { (bar.title) } }
        }
    }
}

/// The textures, once on a page that has bars.
pub(crate) fn patterns() -> Markup {
    html! {
        svg.defs width="0" height="0" aria-hidden="true" {
            defs {
                (pattern("t-pressure", "M-1 1l2-2M0 6l6-6M5 7l2-2"))
                (pattern("t-silence", "M0 1.5h6M0 4.5h6"))
                (pattern("t-fault", "M0 0l6 6M6 0l-6 6"))
                (pattern("t-lost", "M1.5 0v6M4.5 0v6"))
            }
        }
    }
}

fn pattern(id: &str, path: &str) -> Markup {
    html! {
        pattern id=(id) width="6" height="6" patternUnits="userSpaceOnUse" {
            rect.ground width="6" height="6" {}
            path.ink d=(path) {}
        }
    }
}
