//! What a language model answers: a function of seed and prompt, the same for every provider's dialect.
//!
//! The tokens are the simulator's own, simple enough to be checked by hand: four characters of input are a token, and
//! so is each word (or each four characters of a tool call's arguments) of output.

use serde_json::{Map, Value, json};

use crate::config::Answers;
use crate::draw::{hash, mix, unit};
use crate::ledger::Tokens;
use crate::script::{Reply, ToolCall};

/// What a model is asked, taken out of a provider's request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prompt {
    pub(crate) model: String,
    /// The request without the fields that only say how to deliver it; what the answer depends on.
    pub(crate) essence: Value,
    /// Characters of input, in all roles, and of tool definitions.
    pub(crate) chars: u64,
    /// Messages of input; each costs four tokens beside its characters.
    pub(crate) messages: u64,
    /// Tools on offer.
    pub(crate) tools: Vec<Tool>,
    /// Whether one of them must be called.
    pub(crate) tool_required: bool,
    /// Turns in which tools were already called.
    pub(crate) tool_rounds: u64,
    /// The most output tokens, reasoning included.
    pub(crate) output_max: Option<u64>,
    /// The schema that the answer must follow, if it is to be JSON.
    pub(crate) json_schema: Option<Value>,
    /// How this provider caches.
    pub(crate) cache: Cache,
    /// Whether the model reasons before it speaks.
    pub(crate) reasons: bool,
}

/// A tool on offer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tool {
    pub(crate) name: String,
    pub(crate) parameters: Value,
}

/// How input is cached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Cache {
    /// Not at all.
    #[default]
    Off,
    /// By itself, from 1,024 tokens on and in steps of 128, as OpenAI does; reads only.
    Automatic,
    /// Where the request marks it (`cache_control`), as Anthropic does; writes and reads. So many characters are marked.
    Marked { chars: u64 },
}

/// What the model answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Completion {
    /// Tells this answer from others; ids are made of it.
    pub(crate) draw: u64,
    pub(crate) parts: Vec<Part>,
    pub(crate) finish: Finish,
    pub(crate) tokens: Tokens,
}

/// A stretch of the answer; each piece is one token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Text(Vec<String>),
    /// The call itself is one token more than its argument pieces.
    Tool {
        id: u64,
        name: String,
        pieces: Vec<String>,
    },
}

/// Why the answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    Stop,
    Length,
    Tools,
}

impl Prompt {
    /// Input tokens.
    pub(crate) fn input(&self) -> u64 {
        self.chars.div_ceil(4) + 4 * self.messages + 3
    }

    /// What the model answers: `reply` if one was scripted.
    pub(crate) fn complete(&self, seed: u64, answers: &Answers, reply: Option<Reply>) -> Completion {
        let draw = hash(seed, &[self.model.as_bytes(), self.essence.to_string().as_bytes()]);
        let reply = reply.unwrap_or_else(|| self.invent(draw, answers));
        let reasoning = self.reasoning(draw);
        let visible_max = self.output_max.map_or(u64::MAX, |max| max.saturating_sub(reasoning).max(1));
        let (parts, cut) = parts(&reply, draw, visible_max);
        let finish = match (cut, reply.tools.is_empty()) {
            (true, _) => Finish::Length,
            (false, true) => Finish::Stop,
            (false, false) => Finish::Tools,
        };
        let visible: u64 = parts.iter().map(Part::tokens).sum();
        let (cached, cache_write) = self.cached(draw);
        let tokens =
            Tokens { input: self.input(), output: visible + reasoning, cached, cache_write, reasoning };
        Completion { draw, parts, finish, tokens }
    }

    fn invent(&self, draw: u64, answers: &Answers) -> Reply {
        if let Some(tool) = self.tool(draw, answers) {
            let arguments = instance(&tool.parameters, mix(draw, 3), 0);
            return Reply::tool(tool.name.clone(), arguments.to_string());
        }
        if let Some(schema) = &self.json_schema {
            return Reply::json(&instance(schema, mix(draw, 4), 0));
        }
        let span = answers.tokens_max - answers.tokens_min + 1;
        Reply::text(words(mix(draw, 5), answers.tokens_min + mix(draw, 6) % span))
    }

    /// The tool to call next, if the model wants one: a few rounds of tools, then words.
    fn tool(&self, draw: u64, answers: &Answers) -> Option<&Tool> {
        if self.tools.is_empty() {
            return None;
        }
        let eager = self.tool_rounds == 0 || unit(mix(draw, 1)) < 0.5;
        let wanted = answers.tool_rounds_max > self.tool_rounds && eager;
        (wanted || self.tool_required).then(|| &self.tools[(mix(draw, 2) % self.tools.len() as u64) as usize])
    }

    /// Reasoning tokens: never more than half of what may be said.
    fn reasoning(&self, draw: u64) -> u64 {
        if !self.reasons {
            return 0;
        }
        (64 + mix(draw, 7) % 192).min(self.output_max.map_or(u64::MAX, |max| max / 2))
    }

    /// Tokens read from and written to the cache.
    fn cached(&self, draw: u64) -> (u64, u64) {
        let warm = mix(draw, 8).is_multiple_of(2);
        match self.cache {
            Cache::Automatic if warm && self.input() >= 1024 => ((self.input() - 1) / 128 * 128, 0),
            Cache::Marked { chars } if chars / 4 >= 1024 => {
                if warm {
                    (chars / 4, 0)
                } else {
                    (0, chars / 4)
                }
            }
            _ => (0, 0),
        }
    }
}

impl Part {
    pub(crate) fn tokens(&self) -> u64 {
        match self {
            Part::Text(pieces) => pieces.len() as u64,
            Part::Tool { pieces, .. } => 1 + pieces.len() as u64,
        }
    }
}

impl Completion {
    /// All words of the answer.
    pub(crate) fn text(&self) -> String {
        let texts = self.parts.iter().filter_map(|part| match part {
            Part::Text(pieces) => Some(pieces.concat()),
            Part::Tool { .. } => None,
        });
        texts.collect()
    }
}

/// Cuts a reply into parts of at most `max` tokens; says whether something was cut off.
fn parts(reply: &Reply, draw: u64, max: u64) -> (Vec<Part>, bool) {
    let mut left = max;
    let mut cut = false;
    let mut take = |pieces: Vec<String>| {
        let room = usize::try_from(left).unwrap_or(usize::MAX);
        cut |= pieces.len() > room;
        let taken: Vec<String> = pieces.into_iter().take(room).collect();
        left -= taken.len() as u64;
        taken
    };
    let mut parts = Vec::new();
    if !reply.text.is_empty() {
        parts.push(Part::Text(take(by_words(&reply.text))));
    }
    for (n, ToolCall { name, arguments }) in reply.tools.iter().enumerate() {
        let named = take(vec![name.clone()]);
        if named.is_empty() {
            break;
        }
        let pieces = take(by_chars(arguments));
        parts.push(Part::Tool { id: mix(draw, 100 + n as u64), name: name.clone(), pieces });
    }
    (parts, cut)
}

/// Words with the white space before them.
fn by_words(text: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut piece = String::new();
    for c in text.chars() {
        if c.is_whitespace() && piece.chars().last().is_some_and(|last| !last.is_whitespace()) {
            pieces.push(std::mem::take(&mut piece));
        }
        piece.push(c);
    }
    if !piece.is_empty() {
        pieces.push(piece);
    }
    pieces
}

fn by_chars(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    chars.chunks(4).map(|piece| piece.iter().collect()).collect()
}

const WORDS: [&str; 48] = [
    "watch", "tide", "harbour", "ledger", "lamp", "quiet", "signal", "north", "drift", "anchor", "bell",
    "chart", "cargo", "deck", "ebb", "fathom", "gale", "helm", "island", "jetty", "keel", "log", "mast",
    "night", "oar", "port", "quay", "reef", "sail", "tack", "under", "vessel", "wake", "yard", "buoy",
    "calm", "dawn", "eastward", "foam", "gust", "horizon", "inlet", "knot", "leeward", "moor", "narrow",
    "open", "pilot",
];

/// So many words, as one sentence.
fn words(draw: u64, count: u64) -> String {
    let mut rng = fastrand::Rng::with_seed(draw);
    let picked: Vec<&str> = (0..count).map(|_| WORDS[rng.usize(..WORDS.len())]).collect();
    picked.join(" ") + "."
}

/// Schemas are followed this deep; below, whatever is wanted is empty.
const DEPTH_MAX: u32 = 8;

/// A value that follows a JSON schema, as far as tool schemas go.
fn instance(schema: &Value, draw: u64, depth: u32) -> Value {
    if let Some(choice) = schema["enum"].as_array().filter(|choices| !choices.is_empty()) {
        return choice[(draw % choice.len() as u64) as usize].clone();
    }
    if let Some(constant) = schema.get("const") {
        return constant.clone();
    }
    match schema["type"].as_str() {
        Some("string") => json!(words(draw, 2).trim_end_matches('.')),
        Some("integer") => json!(1 + draw % 9),
        Some("number") => json!((1 + draw % 99) as f64 / 10.0),
        Some("boolean") => json!(draw.is_multiple_of(2)),
        Some("null") => Value::Null,
        Some("array") if depth < DEPTH_MAX => json!([instance(&schema["items"], mix(draw, 1), depth + 1)]),
        Some("array") => json!([]),
        _ => object(schema, draw, depth),
    }
}

fn object(schema: &Value, draw: u64, depth: u32) -> Value {
    let Some(properties) = schema["properties"].as_object().filter(|_| depth < DEPTH_MAX) else {
        return json!({});
    };
    let members: Map<String, Value> = properties
        .iter()
        .map(|(name, property)| (name.clone(), instance(property, hash(draw, &[name.as_bytes()]), depth + 1)))
        .collect();
    Value::Object(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt() -> Prompt {
        Prompt {
            model: "gpt-4o".into(),
            essence: json!({"m": 1}),
            chars: 40,
            messages: 1,
            ..Prompt::default()
        }
    }

    fn tool() -> Tool {
        Tool {
            name: "search".into(),
            parameters: json!({"type": "object", "properties": {
                "query": {"type": "string"}, "limit": {"type": "integer"}, "sort": {"enum": ["new", "old"]}}}),
        }
    }

    #[test]
    fn the_same_seed_and_prompt_give_the_same_answer_and_others_another() {
        let answers = Answers::default();
        assert_eq!(prompt().complete(1, &answers, None), prompt().complete(1, &answers, None));
        assert_ne!(prompt().complete(1, &answers, None), prompt().complete(2, &answers, None));
        let other = Prompt { essence: json!({"m": 2}), ..prompt() };
        assert_ne!(prompt().complete(1, &answers, None), other.complete(1, &answers, None));
    }

    #[test]
    fn the_output_never_passes_what_was_allowed() {
        for max in 1..400 {
            let prompt = Prompt { output_max: Some(max), reasons: true, ..prompt() };
            let done = prompt.complete(1, &Answers::default(), None);
            assert!(done.tokens.output <= max, "{} of {max}", done.tokens.output);
            let visible: u64 = done.parts.iter().map(Part::tokens).sum();
            assert_eq!(done.tokens.output, visible + done.tokens.reasoning);
        }
    }

    #[test]
    fn tools_are_called_for_a_few_rounds_with_arguments_of_their_schema_and_then_words_come() {
        let answers = Answers { tool_rounds_max: 2, ..Answers::default() };
        let asked = Prompt { tools: vec![tool()], ..prompt() }.complete(1, &answers, None);
        assert_eq!(asked.finish, Finish::Tools);
        let Part::Tool { name, pieces, .. } = &asked.parts[0] else { panic!("no tool call") };
        assert_eq!(name, "search");
        let arguments: Value = serde_json::from_str(&pieces.concat()).unwrap();
        assert!(arguments["query"].is_string() && arguments["limit"].is_u64());
        let done = Prompt { tools: vec![tool()], tool_rounds: 2, ..prompt() }.complete(1, &answers, None);
        assert_eq!(done.finish, Finish::Stop);
    }

    #[test]
    fn words_keep_their_text() {
        for text in ["one two  three", " lead", "trail ", "line\nbreak", "x"] {
            assert_eq!(by_words(text).concat(), text);
        }
        assert_eq!(by_words("one two  three").len(), 3);
    }

    #[test]
    fn caches_count_within_the_input() {
        for n in 0..50 {
            for cache in [Cache::Automatic, Cache::Marked { chars: 6000 }, Cache::Marked { chars: 40 }] {
                let prompt = Prompt { essence: json!(n), chars: 8000, cache, ..prompt() };
                let tokens = prompt.complete(1, &Answers::default(), None).tokens;
                assert!(tokens.cached + tokens.cache_write <= tokens.input);
            }
        }
    }
}
