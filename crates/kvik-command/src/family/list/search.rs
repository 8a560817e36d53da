//! The commands that look for elements by what they are.

use kvik_resp::parse_i64;
use kvik_store::ListEnd;
use kvik_store::packed::Needle;

use super::{existing, read};
use crate::{Ctx, Error, SLICE};

/// The options of LPOS.
struct Search {
    /// The matches before this one do not count; the first is 1.
    rank: u64,
    /// Where the search begins.
    from: ListEnd,
    /// How many matches are wanted, 0 being all; one, and not as an array, if it is not said.
    count: Option<usize>,
    /// How many elements are compared at most.
    compared: usize,
}

impl Search {
    fn parse(ctx: &Ctx<'_>) -> Result<Self, Error> {
        let (mut rank, mut count, mut compared) = (1, None, 0);
        let mut words = ctx.args.tail(3).iter();
        while let Some(word) = words.next() {
            let operand = words.next().ok_or(Error::SYNTAX)?;
            if word.eq_ignore_ascii_case(b"RANK") {
                rank = match magnitude(operand)? {
                    0 => return Err(Error::text(RANK_ZERO)),
                    rank => rank,
                };
            } else if word.eq_ignore_ascii_case(b"COUNT") {
                count = Some(natural(operand).ok_or(Error::text("COUNT can't be negative"))?);
            } else if word.eq_ignore_ascii_case(b"MAXLEN") {
                compared = natural(operand).ok_or(Error::text("MAXLEN can't be negative"))?;
            } else {
                return Err(Error::SYNTAX);
            }
        }
        Ok(Self {
            rank: rank.unsigned_abs(),
            from: towards(rank),
            count,
            compared: if compared == 0 { usize::MAX } else { compared },
        })
    }

    /// How many matches are wanted.
    fn wanted(&self) -> usize {
        match self.count {
            None => 1,
            Some(0) => usize::MAX,
            Some(count) => count,
        }
    }
}

const RANK_ZERO: &str = "RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative \
    to start from the end of the list";

fn natural(word: &[u8]) -> Option<usize> {
    parse_i64(word).and_then(|number| usize::try_from(number).ok())
}

/// A number whose sign says a direction.
fn magnitude(word: &[u8]) -> Result<i64, Error> {
    let number = parse_i64(word).ok_or(Error::NOT_AN_INTEGER)?;
    // Its magnitude would not fit, and Redis refuses it with this text.
    if number == i64::MIN {
        return Err(Error::text(
            "value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ));
    }
    Ok(number)
}

/// From where a number with this sign counts.
fn towards(number: i64) -> ListEnd {
    if number < 0 {
        ListEnd::Right
    } else {
        ListEnd::Left
    }
}

pub(super) fn lpos(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let search = Search::parse(ctx)?;
    let args = ctx.args;
    let needle = Needle::new(&args[2]);
    let key = ctx.key(1);
    let Some(list) = read(&mut ctx.keys, key)? else {
        match search.count {
            Some(_) => ctx.reply.array(0),
            None => ctx.reply.null(),
        }
        return Ok(());
    };
    let len = list.len();
    // MAXLEN bounds the elements compared, from the end at which the search begins.
    let compared = search.compared.min(len);
    let mut before = usize::try_from(search.rank - 1).unwrap_or(usize::MAX);
    let (mut found, mut done) = (Vec::new(), 0);
    while done < compared && found.len() < search.wanted() {
        if done == SLICE {
            // Most searches end before.
            ctx.weigh(compared)?;
        }
        if done > 0 {
            ctx.breathe()?;
        }
        let key = ctx.key(1);
        let Some(list) = read(&mut ctx.keys, key)? else {
            break;
        };
        let slice = SLICE.min(compared - done);
        let elements = list.elements(search.from, done, slice).enumerate();
        for (nth, _) in elements.filter(|(_, element)| needle.matches(*element)) {
            match before {
                0 if found.len() == search.wanted() => break,
                0 => found.push(done + nth),
                _ => before -= 1,
            }
        }
        done += slice;
    }
    // Positions are told from the left, whatever the direction.
    let mut found = found.into_iter().map(|nth| match search.from {
        ListEnd::Left => nth,
        ListEnd::Right => len - 1 - nth,
    });
    if search.count.is_some() {
        ctx.reply.array(found.len());
        found.for_each(|index| ctx.reply.integer(index as i64));
        return Ok(());
    }
    match found.next() {
        Some(index) => ctx.reply.integer(index as i64),
        None => ctx.reply.null(),
    }
    Ok(())
}

pub(super) fn linsert(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let args = ctx.args;
    let after = ctx.is(2, "AFTER");
    if !after && !ctx.is(2, "BEFORE") {
        return Err(Error::SYNTAX);
    }
    let key = ctx.key(1);
    let Some(entry) = existing(&mut ctx.keys, key)? else {
        ctx.reply.integer(0);
        return Ok(());
    };
    let mut list = entry.list_mut()?;
    if list.len() > SLICE {
        drop(list);
        return insert_in_slices(ctx, after);
    }
    let inserted = list.insert(&args[3], after, &args[4]);
    let len = if inserted { list.len() as i64 } else { -1 };
    ctx.reply.integer(len);
    Ok(())
}

/// The same where the search may take long.
#[cold]
fn insert_in_slices(ctx: &mut Ctx<'_>, after: bool) -> Result<(), Error> {
    let (args, key) = (ctx.args, ctx.key(1));
    let found = find_first(ctx, &args[3])?;
    let mut list = ctx.keys.entry(key).list_mut()?;
    if let Some(index) = found {
        list.insert_beside(index, &args[3], after, &args[4]);
    }
    let len = found.map_or(-1, |_| list.len() as i64);
    ctx.reply.integer(len);
    Ok(())
}

/// The index of the first element of the list at word 1 that is equal to another.
fn find_first(ctx: &mut Ctx<'_>, element: &[u8]) -> Result<Option<usize>, Error> {
    let (key, needle) = (ctx.key(1), Needle::new(element));
    let len = read(&mut ctx.keys, key)?.map_or(0, |list| list.len());
    for done in (0..len).step_by(SLICE) {
        if done == SLICE {
            // Most searches end before.
            ctx.weigh(len)?;
        }
        if done > 0 {
            ctx.breathe()?;
        }
        let Some(list) = read(&mut ctx.keys, key)? else {
            break;
        };
        let mut elements = list.elements(ListEnd::Left, done, SLICE.min(len - done));
        if let Some(nth) = elements.position(|element| needle.matches(element)) {
            return Ok(Some(done + nth));
        }
    }
    Ok(None)
}

pub(super) fn lrem(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let args = ctx.args;
    let count = magnitude(&args[2])?;
    let key = ctx.key(1);
    let Some(entry) = existing(&mut ctx.keys, key)? else {
        ctx.reply.integer(0);
        return Ok(());
    };
    // A count of 0 removes all.
    let max = match count.unsigned_abs() {
        0 => usize::MAX,
        max => usize::try_from(max).unwrap_or(usize::MAX),
    };
    let mut list = entry.list_mut()?;
    if list.len() > SLICE {
        drop(list);
        return remove_in_slices(ctx, towards(count), max);
    }
    let removed = list.remove(&args[3], towards(count), max);
    ctx.reply.integer(removed as i64);
    Ok(())
}

/// The same in slices.
#[cold]
fn remove_in_slices(ctx: &mut Ctx<'_>, nearest: ListEnd, max: usize) -> Result<(), Error> {
    let (args, key) = (ctx.args, ctx.key(1));
    let len = read(&mut ctx.keys, key)?.map_or(0, |list| list.len());
    // The elements that stay, and those that have gone.
    let (mut kept, mut removed) = (0, 0);
    ctx.change_in_slices(len, |ctx, slice| {
        let behind = kept + removed..slice.end;
        // A look at whole nodes may have gone further than its slice.
        if removed == max || behind.is_empty() {
            return Ok(());
        }
        let Some(entry) = existing(&mut ctx.keys, key)? else {
            return Ok(());
        };
        let part = kept..kept + behind.len();
        let mut list = entry.list_mut()?;
        let sweep = list.remove_in(&args[3], nearest, max - removed, part);
        kept += sweep.looked - sweep.deleted;
        removed += sweep.deleted;
        Ok(())
    })?;
    ctx.reply.integer(removed as i64);
    Ok(())
}
