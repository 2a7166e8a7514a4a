//! The page of one run: the verdict with its evidence, the timeline to scale, every attempt, and what can be done.

mod actions;
mod attempt;
mod bars;
mod entry;
mod head;
mod map;
mod render;
mod verdict;
mod view;

pub(crate) use render::render;
pub(crate) use view::RunView;
