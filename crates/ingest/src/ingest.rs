//! Books what comes in: spans as attempts of runs, each once.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use midwatch_providers::Prices;
use midwatch_recorder::{Attempt, Error, NewAttempt, NewRun, Recorder, Run, workflow_id};
use midwatch_workflow::{Charge, Class, Failure, Payload, RunId, RunResult, Timestamp};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use serde_json::json;

use crate::attributes::Attributes;
use crate::plan::{Known, Moment, Plan, moments, plan};
use crate::span::{Place, Reading, Role, Seen, read};
use crate::trace::{Over, RunKey, Trace, Traces};

/// midwatch's own spans: what they tell is in a journal already.
const OWN_SCOPE: &str = "midwatch";

/// How spans are taken in.
#[derive(Clone, Debug)]
pub struct Options {
    /// The workflow's name of all runs; what spans say if nothing is said here.
    pub workflow: Option<String>,
    /// Keeps what models and tools were given, without what looks like a credential, in the inputs of attempts.
    pub keeps_content: bool,
    /// How long after its first span has ended the rest of a trace may come; what is under way then has ended too. 10 seconds.
    pub settle: Duration,
    /// How long a trace is remembered of which nothing comes. 1 hour.
    pub remembered: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            workflow: None,
            keeps_content: false,
            settle: Duration::from_secs(10),
            remembered: Duration::from_secs(3600),
        }
    }
}

/// What came of a batch.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// Spans that cannot be taken.
    pub rejected: u64,
    /// What is wrong with them.
    pub message: String,
}

/// Takes spans in. Clones share it.
#[derive(Clone)]
pub struct Ingest {
    shared: Arc<Shared>,
}

struct Shared {
    recorder: Recorder,
    prices: Prices,
    options: Options,
    /// One batch at a time: what a trace is, depends on all that came of it.
    traces: Mutex<Traces>,
}

/// The time now.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

impl Ingest {
    /// Books into what the recorder writes.
    pub fn new(recorder: Recorder, prices: Prices, options: Options) -> Self {
        Prices::warm();
        Self { shared: Arc::new(Shared { recorder, prices, options, traces: Mutex::default() }) }
    }

    /// Where it books.
    pub fn recorder(&self) -> &Recorder {
        &self.shared.recorder
    }

    /// Takes a batch in. When this returns, it outlives the process. Reads the disk.
    ///
    /// # Errors
    /// Nothing more can be recorded now. The same batch may come again: what was taken of it is known.
    pub fn take(&self, request: &ExportTraceServiceRequest, now: Timestamp) -> Result<Outcome, Error> {
        let mut outcome = Outcome::default();
        let traces = self.read(request, now, &mut outcome);
        let mut known = self.shared.traces();
        for (id, spans) in traces {
            let trace = known.of(id, now);
            let booked = Booking { shared: &self.shared, id, now }.book(&spans, trace);
            match booked {
                Ok(()) => {}
                Err(error @ Error::NotRecorded(_)) => {
                    outcome.rejected += spans.len() as u64;
                    outcome.message = error.to_string();
                }
                Err(error) => return Err(error),
            }
            self.shared.end_if_over(&known, id);
        }
        Ok(outcome)
    }

    /// Spans by trace, in the order in which traces came.
    fn read(
        &self,
        request: &ExportTraceServiceRequest,
        now: Timestamp,
        outcome: &mut Outcome,
    ) -> BTreeMap<RunId, Vec<Seen>> {
        let Shared { prices, options, .. } = &*self.shared;
        let reading = Reading { prices, keeps_content: options.keeps_content, now };
        let mut traces: BTreeMap<RunId, Vec<Seen>> = BTreeMap::new();
        for resource_spans in &request.resource_spans {
            let list = resource_spans.resource.as_ref().map_or(&[][..], |resource| &resource.attributes);
            let resource = Attributes::of(list);
            let is_foreign = |scope: Option<&str>| scope != Some(OWN_SCOPE);
            let scopes = resource_spans.scope_spans.iter();
            let foreign = scopes.filter(|of| is_foreign(of.scope.as_ref().map(|scope| scope.name.as_str())));
            for span in foreign.flat_map(|scope| &scope.spans) {
                match read(span, &resource, &reading) {
                    Ok(mut seen) => {
                        if options.workflow.is_some() {
                            seen.identity.workflow.clone_from(&options.workflow);
                        }
                        traces.entry(seen.trace).or_default().push(seen);
                    }
                    Err(wrong) => {
                        outcome.rejected += 1;
                        wrong.clone_into(&mut outcome.message);
                    }
                }
            }
        }
        traces
    }

    /// Ends what its trace has left behind, and forgets what is long over. To be called once a second or so, beside
    /// [`Recorder::tend`].
    pub fn tend(&self, now: Timestamp) {
        let options = &self.shared.options;
        let before = |time: Duration| {
            let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
            Timestamp::from_micros(now.as_micros().saturating_sub(micros))
        };
        let mut traces = self.shared.traces();
        for (run, over, open) in traces.settled(before(options.settle)) {
            self.shared.close(&run, &over, &open, &traces);
        }
        traces.forget(before(options.remembered));
    }
}

impl Shared {
    fn traces(&self) -> MutexGuard<'_, Traces> {
        self.traces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a run with its trace.
    fn end_if_over(&self, traces: &Traces, id: RunId) {
        let Some(Trace { run: Some(key), over: Some(over), .. }) = traces.get(id) else { return };
        let Some(run) = self.recorder.find(&key.0, &key.1).filter(|_| !traces.is_open(key)) else { return };
        run.end(Some(result(over.failure.clone())), over.at);
    }

    /// Ends the nodes whose spans never came, and with them the run.
    fn close(&self, key: &RunKey, over: &Over, open: &HashSet<String>, traces: &Traces) {
        let Some(run) = self.recorder.find(&key.0, &key.1) else { return };
        for attempt in open.iter().filter_map(|mark| run.under_way(mark)) {
            let charges = attempt.charges();
            let ended = match &over.failure {
                None => Ok(Payload::null()),
                Some(_) => Err(Failure::new(Class::Unknown, "its trace failed, and its own span never came")),
            };
            attempt.end(ended, charges, over.at);
        }
        if !traces.is_open(key) {
            run.end(Some(result(over.failure.clone())), over.at);
        }
    }
}

fn result(failure: Option<Failure>) -> RunResult {
    match failure {
        None => RunResult::Completed(Payload::null()),
        Some(failure) => RunResult::Failed { failure, compensated: 0, resolved: 0 },
    }
}

/// The booking of the spans of one trace that came together.
struct Booking<'i> {
    shared: &'i Shared,
    id: RunId,
    now: Timestamp,
}

impl Booking<'_> {
    fn book(&self, spans: &[Seen], trace: &mut Trace) -> Result<(), Error> {
        if let Some(key) = self.run_of_trace(spans, trace)? {
            trace.run = Some(key);
        }
        let Some(of_trace) = trace.run.clone() else {
            // Nothing here is about models yet. What the gateway booked is remembered for spans still to come.
            plan(spans, trace, |span| self.known(span, None));
            return Ok(());
        };
        let mut runs: HashMap<RunKey, Run> = HashMap::new();
        let mut keys = Vec::with_capacity(spans.len());
        for span in spans {
            let key = self.key(span, &of_trace);
            if let Entry::Vacant(free) = runs.entry(key.clone()) {
                free.insert(self.open(&key, spans)?);
            }
            keys.push(key);
        }
        let plans = plan(spans, trace, |span| self.known(span, Some(&runs[&self.key(span, &of_trace)])));
        let mut own: HashMap<usize, Attempt> = HashMap::new();
        for moment in moments(spans, &plans) {
            let run = &runs[&keys[moment.span]];
            self.tell(run, &spans[moment.span], &plans[moment.span], moment, trace, &mut own)?;
        }
        for (span, key) in spans.iter().zip(&keys) {
            runs[key].learn(marks(span, false));
        }
        if let Some(root) = spans.iter().filter(|span| span.is_root).max_by_key(|span| span.ended) {
            trace.over = Some(Over { failure: root.failure.clone(), at: root.ended });
        }
        Ok(())
    }

    fn known(&self, span: &Seen, run: Option<&Run>) -> Known {
        let is = |mark: String| run.is_some_and(|run| run.knows(&mark));
        Known {
            is_repeat: is(span.id.to_string()) || is(format!("${}", span.id)),
            is_booked: self.booked(span).is_some(),
            is_paid_below: is(format!("^{}", span.id)),
            is_paid_above: span.parent.is_some_and(|parent| is(format!("${parent}"))),
        }
    }

    /// The run in which whoever made the call has booked it.
    fn booked(&self, span: &Seen) -> Option<RunKey> {
        let recorder = &self.shared.recorder;
        let by_answer = || recorder.booked(&format!("id:{}", span.response.as_ref()?));
        let place = recorder.booked(&span.id.to_string()).or_else(by_answer)?;
        Some((place.workflow, place.workflow_id))
    }

    /// The run that the trace's spans are of; `None` if it is known already, or nothing tells.
    fn run_of_trace(&self, spans: &[Seen], trace: &Trace) -> Result<Option<RunKey>, Error> {
        let telling = || spans.iter().filter(|span| span.role != Role::Other);
        if let Some(span) = telling().find(|span| span.identity.id.is_some()) {
            let is_of = |key: &&RunKey| Some(&key.1) == span.identity.id.as_ref();
            return match trace.run.as_ref().filter(is_of) {
                Some(_) => Ok(None),
                None => self.named(span, spans),
            };
        }
        if trace.run.is_some() {
            return Ok(None);
        }
        let booked = spans.iter().find_map(|span| self.booked(span));
        Ok(booked.or_else(|| {
            let span = telling().next()?;
            Some((workflow(span, spans), workflow_id(&self.id.to_string())?))
        }))
    }

    /// The run that a span names; one of that name is taken whatever its workflow, unless the span names that too.
    fn named(&self, span: &Seen, spans: &[Seen]) -> Result<Option<RunKey>, Error> {
        let Some(id) = span.identity.id.clone() else { return Ok(None) };
        let is_told = spans.iter().any(|span| span.identity.workflow.is_some());
        let known = if is_told { None } else { self.shared.recorder.named(&id)? };
        Ok(Some((known.unwrap_or_else(|| workflow(span, spans)), id)))
    }

    fn key(&self, span: &Seen, of_trace: &RunKey) -> RunKey {
        match &span.identity.id {
            Some(id) if *id != of_trace.1 && span.role != Role::Other => (of_trace.0.clone(), id.clone()),
            _ => of_trace.clone(),
        }
    }

    fn open(&self, (workflow, id): &RunKey, spans: &[Seen]) -> Result<Run, Error> {
        let recorder = &self.shared.recorder;
        if let Some(run) = recorder.find(workflow, id) {
            return Ok(run);
        }
        let began = spans.iter().map(|span| span.began).min().unwrap_or(self.now);
        let outermost = spans.iter().find(|span| span.parent.is_none()).or(spans.last());
        let mut new = NewRun::new(workflow.clone(), id.clone(), began);
        if id.as_str() == self.id.to_string() {
            new.run = self.id;
        }
        new.is_held = true;
        new.input = payload(&json!({"otlp": {"trace": self.id}}));
        new.tenant = spans.iter().find_map(|span| span.identity.tenant.clone());
        new.traceparent = outermost.map(|span| format!("00-{}-{}-01", self.id, span.id));
        recorder.run(new, self.now)
    }

    /// Tells the recorder of one beginning or end.
    fn tell(
        &self,
        run: &Run,
        span: &Seen,
        plan: &Plan,
        moment: Moment,
        trace: &mut Trace,
        own: &mut HashMap<usize, Attempt>,
    ) -> Result<(), Error> {
        match plan {
            Plan::Nothing => {}
            Plan::Own(_) if !moment.is_end => {
                own.insert(moment.span, run.begin(self.own_attempt(span), span.began)?);
            }
            Plan::Own(charge) => {
                if let Some(attempt) = own.remove(&moment.span) {
                    attempt.end(ended(span), charge.iter().cloned().collect(), span.ended);
                }
            }
            Plan::Node(place, _) if !moment.is_end => {
                self.node(run, place, span, span.began, trace)?.leave();
            }
            Plan::Node(place, charge) => {
                let attempt = self.node(run, place, span, span.began, trace)?;
                let charges = with(attempt.charges(), charge);
                if !run.knows(&span.id.to_string()) {
                    attempt.beat_as(
                        &marks(span, charge.is_some()),
                        &Payload::null(),
                        charges.clone(),
                        span.ended,
                    );
                }
                attempt.end(ended(span), charges, span.ended);
                trace.open.remove(&mark(self.id, place));
                trace.nodes.insert(place.key, span.ended);
            }
            Plan::Within(place, charge) => {
                let attempt = self.node(run, place, span, span.began, trace)?;
                let charges = with(attempt.charges(), charge);
                attempt.beat_as(&marks(span, charge.is_some()), &progress(span), charges, span.ended);
                attempt.leave();
            }
        }
        Ok(())
    }

    fn own_attempt(&self, span: &Seen) -> NewAttempt {
        let mut input = json!({"trace": self.id});
        if let Some(content) = &span.content {
            input["given"] = json!(content);
        }
        let parent = span.parent.map_or(0, |parent| u64::from_be_bytes(parent.0));
        NewAttempt {
            input: Some(payload(&input)),
            target: span.target.clone().map(Into::into),
            same: Some(same(parent, &span.name)),
            mark: Some(span.id.to_string()),
            also: marks(span, span.charge.is_some()),
            is_watched: true,
            ..NewAttempt::new(span.name.clone())
        }
    }

    /// The attempt at a node that is under way, or a new one.
    fn node(
        &self,
        run: &Run,
        place: &Place,
        span: &Seen,
        at: Timestamp,
        trace: &mut Trace,
    ) -> Result<Attempt, Error> {
        let mark = mark(self.id, place);
        if let Some(attempt) = run.under_way(&mark) {
            return Ok(attempt);
        }
        let is_own = matches!(span.role, Role::Node(_));
        let mut input = json!({"trace": self.id});
        if let Some(content) = span.content.as_ref().filter(|_| is_own) {
            input["given"] = json!(content);
        }
        let new = NewAttempt {
            input: Some(payload(&input)),
            same: Some(same(place.key, &place.name)),
            mark: Some(mark.clone()),
            also: if is_own { vec![span.id.to_string()] } else { Vec::new() },
            is_watched: true,
            timeout: Duration::from_secs(24 * 3600),
            ..NewAttempt::new(place.name.clone())
        };
        trace.open.insert(mark);
        run.begin(new, at)
    }
}

/// The workflow's name: as any of the spans says, or else as its program is called.
fn workflow(span: &Seen, spans: &[Seen]) -> String {
    let told = span.identity.workflow.as_ref();
    let told = told.or_else(|| spans.iter().find_map(|span| span.identity.workflow.as_ref()));
    told.unwrap_or(&span.identity.program).clone()
}

fn mark(trace: RunId, place: &Place) -> String {
    format!("{}/{:016x}", &trace.to_string()[..16], place.key)
}

/// By what a span is known again; with `$` if it is counted, and with `^` what it is in.
fn marks(span: &Seen, is_counted: bool) -> Vec<String> {
    if !is_counted {
        return vec![span.id.to_string()];
    }
    let mut marks = vec![format!("${}", span.id)];
    marks.extend(span.parent.map(|parent| format!("^{parent}")));
    marks
}

fn same(place: u64, name: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(name.as_bytes(), place)
}

fn ended(span: &Seen) -> Result<Payload, Failure> {
    match &span.failure {
        Some(failure) => Err(failure.clone()),
        None => Ok(Payload::null()),
    }
}

fn with(mut charges: Vec<Charge>, more: &Option<Charge>) -> Vec<Charge> {
    charges.extend(more.clone());
    charges
}

/// What of a part people see while its node is under way.
fn progress(span: &Seen) -> Payload {
    let done = match &span.target {
        Some(target) => format!("{} {target}", span.name),
        None => span.name.clone(),
    };
    match &span.failure {
        Some(failure) => payload(&json!({"failed": done, "class": failure.class})),
        None => payload(&json!({"done": done})),
    }
}

fn payload(value: &serde_json::Value) -> Payload {
    Payload::of(value).unwrap_or_else(|_| Payload::null())
}
