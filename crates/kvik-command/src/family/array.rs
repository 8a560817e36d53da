//! Arrays: rows, and the commands on single elements and ranges.

mod aggregate;
mod expression;
mod grep;
mod ring;
mod scan;

use std::iter::StepBy;
use std::ops::{Range, RangeInclusive};

use kvik_resp::{Args, Reply, parse_i64};
use kvik_store::{ArrayMut, ArrayRef, Entry, IntText, StringRef, ValueRef, View};

use crate::declare::{Command, Group, KeyFlags, Row};
use crate::{Ctx, Error, SLICE};

/// Positions that a reply may have at most, where holes are shown: nobody stored them.
const POSITIONS_MAX: u64 = 1_000_000;

const INVALID_INDEX: Error = Error::text("invalid array index");

/// The rows of this family.
pub(super) fn rows() -> Vec<Row> {
    [reads(), searches(), writes(), inserts()]
        .into_iter()
        .flatten()
        .collect()
}

fn command(name: &'static str, syntax: &'static str, handler: crate::Handler) -> Row {
    Command::new(name, syntax, handler)
        .group(Group::Array)
        .since("8.8.0")
        .complexity("O(1)")
}

fn reads() -> Vec<Row> {
    let command = |name, syntax, handler| {
        command(name, syntax, handler)
            .readonly()
            .access(&[KeyFlags::RO_ACCESS])
    };
    vec![
        command("ARLEN", "key", arlen)
            .fast()
            .access(&[KeyFlags::RO])
            .about("Returns the largest index of an array, and one more."),
        command("ARCOUNT", "key", arcount)
            .fast()
            .access(&[KeyFlags::RO])
            .about("Returns the number of elements of an array."),
        command("ARGET", "key index", arget)
            .fast()
            .about("Returns the element with an index."),
        command("ARMGET", "key index [index ...]", armget)
            .long()
            .fast()
            .complexity("O(N) where N is the number of indexes")
            .about("Returns the elements with some indexes."),
        command("ARGETRANGE", "key start end", scan::argetrange)
            .long()
            .complexity("O(N) where N is the number of indexes in the range")
            .about("Returns the elements between two indexes, and nil for each hole."),
        command(
            "ARSCAN",
            "key start end [LIMIT limit:integer]",
            scan::arscan,
        )
        .long()
        .complexity("O(N) where N is the number of elements in the range")
        .about("Returns the elements between two indexes with these."),
        command("ARINFO", "key [FULL]", scan::arinfo)
            .complexity("O(1), with FULL O(N) where N is the number of slices")
            .about("Returns what is known about an array."),
        command("ARNEXT", "key", ring::arnext)
            .fast()
            .access(&[KeyFlags::RO])
            .about("Returns the index at which the next element is inserted."),
        command("ARLASTITEMS", "key count:integer [REV]", ring::arlastitems)
            .long()
            .complexity("O(N) where N is the count")
            .about("Returns the elements that were inserted last."),
    ]
}

const GREP_SYNTAX: &str = "key start:string end:string predicate:<EXACT string|MATCH string|GLOB pattern|RE pattern> \
     [predicate:<EXACT string|MATCH string|GLOB pattern|RE pattern> ...] [AND|OR] [LIMIT limit:integer] \
     [WITHVALUES] [NOCASE]";

fn searches() -> Vec<Row> {
    let command = |name, syntax, handler| {
        command(name, syntax, handler)
            .readonly()
            .access(&[KeyFlags::RO_ACCESS])
            .complexity("O(N) where N is the number of elements in the range")
    };
    vec![
        command("ARGREP", GREP_SYNTAX, grep::argrep)
            .long()
            .about("Returns the indexes of elements that satisfy conditions."),
        command(
            "AROP",
            "key start end operation:<SUM|MIN|MAX|AND|OR|XOR|MATCH value|USED>",
            aggregate::arop,
        )
        .long()
        .about("Returns what the elements between two indexes come to."),
    ]
}

fn writes() -> Vec<Row> {
    let command = |name, syntax, handler| command(name, syntax, handler).write();
    vec![
        command("ARSET", "key index value [value ...]", arset)
            .long()
            .may_grow()
            .fast()
            .access(&[KeyFlags::RW_UPDATE])
            .complexity("O(N) where N is the number of values")
            .about("Sets elements from an index on."),
        command("ARMSET", "key index value [index value ...]", armset)
            .long()
            .may_grow()
            .fast()
            .access(&[KeyFlags::RW_UPDATE])
            .complexity("O(N) where N is the number of values")
            .about("Sets elements with some indexes."),
        command("ARDEL", "key index [index ...]", ardel)
            .long()
            .fast()
            .access(&[KeyFlags::RW_DELETE])
            .complexity("O(N) where N is the number of indexes")
            .about("Deletes the elements with some indexes."),
        command("ARDELRANGE", "key start end [start end ...]", ardelrange)
            .long()
            .access(&[KeyFlags::RW_DELETE])
            .complexity("O(N) where N is the number of elements deleted")
            .about("Deletes the elements between two indexes."),
    ]
}

fn inserts() -> Vec<Row> {
    let command = |name, syntax, handler| {
        command(name, syntax, handler)
            .write()
            .access(&[KeyFlags::RW_UPDATE])
    };
    vec![
        command("ARINSERT", "key value [value ...]", ring::arinsert)
            .long()
            .may_grow()
            .fast()
            .access(&[KeyFlags::RW_INSERT])
            .complexity("O(N) where N is the number of values")
            .about("Inserts elements behind the one that was inserted last."),
        command("ARRING", "key size:integer value [value ...]", ring::arring)
            .long()
            .may_grow()
            .complexity("O(N) where N is the number of values, and of elements if the size changes")
            .about("Inserts elements into a ring of a size."),
        command("ARSEEK", "key index", ring::arseek)
            .fast()
            .about("Sets the index at which the next element is inserted."),
    ]
}

/// The array that was found, if anything was.
fn array<'v>(view: Option<View<'v>>) -> Result<Option<ArrayRef<'v>>, Error> {
    match view.map(|view| view.value()) {
        None => Ok(None),
        Some(ValueRef::Array(array)) => Ok(Some(array)),
        Some(_) => Err(Error::WrongType),
    }
}

/// A word as an integer without a sign, in canonical form.
fn unsigned(word: &[u8]) -> Option<u64> {
    if let Some(n) = parse_i64(word) {
        return u64::try_from(n).ok();
    }
    let is_large = matches!(word, [b'1'..=b'9', ..]) && word.iter().all(u8::is_ascii_digit);
    is_large.then(|| std::str::from_utf8(word).ok()?.parse().ok())?
}

/// A word as the index of an element.
fn index(word: &[u8]) -> Result<u64, Error> {
    let index = unsigned(word).filter(|&index| index < ArrayMut::END);
    index.ok_or(INVALID_INDEX)
}

/// Two words as the ends of a range, in ascending order.
fn ascending(args: Args<'_>, at: usize) -> Result<RangeInclusive<u64>, Error> {
    let (one, other) = (index(&args[at])?, index(&args[at + 1])?);
    Ok(one.min(other)..=one.max(other))
}

/// Visits the elements of the array at word 1 from one index to another, some at a time, until
/// `visit` says no.
fn visit_range(
    ctx: &mut Ctx<'_>,
    from: u64,
    to: u64,
    mut visit: impl FnMut(&mut Reply<'_>, u64, StringRef<'_>) -> bool,
) -> Result<(), Error> {
    let mut next = Some(from);
    while let Some(start) = next.take() {
        let Some(array) = array(ctx.keys.peek(ctx.key(1)))? else {
            return Ok(());
        };
        let (reply, mut left) = (&mut ctx.reply, SLICE);
        for (index, value) in array.range(start, to) {
            if left == 0 {
                next = Some(index);
                break;
            }
            left -= 1;
            if !visit(reply, index, value) {
                return Ok(());
            }
        }
        if next.is_some() {
            // How many there are is not known before: so many that the rest is done elsewhere.
            let most = array.count().min(from.abs_diff(to).saturating_add(1));
            ctx.weigh(usize::try_from(most).unwrap_or(usize::MAX))?;
            ctx.breathe()?;
        }
    }
    Ok(())
}

fn ensure_size<'w>(mut values: impl Iterator<Item = &'w [u8]>) -> Result<(), Error> {
    match values.all(|value| value.len() <= ArrayMut::MAX_BYTES) {
        true => Ok(()),
        false => Err(Error::STRING_TOO_LONG),
    }
}

fn write_value(reply: &mut Reply<'_>, value: Option<StringRef<'_>>) {
    match value {
        Some(value) => reply.bulk(value.text(&mut IntText::default())),
        None => reply.null(),
    }
}

fn arlen(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let array = array(ctx.keys.read(ctx.key(1)))?;
    ctx.reply.unsigned(array.map_or(0, |array| array.len()));
    Ok(())
}

fn arcount(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let array = array(ctx.keys.read(ctx.key(1)))?;
    ctx.reply.unsigned(array.map_or(0, |array| array.count()));
    Ok(())
}

fn arget(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let array = array(ctx.keys.read(ctx.key(1)))?;
    let index = index(&ctx.args[2])?;
    write_value(&mut ctx.reply, array.and_then(|array| array.get(index)));
    Ok(())
}

fn armget(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    array(ctx.keys.read(ctx.key(1)))?;
    let words = ctx.args.tail(2);
    ctx.reply.array(words.len());
    ctx.read_in_slices(words.len(), |ctx, slice| {
        let array = array(ctx.keys.view(ctx.key(1)))?;
        for word in words.slice(slice) {
            let index = index(word)?;
            write_value(&mut ctx.reply, array.and_then(|array| array.get(index)));
        }
        Ok(())
    })
}

fn arset(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let args = ctx.args;
    let (first, values) = (index(&args[2])?, args.tail(3));
    if first.checked_add(values.len() as u64).is_none() {
        return Err(Error::text("array index overflow"));
    }
    ensure_size(values.iter())?;
    let mut filled = 0;
    ctx.change_in_slices(values.len(), |ctx, slice| {
        let mut array = ctx.keys.entry(ctx.key(1)).array_mut()?;
        filled += array.set(first + slice.start as u64, values.slice(slice).iter());
        Ok(())
    })?;
    ctx.reply.unsigned(filled);
    Ok(())
}

/// Where the pairs of words behind the key begin.
fn pairs(ctx: &Ctx<'_>) -> Result<StepBy<Range<usize>>, Error> {
    let words = ctx.args.len();
    match words.is_multiple_of(2) {
        true => Ok((2..words).step_by(2)),
        false => Err(Error::arity(ctx.command)),
    }
}

fn armset(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (args, pairs) = (ctx.args, pairs(ctx)?);
    // All indexes are checked before the first element is set.
    pairs
        .clone()
        .try_for_each(|at| index(&args[at]).map(drop))?;
    ensure_size(args.tail(2).iter())?;
    let mut filled = 0;
    ctx.change_in_slices(pairs.len(), |ctx, slice| {
        let mut array = ctx.keys.entry(ctx.key(1)).array_mut()?;
        for at in slice.map(|pair| 2 + 2 * pair) {
            filled += i64::from(array.set_one(index(&args[at])?, &args[at + 1]));
        }
        Ok(())
    })?;
    ctx.reply.integer(filled);
    Ok(())
}

fn ardel(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (words, mut deleted) = (ctx.args.tail(2), 0);
    words.iter().try_for_each(|word| index(word).map(drop))?;
    ctx.change_in_slices(words.len(), |ctx, slice| {
        if let occupied @ Entry::Occupied(_) = ctx.keys.entry(ctx.key(1)) {
            let words = words.slice(slice).iter();
            let mut array = occupied.array_mut()?;
            deleted += array.delete(words.filter_map(|word| index(word).ok()));
        }
        Ok(())
    })?;
    ctx.reply.unsigned(deleted);
    Ok(())
}

fn ardelrange(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (args, pairs) = (ctx.args, pairs(ctx)?);
    pairs
        .clone()
        .try_for_each(|at| ascending(args, at).map(drop))?;
    let found = array(ctx.keys.peek(ctx.key(1)))?;
    let count = found.map_or(0, |array| array.count());
    let asked = pairs.clone().try_fold(0_u64, |sum, at| {
        let range = ascending(args, at)?;
        let len = (range.end() - range.start()).saturating_add(1);
        Ok::<_, Error>(sum.saturating_add(len))
    });
    ctx.weigh(usize::try_from(count.min(asked?)).unwrap_or(usize::MAX))?;
    let (mut deleted, mut left, mut from) = (0, pairs.peekable(), None);
    ctx.change_while(|ctx| {
        let (Some(&at), entry @ Entry::Occupied(_)) = (left.peek(), ctx.keys.entry(ctx.key(1)))
        else {
            return Ok(false);
        };
        let range = ascending(args, at)?;
        let (first, last) = (from.take().unwrap_or(*range.start()), *range.end());
        let mut array = entry.array_mut()?;
        // They go by nodes, which costs less than to look at them.
        from = array
            .view()
            .range(first, last)
            .nth(4 * SLICE)
            .map(|it| it.0);
        deleted += array.delete_range(first, from.map_or(last, |next| next - 1));
        if from.is_none() {
            left.next();
        }
        Ok(true)
    })?;
    ctx.reply.unsigned(deleted);
    Ok(())
}
