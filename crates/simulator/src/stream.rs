//! Streams of server-sent events: what is sent, where it breaks, and what is billed for it.

use std::io;
use std::time::Duration;

use axum::body::Bytes;
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::watch;

use crate::ledger::{Ticket, Tokens};

/// A whole stream, ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Transcript {
    /// The events before the first token.
    pub(crate) opening: Bytes,
    /// The events of each token.
    pub(crate) tokens: Vec<Bytes>,
    /// The events after the last token, usage included.
    pub(crate) closing: Bytes,
    /// The event that says the stream failed.
    pub(crate) failure: Bytes,
    /// The bill for the whole stream.
    pub(crate) bill: Tokens,
    /// What of the bill the opening tells.
    pub(crate) told_at_opening: Tokens,
    /// Whether the closing tells the bill.
    pub(crate) told_at_closing: bool,
}

impl Transcript {
    /// The bill if the stream ends after so many tokens: the whole input, the reasoning that came before the first
    /// visible token, and the tokens generated so far.
    pub(crate) fn bill_after(&self, sent: u64) -> Tokens {
        let generated = self.bill.reasoning + sent.min(self.tokens.len() as u64);
        Tokens { output: generated.max(self.told_at_opening.output), ..self.bill }
    }
}

/// How a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// As it should.
    Complete,
    /// The connection closes after so many tokens.
    Cut { after: u64 },
    /// Silence after so many tokens, and then the connection closes.
    Stall { after: u64, silence: Duration },
    /// An error event after so many tokens.
    Failure { after: u64 },
}

impl Ending {
    /// How many of `all` tokens are sent; a break beyond the last token comes just before the closing.
    fn tokens(self, all: u64) -> u64 {
        match self {
            Ending::Complete => all,
            Ending::Cut { after } | Ending::Stall { after, .. } | Ending::Failure { after } => after.min(all),
        }
    }
}

/// A stream under way. When it is dropped before its end, the client went away, and the tokens so far are billed.
pub(crate) struct Play {
    transcript: Transcript,
    ending: Ending,
    per_token: Duration,
    ticket: Option<Ticket>,
    stop: watch::Receiver<bool>,
    sent: u64,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Opening,
    Tokens,
    Done,
}

impl Play {
    pub(crate) fn new(
        transcript: Transcript,
        ending: Ending,
        per_token: Duration,
        ticket: Ticket,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Play { transcript, ending, per_token, ticket: Some(ticket), stop, sent: 0, stage: Stage::Opening }
    }

    /// The events, as a response body takes them. An error in it closes the connection.
    pub(crate) fn events(self) -> impl Stream<Item = io::Result<Bytes>> + Send {
        unfold(self, |mut play| async move { play.next().await.map(|item| (item, play)) })
    }

    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        match self.stage {
            Stage::Opening => {
                self.stage = Stage::Tokens;
                Some(Ok(self.transcript.opening.clone()))
            }
            Stage::Tokens if self.sent < self.ending.tokens(self.transcript.tokens.len() as u64) => {
                if !self.per_token.is_zero() {
                    tokio::time::sleep(self.per_token).await;
                }
                let token = self.transcript.tokens[self.sent as usize].clone();
                self.sent += 1;
                Some(Ok(token))
            }
            Stage::Tokens => self.end().await,
            Stage::Done => None,
        }
    }

    /// Books the stream before its last event leaves, so that whoever saw the end finds it in the ledger.
    async fn end(&mut self) -> Option<io::Result<Bytes>> {
        match self.ending {
            Ending::Complete => {
                let told = if self.transcript.told_at_closing {
                    self.transcript.bill
                } else {
                    self.transcript.told_at_opening
                };
                self.book(self.transcript.bill, told);
                self.stage = Stage::Done;
                Some(Ok(self.transcript.closing.clone()))
            }
            Ending::Failure { .. } => {
                self.book(self.transcript.bill_after(self.sent), self.transcript.told_at_opening);
                self.stage = Stage::Done;
                Some(Ok(self.transcript.failure.clone()))
            }
            Ending::Cut { .. } => {
                self.book(self.transcript.bill_after(self.sent), self.transcript.told_at_opening);
                self.stage = Stage::Done;
                // The tokens so far must leave before the connection does.
                tokio::task::yield_now().await;
                Some(Err(io::ErrorKind::ConnectionAborted.into()))
            }
            Ending::Stall { silence, .. } => {
                self.book(self.transcript.bill_after(self.sent), self.transcript.told_at_opening);
                self.stage = Stage::Done;
                wait(silence, &mut self.stop).await;
                Some(Err(io::ErrorKind::ConnectionAborted.into()))
            }
        }
    }

    fn book(&mut self, billed: Tokens, told: Tokens) {
        if let Some(mut ticket) = self.ticket.take() {
            ticket.bill(billed, told);
            ticket.close();
        }
    }
}

impl Drop for Play {
    fn drop(&mut self) {
        if let Some(mut ticket) = self.ticket.take() {
            let told = match self.stage {
                Stage::Opening => Tokens::default(),
                _ => self.transcript.told_at_opening,
            };
            ticket.bill(self.transcript.bill_after(self.sent), told);
            ticket.client_gone(told);
        }
    }
}

/// Waits, or until the simulator stops.
pub(crate) async fn wait(time: Duration, stop: &mut watch::Receiver<bool>) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        _ = stop.wait_for(|stopped| *stopped) => {}
    }
}
