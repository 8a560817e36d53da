//! Every command: declaration and handler.

pub mod declare;
pub mod family;
pub mod glob;

pub use declare::{Command, table};

/// Runs a command.
pub type Handler = fn();
