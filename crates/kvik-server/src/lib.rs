//! The server: reactor, sessions, configuration.

pub mod config;
pub mod net;
