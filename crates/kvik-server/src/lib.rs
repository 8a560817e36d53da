//! The server: reactor, sessions, configuration.
