//! The words of the commands with a FIELDS clause: options, then `FIELDS`, a number and as many
//! fields.
//!
//! What stands before `FIELDS` are options, what follows the number are fields, whatever they are
//! called. A syntax error in the options wins over a wrong number, and that over a bad time.

use kvik_resp::{Args, ArgsIter};

use crate::family::deadline::{Capitals, Life, upper_case};
use crate::{Ctx, Error};

/// The fields are not as many as the command says.
pub(super) const WRONG_NUMBER: Error =
    Error::text("numfields should be greater than 0 and match the provided number of fields");

/// The index of the word `FIELDS`, looking from word `from` on.
///
/// # Errors
/// If there is none with a word behind it.
pub(super) fn fields_word(ctx: &Ctx<'_>, from: usize) -> Result<usize, Error> {
    (from..ctx.args.len() - 1)
        .find(|&at| ctx.is(at, "FIELDS"))
        .ok_or(WRONG_NUMBER)
}

/// The words behind the number at `at`, which says how many fields of `width` words they are.
///
/// # Errors
/// If it is no number; `mismatch` if it is a wrong one.
pub(super) fn counted<'a>(
    ctx: &Ctx<'a>,
    at: usize,
    width: usize,
    mismatch: Error,
) -> Result<Args<'a>, Error> {
    let (count, words) = (ctx.int(at)?, ctx.args.tail(at + 1));
    let expected = usize::try_from(count)
        .ok()
        .and_then(|count| count.checked_mul(width));
    if count == 0 || expected != Some(words.len()) {
        return Err(mismatch);
    }
    Ok(words)
}

/// As [`counted`], for a command without options, whose word 2 is `FIELDS`.
///
/// # Errors
/// Also if it is another word.
pub(super) fn listed<'a>(ctx: &Ctx<'a>, mismatch: Error) -> Result<Args<'a>, Error> {
    if !ctx.is(2, "FIELDS") {
        return Err(Error::SYNTAX);
    }
    counted(ctx, 3, 1, mismatch)
}

/// Which command the options belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldCommand {
    SetEx,
    GetEx,
}

/// What must be there, of a key or of each field, for a write to happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum FieldCondition {
    /// Anything.
    #[default]
    Always,
    /// Nothing.
    Absent,
    /// Something.
    Present,
}

/// The options of HSETEX and HGETEX.
#[derive(Debug, Default)]
pub(super) struct FieldOptions<'a> {
    /// Of the key (`NX`, `XX`).
    pub(super) key: FieldCondition,
    /// Of every field (`FNX`, `FXX`).
    pub(super) fields: FieldCondition,
    pub(super) life: Option<Life<'a>>,
}

impl FieldCondition {
    /// Whether the condition holds for something that exists, or does not.
    pub(super) fn holds(self, exists: bool) -> bool {
        match self {
            Self::Always => true,
            Self::Absent => !exists,
            Self::Present => exists,
        }
    }

    /// Adds another condition, unless both exclude each other.
    fn require(&mut self, other: Self) -> Option<()> {
        let fits = *self == Self::Always || *self == other;
        *self = other;
        fits.then_some(())
    }
}

impl<'a> FieldOptions<'a> {
    /// Reads the options.
    ///
    /// # Errors
    /// If they do not fit the command or each other.
    pub(super) fn parse(words: Args<'a>, form: FieldCommand) -> Result<Self, Error> {
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            options.take(word, &mut words, form).ok_or(Error::SYNTAX)?;
        }
        Ok(options)
    }

    /// Takes one option with its operand, or nothing when it does not fit.
    fn take(&mut self, word: &[u8], rest: &mut ArgsIter<'a>, form: FieldCommand) -> Option<()> {
        let mut room = Capitals::default();
        match (upper_case(word, &mut room)?, form) {
            (b"NX", FieldCommand::SetEx) => self.key.require(FieldCondition::Absent),
            (b"XX", FieldCommand::SetEx) => self.key.require(FieldCondition::Present),
            (b"FNX", FieldCommand::SetEx) => self.fields.require(FieldCondition::Absent),
            (b"FXX", FieldCommand::SetEx) => self.fields.require(FieldCondition::Present),
            (option, _) => self.live(Life::named(option, rest)?, form),
        }
    }

    fn live(&mut self, life: Life<'a>, form: FieldCommand) -> Option<()> {
        let allowed = match life {
            Life::Keep => form == FieldCommand::SetEx,
            Life::Persist => form == FieldCommand::GetEx,
            Life::Until(..) => true,
        };
        let fits = self.life.is_none_or(|before| life.repeats(before));
        self.life = Some(life);
        (allowed && fits).then_some(())
    }
}
