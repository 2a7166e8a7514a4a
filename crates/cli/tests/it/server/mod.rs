//! `--server`: real consoles beside journals, and the command looking at them from elsewhere.

mod acting;
mod place;
mod reading;
mod strangers;
mod tls;
