//! What an address names.

use std::collections::HashSet;
use std::sync::Arc;

use midwatch_workflow::RunId;

use super::cost::CostView;
use super::events::EventsView;
use super::runs::RunsView;
use super::{cost, events, now, runs, stalls, value, workflows};
use crate::app::App;
use crate::error::Trouble;
use crate::page::Page;
use crate::run::{self, RunView};

/// A page, as its address names it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum View {
    Now,
    Runs(RunsView),
    Run(RunView),
    Events(EventsView),
    Cost(CostView),
    Stalls,
    Workflows,
}

impl View {
    /// Reads an address.
    pub(crate) fn parse(path: &str, query: &str) -> Result<Self, Trouble> {
        let get = |name: &str| value(query, name);
        Ok(match path {
            "/" => Self::Now,
            "/runs" => Self::Runs(RunsView::parse(get)?),
            "/cost" => Self::Cost(CostView::parse(get)?),
            "/stalls" => Self::Stalls,
            "/workflows" => Self::Workflows,
            _ => {
                let run = path.strip_prefix("/runs/").unwrap_or_default();
                let (run, is_events) = run.strip_suffix("/events").map_or((run, false), |run| (run, true));
                let none = |_| Trouble::NotFound(format!("there is nothing at {path}"));
                let run: RunId = run.parse().map_err(none)?;
                match is_events {
                    true => Self::Events(EventsView::parse(run, get)),
                    false => Self::Run(RunView::parse(run, get)),
                }
            }
        })
    }

    /// Names it among pages that are shared.
    pub(crate) fn key(&self) -> String {
        format!("{self:?}")
    }

    /// Whether it may change under the eyes of who stays.
    pub(crate) fn is_live(&self) -> bool {
        !matches!(self, Self::Events(_) | Self::Cost(_))
    }

    /// Whether changes of these runs show on it; of any, if nobody counted.
    pub(crate) fn shows(&self, changed: Option<&HashSet<RunId>>) -> bool {
        match (self, changed) {
            (Self::Run(view), Some(changed)) => changed.contains(&view.run),
            _ => true,
        }
    }

    /// How many events the run has whose page it is, which says whether that can have changed. Blocks.
    pub(crate) fn events(&self, app: &Arc<App>) -> Result<Option<usize>, Trouble> {
        let Self::Run(view) = self else { return Ok(None) };
        Ok(app.shelf.told(&app.journal, view.run)?.map(|told| told.events.len()))
    }

    /// Renders it. Blocks.
    pub(crate) fn render(&self, app: &Arc<App>) -> Result<Page, Trouble> {
        match self {
            Self::Now => now::render(app),
            Self::Runs(view) => runs::render(app, view),
            Self::Run(view) => run::render(app, view),
            Self::Events(view) => events::render(app, view),
            Self::Cost(view) => cost::render(app, view),
            Self::Stalls => stalls::render(app),
            Self::Workflows => workflows::render(app),
        }
    }
}
