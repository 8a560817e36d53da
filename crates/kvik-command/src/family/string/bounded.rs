//! INCREX: adding to a number within bounds, with an expiry in the same step.
//!
//! Where the sum would be out of bounds nothing happens, or it is the bound that is stored. What
//! counts is the sum alone: a value that is out of bounds already may come back.

use kvik_resp::{LongDouble, Protocol, parse_f64, parse_i64};
use kvik_store::{Entry, Event, EventClasses, Expiry, IntText, NewString};

use super::counter::INCRBY;
use super::string;
use crate::family::deadline::{Capitals, Life, upper_case};
use crate::{Ctx, Error};

static INCRBYFLOAT: Event = Event::new(EventClasses::STRING, "incrbyfloat");

/// The words of one call.
#[derive(Debug, Default)]
struct IncrementRequest<'a> {
    step: Option<Step<'a>>,
    lower: Option<&'a [u8]>,
    upper: Option<&'a [u8]>,
    saturates: bool,
    life: Option<Life<'a>>,
    /// Only a key that does not expire gets the expiry.
    only_lasting: bool,
}

#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Int(&'a [u8]),
    Float(&'a [u8]),
}

impl<'a> IncrementRequest<'a> {
    fn parse(ctx: &Ctx<'a>) -> Result<Self, Error> {
        let mut request = Self::default();
        let mut words = ctx.args.tail(2).iter();
        while let Some(word) = words.next() {
            let mut room = [0; 8];
            let upper = room.get_mut(..word.len()).ok_or(Error::SYNTAX)?;
            upper.copy_from_slice(word);
            upper.make_ascii_uppercase();
            let fits = match &*upper {
                b"BYINT" => {
                    let step = Step::Int(words.next().ok_or(Error::SYNTAX)?);
                    request.step.replace(step).is_none()
                }
                b"BYFLOAT" => {
                    let step = Step::Float(words.next().ok_or(Error::SYNTAX)?);
                    request.step.replace(step).is_none()
                }
                b"LBOUND" => {
                    let bound = words.next().ok_or(Error::SYNTAX)?;
                    request.lower.replace(bound).is_none()
                }
                b"UBOUND" => {
                    let bound = words.next().ok_or(Error::SYNTAX)?;
                    request.upper.replace(bound).is_none()
                }
                b"SATURATE" => !std::mem::replace(&mut request.saturates, true),
                b"ENX" => !std::mem::replace(&mut request.only_lasting, true),
                _ => {
                    let mut room = Capitals::default();
                    let option = upper_case(word, &mut room).ok_or(Error::SYNTAX)?;
                    match Life::named(option, &mut words) {
                        None | Some(Life::Keep) => false,
                        Some(life) => request.life.replace(life).is_none(),
                    }
                }
            };
            if !fits {
                return Err(Error::SYNTAX);
            }
        }
        request.check()
    }

    fn check(self) -> Result<Self, Error> {
        match self.life {
            None if self.only_lasting => Err(Error::text("ENX flag requires an expiration")),
            Some(Life::Persist) if self.only_lasting => Err(Error::SYNTAX),
            _ => Ok(self),
        }
    }
}

pub(super) fn increx(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let request = IncrementRequest::parse(ctx)?;
    match request.step.unwrap_or(Step::Int(b"1")) {
        Step::Int(step) => {
            let step = parse_i64(step).ok_or(Error::text("Increment is not an integer"))?;
            add_int(ctx, &request, step)
        }
        Step::Float(step) => add_float(ctx, &request, step),
    }
}

const CROSSED: Error = Error::text("LBOUND can't be greater than UBOUND");

fn add_int(ctx: &mut Ctx<'_>, request: &IncrementRequest<'_>, step: i64) -> Result<(), Error> {
    let bound = |word: Option<&[u8]>, or: i64| match word {
        Some(word) => parse_i64(word).ok_or(Error::NOT_AN_INTEGER),
        None => Ok(or),
    };
    let (lower, upper) = (
        bound(request.lower, i64::MIN)?,
        bound(request.upper, i64::MAX)?,
    );
    if lower > upper {
        return Err(CROSSED);
    }
    let until = until(ctx, request)?;
    let entry = ctx.keys.entry(ctx.key(1));
    let value = match entry.view() {
        Some(view) => super::counter::integer(string(view)?)?,
        None => 0,
    };
    let sum = i128::from(value) + i128::from(step);
    let inside = sum.clamp(lower.into(), upper.into());
    let (sum, delta) = match inside == sum || request.saturates {
        true => (inside as i64, inside - i128::from(value)),
        false => (value, 0),
    };
    let delta = i64::try_from(delta);
    let delta = delta.map_err(|_| Error::text("applied increment would overflow"))?;
    if inside == i128::from(sum) {
        ctx.keys.call_changes(Some(&INCRBY));
        store(ctx, NewString::Int(sum), until);
    }
    ctx.reply.array(2);
    ctx.reply.integer(sum);
    ctx.reply.integer(delta);
    Ok(())
}

fn add_float(ctx: &mut Ctx<'_>, request: &IncrementRequest<'_>, step: &[u8]) -> Result<(), Error> {
    const NO_FLOAT: Error = Error::text("Increment is not a valid float");
    let step = LongDouble::parse(step).ok_or(NO_FLOAT)?;
    if !step.is_finite() {
        return Err(Error::text("BYFLOAT increment cannot be Infinity"));
    }
    let bound = |word: Option<&[u8]>| match word {
        Some(word) => LongDouble::parse(word).map(Some).ok_or(Error::NOT_A_FLOAT),
        None => Ok(None),
    };
    let (lower, upper) = (bound(request.lower)?, bound(request.upper)?);
    if lower
        .zip(upper)
        .is_some_and(|(lower, upper)| rough(lower) > rough(upper))
    {
        return Err(CROSSED);
    }
    let until = until(ctx, request)?;
    let entry = ctx.keys.entry(ctx.key(1));
    let value = match entry.view() {
        Some(view) => super::counter::float(&string(view)?.text(&mut IntText::default()))?,
        None => super::counter::float(b"0")?,
    };
    const INFINITE: Error = Error::text("value cannot be Infinity");
    let sum = value.checked_add(step).ok_or(INFINITE)?;
    let crossed = match (lower, upper) {
        (Some(lower), _) if rough(sum) < rough(lower) => Some(lower),
        (_, Some(upper)) if rough(sum) > rough(upper) => Some(upper),
        _ => None,
    };
    let (sum, stores) = match crossed {
        None => (sum, true),
        Some(bound) if request.saturates => (bound, true),
        Some(_) => (value, false),
    };
    if !sum.is_finite() {
        return Err(INFINITE);
    }
    let delta = sum.checked_add(negative(value)?);
    let delta = delta.ok_or(Error::text("applied increment would overflow"))?;
    let text = sum.to_string();
    if stores {
        ctx.keys.call_changes(Some(&INCRBYFLOAT));
        store(ctx, NewString::Unpacked(text.as_bytes()), until);
    }
    ctx.reply.array(2);
    for number in [text, delta.to_string()] {
        match ctx.reply.protocol() {
            Protocol::Resp2 => ctx.reply.bulk_str(&number),
            Protocol::Resp3 => ctx
                .reply
                .double(parse_f64(number.as_bytes()).unwrap_or(0.0)),
        }
    }
    Ok(())
}

/// The number as a double, which tells it from others well enough to compare them.
fn rough(number: LongDouble) -> f64 {
    parse_f64(number.to_string().as_bytes()).unwrap_or(0.0)
}

fn negative(number: LongDouble) -> Result<LongDouble, Error> {
    let text = number.to_string();
    let text = match text.strip_prefix('-') {
        Some(positive) => positive.to_owned(),
        None => format!("-{text}"),
    };
    super::counter::float(text.as_bytes())
}

/// The treatment of the expiry of the key.
#[derive(Clone, Copy, Debug)]
enum Until {
    Kept,
    Never,
    At { ms: u64, only_lasting: bool },
}

fn until(ctx: &Ctx<'_>, request: &IncrementRequest<'_>) -> Result<Until, Error> {
    Ok(match request.life {
        None | Some(Life::Keep) => Until::Kept,
        Some(Life::Persist) => Until::Never,
        Some(Life::Until(format, time)) => Until::At {
            ms: format.positive_deadline(time, ctx)?,
            only_lasting: request.only_lasting,
        },
    })
}

/// Stores the sum. Where it would expire at once, the key is deleted instead.
fn store(ctx: &mut Ctx<'_>, sum: NewString<'_>, until: Until) {
    let past = matches!(until, Until::At { ms, .. } if ctx.keys.is_past(ms));
    let entry = ctx.keys.entry(ctx.key(1));
    let expires = entry.view().is_some_and(|view| view.expire_at().is_some());
    let expiry = match until {
        Until::At { ms, only_lasting } if !(only_lasting && expires) => Expiry::At(ms),
        _ => Expiry::Keep,
    };
    if past && matches!(expiry, Expiry::At(_)) {
        if let Some(occupied) = entry.occupied() {
            occupied.remove();
        }
        return;
    }
    entry.set(sum, expiry);
    if matches!(until, Until::Never)
        && expires
        && let Entry::Occupied(mut key) = ctx.keys.entry(ctx.key(1))
    {
        key.set_expiry(None);
    }
}
