//! AROP: what the elements of a range come to.
//!
//! Numbers are added and compared as Redis does, in the extended precision of x87; integers are
//! added as such as long as that is the same.

use std::cmp::Ordering;

use kvik_resp::LongDouble;
use kvik_store::{IntText, StringRef};

use super::{array, index};
use crate::{Ctx, Error};

/// Sums of integers up to this size have the same digits in extended precision.
const EXACT_MAX: u128 = 1 << 64;

/// An operation.
#[derive(Clone, Copy, Debug)]
enum Aggregate {
    Sum,
    Least,
    Greatest,
    Bits(fn(i64, i64) -> i64),
    /// How many elements are a text.
    Same,
    /// How many there are.
    Used,
}

impl Aggregate {
    fn parse(word: &[u8]) -> Result<Self, Error> {
        const OPERATIONS: [(&[u8], Aggregate); 8] = [
            (b"SUM", Aggregate::Sum),
            (b"MIN", Aggregate::Least),
            (b"MAX", Aggregate::Greatest),
            (b"AND", Aggregate::Bits(|a, b| a & b)),
            (b"OR", Aggregate::Bits(|a, b| a | b)),
            (b"XOR", Aggregate::Bits(|a, b| a ^ b)),
            (b"MATCH", Aggregate::Same),
            (b"USED", Aggregate::Used),
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
    let operation = Aggregate::parse(&args[4])?;
    match operation {
        Aggregate::Same if args.len() != 6 => {
            return Err(Error::text("MATCH requires a value argument"));
        }
        Aggregate::Same => {}
        _ if args.len() != 5 => return Err(Error::arity(ctx.command)),
        _ => {}
    }
    let array = array(ctx.keys.read(ctx.key(1)))?;
    let values = array.into_iter().flat_map(|it| it.range(from, to));
    let values = values.map(|(_, value)| value);
    let reply = &mut ctx.reply;
    match operation {
        Aggregate::Used => reply.integer(values.count() as i64),
        Aggregate::Same => {
            let (text, mut room) = (&args[5], IntText::default());
            let same = values.filter(|value| value.text(&mut room) == text);
            reply.integer(same.count() as i64);
        }
        Aggregate::Bits(join) => match values
            .filter_map(Number::of)
            .filter_map(Number::bits)
            .reduce(join)
        {
            Some(bits) => reply.integer(bits),
            None => reply.null(),
        },
        Aggregate::Sum => {
            let mut numbers = values.filter_map(Number::of);
            match numbers.next() {
                Some(first) => {
                    let first = match first {
                        Number::Whole(n) => Sum::Whole(n.into()),
                        Number::Real(number) => Sum::Real(number),
                    };
                    reply.bulk_str(&numbers.fold(first, Sum::add).text());
                }
                None => reply.null(),
            }
        }
        Aggregate::Least | Aggregate::Greatest => {
            let wanted = match operation {
                Aggregate::Least => Ordering::Less,
                _ => Ordering::Greater,
            };
            let better = |best: Number, number: Number| match number.order(best) == wanted {
                true => number,
                false => best,
            };
            match values.filter_map(Number::of).reduce(better) {
                Some(best) => reply.bulk_str(&best.real().general()),
                None => reply.null(),
            }
        }
    }
    Ok(())
}
