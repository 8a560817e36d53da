//! Ranges of ranks, scores and names: read, stored, counted and deleted.
//!
//! Whatever a range is given in, it becomes one of ranks before anything is done with it.

use std::ops::Range;

use kvik_resp::{Reply, parse_f64};
use kvik_store::{Event, EventClasses, NameBound, NameRange, ScoreRange, ScoredMember, ZsetRef};

use super::{Results, expiry_in, read, reply_len, reply_member, zset};
use crate::{Ctx, Error, SLICE};

const NO_SCORES: Error = Error::text("min or max is not a float");
const NO_NAMES: Error = Error::text("min or max not valid string range item");

/// Members that are removed while the stripe is held once: each leaves a table and an order.
pub(super) const REMOVED_AT_ONCE: usize = SLICE / 4;

/// The unit in which a range is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Name,
}

/// The choices that a command fixes and ZRANGE has options for.
#[derive(Clone, Copy, Debug, Default)]
struct Fixed {
    by: Option<By>,
    reverse: Option<bool>,
    /// Without WITHSCORES.
    stores: bool,
}

/// The words of a range.
#[derive(Clone, Copy, Debug)]
enum RangeBounds<'a> {
    Ranks(i64, i64),
    Scores(ScoreRange),
    Names(NameRange<'a>),
}

/// A range with everything that ZRANGE can say about it.
#[derive(Clone, Copy, Debug)]
struct Query<'a> {
    bounds: RangeBounds<'a>,
    reverse: bool,
    offset: i64,
    /// All where it is negative.
    limit: i64,
    with_scores: bool,
}

/// The options of a query while they are read.
#[derive(Clone, Copy, Debug)]
struct RangeOptions {
    by: Option<By>,
    reverse: Option<bool>,
    offset: i64,
    limit: i64,
    with_scores: bool,
}

pub(super) fn zrange(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    answer(ctx, Fixed::default())
}

pub(super) fn zrevrange(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    answer(ctx, Fixed::to(By::Rank, true))
}

pub(super) fn zrangebyscore(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    answer(ctx, Fixed::to(By::Score, false))
}

pub(super) fn zrevrangebyscore(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    answer(ctx, Fixed::to(By::Score, true))
}

pub(super) fn zrangebylex(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    answer(ctx, Fixed::to(By::Name, false))
}

pub(super) fn zrevrangebylex(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    answer(ctx, Fixed::to(By::Name, true))
}

fn answer(ctx: &mut Ctx<'_>, fixed: Fixed) -> Result<(), Error> {
    let query = Query::parse(ctx, 1, fixed)?;
    let Some(zset) = ctx.keys.read(ctx.key(1)).map(zset).transpose()? else {
        ctx.reply.array(0);
        return Ok(());
    };
    let ranks = query.ranks(zset);
    if ranks.len() > SLICE {
        return answer_in_slices(ctx, &query, ranks);
    }
    let reply = &mut ctx.reply;
    let members = zset.range(ranks, query.reverse);
    reply_len(reply, members.len(), query.with_scores);
    for member in members {
        let score = query.with_scores.then(|| member.score());
        reply_member(reply, member.name, score);
    }
    Ok(())
}

#[cold]
fn answer_in_slices(
    ctx: &mut Ctx<'_>,
    query: &Query<'_>,
    ranks: Range<usize>,
) -> Result<(), Error> {
    ctx.weigh(ranks.len())?;
    reply_len(&mut ctx.reply, ranks.len(), query.with_scores);
    let (with_scores, reverse) = (query.with_scores, query.reverse);
    each_slice(ctx, 1, ranks, reverse, |reply, _, member| {
        let score = with_scores.then(|| member.score());
        reply_member(reply, member.name, score);
    })
}

/// Visits members of the key at a position in slices.
pub(super) fn each_slice(
    ctx: &mut Ctx<'_>,
    at: usize,
    ranks: Range<usize>,
    reverse: bool,
    mut visit: impl FnMut(&mut Reply<'_>, ZsetRef<'_>, ScoredMember<'_>),
) -> Result<(), Error> {
    let count = ranks.len();
    for done in (0..count).step_by(SLICE) {
        if done > 0 {
            ctx.breathe()?;
        }
        let slice = SLICE.min(count - done);
        let slice = match reverse {
            false => ranks.start + done..ranks.start + done + slice,
            true => ranks.end - done - slice..ranks.end - done,
        };
        let Some(zset) = ctx.keys.peek(ctx.key(at)).map(zset).transpose()? else {
            return Ok(());
        };
        let reply = &mut ctx.reply;
        let members = zset.range(slice, reverse);
        members.for_each(|member| visit(reply, zset, member));
    }
    Ok(())
}

pub(super) fn zrangestore(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let args = ctx.args;
    let stores = true;
    let fixed = Fixed {
        stores,
        ..Fixed::default()
    };
    let query = Query::parse(ctx, 2, fixed)?;
    let mut results = Results::default();
    if let Some(zset) = read(ctx, &args[2])? {
        let ranks = query.ranks(zset);
        ctx.weigh(ranks.len())?;
        each_slice(ctx, 2, ranks, query.reverse, |_, zset, member| {
            let expire_at = expiry_in(zset, member.name);
            results.push(member.name, member.score(), expire_at);
        })?;
    }
    results.store(&mut ctx.keys, &args[1])?;
    ctx.reply.integer(results.len() as i64);
    Ok(())
}

pub(super) fn zcount(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    count(ctx, By::Score)
}

pub(super) fn zlexcount(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    count(ctx, By::Name)
}

fn count(ctx: &mut Ctx<'_>, by: By) -> Result<(), Error> {
    let args = ctx.args;
    let bounds = RangeBounds::parse(ctx, by, 2, 3)?;
    let ranks = read(ctx, &args[1])?.map(|zset| bounds.ranks(zset));
    let count = ranks.map_or(0, |ranks| ranks.len());
    ctx.reply.integer(count as i64);
    Ok(())
}

pub(super) fn zremrangebyrank(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    remove(ctx, By::Rank)
}

pub(super) fn zremrangebyscore(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    remove(ctx, By::Score)
}

pub(super) fn zremrangebylex(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    remove(ctx, By::Name)
}

fn remove(ctx: &mut Ctx<'_>, by: By) -> Result<(), Error> {
    let args = ctx.args;
    ctx.keys.mute(EventClasses::MISS);
    let bounds = RangeBounds::parse(ctx, by, 2, 3)?;
    let found = read(ctx, &args[1])?.map(|zset| (bounds.ranks(zset), zset.len()));
    let (ranks, len) = found.unwrap_or((0..0, 0));
    let removed = ranks.len();
    if removed > 0 && removed == len {
        // A whole sorted set is freed in slices.
        ctx.keys.note_called(&args[1], Event::ZREM);
        ctx.keys.delete(ctx.key(1));
    } else if removed > 0 {
        ctx.weigh(removed)?;
        let (mut left, mut wanted) = (removed, None);
        loop {
            let slice = left.min(REMOVED_AT_ONCE);
            let mut zset = ctx.keys.entry(ctx.key(1)).zset_mut()?;
            zset.remove_ranks(ranks.start..ranks.start + slice);
            drop(zset);
            left -= slice;
            if left == 0 {
                break;
            }
            // It has changed something, and goes on to its end. Of all slices one event tells.
            ctx.keys.breathe();
            wanted = wanted.or(Some(ctx.keys.mute(EventClasses::ALL)));
        }
        if let Some(wanted) = wanted {
            ctx.keys.unmute(wanted);
        }
    }
    ctx.reply.integer(removed as i64);
    Ok(())
}

impl Fixed {
    fn to(by: By, reverse: bool) -> Self {
        Self {
            by: Some(by),
            reverse: Some(reverse),
            stores: false,
        }
    }
}

impl<'a> Query<'a> {
    /// Reads a range and its options; the key is at position `key`.
    fn parse(ctx: &Ctx<'a>, key: usize, fixed: Fixed) -> Result<Self, Error> {
        // Options come before bounds, so a bad option is reported before a bad bound.
        let options = RangeOptions::parse(ctx, key + 3, fixed)?;
        let by = options.by.unwrap_or(By::Rank);
        let reverse = options.reverse.unwrap_or(false);
        if options.limit != -1 && by == By::Rank {
            return Err(Error::text(
                "syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if options.with_scores && by == By::Name {
            return Err(Error::text(
                "syntax error, WITHSCORES not supported in combination with BYLEX",
            ));
        }
        // A reversed range of scores or names is given from its upper end; one of ranks is not.
        let (min, max) = match reverse && by != By::Rank {
            false => (key + 1, key + 2),
            true => (key + 2, key + 1),
        };
        Ok(Self {
            bounds: RangeBounds::parse(ctx, by, min, max)?,
            reverse,
            offset: options.offset,
            limit: options.limit,
            with_scores: options.with_scores,
        })
    }

    /// The ranks, counted from the lowest, of what is asked for.
    fn ranks(&self, zset: ZsetRef<'_>) -> Range<usize> {
        let Range { mut start, mut end } = self.bounds.ranks(zset);
        // Ranks of a reversed range are counted from the highest member.
        if matches!(self.bounds, RangeBounds::Ranks(..)) {
            if self.reverse {
                let len = zset.len();
                return len - end..len - start;
            }
            return start..end;
        }
        // A negative offset makes the range empty, as in Redis.
        let Ok(offset) = usize::try_from(self.offset) else {
            return 0..0;
        };
        let offset = offset.min(end - start);
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        if self.reverse {
            end -= offset;
            start = start.max(end.saturating_sub(limit));
        } else {
            start += offset;
            end = end.min(start.saturating_add(limit));
        }
        start..end
    }
}

impl RangeOptions {
    fn parse(ctx: &Ctx<'_>, from: usize, fixed: Fixed) -> Result<Self, Error> {
        let mut options = Self {
            by: fixed.by,
            reverse: fixed.reverse,
            offset: 0,
            limit: -1,
            with_scores: false,
        };
        let mut at = from;
        while at < ctx.args.len() {
            if !fixed.stores && ctx.is(at, "WITHSCORES") {
                options.with_scores = true;
            } else if ctx.is(at, "LIMIT") && at + 2 < ctx.args.len() {
                options.offset = ctx.int(at + 1)?;
                options.limit = ctx.int(at + 2)?;
                at += 2;
            } else if fixed.reverse.is_none() && ctx.is(at, "REV") {
                options.reverse = Some(true);
            } else if options.by.is_none() && ctx.is(at, "BYLEX") {
                options.by = Some(By::Name);
            } else if options.by.is_none() && ctx.is(at, "BYSCORE") {
                options.by = Some(By::Score);
            } else {
                return Err(Error::SYNTAX);
            }
            at += 1;
        }
        Ok(options)
    }
}

impl<'a> RangeBounds<'a> {
    fn parse(ctx: &Ctx<'a>, by: By, min: usize, max: usize) -> Result<Self, Error> {
        let word = |at| ctx.args.get(at).unwrap_or_default();
        Ok(match by {
            By::Rank => Self::Ranks(ctx.int(min)?, ctx.int(max)?),
            By::Score => Self::Scores(scores(word(min), word(max)).ok_or(NO_SCORES)?),
            By::Name => Self::Names(NameRange {
                min: name(word(min)).ok_or(NO_NAMES)?,
                max: name(word(max)).ok_or(NO_NAMES)?,
            }),
        })
    }

    fn ranks(&self, zset: ZsetRef<'_>) -> Range<usize> {
        match self {
            Self::Ranks(start, stop) => clamp(*start, *stop, zset.len()),
            Self::Scores(range) => zset.ranks_of_scores(range),
            Self::Names(range) => zset.ranks_of_names(range),
        }
    }
}

/// Ranks from `start` to `stop`, which is inside; negative ones are counted from the end.
fn clamp(start: i64, stop: i64, len: usize) -> Range<usize> {
    let len = len as i64;
    // Neither end may leave the set: a start before it is its first rank, an end behind it its
    // last.
    let from_front = |rank: i64| if rank < 0 { rank + len } else { rank };
    let start = from_front(start).max(0);
    let end = from_front(stop).min(len - 1) + 1;
    if start >= end {
        return 0..0;
    }
    start as usize..end as usize
}

/// The scores between two bounds.
pub(super) fn scores(min: &[u8], max: &[u8]) -> Option<ScoreRange> {
    let (min, min_excluded) = score(min)?;
    let (max, max_excluded) = score(max)?;
    Some(ScoreRange {
        min,
        min_excluded,
        max,
        max_excluded,
    })
}

/// A score as a bound, and whether it is outside: what C's `strtod` makes of it, which is generous.
fn score(text: &[u8]) -> Option<(f64, bool)> {
    let (text, excluded) = match text {
        [b'(', rest @ ..] => (rest, true),
        _ => (text, false),
    };
    // `strtod` reads nothing as 0.
    if text.is_empty() {
        return Some((0.0, excluded));
    }
    let text = text.trim_ascii_start();
    // The standard parser covers the usual forms; `parse_f64` knows the rest of what C reads.
    let plain = std::str::from_utf8(text).ok();
    let score = plain
        .and_then(|text| text.parse().ok())
        .or_else(|| parse_f64(text))?;
    (!f64::is_nan(score)).then_some((score, excluded))
}

fn name(text: &[u8]) -> Option<NameBound<'_>> {
    Some(match text {
        b"-" => NameBound::Lowest,
        b"+" => NameBound::Highest,
        [b'[', name @ ..] => NameBound::Included(name),
        [b'(', name @ ..] => NameBound::Excluded(name),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_clamped() {
        for (start, stop, ranks) in [
            (0, -1, 0..3),
            (1, 1, 1..2),
            (-2, 9, 1..3),
            (-9, 0, 0..1),
            (2, 1, 0..0),
            (3, 9, 0..0),
            (0, -4, 0..0),
            (i64::MIN, i64::MAX, 0..3),
        ] {
            assert_eq!(clamp(start, stop, 3), ranks, "{start} {stop}");
        }
        assert_eq!(clamp(0, -1, 0), 0..0);
    }

    #[test]
    fn bounds_of_scores_are_read_as_by_strtod() {
        let good: [(&[u8], _); 9] = [
            (b"1", (1.0, false)),
            (b"(1.5", (1.5, true)),
            (b"-inf", (f64::NEG_INFINITY, false)),
            (b"(+Infinity", (f64::INFINITY, true)),
            (b"", (0.0, false)),
            (b"(", (0.0, true)),
            (b" 2", (2.0, false)),
            (b"1e400", (f64::INFINITY, false)),
            (b"0x10", (16.0, false)),
        ];
        for (text, bound) in good {
            assert_eq!(score(text), Some(bound), "{text:?}");
        }
        for bad in ["str", "NaN", "1x", " ", "((1", "1 "] {
            assert_eq!(score(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
