//! The server: reactor, sessions, configuration.
//!
//! [`run`] is the whole program behind a command line; [`Server`] is a server inside another program, as tests use it.

pub mod config;
mod front;
mod host;
mod log;
pub mod net;
mod process;
mod reactor;
mod seldom;
mod server;
mod settings;

pub use server::{Server, StartError, run};
