//! CLUSTER SLOT-STATS: figures of each slot of a node. The keys are counted; what servers count in
//! addition where that is turned on is not.

use kvik_store::SLOTS;

use super::{own_index, topology};
use crate::cluster::SlotRange;
use crate::declare::{Locking, Row};
use crate::{Ctx, Error};

/// The one figure that there is.
const METRIC: &str = "key-count";

const INVALID_LIMIT: Error =
    Error::text("Limit has to lie in between 1 and 16384 (maximum number of slots).");

pub(super) fn row() -> Row {
    super::command(
        "CLUSTER SLOT-STATS",
        "filter:<SLOTSRANGE slotsrange:<start-slot:integer end-slot:integer>|ORDERBY orderby:<metric:string \
         [LIMIT limit] [order:<ASC|DESC>]>>",
        slot_stats,
    )
    .loading()
    .locks(Locking::InTurn)
    .since("8.2.0")
    .complexity("O(N) where N is the number of slots; O(N*log(N)) with ORDERBY")
    .tips(&["nondeterministic_output", "request_policy:all_shards"])
    .about("Returns how many keys each slot of this node has.")
}

/// The order of ORDERBY and how many slots it tells of.
struct Ranking {
    ascending: bool,
    limit: usize,
}

fn slot_stats(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let own = topology(ctx)?.slots_of(own_index(ctx));
    if ctx.args.len() == 5 && ctx.is(2, "SLOTSRANGE") {
        let asked = asked_range(ctx)?;
        let common = own.first.max(asked.first)..=own.last.min(asked.last);
        let counts = common.map(|slot| (slot, ctx.keys.slot_len(slot))).collect();
        reply(ctx, counts);
        return Ok(());
    }
    if !ctx.is(2, "ORDERBY") {
        return Err(ctx.subcommand_error());
    }
    let ranking = Ranking::parse(ctx)?;
    let slots = own.first..=own.last;
    let mut counts: Vec<_> = slots.map(|slot| (slot, ctx.keys.slot_len(slot))).collect();
    // Slots with as many keys stay in their order.
    counts.sort_by(|(_, a), (_, b)| match ranking.ascending {
        true => a.cmp(b),
        false => b.cmp(a),
    });
    counts.truncate(ranking.limit);
    reply(ctx, counts);
    Ok(())
}

fn asked_range(ctx: &Ctx<'_>) -> Result<SlotRange, Error> {
    let slot = |at: usize| {
        let number = kvik_resp::parse_i64(&ctx.args[at]);
        let slot = number.and_then(super::slot);
        slot.ok_or(Error::text("Invalid or out of range slot"))
    };
    let (first, last) = (slot(3)?, slot(4)?);
    if first > last {
        let (first, last) = (first.to_string(), last.to_string());
        return Err(Error::quoting(&[
            b"Start slot number ",
            first.as_bytes(),
            b" is greater than end slot number ",
            last.as_bytes(),
        ]));
    }
    Ok(SlotRange { first, last })
}

impl Ranking {
    fn parse(ctx: &Ctx<'_>) -> Result<Self, Error> {
        const TWICE: Error = Error::text("Multiple filters of the same type are disallowed.");
        if !ctx.is(3, METRIC) {
            return Err(Error::text("Unrecognized sort metric for ORDERBY."));
        }
        let (mut ascending, mut limit, mut at) = (None, None, 4);
        while at < ctx.args.len() {
            let is_repeated = match () {
                () if ctx.is(at, "LIMIT") && at + 1 < ctx.args.len() => {
                    at += 1;
                    let most = kvik_resp::parse_i64(&ctx.args[at]);
                    let most = most.filter(|most| (1..=i64::from(SLOTS)).contains(most));
                    limit.replace(most.ok_or(INVALID_LIMIT)? as usize).is_some()
                }
                () if ctx.is(at, "ASC") => ascending.replace(true).is_some(),
                () if ctx.is(at, "DESC") => ascending.replace(false).is_some(),
                () => return Err(Error::SYNTAX),
            };
            if is_repeated {
                return Err(TWICE);
            }
            at += 1;
        }
        Ok(Self {
            ascending: ascending.unwrap_or(false),
            limit: limit.unwrap_or(SLOTS.into()),
        })
    }
}

fn reply(ctx: &mut Ctx<'_>, counts: Vec<(u16, usize)>) {
    ctx.reply.array(counts.len());
    for (slot, keys) in counts {
        ctx.reply.array(2);
        ctx.reply.integer(slot.into());
        ctx.reply.map(1);
        ctx.reply.bulk_str(METRIC);
        ctx.reply.integer(keys as i64);
    }
}
