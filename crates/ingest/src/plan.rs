//! What becomes of the spans that came together: which are attempts, which are parts of one, and what each is counted with.
//! Pure, but for what it remembers of each trace.

use std::collections::HashMap;

use midwatch_workflow::{Charge, Timestamp};

use crate::span::{Place, Role, Seen, SpanId};
use crate::trace::Trace;

/// What becomes of one span.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Plan {
    /// Nothing is recorded.
    Nothing,
    /// It is an attempt of its own, from its beginning to its end.
    Own(Option<Charge>),
    /// It happens within a node.
    Within(Place, Option<Charge>),
    /// It is the attempt at a node.
    Node(Place, Option<Charge>),
}

/// Something to be told, at its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Moment {
    pub(crate) span: usize,
    pub(crate) is_end: bool,
}

/// What is known of a span elsewhere.
pub(crate) struct Known {
    /// It was taken in before.
    pub(crate) is_repeat: bool,
    /// Its call is booked by whoever made it.
    pub(crate) is_booked: bool,
    /// Something below it is counted, as the journal says.
    pub(crate) is_paid_below: bool,
    /// What it is within is counted, as the journal says.
    pub(crate) is_paid_above: bool,
}

/// Decides on the spans of one trace that came together; one plan for each.
pub(crate) fn plan(spans: &[Seen], trace: &mut Trace, known: impl Fn(&Seen) -> Known) -> Vec<Plan> {
    let places: HashMap<SpanId, usize> = spans.iter().enumerate().map(|(at, span)| (span.id, at)).collect();
    let mut plans = vec![Plan::Nothing; spans.len()];
    for at in innermost_first(spans) {
        let span = &spans[at];
        let known = known(span);
        let is_paid = count(span, &known, trace);
        if known.is_repeat {
            continue;
        }
        let charge = span.charge.clone().filter(|_| !is_paid);
        let is_told = is_paid && !known.is_booked;
        plans[at] =
            of(span, charge, is_told, || node_above(spans, &places, span).or_else(|| said_node(span, trace)));
    }
    plans
}

/// Children before their parents, as far as time tells.
fn innermost_first(spans: &[Seen]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..spans.len()).collect();
    order.sort_by_key(|at| (spans[*at].ended, std::cmp::Reverse(spans[*at].began)));
    // A parent that began and ended with its child, to the microsecond, comes after it all the same.
    let places: HashMap<SpanId, usize> =
        order.iter().enumerate().map(|(place, at)| (spans[*at].id, place)).collect();
    let is_late = |place: usize, at: usize| {
        spans[at].parent.and_then(|parent| places.get(&parent)).is_some_and(|parent| *parent < place)
    };
    if order.iter().enumerate().any(|(place, at)| is_late(place, *at)) {
        let depth: Vec<usize> = spans.iter().map(|span| depth(spans, span)).collect();
        order.sort_by_key(|at| (spans[*at].ended, std::cmp::Reverse(depth[*at])));
    }
    order
}

fn depth(spans: &[Seen], span: &Seen) -> usize {
    ancestors(spans, &spans.iter().enumerate().map(|(at, span)| (span.id, at)).collect(), span).count()
}

fn ancestors<'s>(
    spans: &'s [Seen],
    places: &'s HashMap<SpanId, usize>,
    span: &'s Seen,
) -> impl Iterator<Item = &'s Seen> {
    let parent = |span: &'s Seen| Some(&spans[*places.get(&span.parent?)?]);
    std::iter::successors(parent(span), move |span| parent(span)).take(200)
}

/// Notes what is paid for, and gives whether this span is.
fn count(span: &Seen, known: &Known, trace: &mut Trace) -> bool {
    trace.counted.came(span.id, span.parent);
    let is_within = span.parent.is_some_and(|parent| trace.counted.is_at(parent)) || known.is_paid_above;
    let is_above = trace.counted.is_below(span.id) || known.is_paid_below;
    let is_paid = is_within || is_above || known.is_booked;
    if is_within || span.charge.is_some() || known.is_booked {
        trace.counted.at(span.id);
    }
    if (is_above || span.charge.is_some() || known.is_booked)
        && let Some(parent) = span.parent
    {
        trace.counted.below(parent);
    }
    is_paid
}

/// `is_told`: another span tells of the same call.
fn of(span: &Seen, charge: Option<Charge>, is_told: bool, node: impl FnOnce() -> Option<Place>) -> Plan {
    match &span.role {
        Role::Node(place) => Plan::Node(place.clone(), charge),
        Role::Call if is_told => Plan::Nothing,
        Role::Call | Role::Tool => match node() {
            Some(place) => Plan::Within(place, charge),
            // Whoever made the call has an attempt for it.
            None if span.role == Role::Call && span.charge.is_some() && charge.is_none() => Plan::Nothing,
            None => Plan::Own(charge),
        },
        // An agent says what all of it used: that counts where none of its calls was told.
        Role::Whole if charge.is_some() => Plan::Own(charge),
        Role::Whole | Role::Other => Plan::Nothing,
    }
}

fn node_above(spans: &[Seen], places: &HashMap<SpanId, usize>, span: &Seen) -> Option<Place> {
    ancestors(spans, places, span).find_map(|above| match &above.role {
        Role::Node(place) => Some(place.clone()),
        _ => None,
    })
}

/// The node that the span says it is in, unless that has ended already.
fn said_node(span: &Seen, trace: &Trace) -> Option<Place> {
    let place = span.within.clone()?;
    let is_late = trace.nodes.get(&place.key).is_some_and(|ended| span.ended <= *ended);
    (!is_late).then_some(place)
}

/// When what is to be told: parents begin before and end after their children.
pub(crate) fn moments(spans: &[Seen], plans: &[Plan]) -> Vec<Moment> {
    let mut moments: Vec<(Timestamp, u8, i64, Moment)> = Vec::new();
    for (at, (span, plan)) in spans.iter().zip(plans).enumerate() {
        let length = i64::try_from(span.ended.since(span.began).as_micros()).unwrap_or(i64::MAX);
        // What ends comes before what begins, unless it is one and the same moment.
        let end = Moment { span: at, is_end: true };
        let begin = Moment { span: at, is_end: false };
        match plan {
            Plan::Nothing => {}
            Plan::Within(..) => moments.push((span.ended, 0, length, end)),
            Plan::Own(_) | Plan::Node(..) => {
                moments.push((span.began, 1, -length, begin));
                moments.push((span.ended, u8::from(length == 0) * 2, length, end));
            }
        }
    }
    moments.sort_by_key(|(at, kind, length, _)| (*at, *kind, *length));
    moments.into_iter().map(|(.., moment)| moment).collect()
}
