//! Many fields at once: all of them, pages of them, some at random.

use std::collections::HashSet;

use kvik_resp::{Protocol, Reply};
use kvik_store::{Field, HashRef, IntText};

use super::{hash, read, reply_text};
use crate::family::member_scan::MemberScan;
use crate::random::Random;
use crate::{Ctx, Error};

/// How many times more fields than are wanted a hash must have for them to be drawn one by one.
const DRAWN_OF: usize = 3;

/// The shortest thing that is sent for a field.
const EMPTY_BULK: &[u8] = b"$0\r\n\r\n";

pub(super) fn hgetall(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let hash = read(&mut ctx.keys, &ctx.args[1])?;
    let reply = &mut ctx.reply;
    reply.map(hash.map_or(0, HashRef::len));
    for_each(hash, |field| {
        reply_text(reply, field.name);
        reply_text(reply, field.value);
    });
    Ok(())
}

pub(super) fn hkeys(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    reply_each(ctx, |reply, field| reply_text(reply, field.name))
}

pub(super) fn hvals(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    reply_each(ctx, |reply, field| reply_text(reply, field.value))
}

fn reply_each(ctx: &mut Ctx<'_>, write: impl Fn(&mut Reply<'_>, Field<'_>)) -> Result<(), Error> {
    let hash = read(&mut ctx.keys, &ctx.args[1])?;
    ctx.reply.array(hash.map_or(0, HashRef::len));
    for_each(hash, |field| write(&mut ctx.reply, field));
    Ok(())
}

fn for_each<'h>(hash: Option<HashRef<'h>>, visit: impl FnMut(Field<'h>)) {
    if let Some(hash) = hash {
        hash.for_each(visit);
    }
}

pub(super) fn hscan(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let Some(scan) = MemberScan::parse(ctx, |view| hash(view).map(drop), &["NOVALUES"])? else {
        return Ok(());
    };
    let args = ctx.args;
    let Some(hash) = ctx.keys.view(&args[1]).map(hash).transpose()? else {
        return Ok(());
    };
    let elements = if scan.flag() { 1 } else { 2 };
    scan.answer(&mut ctx.reply, |cursor, page| {
        hash.scan(cursor, |field| {
            let mut room = IntText::default();
            let name = field.name.text(&mut room);
            page.elements(elements, name, |reply, name| {
                reply.bulk(name);
                if elements == 2 {
                    reply_text(reply, field.value);
                }
            })
        })
    });
    Ok(())
}

pub(super) fn hrandfield(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let args = ctx.args;
    if args.len() == 2 {
        let hash = read(&mut ctx.keys, &args[1])?;
        match hash.and_then(|hash| hash.sample(ctx.random.bits())) {
            Some(field) => reply_text(&mut ctx.reply, field.name),
            None => ctx.reply.null(),
        }
        return Ok(());
    }
    let (count, with_values) = count(ctx)?;
    let limit = ctx.engine.settings.max_string();
    let hash = read(&mut ctx.keys, &args[1])?;
    let mut chosen = Chosen {
        reply: &mut ctx.reply,
        random: ctx.random,
        with_values,
    };
    let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    match hash {
        None => chosen.header(0),
        Some(hash) if count < 0 => chosen.with_repetition(hash, wanted, limit)?,
        Some(hash) => chosen.distinct(hash, wanted),
    }
    Ok(())
}

/// How many fields are wanted, and whether their values are.
fn count(ctx: &Ctx<'_>) -> Result<(i64, bool), Error> {
    let count = ctx.int(2)?;
    if count == i64::MIN {
        return Err(Error::text(
            "value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ));
    }
    if ctx.args.len() > 3 && (ctx.args.len() > 4 || !ctx.is(3, "WITHVALUES")) {
        return Err(Error::SYNTAX);
    }
    let with_values = ctx.args.len() == 4;
    if with_values && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(Error::OUT_OF_RANGE);
    }
    Ok((count, with_values))
}

/// Where fields chosen at random go.
struct Chosen<'c, 'r> {
    reply: &'c mut Reply<'r>,
    random: &'c mut Random,
    with_values: bool,
}

impl Chosen<'_, '_> {
    /// RESP3 has an array for each field and its value.
    fn header(&mut self, fields: usize) {
        let flat = self.with_values && self.reply.protocol() == Protocol::Resp2;
        self.reply.array(if flat { 2 * fields } else { fields });
    }

    fn field(&mut self, field: Field<'_>) {
        if self.with_values && self.reply.protocol() == Protocol::Resp3 {
            self.reply.array(2);
        }
        reply_text(self.reply, field.name);
        if self.with_values {
            reply_text(self.reply, field.value);
        }
    }

    /// Each field is drawn from all of them. The number is the client's alone, so there is a limit to the reply's bytes.
    fn with_repetition(
        &mut self,
        hash: HashRef<'_>,
        count: usize,
        limit: usize,
    ) -> Result<(), Error> {
        if count.saturating_mul(EMPTY_BULK.len()) > limit {
            return Err(Error::OUT_OF_RANGE);
        }
        let start = self.reply.len();
        self.header(count);
        for _ in 0..count {
            if let Some(field) = hash.sample(self.random.bits()) {
                self.field(field);
            }
            if self.reply.len() - start > limit {
                return Err(Error::OUT_OF_RANGE);
            }
        }
        Ok(())
    }

    fn distinct(&mut self, hash: HashRef<'_>, count: usize) {
        let len = hash.len();
        let count = count.min(len);
        self.header(count);
        let is_table = matches!(hash, HashRef::Table(_));
        if is_table && len / DRAWN_OF >= count {
            self.draw(hash, count);
        } else {
            self.select(hash, len, count);
        }
    }

    /// Goes through all fields once and takes each with the probability that leaves every choice as likely as any other
    /// (Knuth's algorithm S).
    fn select(&mut self, hash: HashRef<'_>, len: usize, count: usize) {
        let (mut left, mut wanted) = (len as u64, count as u64);
        hash.for_each(|field| {
            if self.random.below(left) < wanted {
                self.field(field);
                wanted -= 1;
            }
            left -= 1;
        });
    }

    /// Draws until enough different ones were met: less than twice as often as there are wanted.
    fn draw(&mut self, hash: HashRef<'_>, count: usize) {
        let mut seen = HashSet::with_capacity(count);
        while seen.len() < count {
            let Some(field) = hash.sample(self.random.bits()) else {
                return;
            };
            if seen.insert(field.name) {
                self.field(field);
            }
        }
    }
}
