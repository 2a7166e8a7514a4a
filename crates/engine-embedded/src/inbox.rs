//! The journal's inbox: messages that other processes left, such as those of the command line.

use std::sync::Arc;
use std::time::Duration;

use midwatch_journal::Journal;
use midwatch_workflow::{EngineError, Message, RunId};
use tokio::time::sleep;

const LETTERS_AT_ONCE: usize = 256;

/// Passes on what comes in, for ever. A letter is removed after `send` has recorded it; if the process dies between, it
/// comes again: signals carry the letter's number as their id, and the other messages are harmless twice.
pub async fn read_inbox<F>(journal: Arc<dyn Journal>, poll: Duration, send: impl Fn(RunId, Message) -> F)
where
    F: Future<Output = Result<(), EngineError>>,
{
    let mut answered: Vec<u64> = Vec::new();
    loop {
        // What was taken is taken away at once, so that hardly a crash comes between.
        if answered.is_empty() {
            sleep(poll).await;
        }
        let (reader, done) = (Arc::clone(&journal), answered.clone());
        let letters = tokio::task::spawn_blocking(move || reader.letters(&done, LETTERS_AT_ONCE)).await;
        let letters = match letters {
            Ok(Ok(letters)) => letters,
            Ok(Err(error)) => {
                tracing::warn!(%error, "inbox could not be read");
                sleep(poll).await;
                continue;
            }
            Err(_) => return,
        };
        answered.clear();
        for letter in letters {
            match send(letter.run, identified(letter.message, letter.id)).await {
                // Not refused, only not heard: it stays and comes again.
                Err(EngineError::Stopped | EngineError::Unavailable(_)) => continue,
                Err(refused) => tracing::warn!(run = %letter.run, %refused, "message from the inbox"),
                Ok(()) => {}
            }
            answered.push(letter.id);
        }
    }
}

fn identified(message: Message, letter: u64) -> Message {
    match message {
        Message::Signal { name, payload, id: None } => {
            Message::Signal { name, payload, id: Some(format!("letter:{letter}")) }
        }
        other => other,
    }
}
