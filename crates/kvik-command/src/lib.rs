//! Every command: declaration and handler.
