//! The options in an attribute's parentheses.

use std::fmt::Display;

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Error, Expr, ExprLit, ExprPath, Lit, LitStr, Path, Token};

use crate::signature::Kind;
use crate::{duration, money};

const STEP: &[&str] = &[
    "name",
    "timeout",
    "step_timeout",
    "heartbeat",
    "queue_timeout",
    "attempts",
    "retry",
    "queue",
    "priority",
    "target",
    "budget_usd",
    "budget_tokens",
    "on_budget",
    "key",
    "crate",
];
const WORKFLOW: &[&str] = &["name", "timeout", "budget_usd", "budget_tokens", "on_budget", "crate"];

/// What the attribute says, each as an expression; `None` where it says nothing.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) name: Option<LitStr>,
    pub(crate) krate: Option<Path>,
    pub(crate) timeout: Option<TokenStream>,
    pub(crate) step_timeout: Option<TokenStream>,
    pub(crate) heartbeat: Option<TokenStream>,
    pub(crate) queue_timeout: Option<TokenStream>,
    pub(crate) attempts: Option<TokenStream>,
    pub(crate) retry: Option<TokenStream>,
    pub(crate) queue: Option<TokenStream>,
    pub(crate) priority: Option<TokenStream>,
    pub(crate) target: Option<TokenStream>,
    /// Whole pico-dollars.
    pub(crate) budget_usd: Option<TokenStream>,
    pub(crate) budget_tokens: Option<TokenStream>,
    /// The name of the variant of `OnReached`.
    pub(crate) on_budget: Option<TokenStream>,
    /// The name of the variant of `KeyScope`.
    pub(crate) key: Option<TokenStream>,
}

/// One `key = value`.
struct Entry {
    key: Ident,
    value: Expr,
}

impl Parse for Entry {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        // `crate` is a keyword, so it is no plain identifier.
        let key = input.call(Ident::parse_any)?;
        if !input.peek(Token![=]) {
            return Err(Error::new(key.span(), format!("`{key}` needs a value: write `{key} = …`")));
        }
        input.parse::<Token![=]>()?;
        Ok(Self { key, value: input.parse()? })
    }
}

/// Reads the options; beside them comes everything that is wrong, so that the rest can still be expanded.
pub(crate) fn parse(kind: Kind, tokens: TokenStream) -> (Options, Option<Error>) {
    let mut options = Options::default();
    let entries = match Punctuated::<Entry, Token![,]>::parse_terminated.parse2(tokens) {
        Ok(entries) => entries,
        Err(error) => return (options, Some(error)),
    };
    let mut errors: Option<Error> = None;
    let mut seen: Vec<Ident> = Vec::new();
    let mut add = |error: Error| match &mut errors {
        Some(errors) => errors.combine(error),
        none => *none = Some(error),
    };
    for entry in entries {
        let result = match seen.contains(&entry.key) {
            true => Err(Error::new(entry.key.span(), format!("`{}` is given twice", entry.key))),
            false => options.set(kind, &entry),
        };
        seen.push(entry.key);
        if let Err(error) = result {
            add(error);
        }
    }
    let has = |name: &str| seen.iter().any(|key| key == name);
    if let Some(key) = seen.iter().find(|key| *key == "on_budget")
        && !has("budget_usd")
        && !has("budget_tokens")
    {
        let message =
            "`on_budget` says what happens when a budget is spent: give `budget_usd` or `budget_tokens`";
        add(Error::new(key.span(), message));
    }
    (options, errors)
}

impl Options {
    fn set(&mut self, kind: Kind, Entry { key, value }: &Entry) -> Result<(), Error> {
        let name = key.to_string();
        check_known(kind, key, &name)?;
        match name.as_str() {
            "name" => self.name = Some(registered_name(value)?),
            "crate" => self.krate = Some(path(value)?),
            "timeout" => self.timeout = Some(duration(value)?),
            "step_timeout" => self.step_timeout = Some(duration(value)?),
            "heartbeat" => self.heartbeat = Some(duration(value)?),
            "queue_timeout" => self.queue_timeout = Some(duration(value)?),
            "attempts" => self.attempts = Some(attempts(value)?),
            "retry" => self.retry = Some(value.to_token_stream()),
            "queue" => self.queue = Some(value.to_token_stream()),
            "priority" => self.priority = Some(value.to_token_stream()),
            "target" => self.target = Some(value.to_token_stream()),
            "budget_usd" => self.budget_usd = Some(dollars(value)?),
            "budget_tokens" => self.budget_tokens = Some(value.to_token_stream()),
            "on_budget" => self.on_budget = Some(variant(value, &[("park", "Park"), ("fail", "Fail")])?),
            _ => self.key = Some(variant(value, &[("step", "Step"), ("attempt", "Attempt")])?),
        }
        Ok(())
    }
}

fn check_known(kind: Kind, key: &Ident, name: &str) -> Result<(), Error> {
    let known = if kind == Kind::Step { STEP } else { WORKFLOW };
    if known.contains(&name) {
        return Ok(());
    }
    let word = kind.word();
    let message = match STEP.contains(&name) {
        true => format!("`{name}` is an option of a step; a {word} knows {}", known.join(", ")),
        false => format!("a {word} knows no option `{name}`; it knows {}", known.join(", ")),
    };
    Err(Error::new(key.span(), message))
}

/// The literal that an expression is, if it is one.
fn literal(value: &Expr) -> Option<&Lit> {
    match value {
        Expr::Lit(ExprLit { lit, .. }) => Some(lit),
        _ => None,
    }
}

fn text(value: &Expr) -> Option<&LitStr> {
    match literal(value) {
        Some(Lit::Str(text)) => Some(text),
        _ => None,
    }
}

fn refuse<T>(at: impl ToTokens, message: impl Display) -> Result<T, Error> {
    Err(Error::new_spanned(at, message))
}

fn registered_name(value: &Expr) -> Result<LitStr, Error> {
    let Some(name) = text(value) else { return refuse(value, "a name is a string: write `name = \"…\"`") };
    if name.value().is_empty() || name.value().len() > 200 || name.value().chars().any(char::is_control) {
        return refuse(name, "a name has 1 to 200 bytes and no control characters");
    }
    Ok(name.clone())
}

fn path(value: &Expr) -> Result<Path, Error> {
    match (value, text(value)) {
        (Expr::Path(ExprPath { path, qself: None, .. }), _) => Ok(path.clone()),
        (_, Some(text)) => text.parse_with(Path::parse_mod_style),
        _ => refuse(value, "`crate` is a path: write e.g. `crate = midwatch_workflow`"),
    }
}

/// A text that is read now, or an expression of type `Duration`.
fn duration(value: &Expr) -> Result<TokenStream, Error> {
    match (text(value), literal(value)) {
        (Some(text), _) => {
            let duration = duration::parse(&text.value()).or_else(|advice| refuse(text, advice))?;
            let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
            Ok(quote!(::core::time::Duration::new(#seconds, #nanos)))
        }
        (None, Some(other)) => refuse(other, "a duration needs a unit: write e.g. \"30s\""),
        (None, None) => Ok(value.to_token_stream()),
    }
}

fn attempts(value: &Expr) -> Result<TokenStream, Error> {
    match literal(value) {
        Some(Lit::Int(count)) if count.base10_digits() == "0" => {
            refuse(count, "the first attempt counts too, so there is at least 1")
        }
        Some(Lit::Int(_)) | None => Ok(value.to_token_stream()),
        Some(other) => refuse(other, "attempts are a whole number: write e.g. `attempts = 3`"),
    }
}

fn dollars(value: &Expr) -> Result<TokenStream, Error> {
    let amount = match literal(value) {
        Some(Lit::Str(text)) => text.value(),
        Some(Lit::Float(number)) if number.suffix().is_empty() => number.base10_digits().to_owned(),
        Some(Lit::Int(number)) if number.suffix().is_empty() => number.base10_digits().to_owned(),
        _ => return refuse(value, "a budget is an amount of dollars: write e.g. `budget_usd = \"0.50\"`"),
    };
    let picos = money::parse(&amount).or_else(|advice| refuse(value, advice))?;
    Ok(quote!(#picos))
}

/// One of a few words, as the name of an enum's variant.
fn variant(value: &Expr, words: &[(&str, &str)]) -> Result<TokenStream, Error> {
    let given = text(value).map(LitStr::value);
    match words.iter().find(|(word, _)| Some(*word) == given.as_deref()) {
        Some((_, variant)) => Ok(Ident::new(variant, proc_macro2::Span::call_site()).to_token_stream()),
        None => {
            let words: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            refuse(value, format!("the value is {}", words.join(" or ")))
        }
    }
}
