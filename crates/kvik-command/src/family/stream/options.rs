//! The options of XADD and XTRIM: to what the stream is trimmed, and whether it may be made.

use kvik_store::{NewId, Precision, References, Trim, TrimTo};

use super::ids;
use crate::{Ctx, Error};

/// The name that a producer gives an entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct EntryName<'a> {
    pub(super) producer: &'a [u8],
    /// Nothing if it follows from the fields and values.
    pub(super) text: Option<&'a [u8]>,
}

/// The options of one call.
#[derive(Debug, Default)]
pub(super) struct TrimOptions<'a> {
    pub(super) trim: Option<Trim>,
    /// The name of the entry, if it is to be added once only.
    pub(super) once: Option<EntryName<'a>>,
    references: Option<References>,
    /// Do nothing where there is no stream.
    pub(super) only_existing: bool,
    limit: Option<i64>,
}

impl<'a> TrimOptions<'a> {
    /// Reads the options of XADD; returns the id of the entry and where its fields start.
    ///
    /// # Errors
    /// If they do not fit each other, or the id is none.
    pub(super) fn of_xadd(ctx: &Ctx<'a>) -> Result<(Self, NewId, usize), Error> {
        let mut options = Self::default();
        let (mut at, mut id) = (2, NewId::Auto);
        // The first word that is no option is the id.
        while at < ctx.args.len() && &ctx.args[at] != b"*" {
            if let Some(words) = options.take(ctx, at)? {
                at += words;
            } else if ctx.is(at, "NOMKSTREAM") {
                options.only_existing = true;
                at += 1;
            } else if let Some(words) = options.take_name(ctx, at)? {
                at += words;
            } else {
                id = ids::parse_new(&ctx.args[at])?;
                break;
            }
        }
        // A follower repeats calls whose ids are settled.
        if options.once.is_some() && id != NewId::Auto && !ctx.keys.is_follower() {
            return Err(Error::text(
                "IDMP/IDMPAUTO can be used only with auto-generated IDs",
            ));
        }
        options.apply_limit()?;
        Ok((options, id, at + 1))
    }

    /// Reads the options of XTRIM.
    ///
    /// # Errors
    /// If they do not fit each other, or do not say how to trim.
    pub(super) fn of_xtrim(ctx: &Ctx<'a>) -> Result<Trim, Error> {
        let mut options = Self::default();
        let mut at = 2;
        while at < ctx.args.len() {
            at += options.take(ctx, at)?.ok_or(Error::SYNTAX)?;
        }
        // LIMIT alone is reported before the missing strategy, as in Redis.
        options.check_limit()?;
        let none = Error::text("syntax error, XTRIM must be called with a trimming strategy");
        options.trim.ok_or(none)?;
        options.apply_limit()?;
        options.trim.ok_or(Error::SYNTAX)
    }

    /// Takes an option about trimming and says of how many words it consists.
    fn take(&mut self, ctx: &Ctx<'_>, at: usize) -> Result<Option<usize>, Error> {
        let more = ctx.args.len() - 1 - at;
        // A second such word is no option, and so no id either.
        if self.references.is_none()
            && let Some(references) = references(&ctx.args[at])
        {
            self.references = Some(references);
            return Ok(Some(1));
        }
        if more == 0 {
            return Ok(None);
        }
        if ctx.is(at, "MAXLEN") || ctx.is(at, "MINID") {
            return self.take_strategy(ctx, at, more).map(Some);
        }
        if ctx.is(at, "LIMIT") {
            let limit = ctx.int(at + 1)?;
            if limit < 0 {
                return Err(Error::text("The LIMIT argument must be >= 0."));
            }
            self.limit = Some(limit);
            return Ok(Some(2));
        }
        Ok(None)
    }

    fn take_strategy(&mut self, ctx: &Ctx<'_>, at: usize, more: usize) -> Result<usize, Error> {
        if self.trim.is_some() {
            return Err(Error::text(
                "syntax error, MAXLEN and MINID options at the same time are not compatible",
            ));
        }
        let (precision, words) = match &ctx.args[at + 1] {
            b"~" if more >= 2 => (Precision::WholeNodes(None), 3),
            b"=" if more >= 2 => (Precision::Exact, 3),
            _ => (Precision::Exact, 2),
        };
        let threshold = at + words - 1;
        let to = if ctx.is(at, "MAXLEN") {
            let len = u64::try_from(ctx.int(threshold)?);
            TrimTo::Len(len.map_err(|_| Error::text("The MAXLEN argument must be >= 0."))?)
        } else {
            TrimTo::MinId(ids::parse(&ctx.args[threshold])?)
        };
        self.trim = Some(Trim {
            to,
            precision,
            references: References::Keep,
        });
        Ok(words)
    }

    /// Takes the name of the entry and says of how many words it consists.
    fn take_name(&mut self, ctx: &Ctx<'a>, at: usize) -> Result<Option<usize>, Error> {
        let (producer, text) = (ctx.args.get(at + 1), ctx.args.get(at + 2));
        let text = match () {
            () if ctx.is(at, "IDMP") && text.is_some() => text,
            () if ctx.is(at, "IDMPAUTO") => None,
            () => return Ok(None),
        };
        let Some(producer) = producer else {
            return Ok(None);
        };
        let (option, words) = match text {
            Some(_) => ("IDMP", 3),
            None => ("IDMPAUTO", 2),
        };
        if self.once.is_some() {
            return Err(Error::text(
                "syntax error, IDMP/IDMPAUTO specified multiple times",
            ));
        }
        let missing = match text {
            _ if producer.is_empty() => Some("producer"),
            Some([]) => Some("idempotent"),
            _ => None,
        };
        if let Some(missing) = missing {
            return Err(Error::new(format!(
                "syntax error, {option} requires a non-empty {missing} ID"
            )));
        }
        self.once = Some(EntryName { producer, text });
        Ok(Some(words))
    }

    fn check_limit(&self) -> Result<(), Error> {
        if self.limit.is_some_and(|limit| limit > 0) && self.trim.is_none() {
            return Err(Error::text(
                "syntax error, LIMIT cannot be used without specifying a trimming strategy",
            ));
        }
        Ok(())
    }

    /// Applies LIMIT, which may stand anywhere, to the strategy.
    fn apply_limit(&mut self) -> Result<(), Error> {
        self.check_limit()?;
        if let Some(trim) = &mut self.trim {
            trim.references = self.references.unwrap_or_default();
        }
        let Some(limit) = self.limit else {
            return Ok(());
        };
        match self.trim.as_mut().map(|trim| &mut trim.precision) {
            // Only an approximate trim can stop early.
            Some(Precision::WholeNodes(most)) => *most = Some(limit as u64),
            _ => {
                return Err(Error::text(
                    "syntax error, LIMIT cannot be used without the special ~ option",
                ));
            }
        }
        Ok(())
    }
}

/// The treatment of references that a word names, if it is such a word.
pub(super) fn references(word: &[u8]) -> Option<References> {
    let words = [
        ("KEEPREF", References::Keep),
        ("DELREF", References::Delete),
        ("ACKED", References::Acked),
    ];
    let is = |known: &&(&str, References)| word.eq_ignore_ascii_case(known.0.as_bytes());
    words.iter().find(is).map(|known| known.1)
}
