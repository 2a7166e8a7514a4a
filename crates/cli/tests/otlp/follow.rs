//! `midwatch trace --follow` as a process beside the one that writes, killed in the middle.

use std::collections::BTreeMap;
use std::time::Duration;

use midwatch_observe::trace::Tracer;

use crate::machine::{Running, midwatch};
use crate::place::{Place, told};
use crate::receiver::{Received, Tap};

/// What is said of a span by its id.
type Spans = BTreeMap<String, (String, String)>;

/// By id; the same id must say the same each time.
fn by_id(received: &[Received]) -> Spans {
    let mut spans = Spans::new();
    for span in received {
        let said = (span.parent.clone(), span.name.clone());
        let before = spans.insert(span.id.clone(), said.clone());
        assert!(before.is_none_or(|before| before == said), "{span:?}");
    }
    spans
}

#[test]
fn a_follower_that_is_killed_again_and_again_loses_no_span_and_makes_up_none() {
    let Some(tap) = Tap::start() else { return };
    let place = Place::new();
    let journal = place.owner();
    let tales: Vec<_> = (1..=60)
        .map(|n| {
            told(n, Duration::ZERO, |tale| {
                tale.usual_work(n);
                tale.complete();
            })
        })
        .collect();
    let expected: Spans = tales
        .iter()
        .flat_map(|tale| Tracer::of(&tale.events).unwrap().1)
        .map(|span| {
            let parent = span.parent.map(|parent| parent.to_string()).unwrap_or_default();
            (span.id.to_string(), (parent, span.name.into_owned()))
        })
        .collect();
    let follow = || {
        let mut command = midwatch(place.path());
        command.args(["trace", "--follow", "--from-start", "--otlp"]).arg(tap.url());
        Running::announced(command).0
    };
    let mut seen = 0;
    for tales in tales.chunks(20) {
        let follower = follow();
        tales.iter().for_each(|tale| place.write(&journal, tale));
        // It has sent something that it had not sent before, and most likely not all.
        seen = by_id(&tap.until(|spans| by_id(spans).len() > seen)).len();
        follower.kill();
    }
    let last = follow();
    let received = tap.until(|spans| by_id(spans).len() >= expected.len());
    assert!(last.stop().success());
    assert_eq!(by_id(&received), expected);
    // It was told to stop in order, so the next one has nothing to say.
    let (mut command, before) = (midwatch(place.path()), tap.until(|_| true).len());
    command.args(["trace", "--follow", "--otlp"]).arg(tap.url());
    let (next, said) = Running::announced(command);
    assert_eq!(said["following"]["endpoint"], format!("{}/v1/traces", tap.url()));
    assert!(next.stop().success());
    assert_eq!(tap.until(|_| true).len(), before);
}
