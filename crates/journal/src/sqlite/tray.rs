//! Where tasks wait for the writer's thread: taken by the batch, so that a crowd costs one lock and one bell, not one each.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::writer::Task;

/// Tasks in the order in which they came. Unbounded in number here; runs bound it, which have one append under way each.
#[derive(Default)]
pub(super) struct Tray {
    contents: Mutex<Contents>,
    bell: Condvar,
}

#[derive(Default)]
struct Contents {
    tasks: VecDeque<Task>,
    /// Whether the thread still writes or answers some that it took.
    are_in_hand: bool,
    /// Whether the thread lets appends come, and is not to be woken for one.
    is_gathering: bool,
    is_closed: bool,
}

impl Tray {
    /// Hands a task over. Once the tray is closed it is dropped, which answers it.
    pub(super) fn put(&self, task: Task) {
        let mut contents = self.contents();
        if contents.is_closed {
            drop(contents);
            return drop(task);
        }
        let is_append = task.is_append();
        contents.tasks.push_back(task);
        // The thread waits while there is nothing, or nothing but appends.
        let is_awaited = if contents.is_gathering { !is_append } else { contents.tasks.len() == 1 };
        if is_awaited {
            self.bell.notify_one();
        }
    }

    /// Waits until there is something, or no longer than `limit`, and takes what is there. What was taken before is done.
    pub(super) fn take(&self, into: &mut VecDeque<Task>, limit: Option<Duration>) {
        let is_empty = |contents: &mut Contents| contents.tasks.is_empty();
        let mut contents = self.contents();
        contents.are_in_hand = false;
        let mut contents = match limit {
            None => self.bell.wait_while(contents, is_empty).unwrap_or_else(PoisonError::into_inner),
            Some(limit) => {
                let waited = self.bell.wait_timeout_while(contents, limit, is_empty);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        contents.are_in_hand = contents.tasks.iter().any(|task| !matches!(task, Task::Look));
        std::mem::swap(&mut contents.tasks, into);
    }

    /// Lets appends come for so long, and takes them too. Whatever else comes ends it: somebody waits for that.
    pub(super) fn gather(&self, into: &mut VecDeque<Task>, limit: Duration) {
        let are_appends = |contents: &mut Contents| contents.tasks.iter().all(Task::is_append);
        let mut contents = self.contents();
        contents.is_gathering = true;
        let waited = self.bell.wait_timeout_while(contents, limit, are_appends);
        let mut contents = waited.unwrap_or_else(PoisonError::into_inner).0;
        contents.is_gathering = false;
        into.append(&mut contents.tasks);
    }

    /// Whether nothing waits, nor is in the thread's hands: who writes now overtakes nobody.
    pub(super) fn is_clear(&self) -> bool {
        let contents = self.contents();
        contents.tasks.is_empty() && !contents.are_in_hand
    }

    /// Drops, and thereby answers, what waits and whatever comes later.
    pub(super) fn close(&self) {
        let mut contents = self.contents();
        contents.is_closed = true;
        let left = std::mem::take(&mut contents.tasks);
        // An answer may bring another task.
        drop(contents);
        drop(left);
    }

    /// Nothing that can panic is done while it is held.
    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
