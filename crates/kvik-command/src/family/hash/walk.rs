//! Many fields at once: all of them, pages of them, some at random.

use std::collections::HashSet;

use kvik_resp::{Protocol, Reply};
use kvik_store::{Field, HashRef, IntText, View};

use super::{hash, read, reply_text};
use crate::family::member_scan::MemberScan;
use crate::family::sampling::{
    DRAWN_AT_ONCE, Selection, checked_count, distinct, draws, is_small_part, repeat, touched,
};
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
    let len = ctx.keys.view(ctx.key(1)).map(hash).transpose()?;
    let len = len.map_or(0, HashRef::len);
    // With NOVALUES a field is one element of the reply, otherwise two.
    let elements = if scan.flag() { 1 } else { 2 };
    scan.answer(ctx, len, |view, cursor, page| {
        Ok(hash(view)?.scan(cursor, |field| {
            let mut room = IntText::default();
            let name = field.name.text(&mut room);
            page.elements(elements, name, |reply, name| {
                reply.bulk(name);
                if elements == 2 {
                    reply_text(reply, field.value);
                }
            })
        }))
    })
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
    let Some(len) = read(&mut ctx.keys, key)?.map(HashRef::len) else {
        write_header(&mut ctx.reply, 0, with_values);
        return Ok(());
    };
    if count >= 0 {
        let count = distinct(count, len);
        ctx.weigh(touched(count, len))?;
        write_header(&mut ctx.reply, count, with_values);
        return choose(ctx, count, len, with_values);
    }
    let times = draws(count)?;
    ctx.weigh(times)?;
    write_header(&mut ctx.reply, times, with_values);
    repeat(ctx, times, |ctx, slice| {
        let hash = look(ctx.keys.view(ctx.key(1)))?;
        for _ in 0..slice {
            let field = hash.sample(ctx.random.bits()).expect("a hash has fields");
            write_field(&mut ctx.reply, field, with_values);
        }
        Ok(())
    })
}

/// The hash of a key that has been found.
fn look(view: Option<View<'_>>) -> Result<HashRef<'_>, Error> {
    hash(view.ok_or(Error::NO_SUCH_KEY)?)
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

/// Answers with `count` different fields of a hash of `len`.
fn choose(ctx: &mut Ctx<'_>, count: usize, len: usize, with_values: bool) -> Result<(), Error> {
    // Drawing is cheap only in a table; packed fields are walked in any case.
    let is_table = matches!(look(ctx.keys.view(ctx.key(1)))?, HashRef::Table(_));
    if is_table && is_small_part(count, len) {
        return draw(ctx, count, with_values);
    }
    let (mut selection, mut cursor) = (Selection::new(count, len), 0);
    loop {
        let hash = look(ctx.keys.view(ctx.key(1)))?;
        let (reply, random, mut left) = (&mut ctx.reply, &mut *ctx.random, SLICE);
        cursor = hash.scan(cursor, |field| {
            if selection.takes(random) {
                write_field(reply, field, with_values);
            }
            left = left.saturating_sub(1);
            left > 0
        });
        if cursor == 0 {
            return Ok(());
        }
        ctx.breathe()?;
    }
}

/// Draws until enough different ones were met: less than twice as often as there are wanted.
fn draw(ctx: &mut Ctx<'_>, count: usize, with_values: bool) -> Result<(), Error> {
    let mut seen = HashSet::with_capacity(count);
    loop {
        let hash = look(ctx.keys.view(ctx.key(1)))?;
        for _ in 0..DRAWN_AT_ONCE {
            if seen.len() == count {
                return Ok(());
            }
            let field = hash.sample(ctx.random.bits()).expect("a hash has fields");
            if seen.insert(field.name.text(&mut IntText::default()).to_vec()) {
                write_field(&mut ctx.reply, field, with_values);
            }
        }
        ctx.breathe()?;
    }
}

/// RESP3 has an array for each field and its value.
fn write_header(reply: &mut Reply<'_>, fields: usize, with_values: bool) {
    let flat = with_values && reply.protocol() == Protocol::Resp2;
    reply.array(if flat { 2 * fields } else { fields });
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
