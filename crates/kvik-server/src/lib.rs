//! The server: reactor, sessions, configuration.

pub mod net;
