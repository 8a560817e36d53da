//! The commands that look for elements by what they are.

use kvik_resp::parse_i64;
use kvik_store::ListEnd;
use kvik_store::packed::Needle;

use super::{existing, read};
use crate::{Ctx, Error};

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
    let needle = Needle::new(&ctx.args[2]);
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
    let elements = list.elements(search.from, 0, search.compared);
    let matches = elements.enumerate();
    let matches = matches.filter(|(_, element)| needle.matches(*element));
    let before = usize::try_from(search.rank - 1).unwrap_or(usize::MAX);
    let wanted = matches.skip(before).take(search.wanted());
    // Positions are told from the left, whatever the direction.
    let mut found = wanted.map(|(nth, _)| match search.from {
        ListEnd::Left => nth,
        ListEnd::Right => len - 1 - nth,
    });
    if search.count.is_some() {
        let array = ctx.reply.deferred_array();
        let count = found.map(|index| ctx.reply.integer(index as i64)).count();
        ctx.reply.finish_array(array, count);
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
    let inserted = list.insert(&args[3], after, &args[4]);
    let len = if inserted { list.len() as i64 } else { -1 };
    ctx.reply.integer(len);
    Ok(())
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
    let removed = list.remove(&args[3], towards(count), max);
    ctx.reply.integer(removed as i64);
    Ok(())
}
