//! A call of a model.

use std::sync::Arc;
use std::time::Duration;

use midwatch_providers::failed_answer;
use midwatch_workflow::{Failure, StepContext};
use serde_json::{Map, Value};
use xxhash_rust::xxh3::xxh3_64;

use super::answer::Answer;
use super::bill::Bill;
use super::draft::Draft;
use super::endpoint::{Dialect, Endpoint};
use super::message::{Message, Tool};
use super::stream::{self, OnText, Silence};
use super::{anthropic, openai};
use crate::http::{Http, HttpRequest, HttpResponse};

/// Gives steps language models.
pub trait StepLlm {
    /// Begins a call of a model, `provider:model`.
    ///
    /// `anthropic:` speaks Anthropic's Messages, every other provider OpenAI's chat completions. Base URL and key come
    /// from `OPENAI_BASE_URL` and `OPENAI_API_KEY`, `ANTHROPIC_BASE_URL` and `ANTHROPIC_API_KEY`, and so for every other
    /// name, unless the call gives them.
    ///
    /// ```no_run
    /// use midwatch::{Failure, StepContext, StepLlm, step};
    ///
    /// #[step(timeout = "5m", target = "openai:gpt-4o-mini", budget_usd = "0.10")]
    /// async fn summarise(cx: StepContext, text: String) -> Result<String, Failure> {
    ///     let answer = cx
    ///         .llm("openai:gpt-4o-mini")
    ///         .system("Summarise in one sentence.")
    ///         .user(text)
    ///         .send()
    ///         .await?;
    ///     Ok(answer.text)
    /// }
    /// ```
    fn llm(&self, model: &str) -> LlmRequest;
}

impl StepLlm for StepContext {
    fn llm(&self, model: &str) -> LlmRequest {
        LlmRequest {
            cx: self.clone(),
            target: model.to_owned(),
            base_url: None,
            key: None,
            wanted: Wanted::default(),
            silence: Silence { first: FIRST_CHUNK_LIMIT, between: STALL_LIMIT },
            on_text: None,
        }
    }
}

/// Reasoning models may think for minutes before they say a word.
const FIRST_CHUNK_LIMIT: Duration = Duration::from_secs(300);
const STALL_LIMIT: Duration = Duration::from_secs(60);
const OUTPUT_TOKENS_MAX: u64 = 4096;

/// A call that is being put together; made by [`StepLlm::llm`].
#[must_use = "nothing is asked until `send`"]
pub struct LlmRequest {
    cx: StepContext,
    target: String,
    base_url: Option<String>,
    key: Option<String>,
    wanted: Wanted,
    silence: Silence,
    on_text: Option<Box<OnText>>,
}

/// What is asked for, in no provider's form.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) messages: Vec<Message>,
    pub(super) tools: Vec<Tool>,
    pub(super) output_tokens_max: u64,
    pub(super) temperature: Option<f64>,
    pub(super) stream: bool,
    extra: Map<String, Value>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            messages: Vec::new(),
            tools: Vec::new(),
            output_tokens_max: OUTPUT_TOKENS_MAX,
            temperature: None,
            stream: true,
            extra: Map::new(),
        }
    }
}

impl LlmRequest {
    /// Adds instructions.
    pub fn system(self, text: impl Into<String>) -> Self {
        self.messages([Message::system(text)])
    }

    /// Adds the user's words.
    pub fn user(self, text: impl Into<String>) -> Self {
        self.messages([Message::user(text)])
    }

    /// Adds messages, e.g. the conversation so far.
    pub fn messages(mut self, messages: impl IntoIterator<Item = Message>) -> Self {
        self.wanted.messages.extend(messages);
        self
    }

    /// Adds a tool that the model may ask for.
    pub fn tool(self, tool: Tool) -> Self {
        self.tools([tool])
    }

    /// Adds tools that the model may ask for.
    pub fn tools(mut self, tools: impl IntoIterator<Item = Tool>) -> Self {
        self.wanted.tools.extend(tools);
        self
    }

    /// Limits the output, reasoning included; 4096 tokens if nothing is said. The limit bounds what a lost call may cost.
    pub fn max_tokens(mut self, tokens: u64) -> Self {
        self.wanted.output_tokens_max = tokens;
        self
    }

    /// Sets the temperature; the provider's own if nothing is said.
    pub fn temperature(mut self, temperature: f64) -> Self {
        self.wanted.temperature = Some(temperature);
        self
    }

    /// Sets any other field of the request's body, e.g. `response_format`; it wins over what is set here.
    pub fn field(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.wanted.extra.insert(name.into(), value.into());
        self
    }

    /// Uses this endpoint instead of the environment's.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = Some(url.into());
        self
    }

    /// Uses this key instead of the environment's.
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Ends the call when the answer is silent for so long between two chunks; 60 s if nothing is said.
    pub fn stall_limit(mut self, limit: Duration) -> Self {
        self.silence.between = limit;
        self
    }

    /// Ends the call when the answer's first chunk takes longer; 5 min if nothing is said.
    pub fn first_chunk_limit(mut self, limit: Duration) -> Self {
        self.silence.first = limit;
        self
    }

    /// Is called with each piece of text as it comes. If the attempt fails, the next one begins anew.
    pub fn on_text(mut self, take: impl FnMut(&str) + Send + 'static) -> Self {
        self.on_text = Some(Box::new(take));
        self
    }

    /// Asks for the answer in one piece. Then there are no signs of life meanwhile, and an answer that is lost on its way
    /// is booked with the bound.
    pub fn whole(mut self) -> Self {
        self.wanted.stream = false;
        self
    }

    /// Asks, and waits for the whole answer.
    ///
    /// # Errors
    /// Classified by the provider's rules; `stalled` and `connection`, ambiguous, for streams that fall silent or break;
    /// `content_filtered` if the answer was withheld. What was used is booked in any case. `budget` if the call might cross
    /// one: it is not sent then.
    pub async fn send(self) -> Result<Answer, Failure> {
        let Self { cx, target, base_url, key, wanted, silence, on_text } = self;
        let endpoint = Endpoint::find(&target, base_url, key, |name| std::env::var(name).ok())?;
        let body = Arc::new(wanted.body(&endpoint));
        let (provider, output_max) = (endpoint.provider(), wanted.output_tokens_max);
        let mut bill = Bill::open(&cx, &endpoint.target, provider, &body, output_max).await?;
        let mut response = match request(&cx, &endpoint, &body).send_within(silence.first).await {
            Ok(response) => response,
            Err(failure) => {
                bill.fail(&failure);
                return Err(failure);
            }
        };
        if !is_stream(&response) {
            return whole(&endpoint, response, bill).await;
        }
        bill.begin();
        let mut on_text = on_text.unwrap_or_else(|| Box::new(|_| {}));
        let draft = stream::read(&cx, &endpoint, &mut response, silence, &mut bill, &mut *on_text).await;
        let charge = bill.settle();
        draft?.finish(&target).map(|answer| answer.charged(&charge))
    }
}

impl Wanted {
    fn body(&self, endpoint: &Endpoint) -> Value {
        let mut body = match endpoint.dialect {
            Dialect::OpenAi => openai::body(&endpoint.model, endpoint.is_official, self),
            Dialect::Anthropic => anthropic::body(&endpoint.model, self),
        };
        if let Value::Object(fields) = &mut body {
            fields.extend(self.extra.clone());
        }
        body
    }
}

fn request(cx: &StepContext, endpoint: &Endpoint, body: &Value) -> HttpRequest {
    // Several calls in one step are different requests; each keeps its key for as long as it says the same.
    let part = format!("{:016x}", xxh3_64(body.to_string().as_bytes()));
    let request =
        Http::unredirected(cx).post(&endpoint.url).provider(endpoint.provider()).key_part(part).json(body);
    match (&endpoint.key, endpoint.dialect) {
        (None, Dialect::OpenAi) => request,
        (Some(key), Dialect::OpenAi) => request.secret("authorization", &format!("Bearer {}", key.0)),
        (key, Dialect::Anthropic) => {
            let request = request.header("anthropic-version", anthropic::VERSION);
            match key {
                Some(key) => request.secret("x-api-key", &key.0),
                None => request,
            }
        }
    }
}

/// Some servers answer in one piece whatever they are asked for.
fn is_stream(response: &HttpResponse) -> bool {
    let kind = response.headers().get("content-type").map_or(&b""[..], |value| value.as_bytes());
    kind.starts_with(b"text/event-stream")
}

async fn whole(endpoint: &Endpoint, response: HttpResponse, bill: Bill) -> Result<Answer, Failure> {
    let body: Value = match response.json().await {
        Ok(body) => body,
        Err(failure) => {
            // It was carried out, and what it cost was in what is lost: the bound stays.
            bill.fail(&Failure { status: None, ..failure.clone() });
            return Err(failure);
        }
    };
    let mut draft = Draft::default();
    match endpoint.dialect {
        Dialect::OpenAi => openai::add_whole(&mut draft, &body),
        Dialect::Anthropic => anthropic::add_whole(&mut draft, &body),
    }
    let charge = bill.settle_whole(&body, &draft.text);
    if let Some(failure) = failed_answer(endpoint.provider(), &body) {
        // Booked above.
        return Err(Failure { charges: Vec::new(), ..failure });
    }
    draft.finish(&endpoint.target).map(|answer| answer.charged(&charge))
}
