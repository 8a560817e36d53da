//! The commands that take elements off an end: to return them, or to move them to another list.
//!
//! Functions that take elements off are apart from those that read a command's words: [`pop_one`],
//! [`pop_from_first`] and [`move_one`] say whether there was anything, so that a client which waits
//! can ask again.

use kvik_resp::{Args, parse_i64};
use kvik_store::{Elements, Event, IntText, Key, ListEnd, Wanted};

use super::{end, existing, read, reply_with};
use crate::blocking::Block;
use crate::{Ctx, Error, SLICE};

pub(super) fn lpop(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    pop(ctx, ListEnd::Left)
}

pub(super) fn rpop(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    pop(ctx, ListEnd::Right)
}

fn pop(ctx: &mut Ctx<'_>, end: ListEnd) -> Result<(), Error> {
    let args = ctx.args;
    match args.len() {
        2 => {
            if !pop_one(ctx, &args[1], end)? {
                ctx.reply.null();
            }
        }
        3 => {
            let count = parse_i64(&args[2]).and_then(|count| usize::try_from(count).ok());
            let count = count.ok_or(Error::NOT_POSITIVE)?;
            let key = ctx.key(1);
            match existing(&mut ctx.keys, key)? {
                Some(_) if count == 0 => ctx.reply.array(0),
                Some(_) => pop_many(ctx, key, end, count)?,
                None => ctx.reply.null_array(),
            }
        }
        _ => return Err(Error::arity(ctx.command)),
    }
    Ok(())
}

/// Answers with the element at an end of a list and deletes it, or says that there is none.
///
/// # Errors
/// If the key holds another type.
fn pop_one(ctx: &mut Ctx<'_>, key: &[u8], end: ListEnd) -> Result<bool, Error> {
    let Some(entry) = existing(&mut ctx.keys, key)? else {
        return Ok(false);
    };
    let mut list = entry.list_mut()?;
    let mut text = IntText::default();
    let elements = list.view().elements(end, 0, 1);
    elements.for_each(|element| ctx.reply.bulk(element.text(&mut text)));
    list.pop(end, 1);
    Ok(true)
}

/// Answers with up to `count` elements at an end and deletes them.
///
/// # Errors
/// If the key holds another type.
fn pop_many(ctx: &mut Ctx<'_>, key: Key<'_>, end: ListEnd, count: usize) -> Result<(), Error> {
    let mut list = ctx.keys.entry(key).list_mut()?;
    let count = count.min(list.view().len());
    if count > SLICE {
        drop(list);
        return pop_in_slices(ctx, key, end, count);
    }
    reply_with(&mut ctx.reply, list.view().elements(end, 0, count));
    list.pop(end, count);
    Ok(())
}

/// The same for `count` elements, which are there, with others let in between.
#[cold]
fn pop_in_slices(ctx: &mut Ctx<'_>, key: Key<'_>, end: ListEnd, count: usize) -> Result<(), Error> {
    ctx.reply.array(count);
    ctx.read_in_slices(count, |ctx, slice| {
        let Some(list) = read(&mut ctx.keys, key)? else {
            return Ok(());
        };
        let (reply, mut text) = (&mut ctx.reply, IntText::default());
        let elements = list.elements(end, slice.start, slice.len());
        elements.for_each(|element| reply.bulk(element.text(&mut text)));
        Ok(())
    })?;
    if let Some(entry) = existing(&mut ctx.keys, key)? {
        entry.list_mut()?.pop(end, count);
    }
    Ok(())
}

/// Answers with the first of the keys that exists and up to `count` elements at an end of its list,
/// and deletes those; or says that there is none.
///
/// # Errors
/// If that key holds another type.
fn pop_from_first(
    ctx: &mut Ctx<'_>,
    keys: Args<'_>,
    end: ListEnd,
    count: usize,
) -> Result<bool, Error> {
    for key in keys {
        if !ctx.may_see(key) {
            continue;
        }
        if existing(&mut ctx.keys, key)?.is_some() {
            ctx.reply.array(2);
            ctx.reply.bulk(key);
            pop_many(ctx, key.into(), end, count)?;
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) fn lmpop(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (keys, end, count) = first_list_words(ctx, 1)?;
    if !pop_from_first(ctx, keys, end, count)? {
        ctx.reply.null_array();
    }
    Ok(())
}

/// The keys, the end and the count of a call, whose number of keys is word `from`.
fn first_list_words<'a>(ctx: &Ctx<'a>, from: usize) -> Result<(Args<'a>, ListEnd, usize), Error> {
    let positive = |word: &[u8]| {
        let number = parse_i64(word).and_then(|number| usize::try_from(number).ok());
        number.filter(|&number| number > 0)
    };
    let numkeys = positive(&ctx.args[from]);
    let numkeys = numkeys.ok_or(Error::text("numkeys should be greater than 0"))?;
    let last = numkeys.saturating_add(from);
    let end = end(ctx, last.saturating_add(1))?;
    let keys = ctx.args.slice(from + 1..last + 1);
    let mut count = None;
    let mut words = ctx.args.tail(last + 2).iter();
    while let Some(word) = words.next() {
        match words.next() {
            Some(number) if count.is_none() && word.eq_ignore_ascii_case(b"COUNT") => {
                let number = positive(number);
                count = Some(number.ok_or(Error::text("count should be greater than 0"))?);
            }
            _ => return Err(Error::SYNTAX),
        }
    }
    Ok((keys, end, count.unwrap_or(1)))
}

pub(super) fn lmove(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (from, to) = (end(ctx, 3)?, end(ctx, 4)?);
    move_or_null(ctx, from, to)
}

pub(super) fn rpoplpush(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    move_or_null(ctx, ListEnd::Right, ListEnd::Left)
}

pub(super) fn blpop(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    pop_or_wait(ctx, ListEnd::Left)
}

pub(super) fn brpop(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    pop_or_wait(ctx, ListEnd::Right)
}

fn pop_or_wait(ctx: &mut Ctx<'_>, end: ListEnd) -> Result<(), Error> {
    let (args, last) = (ctx.args, ctx.args.len() - 1);
    let until_ms = ctx.deadline(last)?;
    for key in args.slice(1..last) {
        if !ctx.may_see(key) || existing(&mut ctx.keys, key)?.is_none() {
            continue;
        }
        ctx.reply.array(2);
        ctx.reply.bulk(key);
        pop_one(ctx, key, end)?;
        return Ok(());
    }
    ctx.wait_or_answer(Block::new(Wanted::List, 1..last, until_ms));
    Ok(())
}

pub(super) fn blmpop(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let until_ms = ctx.deadline(1)?;
    let (keys, end, count) = first_list_words(ctx, 2)?;
    if !pop_from_first(ctx, keys, end, count)? {
        let keys = 3..3 + keys.len();
        ctx.wait_or_answer(Block::new(Wanted::List, keys, until_ms));
    }
    Ok(())
}

pub(super) fn blmove(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (from, to) = (end(ctx, 3)?, end(ctx, 4)?);
    move_or_wait(ctx, from, to)
}

pub(super) fn brpoplpush(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    move_or_wait(ctx, ListEnd::Right, ListEnd::Left)
}

fn move_or_wait(ctx: &mut Ctx<'_>, from: ListEnd, to: ListEnd) -> Result<(), Error> {
    let args = ctx.args;
    let until_ms = ctx.deadline(args.len() - 1)?;
    if move_one(ctx, &args[1], &args[2], from, to)? {
        return Ok(());
    }
    if ctx.may_block() {
        ctx.block(Block::new(Wanted::List, 1..2, until_ms));
    } else {
        ctx.reply.null();
    }
    Ok(())
}

fn move_or_null(ctx: &mut Ctx<'_>, from: ListEnd, to: ListEnd) -> Result<(), Error> {
    let args = ctx.args;
    if !move_one(ctx, &args[1], &args[2], from, to)? {
        ctx.reply.null();
    }
    Ok(())
}

/// Moves the element at an end of a list to an end of another or the same, and answers with it; or
/// says that there is none.
///
/// # Errors
/// If one of the keys holds another type.
fn move_one(
    ctx: &mut Ctx<'_>,
    source: &[u8],
    destination: &[u8],
    from: ListEnd,
    to: ListEnd,
) -> Result<bool, Error> {
    if existing(&mut ctx.keys, source)?.is_none() {
        return Ok(false);
    }
    // The type of the destination is checked before anything changes.
    existing(&mut ctx.keys, destination)?;
    if source == destination {
        // Turned within the list: popping its only element first would delete the key.
        let mut list = ctx.keys.entry(source).list_mut()?;
        ctx.reply.bulk(&first(list.view().elements(from, 0, 1)));
        list.turn(from, to);
        drop(list);
        ctx.keys.note(source, push_event(to));
        ctx.keys.note(source, pop_event(from));
        return Ok(true);
    }
    let before = ctx.keys.stats();
    let mut list = ctx.keys.entry(source).list_mut()?;
    let element = first(list.view().elements(from, 0, 1));
    list.pop(from, 1);
    drop(list);
    ctx.reply.bulk(&element);
    let mut list = ctx.keys.entry(destination).list_mut()?;
    list.push(to, std::iter::once(&element[..]));
    drop(list);
    ctx.keys.count_as_one(before);
    Ok(true)
}

pub(super) fn push_event(end: ListEnd) -> &'static Event {
    match end {
        ListEnd::Left => Event::LPUSH,
        ListEnd::Right => Event::RPUSH,
    }
}

pub(super) fn pop_event(end: ListEnd) -> &'static Event {
    match end {
        ListEnd::Left => Event::LPOP,
        ListEnd::Right => Event::RPOP,
    }
}

/// A copy of the first of some elements, of which there are any.
fn first(mut elements: Elements<'_>) -> Vec<u8> {
    let element = elements.next();
    let element = element.expect("a list that exists has elements");
    element.text(&mut IntText::default()).to_vec()
}
