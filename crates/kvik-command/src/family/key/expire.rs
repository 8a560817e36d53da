//! When keys expire: the EXPIRE, TTL and EXPIRETIME commands, PERSIST.

use kvik_resp::Args;
use kvik_store::{OccupiedEntry, UnixMs};

use crate::family::deadline::TimeFormat;
use crate::{Ctx, Error};

pub(super) fn expire(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    expire_in(ctx, TimeFormat::Seconds)
}

pub(super) fn pexpire(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    expire_in(ctx, TimeFormat::Milliseconds)
}

pub(super) fn expireat(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    expire_in(ctx, TimeFormat::UnixSeconds)
}

pub(super) fn pexpireat(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    expire_in(ctx, TimeFormat::UnixMilliseconds)
}

fn expire_in(ctx: &mut Ctx<'_>, format: TimeFormat) -> Result<(), Error> {
    let args = ctx.args;
    let conditions = Conditions::parse(args.tail(3))?;
    let at = format.deadline(&args[2], ctx)?;
    // Before the epoch is as long past as its first millisecond.
    let at = u64::try_from(at).unwrap_or(0);
    let past = ctx.keys.is_past(at);
    let key = ctx.keys.entry(ctx.key(1)).occupied();
    let key = key.filter(|key| conditions.hold(key.view().expire_at(), at));
    ctx.reply.integer(i64::from(key.is_some()));
    if let Some(key) = key {
        set_expiry(key, Some(at), past);
    }
    Ok(())
}

/// Sets or ends the expiry of a key; with one that is past the key is deleted instead.
pub(in crate::family) fn set_expiry(mut key: OccupiedEntry<'_>, at: Option<UnixMs>, past: bool) {
    if past {
        key.remove();
    } else {
        key.set_expiry(at);
    }
}

/// What an expiry must be like for EXPIRE to replace it.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::family) struct Conditions {
    none: bool,
    some: bool,
    earlier: bool,
    later: bool,
}

impl Conditions {
    /// Reads the options that state conditions.
    ///
    /// # Errors
    /// If a word is something else, or conditions exclude each other.
    pub(in crate::family) fn parse(words: Args<'_>) -> Result<Self, Error> {
        let mut conditions = Self::default();
        for word in words {
            let named = |name: &[u8]| word.eq_ignore_ascii_case(name);
            let condition = match () {
                () if named(b"NX") => &mut conditions.none,
                () if named(b"XX") => &mut conditions.some,
                () if named(b"GT") => &mut conditions.earlier,
                () if named(b"LT") => &mut conditions.later,
                () => return Err(unsupported(word)),
            };
            *condition = true;
        }
        conditions.check()
    }

    fn check(self) -> Result<Self, Error> {
        if self.none && (self.some || self.earlier || self.later) {
            return Err(Error::text(
                "NX and XX, GT or LT options at the same time are not compatible",
            ));
        }
        if self.earlier && self.later {
            return Err(Error::text(
                "GT and LT options at the same time are not compatible",
            ));
        }
        Ok(self)
    }

    /// Whether `at` may replace the expiry that a key has; one that it does not have is later than
    /// any.
    pub(in crate::family) fn hold(self, current: Option<UnixMs>, at: UnixMs) -> bool {
        !(self.none && current.is_some()
            || self.some && current.is_none()
            || self.earlier && current.is_none_or(|current| at <= current)
            || self.later && current.is_some_and(|current| at >= current))
    }
}

fn unsupported(word: &[u8]) -> Error {
    Error::quoting(&[b"Unsupported option ", word])
}

pub(super) fn persist(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let key = ctx.keys.entry(ctx.key(1)).occupied();
    let expiring = key.filter(|key| key.view().expire_at().is_some());
    let persisted = expiring.map(|mut key| key.set_expiry(None)).is_some();
    ctx.reply.integer(i64::from(persisted));
    Ok(())
}

pub(super) fn ttl(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let now = ctx.now_ms();
    tell_expiry(ctx, |at| to_seconds(at.saturating_sub(now)))
}

pub(super) fn pttl(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let now = ctx.now_ms();
    tell_expiry(ctx, |at| at.saturating_sub(now))
}

pub(super) fn expiretime(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    tell_expiry(ctx, to_seconds)
}

pub(super) fn pexpiretime(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    tell_expiry(ctx, |at| at)
}

/// Answers -2 where there is no key, -1 where it does not expire.
fn tell_expiry(ctx: &mut Ctx<'_>, tell: impl Fn(UnixMs) -> u64) -> Result<(), Error> {
    let key = ctx.keys.inspect(ctx.key(1));
    let told = match key.map(|key| key.expire_at()) {
        None => -2,
        Some(None) => -1,
        Some(Some(at)) => tell(at) as i64,
    };
    ctx.reply.integer(told);
    Ok(())
}

/// Milliseconds in seconds, rounded to the nearest.
pub(in crate::family) fn to_seconds(ms: u64) -> u64 {
    ms.saturating_add(500) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn having_no_expiry_is_later_than_any() {
        let greater = Conditions {
            earlier: true,
            ..Conditions::default()
        };
        let less = Conditions {
            later: true,
            ..Conditions::default()
        };
        assert!(!greater.hold(None, u64::MAX) && less.hold(None, u64::MAX));
        assert!(greater.hold(Some(5), 6) && !greater.hold(Some(5), 5));
        assert!(less.hold(Some(5), 4) && !less.hold(Some(5), 5));
    }
}
