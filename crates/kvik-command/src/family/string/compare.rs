//! Comparing strings before something is done: the conditions of SET, DELEX and DELIFEQ, and
//! DIGEST, which gives a client something short to compare with.

use kvik_store::{Entry, IntText, TextRef};
use xxhash_rust::xxh3::xxh3_64;

use super::string;
use crate::{Ctx, Error};

/// What must be there for a write to happen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum SetCondition<'a> {
    /// Anything.
    #[default]
    Always,
    /// Nothing (`NX`).
    Absent,
    /// Something (`XX`).
    Present,
    /// This string (`IFEQ`).
    Equal(&'a [u8]),
    /// Another string, or nothing (`IFNE`).
    Different(&'a [u8]),
    /// A string of this digest (`IFDEQ`).
    Digest(&'a [u8]),
    /// A string of another digest, or nothing (`IFDNE`).
    OtherDigest(&'a [u8]),
}

impl<'a> SetCondition<'a> {
    /// The condition on a string that a word in capitals and its operand express.
    pub(super) fn on_string(word: &[u8], operand: &'a [u8]) -> Option<Self> {
        Some(match word {
            b"IFEQ" => Self::Equal(operand),
            b"IFNE" => Self::Different(operand),
            b"IFDEQ" => Self::Digest(operand),
            b"IFDNE" => Self::OtherDigest(operand),
            _ => return None,
        })
    }

    /// Whether the condition holds for what is in an entry.
    ///
    /// # Errors
    /// If a string is to be compared with a value of another type, or its digest with what is none.
    pub(super) fn holds(self, entry: &Entry<'_>) -> Result<bool, Error> {
        if let Self::Always = self {
            // Most calls have no condition and need not look.
            return Ok(true);
        }
        let holds = match (self, entry.view()) {
            (Self::Always | Self::Absent | Self::Different(_) | Self::OtherDigest(_), None) => true,
            (_, None) | (Self::Absent, Some(_)) => false,
            (Self::Always | Self::Present, Some(_)) => true,
            (Self::Equal(text), Some(view)) => string(view)?.is(text),
            (Self::Different(text), Some(view)) => !string(view)?.is(text),
            (Self::Digest(digest), Some(view)) => has_digest(string(view)?, digest)?,
            (Self::OtherDigest(digest), Some(view)) => !has_digest(string(view)?, digest)?,
        };
        Ok(holds)
    }
}

fn has_digest(string: TextRef<'_>, digest: &[u8]) -> Result<bool, Error> {
    let actual = digest_of(string);
    if digest.len() != actual.len() {
        return Err(Error::text("must be exactly 16 hexadecimal characters"));
    }
    Ok(actual.as_bytes().eq_ignore_ascii_case(digest))
}

fn digest_of(string: TextRef<'_>) -> String {
    let hash = xxh3_64(&string.text(&mut IntText::default()));
    format!("{hash:016x}")
}

pub(super) fn digest(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let string = ctx.keys.read_string(ctx.key(1))?;
    match string.map(digest_of) {
        Some(digest) => ctx.reply.bulk_str(&digest),
        None => ctx.reply.null(),
    }
    Ok(())
}

/// Without a condition this is DEL. What is wrong with a condition is noticed only where there is a
/// key.
pub(super) fn delex(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let args = ctx.args;
    if !matches!(args.len(), 2 | 4) {
        return Err(Error::arity(ctx.command));
    }
    let entry = ctx.keys.entry(ctx.key(1));
    let holds = match entry.view() {
        None => false,
        Some(_) if args.len() == 2 => true,
        Some(view) => {
            string(view).map_err(|_| NO_STRING)?;
            let word = args[2].to_ascii_uppercase();
            let condition = SetCondition::on_string(&word, &args[3]).ok_or(UNKNOWN_CONDITION)?;
            condition.holds(&entry)?
        }
    };
    delete_if(ctx, holds);
    Ok(())
}

const NO_STRING: Error = Error::text("Key should be of string type if conditions are specified");
const UNKNOWN_CONDITION: Error = Error::text("Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE");

pub(super) fn delifeq(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let entry = ctx.keys.entry(ctx.key(1));
    let equal = SetCondition::Equal(&ctx.args[2]).holds(&entry)?;
    delete_if(ctx, equal);
    Ok(())
}

/// Deletes the key of the call, and answers whether it did.
fn delete_if(ctx: &mut Ctx<'_>, holds: bool) {
    let deleted = holds && ctx.keys.delete(ctx.key(1));
    ctx.reply.integer(i64::from(deleted));
}
