//! Faults and answers that were laid down beforehand for particular requests.

use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::endpoint::Endpoint;
use crate::fault::Fault;
use crate::sync::locked;

/// One line of the script: which requests it is for, what happens to them, and how many of them.
///
/// A request takes the first cue that matches it and is not used up. Cues with a `reply` are looked at apart from the
/// others, and only when the request is really answered: a scripted 429 does not use up a scripted reply. A cue with
/// neither fault nor reply lets its requests pass, which is how "429, fine, 429" is written.
///
/// ```
/// use midwatch_simulator::{Cue, Endpoint, Fault, Reply, RetryAfter};
///
/// let script = [
///     Cue::on(Endpoint::ChatCompletions).fault(Fault::RateLimited { retry_after: RetryAfter::Seconds(2.0) }).times(2),
///     Cue::anywhere().model("gpt-4o").containing("weather").reply(Reply::tool("weather", r#"{"city":"Oslo"}"#)).always(),
/// ];
/// # let _ = script;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cue {
    /// Only requests to this endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
    /// Only requests for this model, or for this kind of effect (`charge`, `refund`, `book_flight`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Only requests whose body contains this text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub containing: Option<String>,
    /// Only requests whose `Idempotency-Key` contains this text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_containing: Option<String>,
    /// How many requests it is for; absent means one, 0 means all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// The fault that strikes them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// What a language model answers them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<Reply>,
}

impl Cue {
    /// For whatever request comes.
    pub fn anywhere() -> Self {
        Cue::default()
    }

    /// For requests to one endpoint.
    pub fn on(endpoint: Endpoint) -> Self {
        Cue { endpoint: Some(endpoint), ..Cue::default() }
    }

    /// Only for this model, or this kind of effect.
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.model = Some(model.into());
        self
    }

    /// Only for bodies that contain this text.
    pub fn containing(mut self, text: impl Into<String>) -> Self {
        self.containing = Some(text.into());
        self
    }

    /// Only for idempotency keys that contain this text.
    pub fn key_containing(mut self, text: impl Into<String>) -> Self {
        self.key_containing = Some(text.into());
        self
    }

    /// Strikes them with a fault.
    pub fn fault(mut self, fault: Fault) -> Self {
        self.fault = Some(fault);
        self
    }

    /// Answers them so.
    pub fn reply(mut self, reply: Reply) -> Self {
        self.reply = Some(reply);
        self
    }

    /// Holds for so many requests instead of one.
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// Holds for every request.
    pub fn always(self) -> Self {
        self.times(0)
    }

    fn fits(&self, request: &Request<'_>) -> bool {
        self.endpoint.is_none_or(|e| e == request.endpoint)
            && self.model.as_deref().is_none_or(|m| m == request.model)
            && self.key_containing.as_deref().is_none_or(|k| request.key.is_some_and(|key| key.contains(k)))
            && self.containing.as_deref().is_none_or(|text| request.body.contains(text))
    }
}

/// What a language model is to answer: words, tool calls, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reply {
    /// The words. Each word is billed as one token.
    pub text: String,
    /// The tool calls after the words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<ToolCall>,
}

/// A tool that the model wants called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolCall {
    /// The tool's name.
    pub name: String,
    /// Its arguments, as JSON text.
    pub arguments: String,
}

impl Reply {
    /// Answers with words.
    pub fn text(text: impl Into<String>) -> Self {
        Reply { text: text.into(), tools: Vec::new() }
    }

    /// Asks for one tool call; `arguments` is JSON text.
    pub fn tool(name: impl Into<String>, arguments: impl Into<String>) -> Self {
        Reply::text("").and_tool(name, arguments)
    }

    /// Answers with a JSON document, as a model does under a response format.
    pub fn json(value: &Value) -> Self {
        Reply::text(value.to_string())
    }

    /// Asks for one more tool call.
    pub fn and_tool(mut self, name: impl Into<String>, arguments: impl Into<String>) -> Self {
        self.tools.push(ToolCall { name: name.into(), arguments: arguments.into() });
        self
    }
}

/// What cues look at in a request.
pub(crate) struct Request<'a> {
    pub(crate) endpoint: Endpoint,
    pub(crate) model: &'a str,
    pub(crate) key: Option<&'a str>,
    pub(crate) body: &'a str,
}

/// What the script has in store for a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scripted {
    /// No cue for it.
    Nothing,
    /// A cue that lets it pass: no random fault either.
    Pass,
    /// A cue that strikes it.
    Fault(Fault),
}

/// The cues that are left.
#[derive(Debug, Default)]
pub(crate) struct Script(Mutex<Vec<Cue>>);

impl Script {
    /// At most so many cues wait at once; what is added beyond is refused.
    pub(crate) const CUES_MAX: usize = 10_000;

    /// Adds cues behind those that wait; says whether there was room.
    pub(crate) fn extend(&self, cues: impl IntoIterator<Item = Cue>) -> bool {
        let mut waiting = locked(&self.0);
        for cue in cues {
            if waiting.len() >= Self::CUES_MAX {
                return false;
            }
            waiting.push(cue);
        }
        true
    }

    /// Drops all cues.
    pub(crate) fn clear(&self) {
        locked(&self.0).clear();
    }

    /// The fault for this request; uses up its cue.
    pub(crate) fn fault(&self, request: &Request<'_>) -> Scripted {
        let cue = self.take(|cue| cue.reply.is_none() && cue.fits(request));
        match cue {
            None => Scripted::Nothing,
            Some(Cue { fault: None, .. }) => Scripted::Pass,
            Some(Cue { fault: Some(fault), .. }) => Scripted::Fault(fault),
        }
    }

    /// The answer for this request; uses up its cue.
    pub(crate) fn reply(&self, request: &Request<'_>) -> Option<Reply> {
        self.take(|cue| cue.reply.is_some() && cue.fits(request))?.reply
    }

    fn take(&self, fits: impl Fn(&Cue) -> bool) -> Option<Cue> {
        let mut waiting = locked(&self.0);
        let place = waiting.iter().position(fits)?;
        match waiting[place].times.unwrap_or(1) {
            0 => Some(waiting[place].clone()),
            1 => Some(waiting.remove(place)),
            n => {
                waiting[place].times = Some(n - 1);
                Some(waiting[place].clone())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(endpoint: Endpoint, model: &str) -> Request<'_> {
        Request { endpoint, model, key: Some("w:r:charge"), body: "say hello" }
    }

    #[test]
    fn cues_are_used_in_order_and_as_often_as_they_say() {
        let script = Script::default();
        script.extend([
            Cue::anywhere().fault(Fault::Overloaded).times(2),
            Cue::anywhere(),
            Cue::anywhere().fault(Fault::ServerError),
        ]);
        let chat = || script.fault(&request(Endpoint::ChatCompletions, "m"));
        let seen: Vec<_> = (0..5).map(|_| chat()).collect();
        let overloaded = Scripted::Fault(Fault::Overloaded);
        assert_eq!(
            seen,
            [overloaded, overloaded, Scripted::Pass, Scripted::Fault(Fault::ServerError), Scripted::Nothing]
        );
    }

    #[test]
    fn a_cue_waits_for_the_request_it_is_meant_for() {
        let script = Script::default();
        script.extend([
            Cue::on(Endpoint::Messages).fault(Fault::Overloaded),
            Cue::anywhere().model("gpt-4o").fault(Fault::Unauthorized),
            Cue::anywhere().key_containing(":refund").fault(Fault::Forbidden),
            Cue::anywhere().containing("goodbye").fault(Fault::Reset),
        ]);
        assert_eq!(script.fault(&request(Endpoint::Charges, "charge")), Scripted::Nothing);
        assert_eq!(
            script.fault(&request(Endpoint::ChatCompletions, "gpt-4o")),
            Scripted::Fault(Fault::Unauthorized)
        );
        assert_eq!(script.fault(&request(Endpoint::Messages, "x")), Scripted::Fault(Fault::Overloaded));
    }

    #[test]
    fn faults_do_not_use_up_replies() {
        let script = Script::default();
        script.extend([Cue::anywhere().reply(Reply::text("hi")), Cue::anywhere().fault(Fault::Overloaded)]);
        let chat = request(Endpoint::ChatCompletions, "m");
        assert_eq!(script.fault(&chat), Scripted::Fault(Fault::Overloaded));
        assert_eq!(script.reply(&chat), Some(Reply::text("hi")));
        assert_eq!(script.reply(&chat), None);
    }
}
