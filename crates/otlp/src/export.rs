//! Sending spans once, for a run that somebody wants to look at.

use midwatch_observe::trace::Span;

use crate::send::{SendError, Sender};

/// What a collector took.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Exported {
    /// So many spans.
    pub taken: u64,
    /// So many it will never take.
    pub refused: u64,
    /// And what it said of those.
    pub why: String,
}

/// Sends spans, and gives what the collector made of them.
///
/// # Errors
/// [`SendError::Away`], at once: whoever asked is there to ask again.
pub async fn export(sender: &Sender, spans: Vec<Span>) -> Result<Exported, SendError> {
    let mut exported = Exported::default();
    for piece in sender.pieces(&spans) {
        let taken = sender.send(&piece).await?;
        exported.taken += (piece.len() as u64).saturating_sub(taken.left_out);
        exported.refused += taken.left_out;
        if taken.left_out > 0 {
            exported.why = taken.why;
        }
    }
    Ok(exported)
}
