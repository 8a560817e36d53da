//! Times as arguments: what EX, PX, EXAT and PXAT and the commands of the same kinds say about when a key expires.

use kvik_resp::parse_i64;

use crate::{Ctx, Error};

/// How a number says when a key expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeFormat {
    /// Seconds from now.
    Seconds,
    /// Milliseconds from now.
    Milliseconds,
    /// Seconds since the epoch.
    UnixSeconds,
    /// Milliseconds since the epoch.
    UnixMilliseconds,
}

impl TimeFormat {
    fn in_seconds(self) -> bool {
        matches!(self, Self::Seconds | Self::UnixSeconds)
    }

    fn is_relative(self) -> bool {
        matches!(self, Self::Seconds | Self::Milliseconds)
    }

    /// The time that `text` means, in milliseconds since the epoch; before it when negative.
    ///
    /// # Errors
    /// If it is no integer, or beyond what milliseconds can count.
    pub(super) fn deadline(self, text: &[u8], ctx: &Ctx<'_>) -> Result<i64, Error> {
        let time = parse_i64(text).ok_or(Error::NOT_AN_INTEGER)?;
        let scale = if self.in_seconds() { 1000 } else { 1 };
        let start = if self.is_relative() {
            ctx.now_ms() as i64
        } else {
            0
        };
        time.checked_mul(scale)
            .and_then(|ms| ms.checked_add(start))
            .ok_or_else(|| Error::invalid_expire(ctx.command))
    }

    /// As [`Self::deadline`], for commands that refuse a time that is not positive.
    ///
    /// # Errors
    /// Also if the number is zero or negative.
    pub(super) fn positive_deadline(self, text: &[u8], ctx: &Ctx<'_>) -> Result<u64, Error> {
        let at = self.deadline(text, ctx)?;
        let positive = parse_i64(text).is_some_and(|time| time > 0);
        u64::try_from(at)
            .ok()
            .filter(|_| positive)
            .ok_or_else(|| Error::invalid_expire(ctx.command))
    }
}
