//! RESTORE: a key from what DUMP has returned, here or in Redis.
//!
//! The payload is read to its end before anything changes, so one that is damaged changes nothing.

use std::sync::atomic::Ordering::Relaxed;

use kvik_rdb::{ObjectType, Payload, VERSION, reseal};
use kvik_resp::parse_i64;
use kvik_store::{Draft, Terms, UnixMs, Usage};

use crate::load::LoadFault;
use crate::{Ctx, Error, ErrorText, load};

/// Payloads of so many bytes may take long to be read.
const LARGE_BYTES: usize = 64 << 10;
/// Bytes of a payload that count as an element.
const ELEMENT_BYTES: usize = 16;

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
    let believes_it = ctx.engine.settings.believes_checksums.load(Relaxed);
    // The effect has a right checksum, as a log is loaded without that setting.
    let sealed = believes_it.then(|| reseal(&args[3])).flatten();
    let terms = Terms {
        expire_at: options.deadline(ctx)?,
        usage: options.usage,
        payload: sealed.as_deref().unwrap_or(&args[3]),
    };
    if terms.payload.len() > LARGE_BYTES {
        ctx.weigh(terms.payload.len() / ELEMENT_BYTES)?;
        if ctx.session.errand.is_some() {
            return restore_in_slices(ctx, &terms);
        }
    }
    let mut payload = Payload::open(terms.payload).map_err(|_| WRONG_ENVELOPE)?;
    let past = terms.expire_at.is_some_and(|at| ctx.keys.is_past(at));
    let value = payload.value();
    let value = value.map_err(|corrupt| refuse(ctx, corrupt.into()))?;
    let entry = ctx.keys.entry(ctx.key(1));
    // One whose time is past is only looked at.
    let read = if past {
        load::check(entry, value)
    } else {
        load::put(entry, value, &terms)
    };
    read.map_err(|fault| refuse(ctx, fault))?;
    if past {
        ctx.keys.delete(ctx.key(1));
    }
    ctx.reply.ok();
    Ok(())
}

/// Refuses a payload. The log says why, as the error does not.
#[cold]
fn refuse(ctx: &Ctx<'_>, fault: LoadFault) -> Error {
    let code = ctx.args[3].first().copied().unwrap_or_default();
    let form = ObjectType::from_code(code, VERSION).map_or("Value", ObjectType::form);
    let line = format!("RESTORE is refused. {form} integrity check failed: {fault}");
    ctx.engine.host.log(&line);
    BAD_DATA
}

/// The same where others are let in between: the value is made outside of the store.
#[cold]
fn restore_in_slices(ctx: &mut Ctx<'_>, terms: &Terms<'_>) -> Result<(), Error> {
    let (args, limits) = (ctx.args, ctx.keys.sizes());
    let past = terms.expire_at.is_some_and(|at| ctx.keys.is_past(at));
    // No key is needed for that.
    ctx.keys.rest();
    let (mut draft, mut now) = (Draft::default(), ctx.now_ms());
    let mut payload = Payload::open(terms.payload).map_err(|_| WRONG_ENVELOPE)?;
    let value = payload.value();
    let value = value.map_err(|corrupt| refuse(ctx, corrupt.into()))?;
    let made = draft.fill(limits, now, |entry| {
        let terms = Terms {
            expire_at: None,
            usage: Usage::New,
            payload: &[],
        };
        load::put(entry, value, &terms)
    });
    made.map_err(|fault| refuse(ctx, fault))?;
    if past {
        ctx.keys.delete(ctx.key(1));
        ctx.reply.ok();
        return Ok(());
    }
    loop {
        if ctx.keys.prepare_draft(&args[1], &mut draft, now) {
            now = now.max(ctx.breathe()?);
        } else if ctx.keys.restore_draft(ctx.key(1), &mut draft, terms) {
            break;
        }
    }
    // What the draft has kept is freed while others have the stripes.
    ctx.keys.rest();
    drop(draft);
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
