//! The place of an attempt at a step at the gateway in its own process: what it calls with, and the calls that it has under
//! way.
//!
//! A call is booked in the attempt: its bound is reserved before it is sent, within all budgets of its engine, and what it
//! cost takes the bound's place. When the attempt ends, whatever is under way is settled with what has been seen of it, and
//! cut.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use http::StatusCode;
use midwatch_providers::StreamMeter;
use midwatch_workflow::{
    Certainty, Charge, Class, Failure, KEY_BYTES_MAX, Payload, Reservation, StepContext,
};
use tokio::sync::Notify;

use crate::in_process::Desk;
use crate::reading::lock;
use crate::refusal::Refusal;
use crate::wire::Wire;

/// What the gateway in a process lends to an attempt at a step.
pub struct Seat {
    cx: StepContext,
    desk: Weak<Desk>,
    wire: Arc<Wire>,
    /// By what the attempt's calls are known; made when it is first asked for.
    token: OnceLock<String>,
    calls: Mutex<Calls>,
    /// Rings when the attempt has ended.
    over: Notify,
}

#[derive(Default)]
struct Calls {
    next: u64,
    under_way: HashMap<u64, UnderWay>,
    /// What went wrong last, until somebody asks.
    failure: Option<Failure>,
    is_over: bool,
}

struct UnderWay {
    reservation: Reservation,
    /// Once the answer has begun.
    seen: Option<Seen>,
}

/// What was seen of an answer so far.
#[derive(Clone)]
struct Seen {
    /// Who is paid.
    target: String,
    meter: Arc<Mutex<StreamMeter>>,
    wire: Arc<Wire>,
}

impl Seen {
    fn charge(&self) -> Charge {
        let (report, certainty) = lock(&self.meter).report();
        let charge = Charge { certainty, ..report.charge(&self.target) };
        self.wire.price(charge, &report)
    }
}

/// Why a call of an attempt is not made.
pub(crate) enum Denied {
    /// A budget is in the way.
    Budget(Box<Failure>),
    /// The attempt has ended.
    Over,
}

/// A call that is under way.
pub(crate) struct Booking {
    seat: Arc<Seat>,
    call: u64,
}

/// Ends an attempt's calls with it.
pub struct Leave(pub(crate) Arc<Seat>);

impl Drop for Leave {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl Seat {
    pub(crate) fn new(cx: StepContext, desk: &Arc<Desk>) -> Arc<Self> {
        let (desk, wire) = (Arc::downgrade(desk), Arc::clone(&desk.wire));
        let (token, calls, over) = (OnceLock::new(), Mutex::default(), Notify::new());
        Arc::new(Self { cx, desk, wire, token, calls, over })
    }

    /// The attempt.
    pub(crate) fn cx(&self) -> &StepContext {
        &self.cx
    }

    /// The base URL, ending in `/v1`, by which calls to this upstream are this attempt's; worth nothing once it has ended.
    ///
    /// # Errors
    /// Class `bug` if there is no such upstream, or the gateway or the attempt is over.
    pub fn base_url(self: &Arc<Self>, upstream: &str) -> Result<String, Failure> {
        let bug = |what: &str| Failure::new(Class::Bug, what.to_owned());
        if !self.wire.config.upstreams.contains_key(upstream) {
            return Err(bug(&format!(
                "the gateway has no upstream `{upstream}`: name it in `GatewayOptions`"
            )));
        }
        let desk = self.desk.upgrade().ok_or_else(|| bug("the gateway of this process is closed"))?;
        let calls = self.lock();
        if calls.is_over {
            return Err(bug("the attempt is over: its calls are no longer booked"));
        }
        let token = match self.token.get() {
            Some(token) => token,
            None => {
                let made = desk.admit(self).map_err(|error| bug(&error))?;
                self.token.get_or_init(|| made)
            }
        };
        drop(calls);
        Ok(format!("http://{}/attempt/{token}/up/{upstream}/v1", desk.address))
    }

    /// What a client's error means: the failure that the gateway met last in this attempt, with its class and wait, or else
    /// `error` as class `unknown`.
    pub fn failure(&self, error: impl Error + 'static) -> Failure {
        let met = self.lock().failure.take();
        met.unwrap_or_else(|| {
            Failure::new(Class::Unknown, "the client failed, and the gateway saw no failure")
                .source(error)
                .ambiguous()
        })
    }

    /// No foreign code runs under the lock, so a poisoned one still holds a whole state.
    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The idempotency key of a request: the step's, and what stands for the request. The same on every attempt.
    pub(crate) fn key(&self, same: u64) -> String {
        let part = format!("/{same:016x}");
        let key = self.cx.idempotency_key();
        let kept = key.floor_char_boundary(KEY_BYTES_MAX - part.len());
        format!("{}{part}", &key[..kept])
    }

    /// Reserves what a call may cost.
    ///
    /// # Errors
    /// [`Denied`]; see [`refuse`](Self::refuse).
    pub(crate) async fn reserve(self: &Arc<Self>, bound: &Charge) -> Result<Booking, Denied> {
        let reserved = self.cx.reserve(bound.clone()).await;
        let reservation = reserved.map_err(|failure| Denied::Budget(Box::new(failure)))?;
        let mut calls = self.lock();
        if calls.is_over {
            drop(calls);
            reservation.release();
            return Err(Denied::Over);
        }
        calls.next += 1;
        let call = calls.next;
        calls.under_way.insert(call, UnderWay { reservation, seen: None });
        Ok(Booking { seat: Arc::clone(self), call })
    }

    /// What the client of a call hears that is not made; the step hears of a budget with its own failure.
    pub(crate) fn refuse(&self, denied: Denied) -> Refusal {
        match denied {
            Denied::Over => over(),
            Denied::Budget(failure) => {
                let refusal = Refusal::budget(failure.message.clone());
                self.lock().failure = Some(*failure);
                refusal
            }
        }
    }

    /// Waits until the attempt has ended.
    pub(crate) async fn ended(&self) {
        let mut over = std::pin::pin!(self.over.notified());
        over.as_mut().enable();
        if !self.lock().is_over {
            over.await;
        }
    }

    /// Ends what is under way: what was seen of it is booked, and of what nothing was seen the bound stays.
    fn leave(&self) {
        let under_way = {
            let mut calls = self.lock();
            calls.is_over = true;
            std::mem::take(&mut calls.under_way)
        };
        for call in under_way.into_values() {
            if let Some(seen) = call.seen {
                call.reservation.settle(seen.charge());
            }
        }
        if let (Some(token), Some(desk)) = (self.token.get(), self.desk.upgrade()) {
            desk.forget(token);
        }
        self.over.notify_waiters();
    }
}

impl Booking {
    /// The attempt.
    pub(crate) fn cx(&self) -> &StepContext {
        &self.seat.cx
    }

    /// The answer has begun: from now on what was seen counts, and no longer the bound.
    pub(crate) fn follow(&self, target: &str, meter: &Arc<Mutex<StreamMeter>>) {
        if let Some(call) = self.seat.lock().under_way.get_mut(&self.call) {
            // An engine that drops the attempt closes its books first, and asks what has been seen.
            let seen = Seen {
                target: target.to_owned(),
                meter: Arc::clone(meter),
                wire: Arc::clone(&self.seat.wire),
            };
            call.seen = Some(seen.clone());
            call.reservation.follow(move || seen.charge());
        }
    }

    /// Keeps what went wrong, before the client hears of it.
    pub(crate) fn met(&self, failure: &Failure) {
        self.seat.lock().failure = Some(failure.clone());
    }

    /// Books what the call came to, unless its attempt has ended.
    pub(crate) fn settle(self, result: &Result<Payload, Failure>, charges: &[Charge]) {
        // Of a client that went away nothing is said: why it did, it knows itself.
        if let Some(failure) = result.as_ref().err().filter(|failure| failure.class != Class::Cancelled) {
            self.met(failure);
        }
        let Some(call) = self.seat.lock().under_way.remove(&self.call) else { return };
        match charges.split_first() {
            None => call.reservation.release(),
            // Nobody knows better: the bound stays.
            Some((bound, [])) if bound.certainty == Certainty::Bound => drop(call.reservation),
            Some((first, more)) => {
                call.reservation.settle(first.clone());
                more.iter().for_each(|charge| self.seat.cx.charge(charge.clone()));
            }
        }
    }
}

/// The attempt that a call would belong to is over.
pub(crate) fn over() -> Refusal {
    let what =
        "the attempt that this URL was made for has ended: ask its context for the URL of the next one";
    Refusal::new(StatusCode::GONE, "attempt_over", what)
}
