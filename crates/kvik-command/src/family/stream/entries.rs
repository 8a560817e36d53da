//! The entries of a stream: adding, reading a range, deleting, trimming.

use std::borrow::Cow;

use kvik_resp::Args;
use kvik_store::{
    AppendError, Entry, Precision, References, StreamEntry, StreamId, StreamRef, Trim, TrimTo,
};
use xxhash_rust::xxh3::Xxh3Default;

use super::options::TrimOptions;
use super::{ids, stream, write_entry, write_id};
use crate::{CHANGED_AT_ONCE, Ctx, Error, SLICE};

impl From<AppendError> for Error {
    fn from(error: AppendError) -> Self {
        Self::text(match error {
            AppendError::Exhausted => {
                "The stream has exhausted the last possible ID, unable to add more items"
            }
            AppendError::NotLarger => {
                "The ID specified in XADD is equal or smaller than the target stream top item"
            }
            AppendError::TooLarge => "Elements are too large to be stored",
        })
    }
}

pub(super) fn xadd(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let args = ctx.args;
    let (options, id, fields) = TrimOptions::of_xadd(ctx)?;
    let words = args.tail(fields);
    if words.is_empty() || !words.len().is_multiple_of(2) {
        return Err(Error::arity(ctx.command));
    }
    if id == kvik_store::NewId::Full(StreamId::MIN) {
        return Err(Error::text(
            "The ID specified in XADD must be greater than 0-0",
        ));
    }
    let entry = ctx.keys.entry(ctx.key(1));
    if options.only_existing && matches!(entry, Entry::Vacant(_)) {
        ctx.reply.null();
        return Ok(());
    }
    let mut stream = entry.stream_mut()?;
    let excess = options.trim.map_or(0, |trim| excess(&stream.view(), &trim));
    let is_much = options.trim.is_some_and(|trim| excess > at_once(&trim));
    if is_much {
        drop(stream);
        // Before anything changes.
        ctx.weigh(usize::try_from(excess).unwrap_or(usize::MAX))?;
        stream = ctx.keys.entry(ctx.key(1)).stream_mut()?;
    }
    let name = options
        .once
        .map(|name| (name.producer, name_text(name.text, words)));
    if let Some((producer, text)) = &name
        && let Some(known) = stream.recorded(producer, text)
    {
        stream.record(producer, text, known);
        write_id(&mut ctx.reply, known);
        return Ok(());
    }
    let id = stream.append(id, words.iter())?;
    if let Some((producer, text)) = &name {
        stream.record(producer, text, id);
    }
    match options.trim {
        Some(trim) if is_much => {
            drop(stream);
            trim_in_slices(ctx, trim)?;
        }
        Some(trim) => {
            stream.trim(&trim);
        }
        None => {}
    }
    write_id(&mut ctx.reply, id);
    Ok(())
}

/// The name that a producer has for an entry: what it says, or a digest of the fields and values,
/// whatever their order.
fn name_text<'a>(said: Option<&'a [u8]>, words: Args<'_>) -> Cow<'a, [u8]> {
    let Some(said) = said else {
        let pair = |at: usize| {
            let (field, value) = (&words[at], &words[at + 1]);
            let mut digest = Xxh3Default::new();
            digest.update(&(field.len() as u64).to_le_bytes());
            digest.update(field);
            digest.update(value);
            digest.digest128()
        };
        let pairs = (0..words.len()).step_by(2).map(pair);
        let all = pairs.fold(0_u128, u128::wrapping_add);
        return Cow::Owned(all.to_be_bytes().to_vec());
    };
    Cow::Borrowed(said)
}

pub(super) fn xtrim(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let trim = TrimOptions::of_xtrim(ctx)?;
    let deleted = match ctx.keys.entry(ctx.key(1)) {
        Entry::Vacant(_) => 0,
        occupied => {
            let mut stream = occupied.stream_mut()?;
            let excess = excess(&stream.view(), &trim);
            if excess <= at_once(&trim) {
                stream.trim(&trim)
            } else {
                drop(stream);
                ctx.weigh(usize::try_from(excess).unwrap_or(usize::MAX))?;
                trim_in_slices(ctx, trim)?
            }
        }
    };
    ctx.reply.integer(deleted as i64);
    Ok(())
}

/// Entries that go while the stripe is held once: by nodes, or one by one where groups may refer to
/// them. Where those that are referred to stay, all are looked at in one go.
fn at_once(trim: &Trim) -> u64 {
    if trim.precision == Precision::WholeNodes(None) {
        // It goes as far as a limit that the store knows.
        return u64::MAX;
    }
    let entries = match (trim.references, trim.to) {
        (References::Acked, _) => return u64::MAX,
        (References::Delete, _) => CHANGED_AT_ONCE,
        // An id is found by counting.
        (References::Keep, TrimTo::MinId(_)) => SLICE,
        (References::Keep, TrimTo::Len(_)) => 16 * SLICE,
    };
    entries as u64
}

/// How many entries a trim deletes. Those before an id are counted up to a number.
fn excess(stream: &StreamRef<'_>, trim: &Trim) -> u64 {
    match trim.to {
        TrimTo::Len(max) => stream.len().saturating_sub(max),
        TrimTo::MinId(id) => {
            let before = id.prev().map(|last| stream.range(StreamId::MIN, last));
            const COUNTED: usize = SLICE;
            let before = before.into_iter().flatten();
            match before.take(COUNTED).count() {
                COUNTED => stream.len(),
                few => few as u64,
            }
        }
    }
}

/// Trims the stream at word 1 in slices and says how many entries have gone.
#[cold]
fn trim_in_slices(ctx: &mut Ctx<'_>, trim: Trim) -> Result<u64, Error> {
    let (mut deleted, mut at_once) = (0, at_once(&trim));
    ctx.change_while(|ctx| {
        let mut stream = ctx.keys.entry(ctx.key(1)).stream_mut()?;
        let (part, is_last) = part_of(&stream.view(), trim, at_once);
        let left = match trim.precision {
            Precision::WholeNodes(Some(limit @ 1..)) => {
                Precision::WholeNodes(Some(limit.saturating_sub(deleted).max(1)))
            }
            precision => precision,
        };
        let gone = stream.trim(&Trim {
            precision: left,
            ..part
        });
        deleted += gone;
        if gone == 0 {
            // A node has more entries than that.
            at_once *= 2;
        }
        let limit = match trim.precision {
            Precision::WholeNodes(Some(limit @ 1..)) => limit,
            _ => u64::MAX,
        };
        Ok(!is_last && deleted < limit)
    })?;
    Ok(deleted)
}

/// A trim of about so many entries, on the way to another one, and whether it is all of that.
fn part_of(stream: &StreamRef<'_>, trim: Trim, entries: u64) -> (Trim, bool) {
    let to = match trim.to {
        TrimTo::Len(max) => {
            let len = stream.len().saturating_sub(entries);
            (len > max).then_some(TrimTo::Len(len))
        }
        TrimTo::MinId(id) => {
            let mut ids = stream.range(StreamId::MIN, StreamId::MAX);
            let part = ids.nth(entries as usize).map(|entry| entry.id());
            part.filter(|part| *part < id).map(TrimTo::MinId)
        }
    };
    let is_last = to.is_none();
    (
        Trim {
            to: to.unwrap_or(trim.to),
            ..trim
        },
        is_last,
    )
}

pub(super) fn xdel(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let args = ctx.args;
    let deleted = match ctx.keys.entry(ctx.key(1)) {
        Entry::Vacant(_) => 0,
        occupied => {
            let mut stream = occupied.stream_mut()?;
            let words = args.tail(2);
            // All ids are checked before the first entry is deleted.
            words.iter().try_for_each(|id| ids::parse(id).map(drop))?;
            let known = |id| ids::parse(id).ok();
            if words.len() <= SLICE {
                stream.delete(words.iter().filter_map(known))
            } else {
                drop(stream);
                let mut deleted = 0;
                ctx.change_in_slices(words.len(), |ctx, slice| {
                    let mut stream = ctx.keys.entry(ctx.key(1)).stream_mut()?;
                    let words = words.slice(slice).iter();
                    deleted += stream.delete(words.filter_map(known));
                    Ok(())
                })?;
                deleted
            }
        }
    };
    ctx.reply.integer(deleted as i64);
    Ok(())
}

pub(super) fn xlen(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let stream = stream(ctx.keys.read(ctx.key(1)))?;
    let len = stream.map_or(0, |stream| stream.len());
    ctx.reply.integer(len as i64);
    Ok(())
}

pub(super) fn xrange(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let start = ids::parse_start(&ctx.args[2])?;
    let end = ids::parse_end(&ctx.args[3])?;
    range(ctx, start, end, false)
}

pub(super) fn xrevrange(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let start = ids::parse_start(&ctx.args[3])?;
    let end = ids::parse_end(&ctx.args[2])?;
    range(ctx, start, end, true)
}

fn range(ctx: &mut Ctx<'_>, start: StreamId, end: StreamId, back: bool) -> Result<(), Error> {
    let max = count(ctx)?;
    let Some(stream) = stream(ctx.keys.read(ctx.key(1)))? else {
        ctx.reply.array(0);
        return Ok(());
    };
    // Redis answers a COUNT of 0 with null, but only if the key exists.
    if max == 0 {
        ctx.reply.null_array();
        return Ok(());
    }
    let most = usize::try_from(stream.len()).unwrap_or(usize::MAX).min(max);
    let array = ctx.reply.deferred_array();
    let (mut len, mut next) = (0, Some((start, end)));
    while let Some((start, end)) = next {
        if len > 0 {
            // How many there are is not known before: so many that the rest is done elsewhere.
            ctx.weigh(most)?;
            ctx.breathe()?;
        }
        let Some(stream) = self::stream(ctx.keys.peek(ctx.key(1)))? else {
            break;
        };
        let slice = SLICE.min(max - len);
        let (reply, mut latest, before) = (&mut ctx.reply, None, len);
        let mut write = |entry: StreamEntry<'_>| {
            latest = Some(entry.id());
            write_entry(reply, &entry);
            len += 1;
        };
        if back {
            stream
                .range_back(start, end)
                .take(slice)
                .for_each(&mut write);
        } else {
            stream.range(start, end).take(slice).for_each(&mut write);
        }
        let is_done = len - before < SLICE || len == max;
        next = latest.filter(|_| !is_done).and_then(|latest| match back {
            true => Some((start, latest.prev()?)),
            false => Some((latest.next()?, end)),
        });
    }
    if len > SLICE {
        // The header moves all that is behind it, and no key is needed for that.
        ctx.keys.rest();
    }
    ctx.reply.finish_array(array, len);
    Ok(())
}

/// How many entries a range is to have; the last COUNT counts.
fn count(ctx: &Ctx<'_>) -> Result<usize, Error> {
    let (mut at, mut count) = (4, usize::MAX);
    while at < ctx.args.len() {
        if !ctx.is(at, "COUNT") || at + 1 == ctx.args.len() {
            return Err(Error::SYNTAX);
        }
        count = ctx.int(at + 1)?.max(0) as usize;
        at += 2;
    }
    Ok(count)
}

pub(super) fn xsetid(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let args = ctx.args;
    let last_id = ids::parse(&args[2])?;
    let (added, max_deleted) = xsetid_options(ctx, last_id)?;
    let entry = ctx.keys.entry(ctx.key(1));
    if matches!(entry, Entry::Vacant(_)) {
        return Err(Error::NO_SUCH_KEY);
    }
    let mut stream = entry.stream_mut()?;
    let there = stream.view();
    // No id that exists or existed may be given out again.
    let refusal = if last_id < there.max_deleted_id() {
        Some("The ID specified in XSETID is smaller than current max_deleted_entry_id")
    } else if there.last_entry_id().is_some_and(|last| last_id < last) {
        Some("The ID specified in XSETID is smaller than the target stream top item")
    } else if !there.is_empty() && added.is_some_and(|added| added < there.len()) {
        Some("The entries_added specified in XSETID is smaller than the target stream length")
    } else {
        None
    };
    if let Some(refusal) = refusal {
        return Err(Error::text(refusal));
    }
    stream.set_last_id(last_id, added, max_deleted);
    ctx.reply.ok();
    Ok(())
}

fn xsetid_options(
    ctx: &Ctx<'_>,
    last_id: StreamId,
) -> Result<(Option<u64>, Option<StreamId>), Error> {
    let (mut added, mut max_deleted) = (None, None);
    for at in (3..ctx.args.len()).step_by(2) {
        let more = at + 1 < ctx.args.len();
        if ctx.is(at, "ENTRIESADDED") && more {
            let count = u64::try_from(ctx.int(at + 1)?);
            added = Some(count.map_err(|_| Error::text("entries_added must be positive"))?);
        } else if ctx.is(at, "MAXDELETEDID") && more {
            let id = ids::parse(&ctx.args[at + 1])?;
            if last_id < id {
                return Err(Error::text(
                    "The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
                ));
            }
            // As for Redis, the smallest id says nothing.
            max_deleted = Some(id).filter(|id| *id != StreamId::MIN);
        } else {
            return Err(Error::SYNTAX);
        }
    }
    Ok((added, max_deleted))
}
