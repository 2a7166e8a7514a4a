//! What of a run is shown, as its address says.

use midwatch_workflow::{RunId, Timestamp};

use crate::draw::Scale;
use crate::link;

/// What of a run is shown.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct RunView {
    pub(crate) run: RunId,
    /// The window on the timeline, in microseconds after the start.
    pub(crate) window: Option<(u64, u64)>,
    /// Which page of what happened; the one that matters if none is named.
    pub(crate) page: Option<usize>,
    pub(crate) only: Only,
}

/// Which entries are listed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) enum Only {
    /// All.
    #[default]
    All,
    /// What failed, or was undone.
    Trouble,
}

impl RunView {
    pub(crate) fn of(run: RunId) -> Self {
        Self { run, window: None, page: None, only: Only::All }
    }

    /// Reads an address.
    pub(crate) fn parse(run: RunId, get: impl Fn(&str) -> Option<String>) -> Self {
        let window = get("w").and_then(|window| {
            let (from, to) = window.split_once('-')?;
            let (from, to) = (from.parse().ok()?, to.parse().ok()?);
            (from < to).then_some((from, to))
        });
        let page = get("page").and_then(|page| page.parse().ok()).filter(|page| *page > 0);
        let only = if get("only").as_deref() == Some("trouble") { Only::Trouble } else { Only::All };
        Self { run, window, page, only }
    }

    /// Its address.
    pub(crate) fn link(&self) -> String {
        let only = if self.only == Only::Trouble { "trouble".to_owned() } else { String::new() };
        let window = self.window.map(|(from, to)| format!("{from}-{to}")).unwrap_or_default();
        let page = self.page.map(|page| page.to_string()).unwrap_or_default();
        link::with(&link::run(self.run), [("w", window), ("only", only), ("page", page)])
    }

    /// The same with another window, on the page that matters.
    pub(crate) fn with_window(&self, window: Option<(u64, u64)>) -> Self {
        Self { window, page: None, ..self.clone() }
    }

    /// The time that is shown of a run.
    pub(crate) fn scale(&self, start: Timestamp, end: Timestamp) -> Scale {
        let after = |micros| Timestamp::from_micros(start.as_micros().saturating_add(micros));
        match self.window {
            Some((from, to)) => Scale { from: after(from), to: after(to) },
            None => Scale { from: start, to: end },
        }
    }
}
