//! Which trace a run belongs to, and what its spans are called: computed and never drawn, so that what a step sends to
//! others, what its logs carry and what is exported after a crash all say the same.
//!
//! This is the only place where such an id is made.

use std::fmt;

use serde::{Serialize, Serializer};
use xxhash_rust::xxh3::Xxh3;

use crate::{OpId, RunId, RunInfo, RunStarted};

/// The target of the `tracing` spans that attempts' logs stand in.
pub const LOG_TARGET: &str = "midwatch::attempt";

/// The id of a span: 8 bytes, never all zero. Displayed and serialized as 16 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId([u8; 8]);

/// What a span of a run's trace stands for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SpanOf<'a> {
    /// The run, from its start, or from where it was last rewound, to its end.
    Run,
    /// The mark that the run began, or went on after it was rewound: seen long before the run ends.
    Started,
    /// A use of a step, with all its attempts.
    Step {
        /// The step's name.
        step: &'a str,
        /// The how-manieth use of it, from 1.
        nth: u32,
    },
    /// One attempt at a step.
    Attempt {
        /// The step's name.
        step: &'a str,
        /// The how-manieth use of it, from 1.
        nth: u32,
        /// Which attempt, from 1.
        attempt: u32,
    },
    /// The time that an attempt was held back, before it started.
    Held(OpId),
    /// A wait that the workflow asked for: a timer, a signal, a person.
    Wait(OpId),
    /// A child run, as its parent sees it.
    Child(RunId),
    /// Something that began with this event, such as a pause.
    Event(u64),
}

impl SpanId {
    /// The id of a span of a run that was rewound so many times before: attempts after a rewind are numbered anew.
    pub fn of(run: RunId, rewinds: u32, what: SpanOf<'_>) -> Self {
        let mut hash = Xxh3::new();
        hash.update(run.as_bytes());
        match what {
            SpanOf::Attempt { step, nth, attempt } => {
                hash.update(step.as_bytes());
                hash.update(&nth.to_be_bytes());
                hash.update(&attempt.to_be_bytes());
            }
            // A name begins with no zero byte, so these are apart from attempts and from each other.
            SpanOf::Run => hash.update(b"\0run"),
            SpanOf::Started => hash.update(b"\0started"),
            SpanOf::Step { step, nth } => {
                hash.update(b"\0step");
                hash.update(step.as_bytes());
                hash.update(&nth.to_be_bytes());
            }
            SpanOf::Held(op) => {
                hash.update(b"\0held");
                hash.update(&op.0.to_be_bytes());
            }
            SpanOf::Wait(op) => {
                hash.update(b"\0wait");
                hash.update(&op.0.to_be_bytes());
            }
            SpanOf::Child(child) => {
                hash.update(b"\0child");
                hash.update(child.as_bytes());
            }
            SpanOf::Event(event) => {
                hash.update(b"\0event");
                hash.update(&event.to_be_bytes());
            }
        }
        // The run id of a child is another one after each rewind.
        if rewinds > 0 && !matches!(what, SpanOf::Child(_)) {
            hash.update(&rewinds.to_be_bytes());
        }
        Self(hash.digest().max(1).to_be_bytes())
    }

    /// Takes the 8 bytes of a span id; `None` if all are zero.
    pub fn from_bytes(bytes: [u8; 8]) -> Option<Self> {
        (bytes != [0; 8]).then_some(Self(bytes))
    }

    /// Returns the 8 bytes.
    pub fn to_bytes(self) -> [u8; 8] {
        self.0
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for SpanId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A span of a trace, as a W3C `traceparent` names it. Displayed as one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Traceparent {
    /// The trace.
    pub trace: [u8; 16],
    /// The span in it.
    pub span: SpanId,
    /// Whether who began the trace has it recorded: what follows from it goes by that.
    pub is_sampled: bool,
}

impl Traceparent {
    /// Reads a `traceparent`: version, trace, span and flags in lower-case hex, joined by `-`. Of later versions than 00
    /// what is known is read and the rest is passed over, as the recommendation says. `None` if it is no such thing.
    ///
    /// <https://www.w3.org/TR/trace-context/#traceparent-header>
    ///
    /// ```
    /// use midwatch_workflow::Traceparent;
    /// let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    /// assert_eq!(Traceparent::read(text).unwrap().to_string(), text);
    /// assert_eq!(Traceparent::read("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"), None);
    /// ```
    pub fn read(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let version = hex(parts.next()?, 2)?;
        let (trace, span) = (hex(parts.next()?, 32)?, hex(parts.next()?, 16)?);
        let flags = hex(parts.next()?, 2)?;
        let is_whole = version != 0 || parts.next().is_none();
        let span = SpanId::from_bytes(u64::try_from(span).ok()?.to_be_bytes())?;
        let read = Self { trace: trace.to_be_bytes(), span, is_sampled: flags & 1 == 1 };
        (version != 0xff && is_whole && trace != 0).then_some(read)
    }
}

/// So many lower-case hex digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_hex = text.len() == digits && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    is_hex.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = u8::from(self.is_sampled);
        write!(f, "00-{:032x}-{}-{flags:02x}", u128::from_be_bytes(self.trace), self.span)
    }
}

impl RunStarted {
    /// The span that the run is part of, if its start brought one.
    pub fn part_of(&self) -> Option<Traceparent> {
        self.traceparent.as_deref().and_then(Traceparent::read)
    }

    /// The run's trace: that of the `traceparent` that its start brought, or its own id.
    pub fn trace(&self) -> [u8; 16] {
        self.part_of().map_or(*self.run.as_bytes(), |part| part.trace)
    }

    /// Whether that trace is recorded: as its `traceparent` says; one that begins with the run is.
    pub fn is_sampled(&self) -> bool {
        self.part_of().is_none_or(|part| part.is_sampled)
    }
}

impl RunInfo {
    /// What all attempts of a run share, after it was rewound so many times.
    pub fn of(start: &RunStarted, rewinds: u32) -> Self {
        Self {
            run: start.run,
            workflow_id: start.workflow_id.clone(),
            workflow: start.workflow.clone().into(),
            trace: start.trace(),
            is_sampled: start.is_sampled(),
            tenant: start.tenant.clone(),
            rewinds,
        }
    }

    /// The `traceparent` that a child run of this one starts with: it belongs to the same trace.
    pub fn child_traceparent(&self, child: RunId) -> String {
        let span = SpanId::of(self.run, self.rewinds, SpanOf::Child(child));
        Traceparent { trace: self.trace, span, is_sampled: self.is_sampled }.to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn spans_of_a_run_are_told_apart_and_are_the_same_every_time() {
        let (run, other) = (RunId::from_bytes([1; 16]), RunId::from_bytes([2; 16]));
        let spans = [
            SpanOf::Run,
            SpanOf::Started,
            SpanOf::Step { step: "run", nth: 1 },
            SpanOf::Attempt { step: "run", nth: 1, attempt: 1 },
            SpanOf::Attempt { step: "run", nth: 1, attempt: 2 },
            SpanOf::Attempt { step: "run", nth: 2, attempt: 1 },
            SpanOf::Held(OpId(1)),
            SpanOf::Wait(OpId(1)),
            SpanOf::Event(1),
        ];
        let all = || {
            let runs = [(run, 0), (run, 1), (run, 2), (other, 0)];
            runs.into_iter().flat_map(|(run, rewinds)| spans.map(|what| SpanId::of(run, rewinds, what)))
        };
        assert_eq!(all().collect::<BTreeSet<_>>().len(), 4 * spans.len());
        assert!(all().eq(all()));
    }

    #[test]
    fn a_run_and_its_children_are_recorded_as_who_began_the_trace_says() {
        for (traceparent, is_sampled) in [
            (None, true),
            (Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), true),
            (Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"), false),
            (Some("no traceparent"), true),
        ] {
            let run = RunId::from_bytes([1; 16]);
            let traceparent = traceparent.map(str::to_owned);
            let start = RunStarted { traceparent: traceparent.clone(), ..RunStarted::bare(run, "w") };
            let info = RunInfo::of(&start, 0);
            assert_eq!(info.is_sampled, is_sampled, "{traceparent:?}");
            let child = Traceparent::read(&info.child_traceparent(RunId::from_bytes([2; 16]))).unwrap();
            assert_eq!((child.trace, child.is_sampled), (start.trace(), is_sampled));
        }
    }

    #[test]
    fn a_traceparent_is_read_as_the_recommendation_says() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        for (good, flags) in [
            ("00-T-b7ad6b7169203331-00", "00"),
            ("01-T-b7ad6b7169203331-01-more", "01"),
            (" 00-T-b7ad6b7169203331-01 ", "01"),
            ("00-T-b7ad6b7169203331-03", "01"),
            ("00-T-b7ad6b7169203331-02", "00"),
        ] {
            let read = Traceparent::read(&good.replace('T', trace)).unwrap();
            assert_eq!(read.to_string(), format!("00-{trace}-b7ad6b7169203331-{flags}"), "{good}");
        }
        for bad in [
            "",
            "00-T-b7ad6b7169203331",
            "00-T-b7ad6b7169203331-01-more",
            "ff-T-b7ad6b7169203331-01",
            "00-T-B7AD6B7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(Traceparent::read(&bad.replace('T', trace)), None, "{bad}");
        }
    }
}
