//! ZADD and ZINCRBY, and what GEOADD has in common with them.

use kvik_resp::parse_f64;
use kvik_store::{Event, Scored};

use crate::{Ctx, Error, SLICE};

const NAN: Error = Error::text("resulting score is not a number (NaN)");

/// The options of one call.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::family) struct AddOptions {
    pub(in crate::family) nx: bool,
    pub(in crate::family) xx: bool,
    pub(in crate::family) ch: bool,
    gt: bool,
    lt: bool,
    incr: bool,
}

pub(super) fn zadd(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    run(ctx, AddOptions::default())
}

pub(super) fn zincrby(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let options = AddOptions {
        incr: true,
        ..AddOptions::default()
    };
    run(ctx, options)
}

fn run(ctx: &mut Ctx<'_>, mut options: AddOptions) -> Result<(), Error> {
    let args = ctx.args;
    let mut from = 2;
    // Options end at the first word that is none: it must be a score.
    while from < args.len() && options.take(&args[from]) {
        from += 1;
    }
    let words = args.len() - from;
    if words == 0 || !words.is_multiple_of(2) {
        return Err(Error::SYNTAX);
    }
    options.check(words / 2)?;
    // All scores are read before the first member is added.
    let first = ctx.float(from)?;
    if options.incr {
        return increment(ctx, &args[from + 1], first, options);
    }
    // One pair is the usual call, and its score is read already.
    if words == 2 {
        let name = args.get(from + 1).unwrap_or_default();
        return add(ctx, options, std::iter::once((first, name)));
    }
    for at in (from + 2..args.len()).step_by(2) {
        ctx.float(at)?;
    }
    // All of them are floats, or this would not be reached.
    let score = |at: usize| parse_f64(&args[at]).unwrap_or_default();
    let pairs = (from..args.len()).step_by(2);
    let name = |at: usize| args.get(at + 1).unwrap_or_default();
    add(ctx, options, pairs.map(|at| (score(at), name(at))))
}

/// Adds members to the sorted set at position 1 and writes the reply.
///
/// # Errors
/// If the key holds another type.
pub(in crate::family) fn add<'a>(
    ctx: &mut Ctx<'a>,
    options: AddOptions,
    mut pairs: impl ExactSizeIterator<Item = (f64, &'a [u8])> + Clone,
) -> Result<(), Error> {
    let (mut added, mut changed) = (0, 0);
    let mut count = |scored| match scored {
        Scored::Kept => {}
        Scored::Added => added += 1,
        Scored::Changed => changed += 1,
    };
    // NX, XX, GT and LT are decided where the old score is found: one lookup per member.
    let decide = |old, score| options.admit(old, score).then_some(score);
    let (len, longest) = (pairs.len(), pairs.clone().map(|(_, name)| name.len()).max());
    if len <= SLICE {
        let mut zset = ctx.keys.entry(ctx.key(1)).zset_mut()?;
        zset.expect(len, longest.unwrap_or(0));
        pairs.for_each(|(score, name)| count(zset.update(name, |old| decide(old, score))));
    } else {
        ctx.change_in_slices(len, |ctx, slice| {
            let mut zset = ctx.keys.entry(ctx.key(1)).zset_mut()?;
            zset.expect(len, longest.unwrap_or(0));
            for (score, name) in pairs.by_ref().take(slice.len()) {
                count(zset.update(name, |old| decide(old, score)));
            }
            Ok(())
        })?;
    }
    ctx.reply
        .integer(if options.ch { added + changed } else { added });
    Ok(())
}

fn increment(ctx: &mut Ctx<'_>, name: &[u8], by: f64, options: AddOptions) -> Result<(), Error> {
    let mut outcome = Ok(None);
    ctx.keys.call_changes(Some(Event::ZINCR));
    let mut zset = ctx.keys.entry(ctx.key(1)).zset_mut()?;
    zset.expect(1, name.len());
    zset.update(name, |old| {
        // An error leaves the member as it is, and is returned behind the update.
        outcome = options.incremented(old, by);
        outcome.clone().ok().flatten()
    });
    match outcome? {
        Some(score) => ctx.reply.double(score),
        None => ctx.reply.null(),
    }
    Ok(())
}

impl AddOptions {
    /// Takes a word if it is an option.
    fn take(&mut self, word: &[u8]) -> bool {
        let named = |name: &[u8]| word.eq_ignore_ascii_case(name);
        let option = match () {
            () if word.len() > 4 => return false,
            () if named(b"NX") => &mut self.nx,
            () if named(b"XX") => &mut self.xx,
            () if named(b"CH") => &mut self.ch,
            () if named(b"GT") => &mut self.gt,
            () if named(b"LT") => &mut self.lt,
            () if named(b"INCR") => &mut self.incr,
            () => return false,
        };
        *option = true;
        true
    }

    /// Refuses options that exclude each other, or so many pairs.
    fn check(self, pairs: usize) -> Result<(), Error> {
        if self.nx && self.xx {
            return Err(Error::text(
                "XX and NX options at the same time are not compatible",
            ));
        }
        if self.gt && self.lt || self.nx && (self.gt || self.lt) {
            return Err(Error::text(
                "GT, LT, and/or NX options at the same time are not compatible",
            ));
        }
        if self.incr && pairs > 1 {
            return Err(Error::text(
                "INCR option supports a single increment-element pair",
            ));
        }
        Ok(())
    }

    /// Whether a member with this score, or none, may get another one.
    fn admit(self, old: Option<f64>, score: f64) -> bool {
        match old {
            None => !self.xx,
            Some(old) => !(self.nx || self.lt && score >= old || self.gt && score <= old),
        }
    }

    /// The score of a member after it was added to, if that may happen.
    fn incremented(self, old: Option<f64>, by: f64) -> Result<Option<f64>, Error> {
        if old.is_some() && self.nx {
            return Ok(None);
        }
        let score = old.unwrap_or(0.0) + by;
        if score.is_nan() {
            return Err(NAN);
        }
        // Adding -0 to 0 would lose its sign, so a new member gets the increment itself.
        let score = if old.is_some() { score } else { by };
        Ok(self.admit(old, score).then_some(score))
    }
}
