//! What the function must look like, and what to say if it does not.

use proc_macro2::{Ident, Span};
use quote::ToTokens;
use syn::spanned::Spanned;
use syn::{
    Error, FnArg, GenericArgument, ItemFn, PatType, PathArguments, ReturnType, Safety, Signature, Type,
};

/// Which of the two attributes is at work.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Step,
    Workflow,
}

impl Kind {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Kind::Step => "step",
            Kind::Workflow => "workflow",
        }
    }

    /// The type of the context that the function gets.
    pub(crate) const fn context(self) -> &'static str {
        match self {
            Kind::Step => "StepContext",
            Kind::Workflow => "Context",
        }
    }

    /// The type that people write by mistake.
    const fn other_context(self) -> &'static str {
        match self {
            Kind::Step => Kind::Workflow.context(),
            Kind::Workflow => Kind::Step.context(),
        }
    }
}

/// The types in a function's signature.
pub(crate) struct Types {
    /// `None` for a function without an input: `()`.
    pub(crate) input: Option<Type>,
    pub(crate) output: Type,
    /// Where to point when the error does not turn into a `Failure`.
    pub(crate) error: Span,
}

/// Checks a function; all that is wrong with it comes in one error.
pub(crate) fn check(kind: Kind, function: &ItemFn) -> Result<Types, Error> {
    let signature = &function.sig;
    let mut wrong = Wrong(None);
    wrong.keep(qualifiers(kind, signature));
    let input = wrong.keep(parameters(kind, signature));
    let output = wrong.keep(result(kind, signature));
    match (wrong.0, input, output) {
        (None, Some(input), Some((output, error))) => Ok(Types { input, output, error }),
        (wrong, ..) => {
            Err(wrong.unwrap_or_else(|| Error::new(signature.span(), "cannot read this function")))
        }
    }
}

/// The errors found so far.
struct Wrong(Option<Error>);

impl Wrong {
    fn keep<T>(&mut self, result: Result<T, Error>) -> Option<T> {
        let error = match result {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        match &mut self.0 {
            Some(errors) => errors.combine(error),
            none => *none = Some(error),
        }
        None
    }
}

fn qualifiers(kind: Kind, signature: &Signature) -> Result<(), Error> {
    let word = kind.word();
    let refuse = |at: &dyn ToTokens, why: &str| Err(Error::new_spanned(at, format!("a {word} {why}")));
    if signature.asyncness.is_none() {
        return refuse(&signature.fn_token, "is an async function: write `async fn`");
    }
    if !signature.generics.params.is_empty() {
        let advice = "cannot be generic, for it is registered under one name with one input and output type; \
                      write a plain function for each type, or use `serde_json::Value`";
        return refuse(&signature.generics, advice);
    }
    if let Some(clause) = &signature.generics.where_clause {
        return refuse(clause, "cannot have a `where` clause");
    }
    match (&signature.constness, &signature.safety, &signature.abi) {
        (Some(at), ..) => refuse(at, "cannot be `const`"),
        (_, _, Some(at)) => refuse(at, "cannot be `extern`"),
        (_, Safety::Unsafe(at), _) => refuse(at, "cannot be `unsafe`"),
        _ => Ok(()),
    }
}

/// Checks context and input; gives the input's type.
fn parameters(kind: Kind, signature: &Signature) -> Result<Option<Type>, Error> {
    let (word, context) = (kind.word(), kind.context());
    let mut parameters = signature.inputs.iter();
    match parameters.next() {
        Some(FnArg::Typed(first)) => context_type(kind, first)?,
        Some(FnArg::Receiver(receiver)) => return Err(receiver_error(kind, receiver)),
        None => {
            let message = format!("a {word} gets its context as the first parameter: write `cx: {context}`");
            return Err(Error::new(signature.paren_token.span.join(), message));
        }
    }
    let input = match parameters.next() {
        Some(FnArg::Typed(input)) => Some(input_type(kind, input)?),
        Some(FnArg::Receiver(receiver)) => return Err(receiver_error(kind, receiver)),
        None => None,
    };
    match parameters.next() {
        Some(extra) => {
            let message = format!(
                "a {word} has one input beside its context; put several into one struct, or into a tuple: \
                 `(a, b): (A, B)`"
            );
            Err(Error::new_spanned(extra, message))
        }
        None => Ok(input),
    }
}

fn receiver_error(kind: Kind, receiver: &syn::Receiver) -> Error {
    let word = kind.word();
    let message = format!(
        "a {word} is a free function without `self`: what it needs comes in its input, or by implementing the trait \
         `{}` by hand",
        if kind == Kind::Step { "Step" } else { "Workflow" },
    );
    Error::new_spanned(receiver, message)
}

fn context_type(kind: Kind, first: &PatType) -> Result<(), Error> {
    let (word, context) = (kind.word(), kind.context());
    let refuse = |message: String| Err(Error::new_spanned(&first.ty, message));
    if matches!(&*first.ty, Type::Reference(_)) {
        return refuse(format!(
            "a {word} takes its context by value, it is cheap to clone: write `cx: {context}`"
        ));
    }
    match last_segment(&first.ty) {
        Some(name) if name == context => Ok(()),
        Some(name) if name == kind.other_context() => {
            let other = if kind == Kind::Step { "workflow" } else { "step" };
            refuse(format!("a {word} gets a `{context}`; `{name}` is what a {other} gets"))
        }
        _ => refuse(format!("the first parameter of a {word} is its context: write `cx: {context}`")),
    }
}

fn input_type(kind: Kind, input: &PatType) -> Result<Type, Error> {
    let word = kind.word();
    match &*input.ty {
        Type::Reference(reference) => {
            let message =
                format!("the input of a {word} is owned, for it comes out of the journal: take it by value");
            Err(Error::new_spanned(reference, message))
        }
        Type::ImplTrait(generic) => {
            let message =
                format!("the input of a {word} has one type that can be read from the journal: name it");
            Err(Error::new_spanned(generic, message))
        }
        owned => Ok(owned.clone()),
    }
}

/// The output type, and where the error type stands.
fn result(kind: Kind, signature: &Signature) -> Result<(Type, Span), Error> {
    let message = format!("a {} gives a `Result`: write `-> Result<T, Failure>`", kind.word());
    let ReturnType::Type(_, ty) = &signature.output else {
        return Err(Error::new(signature.paren_token.span.join(), message));
    };
    let invalid = || Error::new_spanned(ty, &message);
    let Type::Path(path) = &**ty else { return Err(invalid()) };
    let Some(last) = path.path.segments.last().filter(|last| last.ident == "Result") else {
        return Err(invalid());
    };
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return Err(invalid()) };
    let mut types = arguments.args.iter();
    match types.next() {
        Some(GenericArgument::Type(output)) => {
            Ok((output.clone(), types.next().map_or_else(|| ty.span(), Spanned::span)))
        }
        _ => Err(invalid()),
    }
}

fn last_segment(ty: &Type) -> Option<&Ident> {
    match ty {
        Type::Path(path) => path.path.segments.last().map(|segment| &segment.ident),
        _ => None,
    }
}
