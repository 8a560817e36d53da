//! HyperLogLog: how many different elements were added to a key, within 0.81 %.
//!
//! A sketch is a string in Redis' own format ([`sketch`]), so GET, SET and RESTORE carry it from
//! one server to another. What a string holds is never trusted: one that is no sketch is refused,
//! one that only looks like it is found out where it is read.

mod debug;
mod dense;
mod estimate;
mod selftest;
mod sketch;
mod sparse;

pub(super) use self::estimate::ElementSketch;

use kvik_resp::Args;
use kvik_store::{Entry, Event, EventClasses, Expiry, OccupiedEntry, View};

use self::dense::Register;
use self::estimate::Registers;
use self::sketch::{Corrupt, Encoding, HEADER, Sketch};
use super::bitmap::window;
use super::string::{set_raw, store_raw, string};
use crate::declare::{Command, Group, KeyFlags, KeySpec, Row};
use crate::{Ctx, Error, ErrorText, SLICE};

/// The rows of this family.
pub(super) fn rows() -> Vec<Row> {
    let command =
        |name, syntax, handler| Command::new(name, syntax, handler).group(Group::Hyperloglog);
    vec![
        command("PFADD", "key [element ...]", pfadd)
            .long()
            .event("pfadd")
            .write()
            .may_grow()
            .fast()
            .access(&[KeyFlags::RW_INSERT])
            .since("2.8.9")
            .complexity("O(N) where N is the number of elements")
            .about("Adds elements to a HyperLogLog, an empty one where there is none."),
        command("PFCOUNT", "key [key ...]", pfcount)
            .readonly()
            .may_replicate()
            .key_specs(COUNTED_KEYS)
            .since("2.8.9")
            .complexity("O(1) for one key whose count is known, O(N) for N keys")
            .about("Estimates how many different elements one or several HyperLogLogs have seen."),
        command("PFMERGE", "destkey [sourcekey ...]", pfmerge)
            .event("pfadd")
            .write()
            .may_grow()
            .access(&[KeyFlags::RW_ACCESS_INSERT, KeyFlags::RO_ACCESS])
            .since("2.8.9")
            .complexity("O(N) where N is the number of keys")
            .about("Adds what several HyperLogLogs have seen to another one."),
        command("PFDEBUG", "subcommand key", debug::pfdebug)
            .write()
            .may_grow()
            .admin()
            .access(&[KeyFlags::RW_ACCESS])
            .since("2.8.9")
            .complexity("O(1)")
            .about("Shows how a HyperLogLog is kept: GETREG, DECODE, ENCODING, TODENSE."),
        command("PFSELFTEST", "", selftest::pfselftest)
            .admin()
            .since("2.8.9")
            .complexity("O(1)")
            .about("Tests the registers and the estimate of HyperLogLogs."),
    ]
}

/// Counting may write the count down.
const COUNTED_KEYS: &[KeySpec] = &[KeySpec {
    notes: "RW because it may change the internal representation of the key, and propagate to replicas",
    ..KeySpec::range(1, -1, 1, KeyFlags::RW_ACCESS)
}];

const CORRUPT: Error = Error::Coded(
    "INVALIDOBJ",
    ErrorText::fixed("Corrupted HLL object detected"),
);
const NO_SKETCH: Error = Error::Coded(
    "WRONGTYPE",
    ErrorText::fixed("Key is not a valid HyperLogLog string value."),
);

impl From<Corrupt> for Error {
    fn from(_: Corrupt) -> Self {
        CORRUPT
    }
}

/// The sketch that a key holds.
///
/// # Errors
/// If it holds none.
fn sketch(view: View<'_>) -> Result<Sketch, Error> {
    let text = string(view)?.to_vec();
    Sketch::of(text).ok_or(NO_SKETCH)
}

/// How a key's sketch is kept.
///
/// # Errors
/// If it holds none.
fn encoding(view: View<'_>) -> Result<Encoding, Error> {
    let string = string(view)?;
    Encoding::of(window(string, 0), string.len()).ok_or(NO_SKETCH)
}

fn sparse_max(ctx: &Ctx<'_>) -> usize {
    ctx.engine.settings.hll_sparse_max()
}

/// Replaces a sketch by a newer one. Only what differs is written, or where nothing does the byte
/// that marks the count: who watches the key learns of it in any case.
fn replace(occupied: &mut OccupiedEntry<'_>, new: &Sketch) -> Result<(), Error> {
    let new = new.bytes();
    let old = string(occupied.view())?.to_vec();
    // `set_range` cannot shorten a string.
    if new.len() < old.len() {
        set_raw(occupied, new, Expiry::Keep);
        return Ok(());
    }
    let differs = |(old, new): (&u8, &u8)| old != new;
    let first = old.iter().zip(new).position(differs);
    let last = old.iter().zip(new).rposition(differs);
    let first = first.unwrap_or(HEADER - 1);
    let end = if new.len() > old.len() {
        new.len()
    } else {
        last.unwrap_or(first) + 1
    };
    occupied.set_range(first, &new[first..end], usize::MAX)?;
    Ok(())
}

fn pfadd(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let elements = ctx.args.tail(2);
    let mut changed = false;
    if elements.len() <= SLICE {
        changed = add(ctx, elements)?;
    } else {
        ctx.change_in_slices(elements.len(), |ctx, slice| {
            changed |= add(ctx, elements.slice(slice))?;
            Ok(())
        })?;
    }
    ctx.reply.integer(i64::from(changed));
    Ok(())
}

/// Adds elements to the sketch of word 1 and says whether that has changed it.
fn add(ctx: &mut Ctx<'_>, elements: Args<'_>) -> Result<bool, Error> {
    let (key, max) = (&ctx.args[1], sparse_max(ctx));
    // However many registers change, it is one event.
    let noted = ctx.keys.mute(EventClasses::STRING);
    let changed = match ctx.keys.entry(key) {
        Entry::Vacant(_) => {
            let mut sketch = Sketch::new();
            add_all(&mut sketch, elements, max)?;
            sketch.invalidate_count();
            store_raw(&mut ctx.keys, key, sketch.bytes(), Expiry::Clear);
            true
        }
        Entry::Occupied(mut occupied) => match encoding(occupied.view())? {
            Encoding::Dense => add_to_dense(&mut occupied, elements)?,
            Encoding::Sparse => add_to_sparse(&mut occupied, elements, max)?,
        },
    };
    ctx.keys.unmute(noted);
    if changed {
        ctx.keys.note_called(key, Event::SET_RANGE);
    }
    Ok(changed)
}

fn add_all(sketch: &mut Sketch, elements: Args<'_>, max: usize) -> Result<bool, Corrupt> {
    let mut changed = false;
    for element in elements {
        let (index, rank) = estimate::place(element);
        changed |= sketch.raise(index, rank, max)?;
    }
    Ok(changed)
}

fn add_to_sparse(
    occupied: &mut OccupiedEntry<'_>,
    elements: Args<'_>,
    max: usize,
) -> Result<bool, Error> {
    let mut sketch = sketch(occupied.view())?;
    let changed = add_all(&mut sketch, elements, max)?;
    if changed {
        sketch.invalidate_count();
        replace(occupied, &sketch)?;
    }
    Ok(changed)
}

/// Raises registers where they are, one or two bytes each.
fn add_to_dense(occupied: &mut OccupiedEntry<'_>, elements: Args<'_>) -> Result<bool, Error> {
    let mut changed = false;
    for element in elements {
        let (index, rank) = estimate::place(element);
        let register = Register::at(index);
        let at = HEADER + register.byte;
        if let Some(raised) = register.raise(window(string(occupied.view())?, at), rank) {
            occupied.set_range(at, &raised[..register.width()], usize::MAX)?;
            changed = true;
        }
    }
    // The mark is written once, and only if it is not set yet.
    let [mark] = window(string(occupied.view())?, HEADER - 1);
    if changed && mark & sketch::OUTDATED == 0 {
        occupied.set_range(HEADER - 1, &[mark | sketch::OUTDATED], usize::MAX)?;
    }
    Ok(changed)
}

fn pfcount(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    // The count is written down, of which nobody is told.
    ctx.keys.mute(EventClasses::STRING);
    let count = if ctx.args.len() == 2 {
        count_one(ctx)?
    } else {
        let (registers, _) = union(ctx)?;
        registers.estimate()
    };
    ctx.reply.integer(count as i64);
    Ok(())
}

/// The count of one key, which is written down in it. A follower leaves that to the store that it
/// follows.
fn count_one(ctx: &mut Ctx<'_>) -> Result<u64, Error> {
    let key = &ctx.args[1];
    let Some(view) = ctx.keys.read(key) else {
        return Ok(0);
    };
    encoding(view)?;
    if let Some(count) = sketch::known_count(window(string(view)?, HEADER - 8)) {
        return Ok(count);
    }
    let count = sketch(view)?.histogram()?.estimate();
    if !ctx.keys.is_follower() {
        let occupied = ctx.keys.entry(key).occupied();
        let mut occupied = occupied.expect("it has just been read");
        occupied.set_range(HEADER - 8, &count.to_le_bytes(), usize::MAX)?;
    }
    Ok(count)
}

/// The union of the sketches of all keys of a call, and whether one of them is dense.
fn union(ctx: &mut Ctx<'_>) -> Result<(Registers, bool), Error> {
    let mut registers = Registers::new();
    let mut dense = false;
    for key in ctx.args.tail(1) {
        if let Some(view) = ctx.keys.read(key) {
            let sketch = sketch(view)?;
            dense |= sketch.encoding() == Encoding::Dense;
            sketch.merge_into(&mut registers)?;
        }
    }
    Ok((registers, dense))
}

fn pfmerge(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (registers, dense) = union(ctx)?;
    let (key, max) = (&ctx.args[1], sparse_max(ctx));
    let merged = |mut sketch: Sketch| -> Result<Sketch, Error> {
        if dense {
            sketch.make_dense()?;
        }
        sketch.raise_all(&registers, max)?;
        sketch.invalidate_count();
        Ok(sketch)
    };
    match ctx.keys.entry(key) {
        Entry::Vacant(_) => {
            let sketch = merged(Sketch::new())?;
            store_raw(&mut ctx.keys, key, sketch.bytes(), Expiry::Clear);
        }
        Entry::Occupied(mut occupied) => {
            let sketch = merged(sketch(occupied.view())?)?;
            replace(&mut occupied, &sketch)?;
        }
    }
    ctx.reply.ok();
    Ok(())
}
