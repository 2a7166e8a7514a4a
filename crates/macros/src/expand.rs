//! What is written in place of the function: one of the same name that makes the step or workflow.
//!
//! A function and not a unit struct, since a struct's name could no longer be used for a variable in its module.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::{Attribute, ItemFn, LitStr, Path, parse_quote};

use crate::options::{self, Options};
use crate::signature::{self, Kind, Types};

/// Expands either attribute.
pub(crate) fn expand(kind: Kind, attribute: TokenStream, item: TokenStream) -> TokenStream {
    let function: ItemFn = match syn::parse2(item.clone()) {
        Ok(function) => function,
        Err(error) => {
            let message = format!("`#[{}]` stands on an async function", kind.word());
            let mut advice = syn::Error::new_spanned(&item, message);
            // A syntax error inside a function is the better news; on another item the parser's is not.
            if looks_like_function(&item) {
                advice = error;
            }
            return advice.into_compile_error();
        }
    };
    let (options, error) = options::parse(kind, attribute);
    // A wrong option does not hide the step: whatever else uses it is still checked.
    let wrong_options = error.map(syn::Error::into_compile_error);
    let implementation = match signature::check(kind, &function) {
        Ok(types) => implementation(kind, &function, &types, &options),
        Err(error) => error.into_compile_error(),
    };
    quote!(#wrong_options #implementation)
}

fn looks_like_function(item: &TokenStream) -> bool {
    item.clone().into_iter().any(|token| token.to_string() == "fn")
}

fn implementation(kind: Kind, function: &ItemFn, types: &Types, options: &Options) -> TokenStream {
    let krate: Path = options.krate.clone().unwrap_or_else(|| parse_quote!(::midwatch));
    let ident = &function.sig.ident;
    let name = options.name.clone().unwrap_or_else(|| LitStr::new(&ident.unraw().to_string(), ident.span()));
    let (trait_name, context) = match kind {
        Kind::Step => (format_ident!("Step"), format_ident!("StepContext")),
        Kind::Workflow => (format_ident!("Workflow"), format_ident!("Context")),
    };
    let (options_type, options) = match kind {
        Kind::Step => (format_ident!("StepOptions"), step_options(&krate, options)),
        Kind::Workflow => (format_ident!("WorkflowOptions"), workflow_options(&krate, options)),
    };
    let (of_item, of_function) = sort(&function.attrs);
    let (body_name, body) = body(function, &of_function);
    let (vis, output) = (&function.vis, &types.output);
    let (input, arguments) = match &types.input {
        Some(input) => (quote!(#input), quote!(cx, input)),
        None => (
            quote!(()),
            quote!({
                let () = input;
                cx
            }),
        ),
    };
    let call =
        quote_spanned!(types.error=> #body_name(#arguments).await.map_err(::core::convert::Into::into));
    let run = quote_spanned! {ident.span()=>
        fn run(&self, cx: #krate::#context, input: Self::Input)
            -> impl ::core::future::Future<
                Output = ::core::result::Result<Self::Output, #krate::Failure>,
            > + ::core::marker::Send
        {
            async move { #call }
        }
    };
    // Lints that speak of what is generated here are of no use to the user. The user's function stands beside the
    // implementation, where no `allow` of ours reaches it.
    quote! {
        #(#of_item)*
        #vis fn #ident() -> impl #krate::#trait_name<Input = #input, Output = #output>
            + ::core::marker::Copy
        {
            #[allow(non_camel_case_types)]
            #[derive(Clone, Copy)]
            struct __midwatch_definition;

            #body

            #[automatically_derived]
            #[allow(clippy::manual_async_fn, clippy::useless_conversion)]
            impl #krate::#trait_name for __midwatch_definition {
                type Input = #input;
                type Output = #output;

                fn name(&self) -> #krate::Name {
                    #krate::Name::Borrowed(#name)
                }

                fn options(&self) -> #krate::#options_type {
                    #options
                }

                #run
            }

            __midwatch_definition
        }
    }
}

/// The user's function, under a name that hides nothing its code may mean.
fn body(function: &ItemFn, attributes: &[&Attribute]) -> (Ident, TokenStream) {
    let mut signature = function.sig.clone();
    signature.ident =
        format_ident!("__midwatch_{}", function.sig.ident.unraw(), span = function.sig.ident.span());
    let block = &function.block;
    (signature.ident.clone(), quote!(#(#attributes)* #signature #block))
}

/// Attributes of the item that is written, and of the user's function within.
fn sort(attributes: &[Attribute]) -> (Vec<&Attribute>, Vec<&Attribute>) {
    let is_of_item = |attribute: &&Attribute| {
        ["doc", "deprecated", "cfg"].iter().any(|name| attribute.path().is_ident(name))
    };
    attributes.iter().partition(is_of_item)
}

fn step_options(krate: &Path, options: &Options) -> TokenStream {
    let Options { timeout, step_timeout, heartbeat, queue_timeout, .. } = options;
    let timeout = timeout.iter();
    let step_timeout = step_timeout.iter();
    let heartbeat = heartbeat.iter();
    let queue_timeout = queue_timeout.iter();
    let retry = retry(krate, options).into_iter();
    let budget = budget(krate, options).into_iter();
    let queue = options.queue.iter();
    let priority = options.priority.iter();
    let target = options.target.iter();
    let key = options.key.iter();
    quote! {
        #[allow(unused_mut)]
        let mut options = <#krate::StepOptions as ::core::default::Default>::default();
        #(options.timeouts.attempt = #timeout;)*
        #(options.timeouts.step = #step_timeout;)*
        #(options.timeouts.heartbeat = ::core::option::Option::Some(#heartbeat);)*
        #(options.timeouts.queue = #queue_timeout;)*
        #(options.retry = #retry;)*
        #(options.budget = #budget;)*
        #(options.queue = ::core::option::Option::Some(::core::convert::Into::into(#queue));)*
        #(options.priority = #priority;)*
        #(options.target = ::core::option::Option::Some(::core::convert::Into::into(#target));)*
        #(options.keys = #krate::KeyScope::#key;)*
        options
    }
}

fn workflow_options(krate: &Path, options: &Options) -> TokenStream {
    let timeout = options.timeout.iter();
    let budget = budget(krate, options).into_iter();
    quote! {
        #[allow(unused_mut)]
        let mut options = <#krate::WorkflowOptions as ::core::default::Default>::default();
        #(options.timeout = #timeout;)*
        #(options.budget = #budget;)*
        options
    }
}

fn retry(krate: &Path, options: &Options) -> Option<TokenStream> {
    let default = quote!(<#krate::RetryPolicy as ::core::default::Default>::default());
    match (&options.retry, &options.attempts) {
        (Some(policy), Some(attempts)) => Some(quote!(#krate::RetryPolicy::attempts(#policy, #attempts))),
        (Some(policy), None) => Some(policy.clone()),
        (None, Some(attempts)) => Some(quote!(#krate::RetryPolicy::attempts(#default, #attempts))),
        (None, None) => None,
    }
}

fn budget(krate: &Path, options: &Options) -> Option<TokenStream> {
    let Options { budget_usd: usd, budget_tokens: tokens, on_budget, .. } = options;
    if usd.is_none() && tokens.is_none() {
        return None;
    }
    let (usd, tokens, on_budget) = (usd.iter(), tokens.iter(), on_budget.iter());
    Some(quote! {{
        #[allow(unused_mut)]
        let mut budget = <#krate::Budget as ::core::default::Default>::default();
        #(budget.usd = ::core::option::Option::Some(#krate::Money::from_picos(#usd));)*
        #(budget.tokens = ::core::option::Option::Some(#tokens);)*
        #(budget.on_reached = #krate::OnReached::#on_budget;)*
        ::core::option::Option::Some(budget)
    }})
}
