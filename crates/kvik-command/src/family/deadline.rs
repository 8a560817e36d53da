//! Times as arguments: what EX, PX, EXAT and PXAT and the commands of the same kinds say about when
//! a key expires.

use kvik_resp::{ArgsIter, parse_i64};

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

/// What becomes of an expiry, as an option says it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Life<'a> {
    /// It stays as it is (`KEEPTTL`).
    Keep,
    /// It ends (`PERSIST`).
    Persist,
    /// It is this time (`EX`, `PX`, `EXAT`, `PXAT`).
    Until(TimeFormat, &'a [u8]),
}

impl<'a> Life<'a> {
    /// What an option in capitals says, with its operand from the words behind it; nothing if it is
    /// another option.
    pub(super) fn named(option: &[u8], rest: &mut ArgsIter<'a>) -> Option<Self> {
        let format = match option {
            b"KEEPTTL" => return Some(Self::Keep),
            b"PERSIST" => return Some(Self::Persist),
            b"EX" => TimeFormat::Seconds,
            b"PX" => TimeFormat::Milliseconds,
            b"EXAT" => TimeFormat::UnixSeconds,
            b"PXAT" => TimeFormat::UnixMilliseconds,
            _ => return None,
        };
        Some(Self::Until(format, rest.next()?))
    }

    /// Whether it may follow what was said before: the same option again.
    pub(super) fn repeats(self, before: Self) -> bool {
        match (before, self) {
            (Self::Keep, Self::Keep) | (Self::Persist, Self::Persist) => true,
            (Self::Until(before, _), Self::Until(now, _)) => before == now,
            _ => false,
        }
    }
}

/// Room for an option in capitals.
pub(super) type Capitals = [u8; 7];

/// The word in capitals, if it is short enough to be an option.
pub(super) fn upper_case<'b>(word: &[u8], room: &'b mut Capitals) -> Option<&'b [u8]> {
    let upper = room.get_mut(..word.len())?;
    upper.copy_from_slice(word);
    upper.make_ascii_uppercase();
    Some(upper)
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
        let at = time.checked_mul(scale).and_then(|ms| {
            if self.is_relative() {
                ctx.time_in(ms)
            } else {
                Some(ms)
            }
        });
        at.ok_or_else(|| Error::invalid_expire(ctx.command))
    }

    /// As [`Self::deadline`], for commands that refuse a time below zero.
    ///
    /// # Errors
    /// Also if the number is negative.
    pub(super) fn natural_deadline(self, text: &[u8], ctx: &Ctx<'_>) -> Result<u64, Error> {
        let at = self.deadline(text, ctx)?;
        let natural = parse_i64(text).is_some_and(|time| time >= 0);
        u64::try_from(at)
            .ok()
            .filter(|_| natural)
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
