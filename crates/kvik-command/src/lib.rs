//! Every command: declaration and handler.

pub mod glob;
