//! How a gate stands, in a line.

use midwatch_workflow::Timestamp;
use midwatch_workflow::gate::{GateView, HeldBy};

use super::{amount, time};

/// `closed until 02:17:40 for openai:gpt-4o, 23 attempts wait`, or at what pace it is open.
pub(crate) fn line(gate: &GateView, now: Timestamp) -> String {
    let state = &gate.state;
    let stands = match state.closed {
        Some(closed) if closed.because == HeldBy::Circuit => {
            let looks = match state.is_probing {
                true => "one attempt is finding out".to_owned(),
                false => format!("the next try is due {}", time::near(closed.until, now)),
            };
            format!("closed for {}, which is down; {looks}", gate.target)
        }
        Some(closed) => format!("closed until {} for {}", time::near(closed.until, now), gate.target),
        None => format!("open for {} at {:.1} a second", gate.target, state.rate),
    };
    let verb = if gate.waiting == 1 { "waits" } else { "wait" };
    format!("{stands}, {} {verb}", amount::counted(gate.waiting as u64, "attempt"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use midwatch_workflow::gate::GateClosed;
    use midwatch_workflow::{Gate, GatePolicy};

    use super::*;

    #[test]
    fn a_gate_says_until_when_it_is_closed_for_whom_and_how_many_wait() {
        let now = Timestamp::from_micros(1_795_485_600_000_000);
        let mut state = Gate::new(GatePolicy::default(), 1, now).state(now);
        let view = |state, waiting| GateView { target: "openai:gpt-4o".into(), waiting, state };
        assert_eq!(line(&view(state, 1), now), "open for openai:gpt-4o at 10.0 a second, 1 attempt waits");
        let until = now + Duration::from_secs(20);
        state.closed = Some(GateClosed { until, because: HeldBy::CoolDown });
        let at = time::near(until, now);
        assert_eq!(
            line(&view(state, 23), now),
            format!("closed until {at} for openai:gpt-4o, 23 attempts wait")
        );
        state.closed = Some(GateClosed { until, because: HeldBy::Circuit });
        assert_eq!(
            line(&view(state, 2), now),
            format!("closed for openai:gpt-4o, which is down; the next try is due {at}, 2 attempts wait")
        );
    }
}
