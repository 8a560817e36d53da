//! When members of a set expire, as Redis has it: SEXPIRE, STTL and their kin, SPERSIST, and
//! SADDEX in Redis' form.
//!
//! A condition or an error concerns the command before anything changes. A time that is past
//! deletes the members, and makes no set.

use kvik_resp::Args;
use kvik_store::{SetMut, SetRef, UnixMs};

use super::set;
use crate::family::deadline::{Capitals, Life, TimeFormat, upper_case};
use crate::family::key::Conditions;
use crate::{Ctx, Error};

/// The reply for a member that does not exist.
const MISSING: i64 = -2;
/// For one that does not expire, where that was asked for.
const LASTING: i64 = -1;
/// For one whose expiry does not fulfil the condition.
const REFUSED: i64 = 0;
/// For one whose expiry was changed.
const CHANGED: i64 = 1;
/// For one that was deleted, because its time was past.
const DELETED: i64 = 2;

pub(super) fn sexpire(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    expire_in(ctx, TimeFormat::Seconds)
}

pub(super) fn spexpire(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    expire_in(ctx, TimeFormat::Milliseconds)
}

pub(super) fn sexpireat(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    expire_in(ctx, TimeFormat::UnixSeconds)
}

pub(super) fn spexpireat(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    expire_in(ctx, TimeFormat::UnixMilliseconds)
}

fn expire_in(ctx: &mut Ctx<'_>, format: TimeFormat) -> Result<(), Error> {
    let args = ctx.args;
    ctx.keys.read(ctx.key(1)).map(set).transpose()?;
    let (conditions, members) = expire_options(ctx)?;
    let at = format.natural_deadline(&args[2], ctx)?;
    let past = ctx.keys.is_past(at);
    ctx.reply.array(members.len());
    ctx.change_in_slices(members.len(), |ctx, slice| {
        let mut set = ctx.keys.entry(ctx.key(1)).set_mut()?;
        for member in members.slice(slice) {
            let told = match set.view().expiry_of(member) {
                None => MISSING,
                Some(current) if !conditions.hold(current, at) => REFUSED,
                Some(_) if past => {
                    set.remove(member);
                    DELETED
                }
                Some(_) => {
                    set.set_expiry(member, Some(at));
                    CHANGED
                }
            };
            ctx.reply.integer(told);
        }
        Ok(())
    })
}

/// The condition and the members behind the time, in any order.
fn expire_options<'a>(ctx: &Ctx<'a>) -> Result<(Conditions, Args<'a>), Error> {
    let args = ctx.args;
    let (mut condition, mut members) = (None, None);
    let mut at = 3;
    while at < args.len() {
        if ctx.is(at, "MEMBERS") {
            if members.is_some() {
                return Err(Error::text("MEMBERS keyword specified multiple times"));
            }
            if at + 2 >= args.len() {
                return Err(Error::text(
                    "MEMBERS requires at least nummembers and one member argument",
                ));
            }
            let count = positive(
                &args[at + 1],
                Error::text("Parameter `numMembers` should be greater than 0"),
            )?;
            let words = args.slice(at + 2..at + 2 + count);
            if words.len() < count {
                return Err(Error::text("wrong number of arguments"));
            }
            members = Some(words);
            at += 2 + count;
        } else if ["NX", "XX", "GT", "LT"].iter().any(|word| ctx.is(at, word)) {
            if condition.replace(at).is_some() {
                return Err(Error::text("Multiple condition flags specified"));
            }
            at += 1;
        } else {
            return Err(unknown(&args[at]));
        }
    }
    let members = members.ok_or(Error::text("missing MEMBERS argument"))?;
    let condition = condition.map_or(args.slice(0..0), |at| args.slice(at..at + 1));
    Ok((Conditions::parse(condition)?, members))
}

fn unknown(word: &[u8]) -> Error {
    Error::quoting(&[b"unknown argument: ", word])
}

/// A number of members, which are words of one command.
fn positive(word: &[u8], or: Error) -> Result<usize, Error> {
    let count = kvik_resp::parse_i64(word);
    let count = count.filter(|count| (1..=i64::from(i32::MAX)).contains(count));
    count.map(|count| count as usize).ok_or(or)
}

/// The members of a command whose word 2 is `MEMBERS`.
fn listed<'a>(ctx: &Ctx<'a>) -> Result<Args<'a>, Error> {
    if !ctx.is(2, "MEMBERS") {
        return Err(Error::text(
            "Mandatory argument MEMBERS is missing or not at the right position",
        ));
    }
    let not_positive = Error::text("Number of members must be a positive integer");
    let (count, members) = (positive(&ctx.args[3], not_positive)?, ctx.args.tail(4));
    if count != members.len() {
        return Err(Error::text(
            "The `nummembers` parameter must match the number of arguments",
        ));
    }
    Ok(members)
}

pub(super) fn spersist(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    ctx.keys.read(ctx.key(1)).map(set).transpose()?;
    let members = listed(ctx)?;
    ctx.reply.array(members.len());
    ctx.change_in_slices(members.len(), |ctx, slice| {
        let mut set = ctx.keys.entry(ctx.key(1)).set_mut()?;
        for member in members.slice(slice) {
            let expiry = set.view().expiry_of(member);
            if matches!(expiry, Some(Some(_))) {
                set.set_expiry(member, None);
            }
            ctx.reply.integer(told(expiry, |_| CHANGED));
        }
        Ok(())
    })
}

/// The reply for a member; `tell` gives that of one that expires.
fn told(expiry: Option<Option<UnixMs>>, tell: impl Fn(UnixMs) -> i64) -> i64 {
    match expiry {
        None => MISSING,
        Some(None) => LASTING,
        Some(Some(at)) => tell(at),
    }
}

pub(super) fn sttl(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let now = ctx.now_ms();
    tell_expiries(ctx, |at| at.saturating_sub(now).div_ceil(1000))
}

pub(super) fn spttl(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let now = ctx.now_ms();
    tell_expiries(ctx, |at| at.saturating_sub(now))
}

pub(super) fn sexpiretime(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    tell_expiries(ctx, |at| at.div_ceil(1000))
}

pub(super) fn spexpiretime(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    tell_expiries(ctx, |at| at)
}

fn tell_expiries(ctx: &mut Ctx<'_>, tell: impl Fn(UnixMs) -> u64) -> Result<(), Error> {
    ctx.keys.read(ctx.key(1)).map(set).transpose()?;
    let members = listed(ctx)?;
    ctx.reply.array(members.len());
    ctx.read_in_slices(members.len(), |ctx, slice| {
        let set = ctx.keys.view(ctx.key(1)).map(set).transpose()?;
        for member in members.slice(slice) {
            let expiry = set.and_then(|set: SetRef<'_>| set.expiry_of(member));
            ctx.reply.integer(told(expiry, |at| tell(at) as i64));
        }
        Ok(())
    })
}

/// The options of SADDEX in Redis' form.
struct AddRequest<'a> {
    /// Whether all members have to be there, or none.
    exist: Option<bool>,
    life: Option<Life<'a>>,
    members: Args<'a>,
}

impl<'a> AddRequest<'a> {
    fn parse(ctx: &Ctx<'a>) -> Result<Self, Error> {
        let mut request = Self {
            exist: None,
            life: None,
            members: ctx.args.tail(usize::MAX),
        };
        let mut at = 2;
        while at < ctx.args.len() {
            if ctx.is(at, "MEMBERS") {
                request.members = added(ctx, at + 1)?;
                return Ok(request);
            }
            at += request.take(ctx, at)?;
        }
        Err(Error::text("missing MEMBERS argument"))
    }

    /// Takes an option and says of how many words it consists.
    fn take(&mut self, ctx: &Ctx<'a>, at: usize) -> Result<usize, Error> {
        if ctx.is(at, "MNX") || ctx.is(at, "MXX") {
            if self.exist.replace(ctx.is(at, "MXX")).is_some() {
                return Err(Error::text(
                    "Only one of MXX or MNX arguments can be specified",
                ));
            }
            return Ok(1);
        }
        let word = &ctx.args[at];
        let mut rest = ctx.args.tail(at + 1).iter();
        let (left, mut room) = (rest.len(), Capitals::default());
        let upper = upper_case(word, &mut room).ok_or_else(|| unknown(word))?;
        if matches!(upper, b"EX" | b"PX" | b"EXAT" | b"PXAT") && left == 0 {
            return Err(Error::text("missing expire time"));
        }
        match Life::named(upper, &mut rest) {
            None | Some(Life::Persist) => Err(unknown(word)),
            Some(_) if self.life.is_some() => Err(Error::text(
                "Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified",
            )),
            Some(life) => {
                self.life = Some(life);
                Ok(1 + left - rest.len())
            }
        }
    }
}

/// The members behind the word `MEMBERS`, whose number is at an index.
fn added<'a>(ctx: &Ctx<'a>, at: usize) -> Result<Args<'a>, Error> {
    const INVALID: Error = Error::text("invalid number of members");
    let count = ctx.args.get(at).ok_or(INVALID)?;
    let (count, members) = (positive(count, INVALID)?, ctx.args.tail(at + 1));
    if count != members.len() {
        return Err(INVALID);
    }
    Ok(members)
}

/// SADDEX in Redis' form: all members are added with the same time, or none.
pub(in crate::family) fn saddex(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let request = AddRequest::parse(ctx)?;
    let expire_at = match request.life {
        Some(Life::Until(format, time)) => Some(format.positive_deadline(time, ctx)?),
        _ => None,
    };
    let keeps = matches!(request.life, Some(Life::Keep));
    let past = expire_at.is_some_and(|at| ctx.keys.is_past(at));
    ctx.keys.read(ctx.key(1)).map(set).transpose()?;
    let members = request.members;
    let mut holds = true;
    if let Some(exist) = request.exist {
        ctx.read_in_slices(members.len(), |ctx, slice| {
            let there = ctx.keys.view(ctx.key(1)).map(set).transpose()?;
            let has = |member| there.is_some_and(|set: SetRef<'_>| set.contains(member));
            holds &= members.slice(slice).iter().all(|it| has(it) == exist);
            Ok(())
        })?;
    }
    if holds {
        ctx.change_in_slices(members.len(), |ctx, slice| {
            let mut set = ctx.keys.entry(ctx.key(1)).set_mut()?;
            let slice = members.slice(slice);
            match past {
                true => slice.iter().for_each(|member| {
                    set.remove(member);
                }),
                false => add(&mut set, slice, members.len(), expire_at, keeps),
            }
            Ok(())
        })?;
    }
    ctx.reply.integer(i64::from(holds));
    Ok(())
}

/// Adds members, of so many in all, that expire at a time, or never. Those that are there keep
/// theirs, if that is wanted.
fn add(
    set: &mut SetMut<'_>,
    members: Args<'_>,
    expected: usize,
    expire_at: Option<UnixMs>,
    keeps: bool,
) {
    set.expect(&members[0], expected);
    for member in members {
        let is_new = set.add(member);
        let stays = keeps && !is_new;
        if !stays && set.view().expiry_of(member) != Some(expire_at) {
            set.set_expiry(member, expire_at);
        }
    }
}
