//! Lets an agent watch runs, and steer them if it may: a server of the Model Context Protocol over stdin and stdout.
//!
//! The tools that look ask what every other surface asks ([`midwatch_inspect`]), the tools that act leave the same letters
//! ([`midwatch_steer`]). Those that act are not even listed unless whoever starts the server says so. Every answer is
//! bounded: an agent reads all that it is given.
//!
//! What this crate is not: no server for a network, and nothing that reads workflow code or carries runs out.

mod act;
mod answer;
mod look;
mod server;

pub use server::{Actions, Error, Server};
