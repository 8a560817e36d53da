//! CL.THROTTLE: a rate limiter in one command, as the module redis-cell and Dragonfly have it.
//!
//! The generic cell rate algorithm: a key holds the time at which all that was admitted would have
//! arrived if it had come evenly spaced, in nanoseconds since the epoch. What is asked for moves
//! that time forward, and is refused if it then lies further ahead than the burst allows. Nothing
//! refills in the background, and once the time is past the key has nothing to say and expires.

use kvik_resp::parse_i64;
use kvik_store::{Expiry, IntText, NewString, View};

use super::string::string;
use crate::declare::{Command, Group, KeyFlags, Row};
use crate::{Ctx, Error};

/// The rows of this family.
pub(super) fn rows() -> Vec<Row> {
    vec![
        Command::new("CL.THROTTLE", SYNTAX, throttle)
            .group(Group::String)
            .write()
            .may_grow()
            .fast()
            .access(&[KeyFlags::RW_ACCESS_UPDATE])
            .since("0.1.0")
            .complexity("O(1)")
            .about(
                "Admits so many requests in some seconds, with bursts, and says when to try again.",
            ),
    ]
}

const SYNTAX: &str =
    "key max-burst:integer count-per-period:integer period:integer [quantity:integer]";

const NANOS_PER_SECOND: i128 = 1_000_000_000;
const NANOS_PER_MS: i128 = 1_000_000;

/// What is admitted.
#[derive(Clone, Copy, Debug)]
struct Rate {
    /// Requests that may come at once.
    limit: i64,
    /// From one request to the next, in nanoseconds.
    interval: i128,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Verdict {
    limited: bool,
    /// Requests that may come at once now.
    remaining: i64,
    /// Nanoseconds after which a refused request would be admitted; none if it is admitted or never
    /// can be.
    retry_after: Option<i128>,
    /// Nanoseconds after which as many may come at once as at first.
    reset_after: i128,
    /// The new arrival time, if it changes.
    arrival: Option<i128>,
}

impl Rate {
    /// The rate that the words of a call ask for.
    ///
    /// # Errors
    /// If a number makes no sense.
    fn parse(ctx: &Ctx<'_>) -> Result<Self, Error> {
        let (burst, count, period) = (ctx.int(2)?, ctx.int(3)?, ctx.int(4)?);
        if burst < 0 || count < 1 || period < 1 {
            return Err(Error::NOT_POSITIVE);
        }
        let interval = i128::from(period) * NANOS_PER_SECOND / i128::from(count);
        Ok(Self {
            limit: burst.checked_add(1).ok_or(Error::OUT_OF_RANGE)?,
            interval: interval.max(1),
        })
    }

    /// Judges a request for `quantity` at the time `now`, with the arrival time known so far.
    fn judge(self, arrival: Option<i64>, quantity: i64, now: i128) -> Verdict {
        let tolerance = self.interval * i128::from(self.limit);
        let increment = self.interval * i128::from(quantity);
        let before = arrival.map_or(now, |at| i128::from(at).max(now));
        let after = before + increment;
        let excess = after - now - tolerance;
        let limited = excess > 0;
        let ahead = if limited { before } else { after } - now;
        let room = (tolerance - ahead).max(0) / self.interval;
        Verdict {
            limited,
            remaining: room as i64,
            retry_after: (limited && increment <= tolerance).then_some(excess),
            reset_after: ahead,
            arrival: (!limited && quantity > 0).then_some(after),
        }
    }
}

fn throttle(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    if ctx.args.len() > 6 {
        return Err(Error::arity(ctx.command));
    }
    let rate = Rate::parse(ctx)?;
    let quantity = match ctx.args.get(5) {
        Some(_) => ctx.int(5)?,
        None => 1,
    };
    if quantity < 0 {
        return Err(Error::NOT_POSITIVE);
    }
    let now = i128::from(ctx.now_us) * 1000;
    let entry = ctx.keys.entry(ctx.key(1));
    let arrival = entry.view().map(arrival).transpose()?;
    let verdict = rate.judge(arrival, quantity, now);
    if let Some(at) = verdict.arrival {
        let time = i64::try_from(at).map_err(|_| Error::OUT_OF_RANGE)?;
        let expire_at = at.unsigned_abs().div_ceil(NANOS_PER_MS as u128) as u64;
        entry.set(NewString::Int(time), Expiry::At(expire_at));
    }
    ctx.reply.array(5);
    ctx.reply.integer(i64::from(verdict.limited));
    ctx.reply.integer(rate.limit);
    ctx.reply.integer(verdict.remaining);
    ctx.reply
        .integer(verdict.retry_after.map_or(-1, whole_seconds));
    ctx.reply.integer(whole_seconds(verdict.reset_after));
    Ok(())
}

/// The arrival time that a key holds.
///
/// # Errors
/// If it holds something else.
fn arrival(view: View<'_>) -> Result<i64, Error> {
    let string = string(view)?;
    parse_i64(&string.text(&mut IntText::default())).ok_or(Error::NOT_AN_INTEGER)
}

/// Seconds, rounded up so that nobody comes too early.
fn whole_seconds(nanos: i128) -> i64 {
    let seconds = nanos.unsigned_abs().div_ceil(NANOS_PER_SECOND as u128);
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_is_admitted_and_then_one_request_per_interval() {
        let rate = Rate {
            limit: 3,
            interval: 10,
        };
        let mut arrival = None;
        let mut ask = |quantity, now| {
            let verdict = rate.judge(arrival, quantity, now);
            arrival = verdict.arrival.map(|at| at as i64).or(arrival);
            (
                verdict.limited,
                verdict.remaining,
                verdict.retry_after,
                verdict.reset_after,
            )
        };
        assert_eq!(ask(1, 1000), (false, 2, None, 10));
        assert_eq!(ask(2, 1000), (false, 0, None, 30));
        assert_eq!(ask(0, 1000), (false, 0, None, 30));
        assert_eq!(ask(1, 1000), (true, 0, Some(10), 30));
        assert_eq!(ask(1, 1009), (true, 0, Some(1), 21));
        assert_eq!(ask(1, 1010), (false, 0, None, 30));
        assert_eq!(ask(4, 2000), (true, 3, None, 0));
    }

    proptest! {
        #[test]
        fn no_more_is_admitted_than_a_full_bucket_that_refills(
            limit in 1..20_i64, interval in 1..50_i128, steps in vec((0..60_i128, 0..5_i64), 1..60)
        ) {
            let rate = Rate { limit, interval };
            // Drops of an interval's length; the bucket leaks one for each nanosecond.
            let (mut now, mut arrival, mut filled) = (0, None, 0_i128);
            for (wait, quantity) in steps {
                now += wait;
                filled = (filled - wait).max(0);
                let fits = filled + interval * i128::from(quantity) <= interval * i128::from(limit);
                let verdict = rate.judge(arrival, quantity, now);
                prop_assert_eq!(verdict.limited, !fits);
                if fits {
                    filled += interval * i128::from(quantity);
                }
                prop_assert_eq!(verdict.reset_after, filled);
                prop_assert_eq!(i128::from(verdict.remaining), (interval * i128::from(limit) - filled) / interval);
                arrival = verdict.arrival.map(|at| at as i64).or(arrival);
            }
        }
    }
}
