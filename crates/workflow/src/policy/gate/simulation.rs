//! A thousand runs against a target with a limit and an outage, under a virtual clock: what the gate promises.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use super::{Admission, Admitted, Gate, GatePolicy, Headroom, HeldBy, Observation, Observed, Try, Window};
use crate::{Class, Decision, Failure, Money, RetryPolicy, Timestamp, Tried};

/// A token bucket that is down from `down.0` to `down.1`, and answers after `latency`.
#[derive(Clone, Copy)]
struct Target {
    per_second: f64,
    burst: f64,
    down: (Duration, Duration),
    outage: Class,
    latency: Duration,
    tells_headroom: bool,
    /// Some requests are refused for no reason.
    whim: Option<Whim>,
}

/// Refusals by chance, whatever the load.
#[derive(Clone, Copy)]
struct Whim {
    percent: u64,
    answer: Answer,
}

const TARGET: Target = Target {
    per_second: 50.0,
    burst: 50.0,
    down: (Duration::from_secs(10), Duration::from_secs(30)),
    outage: Class::Overloaded,
    latency: Duration::from_millis(3),
    tells_headroom: false,
    whim: None,
};

/// What came of it all.
#[derive(Debug)]
struct Books {
    sent: Vec<Duration>,
    finished: Duration,
    failed: usize,
    needed: usize,
}

struct World {
    target: Target,
    level: f64,
    refilled: Duration,
    gate: Gate,
    policy: RetryPolicy,
    now: Duration,
    moments: BinaryHeap<Reverse<(Duration, u64, Moment)>>,
    order: u64,
    waiting: VecDeque<Call>,
    asked_again: Option<Duration>,
    books: Books,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Call {
    run: u64,
    call: u32,
    attempt: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    Ask(Call),
    Look(Duration),
    Answer(Call, Duration, bool, Answer),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Answer {
    Fine,
    Limited(Option<Duration>),
    Down,
    Busy(Option<Duration>),
}

const CALLS: u32 = 3;

/// How long a refusal takes, if the answer takes longer.
const REFUSED: Duration = Duration::from_millis(50);

fn at(since: Duration) -> Timestamp {
    Timestamp::from_micros(1_000_000_000) + since
}

impl World {
    fn new(target: Target, runs: u64, seed: u64) -> Self {
        let mut world = Self {
            target,
            level: target.burst,
            refilled: Duration::ZERO,
            gate: Gate::new(GatePolicy::default(), seed, at(Duration::ZERO)),
            policy: RetryPolicy::default(),
            now: Duration::ZERO,
            moments: BinaryHeap::new(),
            order: 0,
            waiting: VecDeque::new(),
            asked_again: None,
            books: Books { sent: Vec::new(), finished: Duration::ZERO, failed: 0, needed: 0 },
        };
        for run in 0..runs {
            world.books.needed += CALLS as usize;
            world.at(Duration::ZERO, Moment::Ask(Call { run: run ^ seed << 20, call: 1, attempt: 1 }));
        }
        world
    }

    fn at(&mut self, when: Duration, moment: Moment) {
        self.order += 1;
        self.moments.push(Reverse((when, self.order, moment)));
    }

    fn run(mut self) -> Books {
        while let Some(Reverse((now, _, moment))) = self.moments.pop() {
            self.now = now;
            match moment {
                Moment::Ask(call) => self.waiting.push_back(call),
                Moment::Look(at) if self.asked_again != Some(at) => continue,
                Moment::Look(_) => self.asked_again = None,
                Moment::Answer(call, admitted, is_probe, answer) => {
                    self.answered(call, Admitted { at: at(admitted), is_probe }, answer);
                }
            }
            self.let_through();
        }
        assert!(self.waiting.is_empty(), "{} calls wait for ever", self.waiting.len());
        assert_eq!(self.gate.state(at(self.now)).under_way, 0);
        self.books
    }

    fn let_through(&mut self) {
        // As engines do it: whoever retries lets first attempts pass while retries have to wait.
        let (mut nth, mut passes) = (0, false);
        while let Some(call) = self.waiting.get(nth).copied() {
            if passes && call.attempt > 1 {
                nth += 1;
                continue;
            }
            let which = if call.attempt == 1 { Try::First } else { Try::Retry };
            match self.gate.admit(at(self.now), which) {
                Admission::Admit(admitted) => {
                    self.waiting.remove(nth);
                    (nth, passes) = (0, false);
                    self.books.sent.push(self.now);
                    let answer = self.answer();
                    let moment = Moment::Answer(call, self.now, admitted.is_probe, answer);
                    let latency = self.target.latency;
                    let takes = if answer == Answer::Fine { latency } else { latency.min(REFUSED) };
                    self.at(self.now + takes, moment);
                }
                Admission::Wait { until, because } => {
                    let until = until.map(|until| until.since(at(Duration::ZERO)));
                    if let Some(until) = until.filter(|until| self.asked_again.is_none_or(|at| *until < at)) {
                        assert!(until > self.now, "a wait that is over: {until:?} at {:?}", self.now);
                        self.asked_again = Some(until);
                        self.at(until, Moment::Look(until));
                    }
                    if because == HeldBy::Retries {
                        passes = true;
                        continue;
                    }
                    return;
                }
            }
        }
    }

    fn answer(&mut self) -> Answer {
        let Target { per_second, burst, down: (from, to), .. } = self.target;
        self.level = (self.level + (self.now - self.refilled).as_secs_f64() * per_second).min(burst);
        self.refilled = self.now;
        if (from..to).contains(&self.now) {
            return Answer::Down;
        }
        let draw = xxhash_rust::xxh3::xxh3_64_with_seed(b"whim", self.books.sent.len() as u64);
        if let Some(whim) = self.target.whim.filter(|whim| draw % 100 < whim.percent) {
            return whim.answer;
        }
        if self.level < 1.0 {
            return Answer::Limited(Some(Duration::from_secs_f64((1.0 - self.level) / per_second)));
        }
        self.level -= 1.0;
        Answer::Fine
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn answered(&mut self, call: Call, admitted: Admitted, answer: Answer) {
        if self.target.tells_headroom && answer != Answer::Down {
            let Target { burst, per_second, .. } = self.target;
            let reset = Duration::from_secs_f64((burst - self.level) / per_second);
            let window = Window { limit: burst as u64, remaining: self.level as u64, reset };
            let headroom = Headroom { requests: Some(window), tokens: None };
            self.gate.learn(at(self.now), &Observation::Headroom(headroom));
        }
        let failure = match answer {
            Answer::Fine => None,
            Answer::Limited(wait) => {
                Some(Failure { retry_after: wait, ..Failure::new(Class::RateLimited, "429") })
            }
            Answer::Busy(wait) => {
                Some(Failure { retry_after: wait, ..Failure::new(Class::Overloaded, "503") })
            }
            Answer::Down => Some(Failure::new(self.target.outage, "down")),
        };
        let observed = failure.as_ref().map_or(Observed::Success, Observed::of);
        self.gate.learn(at(self.now), &Observation::Ended { admitted, observed, tokens: 0 });
        let Some(failure) = failure else {
            self.books.finished = self.now;
            if call.call < CALLS {
                self.at(self.now, Moment::Ask(Call { call: call.call + 1, attempt: 1, ..call }));
            }
            return;
        };
        let tried = Tried {
            attempts: call.attempt,
            lost: 0,
            since: at(Duration::ZERO),
            cost: Money::ZERO,
            deadline: None,
        };
        match self.policy.decide(&tried, &failure, at(self.now), call.run ^ u64::from(call.call)) {
            Decision::Retry { delay, .. } => {
                self.at(self.now + delay, Moment::Ask(Call { attempt: call.attempt + 1, ..call }));
            }
            Decision::GiveUp(_) => self.books.failed += 1,
        }
    }
}

impl Books {
    #[allow(clippy::cast_precision_loss)]
    fn amplification(&self) -> f64 {
        self.sent.len() as f64 / self.needed as f64
    }

    /// The most in any second from `from` on.
    fn most_in_a_second(&self, from: Duration) -> usize {
        let sent: Vec<_> = self.sent.iter().filter(|at| **at >= from).collect();
        let mut first = 0;
        let counts = sent.iter().enumerate().map(|(last, at)| {
            while **at - *sent[first] >= Duration::from_secs(1) {
                first += 1;
            }
            last - first + 1
        });
        counts.max().unwrap_or(0)
    }
}

/// Amplification at most 1.10, no second after the outage above twice the limit, finished within 1.15 times what is
/// possible, nothing failed.
fn keeps_the_promise(target: Target, runs: u64, seed: u64) {
    let books = World::new(target, runs, seed).run();
    let second = Duration::from_secs(1);
    #[allow(clippy::cast_precision_loss)]
    let ideal = books.needed as f64 / target.per_second + (target.down.1 - target.down.0).as_secs_f64();
    let finish = books.finished.as_secs_f64() / ideal;
    #[allow(clippy::cast_precision_loss)]
    let burst = books.most_in_a_second(target.down.1) as f64 / target.per_second;
    let figures = format!(
        "seed {seed}: amplification {:.3}, burst {burst:.2}, finish {finish:.2}",
        books.amplification()
    );
    assert_eq!(books.failed, 0, "{figures}");
    assert!(books.amplification() <= 1.10, "{figures}");
    assert!(burst <= 2.0, "{figures}");
    assert!(finish <= 1.15, "{figures}");
    assert!(books.most_in_a_second(Duration::ZERO) <= target.burst as usize + 2 * 50, "{figures}");
    assert!(books.sent.iter().filter(|at| **at < second).count() <= 30, "{figures}");
}

#[test]
fn a_thousand_runs_through_a_limit_and_an_outage_keep_the_promise_over_many_seeds() {
    for seed in 0..100 {
        keeps_the_promise(TARGET, 1_000, seed);
        keeps_the_promise(Target { tells_headroom: true, ..TARGET }, 1_000, seed);
    }
}

#[test]
fn so_they_do_when_connections_break_when_answers_take_long_and_when_the_outage_comes_early() {
    for seed in 0..20 {
        keeps_the_promise(Target { outage: Class::Connection, ..TARGET }, 1_000, seed);
        keeps_the_promise(Target { latency: Duration::from_millis(300), ..TARGET }, 1_000, seed);
        let down = (Duration::from_secs(2), Duration::from_secs(22));
        keeps_the_promise(Target { down, ..TARGET }, 1_000, seed);
    }
}

#[test]
fn a_narrow_limit_is_found_without_many_refusals() {
    let down = (Duration::ZERO, Duration::ZERO);
    for (per_second, burst) in [(0.5, 1.0), (0.5, 10.0), (5.0, 5.0)] {
        let books = World::new(Target { per_second, burst, down, ..TARGET }, 200, 1).run();
        #[allow(clippy::cast_precision_loss)]
        let used = books.needed as f64 / per_second / books.finished.as_secs_f64();
        let figures =
            format!("{per_second}/s, {burst} at once: {:.3}, {used:.2} used", books.amplification());
        assert_eq!(books.failed, 0, "{figures}");
        assert!(books.amplification() < 1.08, "{figures}");
        assert!(used > 0.85, "{figures}");
    }
}

#[test]
fn one_run_with_one_call_waits_for_nothing() {
    let books = World::new(Target { down: (Duration::ZERO, Duration::ZERO), ..TARGET }, 1, 1).run();
    assert_eq!(books.sent.len(), 3);
    assert!(books.finished < Duration::from_millis(20), "{:?}", books.finished);
}

const ALWAYS_UP: (Duration, Duration) = (Duration::ZERO, Duration::ZERO);

/// Every way in which a target refuses.
fn refusals() -> [Answer; 4] {
    let second = Some(Duration::from_secs(1));
    [Answer::Limited(None), Answer::Limited(second), Answer::Busy(None), Answer::Busy(second)]
}

#[test]
fn a_few_refusals_that_have_nothing_to_do_with_the_pace_do_not_bring_it_down() {
    for percent in [2, 5, 10] {
        let whim = Some(Whim { percent, answer: Answer::Limited(Some(Duration::from_secs(1))) });
        for latency in [3, 500] {
            let latency = Duration::from_millis(latency);
            let target = Target { per_second: 1e6, burst: 1e6, down: ALWAYS_UP, latency, whim, ..TARGET };
            let books = World::new(target, 1_000, 1).run();
            let pace = books.sent.len() as f64 / books.finished.as_secs_f64();
            assert!(pace >= 5.0, "{percent} %: {pace:.1} a second");
            assert_eq!(books.failed, 0);
        }
    }
}

/// The share of what is possible that is done at a limit of 50 a second, and requests for each that was needed.
#[allow(clippy::cast_precision_loss)]
fn under_whims(whim: Whim, latency: u64, runs: u64, seed: u64) -> (f64, f64) {
    let latency = Duration::from_millis(latency);
    let target = Target { down: ALWAYS_UP, latency, whim: Some(whim), ..TARGET };
    let books = World::new(target, runs, seed).run();
    let done = books.needed - books.failed;
    // Refusals by chance take nothing of the limit.
    let possible = done as f64 / target.per_second;
    (possible / books.finished.as_secs_f64(), books.sent.len() as f64 / done as f64)
}

#[test]
fn at_a_target_that_refuses_one_in_seven_by_chance_the_limit_is_used_all_the_same() {
    for answer in refusals() {
        for percent in [12, 15, 18] {
            for (latency, seed) in [(3, 1), (100, 2), (100, 3), (500, 4)] {
                let (used, sent) = under_whims(Whim { percent, answer }, latency, 2_000, seed);
                let chance = 1.0 / (1.0 - percent as f64 / 100.0);
                let figures = format!(
                    "{answer:?}, {percent} %, {latency} ms: {used:.2} used, {sent:.2} sent of {chance:.2}"
                );
                assert!(used >= 0.45, "{figures}");
                assert!(sent <= chance * 1.2, "{figures}");
            }
        }
    }
}

#[test]
#[allow(clippy::cast_precision_loss)]
fn a_target_that_refuses_by_chance_and_is_then_down_is_not_stormed_when_it_is_back() {
    for answer in refusals() {
        for seed in 0..5 {
            let down = (Duration::from_secs(60), Duration::from_secs(80));
            let whim = Some(Whim { percent: 15, answer });
            let latency = Duration::from_millis(100);
            let books = World::new(Target { down, latency, whim, ..TARGET }, 2_000, seed).run();
            let during = books.sent.iter().filter(|at| (down.0..down.1).contains(at)).count();
            let burst = books.most_in_a_second(down.1) as f64 / TARGET.per_second;
            let figures = format!("{answer:?}, seed {seed}: {during} while it was down, burst {burst:.2}");
            assert!(during <= 100, "{figures}");
            assert!(burst <= 2.0, "{figures}");
        }
    }
}
