//! A run's trace: its events as finished spans, the same whoever computes them, and however often.
//!
//! [`Tracer`] takes events one after another and gives each span once, as soon as nothing can change it any more: an
//! attempt when it ends, a step when it is settled, the run when it has ended. Ids are those that the engine sends along
//! ([`midwatch_workflow::SpanId`]), so a span that is exported twice, before and after a crash, is the same span.
//!
//! What a rewind voids stays in the trace. What follows it stands under a run span of its own, below the one before.
//! Of a fork only what it did itself is told; what it keeps of its parent stands in the parent's trace.
//!
//! Inputs, outputs and signals are never part of a span.

mod build;
mod fold;
mod open;
pub mod semconv;
mod span;
mod tree;

pub use fold::Tracer;
pub use span::{Attributes, Happening, Kind, Link, Role, Span, State, Value};
pub use tree::{Node, tree};

use midwatch_workflow::{Event, Timestamp};

/// All spans of a run, those that are not over at `now` included; `None` if the first event is no start.
pub fn spans(events: &[Event], now: Timestamp) -> Option<Vec<Span>> {
    let (tracer, mut spans) = Tracer::of(events)?;
    spans.extend(tracer.open(now));
    Some(spans)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use midwatch_workflow::{EventKind, Spent};

    use super::*;
    use crate::Timeline;
    use crate::corpus::incidents;

    /// All histories of the corpus, each as it stands and as it would be had it ended.
    fn histories() -> impl Iterator<Item = (String, Vec<Event>, Timestamp)> {
        incidents().into_iter().map(|incident| (incident.name, incident.facts.events, incident.facts.now))
    }

    #[test]
    fn every_span_has_an_id_of_its_own_and_a_parent_that_is_there() {
        for (name, events, now) in histories() {
            let spans = spans(&events, now).unwrap();
            let ids: BTreeSet<_> = spans.iter().map(|span| span.id).collect();
            assert_eq!(ids.len(), spans.len(), "{name}: {spans:#?}");
            for span in &spans {
                let is_there = span.parent.is_none_or(|parent| ids.contains(&parent));
                assert!(is_there || span.is_parent_elsewhere, "{name}: {span:#?}");
                assert!(span.start <= span.end, "{name}: {span:#?}");
            }
            let roots = spans.iter().filter(|span| span.parent.is_none_or(|parent| !ids.contains(&parent)));
            assert_eq!(roots.count(), 1, "{name}");
        }
    }

    #[test]
    fn a_tracer_that_is_made_anew_anywhere_goes_on_as_the_one_before() {
        for (name, events, _) in histories() {
            let Some((_, whole)) = Tracer::of(&events) else { continue };
            for split in 1..events.len() {
                if matches!(events[split].kind, EventKind::Rewound { .. }) {
                    continue;
                }
                let (mut tracer, mut spans) = Tracer::of(&events[..split]).unwrap();
                for (event, before) in events[split..].iter().zip(split..) {
                    match event.kind {
                        EventKind::Rewound { to, .. } => {
                            tracer.rewind(&events[..before], to, event.at, &mut spans);
                        }
                        _ => tracer.apply(event, &mut spans),
                    }
                }
                assert_eq!(spans, whole, "{name} at {split}");
            }
        }
    }

    #[test]
    fn attempts_and_runs_cost_what_the_timeline_says() {
        for (name, events, now) in histories() {
            let timeline = Timeline::of(&events).unwrap();
            let is_fork = timeline.start.forked_from.is_some();
            let spans = spans(&events, now).unwrap();
            let sum = |kind: Kind, key: &str| -> f64 {
                let of = spans.iter().filter(|span| span.kind == kind);
                of.filter_map(|span| match span.attribute(key) {
                    Some(Value::Float(number)) => Some(*number),
                    Some(Value::Int(number)) => Some(*number as f64),
                    _ => None,
                })
                .sum()
            };
            let spent: Spent = timeline.spent;
            let tokens = sum(Kind::Attempt, semconv::LLM_TOKENS);
            assert!(is_fork || tokens == spent.usage.tokens() as f64, "{name}: {tokens} {spent:?}");
            let dollars = sum(Kind::Attempt, semconv::LLM_COST);
            assert!(is_fork || (dollars - spent.cost.as_usd()).abs() < 1e-9, "{name}: {dollars} {spent:?}");
        }
    }

    #[test]
    fn a_tree_shows_every_span_once_below_its_parent() {
        for (name, events, now) in histories() {
            let spans = spans(&events, now).unwrap();
            let nodes = tree(&spans);
            let shown = spans.iter().filter(|span| span.kind != Kind::Started).count();
            assert_eq!(nodes.len(), shown, "{name}");
            let mut depths = BTreeMap::new();
            for node in nodes {
                let above = node.span.parent.and_then(|parent| depths.get(&parent).copied());
                assert_eq!(node.depth, above.map_or(0, |depth: usize| depth + 1), "{name}");
                depths.insert(node.span.id, node.depth);
            }
        }
    }
}
