//! AROP: what the elements of a range come to.
//!
//! Numbers are added and compared as Redis does, in the extended precision of x87; integers are
//! added as such as long as that is the same.

use std::cmp::Ordering;

use kvik_resp::LongDouble;
use kvik_store::{IntText, StringRef};

use super::{array, index, visit_range};
use crate::{Ctx, Error};

/// Sums of integers up to this size have the same digits in extended precision.
const EXACT_MAX: u128 = 1 << 64;

/// An operation.
#[derive(Clone, Copy, Debug)]
enum Operator {
    Sum,
    Least,
    Greatest,
    Bits(fn(i64, i64) -> i64),
    /// How many elements are a text.
    Same,
    /// How many there are.
    Used,
}

impl Operator {
    fn parse(word: &[u8]) -> Result<Self, Error> {
        const OPERATIONS: [(&[u8], Operator); 8] = [
            (b"SUM", Operator::Sum),
            (b"MIN", Operator::Least),
            (b"MAX", Operator::Greatest),
            (b"AND", Operator::Bits(|a, b| a & b)),
            (b"OR", Operator::Bits(|a, b| a | b)),
            (b"XOR", Operator::Bits(|a, b| a ^ b)),
            (b"MATCH", Operator::Same),
            (b"USED", Operator::Used),
        ];
        let mut known = OPERATIONS.iter();
        let found = known.find(|(name, _)| word.eq_ignore_ascii_case(name));
        found
            .map(|(_, operation)| *operation)
            .ok_or(Error::text("unknown operation"))
    }
}

/// An element as a number.
#[derive(Clone, Copy, Debug)]
enum Number {
    Whole(i64),
    Real(LongDouble),
}

impl Number {
    fn of(value: StringRef<'_>) -> Option<Self> {
        match value.canonical() {
            StringRef::Int(n) => Some(Self::Whole(n)),
            StringRef::Bytes(text) => LongDouble::parse(text).map(Self::Real),
        }
    }

    fn real(self) -> LongDouble {
        match self {
            Self::Whole(n) => LongDouble::of_integer(n.into()),
            Self::Real(number) => number,
        }
    }

    fn order(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Whole(a), Self::Whole(b)) => a.cmp(&b),
            (a, b) => a.real().order(b.real()),
        }
    }

    /// The bits of the number without what is behind the point.
    fn bits(self) -> Option<i64> {
        match self {
            Self::Whole(n) => Some(n),
            Self::Real(number) => number.truncated(),
        }
    }
}

/// A sum so far.
#[derive(Clone, Copy, Debug)]
enum Sum {
    Whole(i128),
    Real(LongDouble),
    /// Infinity, of either sign, or neither.
    Beyond(f64),
}

impl Sum {
    fn of(number: Number) -> Self {
        match number {
            Number::Whole(n) => Self::Whole(n.into()),
            Number::Real(number) => Self::Real(number),
        }
    }

    fn add(self, number: Number) -> Self {
        match (self, number) {
            (Self::Whole(sum), Number::Whole(n)) => {
                let sum = sum + i128::from(n);
                match sum.unsigned_abs() <= EXACT_MAX {
                    true => Self::Whole(sum),
                    false => Self::Real(LongDouble::of_integer(sum)),
                }
            }
            (Self::Whole(sum), number) => Self::Real(LongDouble::of_integer(sum)).add(number),
            (Self::Real(sum), number) => {
                let number = number.real();
                match sum.checked_add(number) {
                    Some(sum) => Self::Real(sum),
                    None => Self::Beyond(infinity(sum) + infinity(number)),
                }
            }
            (Self::Beyond(sum), number) => Self::Beyond(sum + infinity(number.real())),
        }
    }

    fn text(self) -> String {
        match self {
            Self::Whole(sum) => LongDouble::of_integer(sum).general(),
            Self::Real(sum) => sum.general(),
            Self::Beyond(sum) if sum.is_nan() => "nan".to_owned(),
            Self::Beyond(sum) if sum < 0.0 => "-inf".to_owned(),
            Self::Beyond(_) => "inf".to_owned(),
        }
    }
}

/// The infinity that a number is, or that two finite ones with too large a sum come to; 0 if it is
/// neither.
fn infinity(number: LongDouble) -> f64 {
    let is_negative = number.order(LongDouble::of_integer(0)).is_lt();
    match (number.is_finite(), is_negative) {
        (true, _) => 0.0,
        (false, true) => f64::NEG_INFINITY,
        (false, false) => f64::INFINITY,
    }
}

pub(super) fn arop(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let args = ctx.args;
    let (from, to) = (index(&args[2])?, index(&args[3])?);
    let operation = Operator::parse(&args[4])?;
    match operation {
        Operator::Same if args.len() != 6 => {
            return Err(Error::text("MATCH requires a value argument"));
        }
        Operator::Same => {}
        _ if args.len() != 5 => return Err(Error::arity(ctx.command)),
        _ => {}
    }
    array(ctx.keys.read(ctx.key(1)))?;
    match operation {
        Operator::Used => {
            let mut used = 0;
            each_value(ctx, from, to, |_| used += 1)?;
            ctx.reply.integer(used);
        }
        Operator::Same => {
            let (text, mut room, mut same) = (&args[5], IntText::default(), 0);
            each_value(ctx, from, to, |value| {
                same += i64::from(value.text(&mut room) == text);
            })?;
            ctx.reply.integer(same);
        }
        Operator::Bits(join) => {
            let mut bits = None;
            each_value(ctx, from, to, |value| {
                if let Some(more) = Number::of(value).and_then(Number::bits) {
                    bits = Some(bits.map_or(more, |bits| join(bits, more)));
                }
            })?;
            match bits {
                Some(bits) => ctx.reply.integer(bits),
                None => ctx.reply.null(),
            }
        }
        Operator::Sum => {
            let mut sum = None;
            each_value(ctx, from, to, |value| {
                if let Some(number) = Number::of(value) {
                    sum = Some(sum.map_or(Sum::of(number), |sum: Sum| sum.add(number)));
                }
            })?;
            tell(ctx, sum.map(Sum::text));
        }
        Operator::Least | Operator::Greatest => {
            let wanted = match operation {
                Operator::Least => Ordering::Less,
                _ => Ordering::Greater,
            };
            let mut best: Option<Number> = None;
            each_value(ctx, from, to, |value| {
                if let Some(number) = Number::of(value)
                    && best.is_none_or(|best| number.order(best) == wanted)
                {
                    best = Some(number);
                }
            })?;
            tell(ctx, best.map(|best| best.real().general()));
        }
    }
    Ok(())
}

fn tell(ctx: &mut Ctx<'_>, number: Option<String>) {
    match number {
        Some(number) => ctx.reply.bulk_str(&number),
        None => ctx.reply.null(),
    }
}

/// Visits the values of a range, some at a time.
fn each_value(
    ctx: &mut Ctx<'_>,
    from: u64,
    to: u64,
    mut visit: impl FnMut(StringRef<'_>),
) -> Result<(), Error> {
    visit_range(ctx, from, to, |_, _, value| {
        visit(value);
        true
    })
}
