//! Who may see and steer: which names the console answers to, who is known, and which requests are really theirs.
//!
//! - A name that somebody else points at this machine is refused, so a foreign page cannot read through the browser.
//! - With a token, nothing but the log-in page is shown without it.
//! - What changes anything must come from a page of ours: the browser says so (`Sec-Fetch-Site`, `Origin`), and the form
//!   carries a word that only our pages know. Programs say `Authorization`, or send JSON, which no form can.

mod door;
mod guard;
mod login;
mod session;

pub(crate) use door::{Door, Who};
pub(crate) use guard::guard;
pub(crate) use login::{form, log_in, log_out};
