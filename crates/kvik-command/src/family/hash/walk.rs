//! Many fields at once: all of them, pages of them, some at random.

use std::collections::HashSet;

use kvik_resp::{Protocol, Reply};
use kvik_store::{Field, HashRef, IntText};

use super::{hash, read, reply_text};
use crate::family::member_scan::MemberScan;
use crate::family::sampling::{Selection, checked_count, distinct, draws, is_small_part, repeat};
use crate::random::Random;
use crate::{Ctx, Error, SLICE};

pub(super) fn hgetall(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let write = |reply: &mut Reply<'_>, field: Field<'_>| {
        reply_text(reply, field.name);
        reply_text(reply, field.value);
    };
    reply_each(ctx, |reply, len| reply.map(len), write)
}

pub(super) fn hkeys(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let write = |reply: &mut Reply<'_>, field: Field<'_>| reply_text(reply, field.name);
    reply_each(ctx, |reply, len| reply.array(len), write)
}

pub(super) fn hvals(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let write = |reply: &mut Reply<'_>, field: Field<'_>| reply_text(reply, field.value);
    reply_each(ctx, |reply, len| reply.array(len), write)
}

/// Begins a reply of so many fields and writes each.
fn reply_each(
    ctx: &mut Ctx<'_>,
    begin: impl Fn(&mut Reply<'_>, usize),
    write: impl Fn(&mut Reply<'_>, Field<'_>),
) -> Result<(), Error> {
    let key = ctx.key(1);
    let hash = read(&mut ctx.keys, key)?;
    let len = hash.map_or(0, HashRef::len);
    if len > SLICE {
        return reply_in_slices(ctx, len, begin, write);
    }
    begin(&mut ctx.reply, len);
    if let Some(hash) = hash {
        hash.for_each(|field| write(&mut ctx.reply, field));
    }
    Ok(())
}

#[cold]
fn reply_in_slices(
    ctx: &mut Ctx<'_>,
    len: usize,
    begin: impl Fn(&mut Reply<'_>, usize),
    write: impl Fn(&mut Reply<'_>, Field<'_>),
) -> Result<(), Error> {
    ctx.weigh(len)?;
    begin(&mut ctx.reply, len);
    let mut cursor = 0;
    loop {
        let Some(hash) = ctx.keys.peek(ctx.key(1)).map(hash).transpose()? else {
            return Ok(());
        };
        let (reply, mut left) = (&mut ctx.reply, SLICE);
        cursor = hash.scan(cursor, |field| {
            write(reply, field);
            left = left.saturating_sub(1);
            left > 0
        });
        if cursor == 0 {
            return Ok(());
        }
        ctx.breathe()?;
    }
}

pub(super) fn hscan(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let Some(scan) = MemberScan::parse(ctx, |view| hash(view).map(drop), &["NOVALUES"])? else {
        return Ok(());
    };
    let Some(hash) = ctx.keys.view(ctx.key(1)).map(hash).transpose()? else {
        return Ok(());
    };
    // With NOVALUES a field is one element of the reply, otherwise two.
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
        let key = ctx.key(1);
        let hash = read(&mut ctx.keys, key)?;
        match hash.and_then(|hash| hash.sample(ctx.random.bits())) {
            Some(field) => reply_text(&mut ctx.reply, field.name),
            None => ctx.reply.null(),
        }
        return Ok(());
    }
    let (count, with_values) = count(ctx)?;
    let key = ctx.key(1);
    let hash = read(&mut ctx.keys, key)?;
    let mut chosen = Chosen {
        reply: &mut ctx.reply,
        random: ctx.random,
        with_values,
    };
    match hash {
        None => chosen.header(0),
        Some(hash) if count < 0 => chosen.with_repetition(hash, draws(count)?)?,
        Some(hash) => chosen.distinct(hash, distinct(count, hash.len())),
    }
    Ok(())
}

/// How many fields are wanted, and whether their values are.
fn count(ctx: &Ctx<'_>) -> Result<(i64, bool), Error> {
    let count = checked_count(ctx.int(2)?)?;
    if ctx.args.len() > 3 && (ctx.args.len() > 4 || !ctx.is(3, "WITHVALUES")) {
        return Err(Error::SYNTAX);
    }
    let with_values = ctx.args.len() == 4;
    // With values the reply is twice as long, and its length must be a number too.
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
        write_field(self.reply, field, self.with_values);
    }

    /// Each field is drawn from all of them.
    fn with_repetition(&mut self, hash: HashRef<'_>, times: usize) -> Result<(), Error> {
        self.header(times);
        let (random, with_values) = (&mut *self.random, self.with_values);
        repeat(self.reply, times, |reply| {
            let field = hash.sample(random.bits()).expect("a hash has fields");
            write_field(reply, field, with_values);
        })
    }

    fn distinct(&mut self, hash: HashRef<'_>, count: usize) {
        self.header(count);
        // Drawing is cheap only in a table; packed fields are walked in any case.
        if matches!(hash, HashRef::Table(_)) && is_small_part(count, hash.len()) {
            self.draw(hash, count);
            return;
        }
        let mut selection = Selection::new(count, hash.len());
        hash.for_each(|field| {
            if selection.takes(self.random) {
                self.field(field);
            }
        });
    }

    /// Draws until enough different ones were met: less than twice as often as there are wanted.
    fn draw(&mut self, hash: HashRef<'_>, count: usize) {
        let mut seen = HashSet::with_capacity(count);
        while seen.len() < count {
            let field = hash.sample(self.random.bits()).expect("a hash has fields");
            if seen.insert(field.name) {
                self.field(field);
            }
        }
    }
}

fn write_field(reply: &mut Reply<'_>, field: Field<'_>, with_value: bool) {
    if with_value && reply.protocol() == Protocol::Resp3 {
        reply.array(2);
    }
    reply_text(reply, field.name);
    if with_value {
        reply_text(reply, field.value);
    }
}
