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
mod server;
mod settings;
mod warning;

pub use server::{Server, StartError, run};
