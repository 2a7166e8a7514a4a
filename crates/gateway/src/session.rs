//! Calls that say of no run where they belong: whoever calls from one place with one key has one run, until it is quiet.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, header};
use midwatch_recorder::workflow_id;
use midwatch_workflow::{Timestamp, WorkflowId};
use xxhash_rust::xxh3::Xxh3;

/// So many sessions are known at once; the longest quiet ones are forgotten first.
const SESSIONS_MAX: usize = 10_000;

/// The sessions.
#[derive(Debug)]
pub(crate) struct Sessions {
    idle: Duration,
    calls_max: u64,
    known: Mutex<HashMap<u64, Session>>,
}

#[derive(Debug)]
struct Session {
    id: WorkflowId,
    calls: u64,
    last: Timestamp,
}

impl Sessions {
    pub(crate) fn new(idle: Duration, calls_max: u64) -> Self {
        Self { idle, calls_max: calls_max.max(1), known: Mutex::default() }
    }

    /// The workflow id of the session that a call belongs to, `None` if that cannot be made.
    pub(crate) fn of(&self, who: u64, now: Timestamp) -> Option<WorkflowId> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = known.get_mut(&who)
            && session.calls < self.calls_max
            && now.since(session.last) < self.idle
        {
            session.calls += 1;
            session.last = now;
            return Some(session.id.clone());
        }
        if known.len() >= SESSIONS_MAX {
            let idle = self.idle;
            known.retain(|_, session| now.since(session.last) < idle);
            if known.len() >= SESSIONS_MAX {
                known.clear();
            }
        }
        let id = workflow_id(&format!("session-{:08x}-{}", who >> 32, now.as_micros()))?;
        known.insert(who, Session { id: id.clone(), calls: 1, last: now });
        Some(id)
    }
}

/// Stands for who calls: the key or the credentials, the address, and what the client calls itself. A hash, so that no
/// credential is kept.
pub(crate) fn who(key: Option<&str>, peer: IpAddr, headers: &HeaderMap) -> u64 {
    let mut hash = Xxh3::new();
    let mut add = |part: &[u8]| {
        hash.update(&part.len().to_le_bytes());
        hash.update(part);
    };
    match key {
        Some(key) => add(key.as_bytes()),
        None => {
            for name in ["authorization", "x-api-key"] {
                add(headers.get(name).map_or(&b""[..], |value| value.as_bytes()));
            }
        }
    }
    add(peer.to_string().as_bytes());
    add(headers.get(header::USER_AGENT).map_or(&b""[..], |value| value.as_bytes()));
    hash.digest()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(second: u64) -> Timestamp {
        Timestamp::from_micros(1_790_000_000_000_000 + second * 1_000_000)
    }

    #[test]
    fn a_session_lasts_until_it_is_quiet_or_full() {
        let sessions = Sessions::new(Duration::from_secs(60), 3);
        let first = sessions.of(1, at(0));
        assert_eq!(sessions.of(1, at(59)), first);
        assert_ne!(sessions.of(2, at(59)), first, "somebody else");
        assert_eq!(sessions.of(1, at(118)), first);
        let second = sessions.of(1, at(119));
        assert_ne!(second, first, "three calls are all that it takes");
        assert_ne!(sessions.of(1, at(179)), second, "a minute is over");
    }
}
