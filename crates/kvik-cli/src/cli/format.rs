//! How replies are shown: for people, for scripts, as JSON.
//!
//! *Human* and *raw* are what redis-cli prints, byte for byte, because scripts and eyes are used to
//! it. JSON differs where redis-cli's is no JSON: see [`json`].

mod human;
mod json;
mod raw;

use std::io::{self, Write};

use kvik_client::Value;

pub(crate) use human::Theme;

/// The look of replies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Numbered, quoted and typed, in colours or not.
    Human(Theme),
    /// Bare bytes.
    Raw {
        /// Stands between the elements of an aggregate.
        between: Vec<u8>,
        /// Stands after each reply.
        after: Vec<u8>,
    },
    /// One JSON text per reply.
    Json,
}

impl Format {
    /// Writes `reply` and what follows it. `as_text` shows a string as it is even to people:
    /// reports such as INFO.
    pub(crate) fn write(
        &self,
        reply: &Value,
        as_text: bool,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let mut bytes = Vec::new();
        match self {
            Self::Human(_) if as_text && reply.as_bytes().is_some() => {
                human::text(&mut bytes, reply)
            }
            Self::Human(theme) => human::render(&mut bytes, reply, *theme),
            Self::Raw { between, after } => {
                raw::render(&mut bytes, reply, between);
                bytes.extend_from_slice(after);
            }
            Self::Json => json::render(&mut bytes, reply),
        }
        out.write_all(&bytes)
    }
}

#[cfg(test)]
mod tests;
