//! Who has logged in.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::door::{Who, secret};
use crate::error::Trouble;

/// A night's watch and the morning after.
pub(super) const LIFE: Duration = Duration::from_secs(12 * 3600);
/// More than this are not remembered; the oldest must log in again.
const SESSIONS_MAX: usize = 1_000;

/// Sessions by their secret.
#[derive(Default)]
pub(crate) struct Sessions {
    by_id: Mutex<HashMap<String, (Instant, Who)>>,
}

impl Sessions {
    /// Begins one and gives its secret.
    pub(super) fn begin(&self, by: String) -> Result<String, Trouble> {
        let (id, csrf) = (secret().map_err(|_| Trouble::Lost)?, secret().map_err(|_| Trouble::Lost)?);
        let mut sessions = self.lock();
        sessions.retain(|_, (since, _)| since.elapsed() < LIFE);
        if sessions.len() >= SESSIONS_MAX {
            let oldest = sessions.iter().min_by_key(|(_, (since, _))| *since).map(|(id, _)| id.clone());
            oldest.map(|id| sessions.remove(&id));
        }
        sessions.insert(id.clone(), (Instant::now(), Who { by, csrf, has_session: true }));
        Ok(id)
    }

    pub(super) fn find(&self, id: &str) -> Option<Who> {
        let sessions = self.lock();
        sessions.get(id).filter(|(since, _)| since.elapsed() < LIFE).map(|(_, who)| who.clone())
    }

    /// Ends the session whose forms carry this word.
    pub(super) fn end(&self, csrf: &str) {
        self.lock().retain(|_, (_, who)| who.csrf != csrf);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (Instant, Who)>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
