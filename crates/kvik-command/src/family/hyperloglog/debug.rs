//! PFDEBUG: how a sketch is kept.

use std::fmt::Write;

use kvik_store::{EventClasses, OccupiedEntry};

use super::sketch::{Corrupt, Encoding, Sketch};
use super::{dense, sketch, sparse};
use crate::{Ctx, Error};

pub(super) fn pfdebug(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    ctx.keys.mute(EventClasses::STRING);
    let occupied = ctx.keys.entry(ctx.key(2)).occupied();
    let mut occupied = occupied.ok_or(Error::text("The specified key does not exist"))?;
    let mut sketch = sketch(occupied.view())?;
    let word = &ctx.args[1];
    let is = |known: &str| word.eq_ignore_ascii_case(known.as_bytes());
    if is("GETREG") {
        make_dense(&mut occupied, &mut sketch)?;
        let values: Vec<u8> = dense::values(sketch.body()).collect();
        ctx.reply.array(values.len());
        values
            .into_iter()
            .for_each(|value| ctx.reply.integer(value.into()));
    } else if is("DECODE") {
        if sketch.encoding() != Encoding::Sparse {
            return Err(Error::text("HLL encoding is not sparse"));
        }
        ctx.reply.bulk_str(&decode(sketch.body())?);
    } else if is("ENCODING") {
        ctx.reply.simple(match sketch.encoding() {
            Encoding::Dense => "dense",
            Encoding::Sparse => "sparse",
        });
    } else if is("TODENSE") {
        let changed = make_dense(&mut occupied, &mut sketch)?;
        ctx.reply.integer(changed.into());
    } else {
        return Err(Error::quoting(&[
            b"Unknown PFDEBUG subcommand '",
            word,
            b"'",
        ]));
    }
    Ok(())
}

/// Keeps the key's sketch densely, and says whether it was not yet.
fn make_dense(occupied: &mut OccupiedEntry<'_>, sketch: &mut Sketch) -> Result<bool, Error> {
    let sparse = sketch.encoding() == Encoding::Sparse;
    if sparse {
        sketch.make_dense()?;
        occupied.recode(sketch.bytes());
    }
    Ok(sparse)
}

/// The runs: `z:` and `Z:` of zeros, as one or two bytes, `v:` with a value; then how long they
/// are.
fn decode(body: &[u8]) -> Result<String, Corrupt> {
    let mut text = String::new();
    sparse::for_each(body, |indices, value| {
        let (len, blank) = (indices.len(), if text.is_empty() { "" } else { " " });
        let written = match value {
            0 if len > 64 => write!(text, "{blank}Z:{len}"),
            0 => write!(text, "{blank}z:{len}"),
            _ => write!(text, "{blank}v:{value},{len}"),
        };
        written.expect("a string takes any text");
    })?;
    Ok(text)
}
