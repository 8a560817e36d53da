//! RESTORE: a key from what DUMP has returned, here or in Redis.
//!
//! The payload is read to its end before anything changes, so one that is damaged changes nothing.

use kvik_rdb::Payload;
use kvik_resp::parse_i64;
use kvik_store::{Terms, UnixMs, Usage};

use crate::{Ctx, Error, ErrorText, load};

const BUSY: Error = Error::Coded(
    "BUSYKEY",
    ErrorText::fixed("Target key name already exists."),
);
const WRONG_ENVELOPE: Error = Error::text("DUMP payload version or checksum are wrong");
const BAD_DATA: Error = Error::text("Bad data format");

pub(super) fn restore(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let options = RestoreOptions::parse(ctx)?;
    let args = ctx.args;
    if !options.replace && ctx.keys.peek(ctx.key(1)).is_some() {
        return Err(BUSY);
    }
    let terms = Terms {
        expire_at: options.deadline(ctx)?,
        usage: options.usage,
        payload: &args[3],
    };
    let mut payload = Payload::open(terms.payload).map_err(|_| WRONG_ENVELOPE)?;
    let past = terms.expire_at.is_some_and(|at| ctx.keys.is_past(at));
    let value = payload.value().map_err(|_| BAD_DATA)?;
    let entry = ctx.keys.entry(ctx.key(1));
    // One whose time is past is only looked at.
    let read = if past {
        load::check(entry, value)
    } else {
        load::put(entry, value, &terms)
    };
    read.map_err(|_| BAD_DATA)?;
    if past {
        ctx.keys.delete(ctx.key(1));
    }
    ctx.reply.ok();
    Ok(())
}

/// The options behind the payload.
#[derive(Clone, Copy, Debug)]
struct RestoreOptions {
    replace: bool,
    absolute: bool,
    usage: Usage,
}

impl RestoreOptions {
    fn parse(ctx: &Ctx<'_>) -> Result<Self, Error> {
        let mut options = Self {
            replace: false,
            absolute: false,
            usage: Usage::New,
        };
        let mut at = 4;
        while at < ctx.args.len() {
            at += options.take(ctx, at)?;
        }
        Ok(options)
    }

    /// Takes the option at `at` and says how many words it has.
    fn take(&mut self, ctx: &Ctx<'_>, at: usize) -> Result<usize, Error> {
        let has_value = at + 1 < ctx.args.len();
        if ctx.is(at, "REPLACE") {
            self.replace = true;
            return Ok(1);
        }
        if ctx.is(at, "ABSTTL") {
            self.absolute = true;
            return Ok(1);
        }
        match self.usage {
            Usage::New | Usage::Idle(_) if has_value && ctx.is(at, "IDLETIME") => {
                let seconds = u64::try_from(ctx.int(at + 1)?)
                    .map_err(|_| Error::text("Invalid IDLETIME value, must be >= 0"))?;
                self.usage = Usage::Idle(seconds);
            }
            Usage::New | Usage::Frequency(_) if has_value && ctx.is(at, "FREQ") => {
                let counter = u8::try_from(ctx.int(at + 1)?)
                    .map_err(|_| Error::text("Invalid FREQ value, must be >= 0 and <= 255"))?;
                self.usage = Usage::Frequency(counter);
            }
            _ => return Err(Error::SYNTAX),
        }
        Ok(2)
    }

    /// When the key expires; a `ttl` of 0 is none.
    fn deadline(self, ctx: &Ctx<'_>) -> Result<Option<UnixMs>, Error> {
        let ttl = parse_i64(&ctx.args[2]).ok_or(Error::NOT_AN_INTEGER)?;
        if ttl < 0 {
            return Err(Error::text("Invalid TTL value, must be >= 0"));
        }
        if ttl == 0 {
            return Ok(None);
        }
        let at = if self.absolute {
            Some(ttl)
        } else {
            ctx.time_in(ttl)
        };
        at.and_then(|at| u64::try_from(at).ok())
            .map(Some)
            .ok_or_else(|| Error::invalid_expire(ctx.command))
    }
}
