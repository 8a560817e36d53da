//! ARGREP: the elements that satisfy conditions.

use std::borrow::Cow;

use kvik_resp::Args;
use kvik_store::IntText;
use memchr::memmem;
use regex::bytes::Regex;

use super::scan::limit;
use super::{array, expression, index, visit_range, write_value};
use crate::glob::glob_match;
use crate::{Ctx, Error};

/// Conditions that a command may have.
const CONDITIONS_MAX: usize = 250;

/// Bytes that a regular expression may have.
const EXPRESSION_MAX: usize = 2048;

/// A bound of the range.
#[derive(Clone, Copy, Debug)]
enum Bound {
    Index(u64),
    Start,
    End,
}

impl Bound {
    fn parse(word: &[u8]) -> Result<Self, Error> {
        match word {
            b"-" => Ok(Self::Start),
            b"+" => Ok(Self::End),
            word => index(word).map(Self::Index),
        }
    }

    fn index(self, last: u64) -> u64 {
        match self {
            Self::Index(index) => index,
            Self::Start => 0,
            Self::End => last,
        }
    }
}

/// The kind of a condition, by its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Predicate {
    Exact,
    Contains,
    Glob,
    Expression,
}

impl Predicate {
    fn parse(word: &[u8]) -> Option<Self> {
        let kinds = [
            ("EXACT", Self::Exact),
            ("MATCH", Self::Contains),
            ("GLOB", Self::Glob),
            ("RE", Self::Expression),
        ];
        let mut kinds = kinds.into_iter();
        let known = kinds.find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
        known.map(|(_, kind)| kind)
    }
}

/// A condition on a text, ready to be asked.
#[derive(Debug)]
enum Condition<'a> {
    Exact(&'a [u8]),
    /// The bytes to be found; small letters where case does not matter.
    Contains(Box<memmem::Finder<'static>>),
    Glob(&'a [u8]),
    Expression(Regex),
}

impl<'a> Condition<'a> {
    fn new(kind: Predicate, word: &'a [u8], nocase: bool) -> Result<Self, Error> {
        Ok(match kind {
            Predicate::Exact => Self::Exact(word),
            Predicate::Contains => {
                let word = match nocase {
                    true => Cow::Owned(word.to_ascii_lowercase()),
                    false => Cow::Borrowed(word),
                };
                Self::Contains(Box::new(memmem::Finder::new(&word).into_owned()))
            }
            Predicate::Glob => Self::Glob(word),
            Predicate::Expression => Self::Expression(expression::compile(word, nocase)?),
        })
    }

    fn is_met(&self, text: &[u8], nocase: bool) -> bool {
        match self {
            Self::Exact(word) if nocase => text.eq_ignore_ascii_case(word),
            Self::Exact(word) => text == *word,
            Self::Contains(finder) if nocase => finder.find(&text.to_ascii_lowercase()).is_some(),
            Self::Contains(finder) => finder.find(text).is_some(),
            Self::Glob(pattern) => glob_match(pattern, text, nocase),
            Self::Expression(expression) => expression.is_match(text),
        }
    }
}

/// The words behind the range.
#[derive(Debug)]
struct GrepRequest<'a> {
    conditions: Vec<Condition<'a>>,
    needs_all: bool,
    limit: u64,
    with_values: bool,
    nocase: bool,
}

impl<'a> GrepRequest<'a> {
    fn parse(ctx: &Ctx<'a>) -> Result<Self, Error> {
        let args: Args<'a> = ctx.args;
        let mut request = Self {
            conditions: Vec::new(),
            needs_all: false,
            limit: u64::MAX,
            with_values: false,
            nocase: false,
        };
        let (mut words, mut at) = (Vec::new(), 4);
        while at < args.len() {
            let has_operand = at + 1 < args.len();
            if let Some(kind) = Predicate::parse(&args[at]) {
                if !has_operand {
                    return Err(Error::SYNTAX);
                }
                if words.len() == CONDITIONS_MAX {
                    let error = format!("too many predicates, maximum is {CONDITIONS_MAX}");
                    return Err(Error::new(error));
                }
                let word = args.get(at + 1).unwrap_or_default();
                if kind == Predicate::Expression && word.len() > EXPRESSION_MAX {
                    let error = format!(
                        "regular expression is too long, maximum is {EXPRESSION_MAX} bytes"
                    );
                    return Err(Error::new(error));
                }
                words.push((kind, word));
                at += 2;
            } else if ctx.is(at, "LIMIT") && has_operand {
                request.limit = limit(ctx, at + 1)?;
                at += 2;
            } else {
                match () {
                    () if ctx.is(at, "WITHVALUES") => request.with_values = true,
                    () if ctx.is(at, "NOCASE") => request.nocase = true,
                    () if ctx.is(at, "AND") => request.needs_all = true,
                    () if ctx.is(at, "OR") => request.needs_all = false,
                    () => return Err(Error::SYNTAX),
                }
                at += 1;
            }
        }
        if words.is_empty() {
            return Err(Error::SYNTAX);
        }
        // Only now it is known whether case matters.
        for (kind, word) in words {
            let condition = Condition::new(kind, word, request.nocase)?;
            request.conditions.push(condition);
        }
        Ok(request)
    }

    fn is_met(&self, text: &[u8]) -> bool {
        let mut conditions = self.conditions.iter();
        match self.needs_all {
            true => conditions.all(|it| it.is_met(text, self.nocase)),
            false => conditions.any(|it| it.is_met(text, self.nocase)),
        }
    }
}

pub(super) fn argrep(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (from, to) = (Bound::parse(&ctx.args[2])?, Bound::parse(&ctx.args[3])?);
    let request = GrepRequest::parse(ctx)?;
    let Some(array) = array(ctx.keys.read(ctx.key(1)))? else {
        ctx.reply.array(0);
        return Ok(());
    };
    let last = array.len().saturating_sub(1);
    let (deferred, mut count) = (ctx.reply.deferred_array(), 0);
    let mut room = IntText::default();
    let (first, last) = (from.index(last), to.index(last));
    visit_range(ctx, first, last, |reply, index, value| {
        if !request.is_met(value.text(&mut room)) {
            return true;
        }
        if request.with_values {
            reply.array(2);
        }
        reply.unsigned(index);
        if request.with_values {
            write_value(reply, Some(value));
        }
        count += 1;
        (count as u64) < request.limit
    })?;
    ctx.reply.finish_array(deferred, count);
    Ok(())
}
