//! Why a configuration is refused.

/// Why the server does not start, in one sentence.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LoadError(pub(super) String);
