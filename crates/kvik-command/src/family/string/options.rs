//! The options of SET, GETEX and MSETEX: one notation, of which each command takes a part.
//!
//! Options come in any order. One may be repeated, and the last one counts; those that exclude each
//! other are a syntax error. Times are read after all words, so a syntax error anywhere wins over a
//! bad time.

use kvik_resp::{Args, ArgsIter};
use kvik_store::Expiry;

use super::compare::SetCondition;
use crate::declare::KeyFlags;
use crate::family::deadline::{Capitals, Life, upper_case};
use crate::{Ctx, Error};

/// Which command the options belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SetCommand {
    Set,
    GetEx,
    MSetEx,
}

/// The options of one call.
#[derive(Debug, Default)]
pub(super) struct SetOptions<'a> {
    pub(super) condition: SetCondition<'a>,
    /// Answer with what was there.
    pub(super) get: bool,
    life: Option<Life<'a>>,
}

/// What the arguments of one SET really do to its key.
pub(super) fn access(args: Args<'_>) -> KeyFlags {
    const READING: [&[u8]; 5] = [b"GET", b"IFEQ", b"IFNE", b"IFDEQ", b"IFDNE"];
    let reads = |word: &[u8]| READING.iter().any(|known| word.eq_ignore_ascii_case(known));
    if args.tail(3).iter().any(reads) {
        KeyFlags::RW_ACCESS_UPDATE
    } else {
        KeyFlags::OW_UPDATE
    }
}

impl<'a> SetOptions<'a> {
    /// Reads the options from word `from` on.
    ///
    /// # Errors
    /// If they do not fit the command or each other.
    pub(super) fn parse(ctx: &Ctx<'a>, from: usize, form: SetCommand) -> Result<Self, Error> {
        let mut options = Self::default();
        let mut words = ctx.args.tail(from).iter();
        while let Some(word) = words.next() {
            options.take(word, &mut words, form).ok_or(Error::SYNTAX)?;
        }
        Ok(options)
    }

    /// Takes one option with its operand, or nothing when it does not fit.
    fn take(&mut self, word: &[u8], rest: &mut ArgsIter<'a>, form: SetCommand) -> Option<()> {
        let mut upper = Capitals::default();
        match upper_case(word, &mut upper)? {
            b"NX" => self.require(SetCondition::Absent, form != SetCommand::GetEx),
            b"XX" => self.require(SetCondition::Present, form != SetCommand::GetEx),
            word @ (b"IFEQ" | b"IFNE" | b"IFDEQ" | b"IFDNE") => {
                let condition = SetCondition::on_string(word, rest.next()?)?;
                self.require(condition, form == SetCommand::Set)
            }
            b"GET" if form == SetCommand::Set => {
                self.get = true;
                Some(())
            }
            option => self.live(Life::named(option, rest)?, form),
        }
    }

    fn require(&mut self, condition: SetCondition<'a>, allowed: bool) -> Option<()> {
        let fits = matches!(
            (self.condition, condition),
            (SetCondition::Always, _)
                | (SetCondition::Absent, SetCondition::Absent)
                | (SetCondition::Present, SetCondition::Present)
        );
        self.condition = condition;
        (allowed && fits).then_some(())
    }

    fn live(&mut self, life: Life<'a>, form: SetCommand) -> Option<()> {
        let allowed = match life {
            Life::Keep => form != SetCommand::GetEx,
            Life::Persist => form == SetCommand::GetEx,
            Life::Until(..) => true,
        };
        let fits = self.life.is_none_or(|before| life.repeats(before));
        self.life = Some(life);
        (allowed && fits).then_some(())
    }

    /// What the call does to the key's expiry. Where no option says it, a write ends it and GETEX
    /// leaves it.
    ///
    /// # Errors
    /// If the time is no positive integer that milliseconds can count.
    pub(super) fn expiry(&self, ctx: &Ctx<'_>, form: SetCommand) -> Result<Expiry, Error> {
        Ok(match self.life {
            None if form == SetCommand::GetEx => Expiry::Keep,
            None | Some(Life::Persist) => Expiry::Clear,
            Some(Life::Keep) => Expiry::Keep,
            Some(Life::Until(format, time)) => Expiry::At(format.positive_deadline(time, ctx)?),
        })
    }
}
