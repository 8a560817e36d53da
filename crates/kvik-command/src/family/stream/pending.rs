//! XPENDING: what was delivered and is not acknowledged.

use kvik_resp::Reply;
use kvik_store::{GroupRef, IntText, PendingEntry, StreamId};

use super::{ids, no_group, stream, write_id};
use crate::{Ctx, Error, SLICE};

/// Which pending entries are asked for.
struct PendingFilter<'a> {
    min_idle_ms: i64,
    start: StreamId,
    end: StreamId,
    max: usize,
    consumer: Option<&'a [u8]>,
}

impl<'a> PendingFilter<'a> {
    fn parse(ctx: &Ctx<'a>) -> Result<Self, Error> {
        let (mut at, mut min_idle_ms) = (3, 0);
        if ctx.is(3, "IDLE") {
            min_idle_ms = ctx.int(4)?;
            if ctx.args.len() < 8 {
                return Err(Error::SYNTAX);
            }
            at = 5;
        }
        let max = ctx.int(at + 2)?.max(0) as usize;
        Ok(Self {
            min_idle_ms,
            start: ids::parse_start(&ctx.args[at])?,
            end: ids::parse_end(&ctx.args[at + 1])?,
            max,
            consumer: ctx.args.get(at + 3),
        })
    }
}

pub(super) fn xpending(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let filter = match ctx.args.len() {
        3 => None,
        6..=9 => Some(PendingFilter::parse(ctx)?),
        _ => return Err(Error::SYNTAX),
    };
    let (now, missing) = (ctx.now_ms(), no_group(ctx));
    let stream = stream(ctx.keys.read(ctx.key(1)))?;
    let group = stream.and_then(|stream| stream.group(&ctx.args[2]));
    let group = group.ok_or(missing)?;
    match filter {
        None => {
            summary(&mut ctx.reply, &group);
            Ok(())
        }
        Some(filter) => list(ctx, &filter, now),
    }
}

fn summary(reply: &mut Reply<'_>, group: &GroupRef<'_>) {
    reply.array(4);
    reply.integer(group.pending_len() as i64);
    let Some((first, last)) = group.pending_bounds() else {
        reply.null();
        reply.null();
        reply.null_array();
        return;
    };
    write_id(reply, first);
    write_id(reply, last);
    let (array, mut len) = (reply.deferred_array(), 0);
    for consumer in group.consumers().filter(|it| it.pending_len() > 0) {
        reply.array(2);
        reply.bulk(consumer.name());
        reply.bulk(IntText::default().unsigned(consumer.pending_len() as u64));
        len += 1;
    }
    reply.finish_array(array, len);
}

/// Answers with the entries that are asked for, looking at some at a time.
fn list(ctx: &mut Ctx<'_>, filter: &PendingFilter<'_>, now: u64) -> Result<(), Error> {
    let (array, mut len) = (ctx.reply.deferred_array(), 0);
    let mut next = Some(filter.start);
    while let Some(start) = next.take() {
        let stream = stream(ctx.keys.peek(ctx.key(1)))?;
        let Some(group) = stream.and_then(|stream| stream.group(&ctx.args[2])) else {
            break;
        };
        let mut page = PendingPage {
            filter,
            now,
            left: SLICE,
            len,
            last: None,
        };
        let pending = match filter.consumer.map(|name| group.consumer(name)) {
            Some(None) => 0,
            Some(Some(consumer)) => {
                page.write(&mut ctx.reply, consumer.pending(start));
                consumer.pending_len()
            }
            None => {
                page.write(&mut ctx.reply, group.pending(start));
                group.pending_len()
            }
        };
        len = page.len;
        next = page.last.and_then(StreamId::next);
        if next.is_some() {
            // How many there are is not known before: so many that the rest is done elsewhere.
            ctx.weigh(pending)?;
            ctx.breathe()?;
        }
    }
    if len > SLICE {
        // The header moves all that is behind it, and no key is needed for that.
        ctx.keys.rest();
    }
    ctx.reply.finish_array(array, len);
    Ok(())
}

/// A part of the entries that are asked for.
struct PendingPage<'p> {
    filter: &'p PendingFilter<'p>,
    now: u64,
    /// How many are looked at still.
    left: usize,
    /// How many have been written, of all parts.
    len: usize,
    /// The last one, if there may be more.
    last: Option<StreamId>,
}

impl PendingPage<'_> {
    fn write<'v>(
        &mut self,
        reply: &mut Reply<'_>,
        pending: impl Iterator<Item = PendingEntry<'v>>,
    ) {
        let filter = self.filter;
        for it in pending.take_while(|it| it.id <= filter.end) {
            if self.len == filter.max {
                self.last = None;
                return;
            }
            if self.left == 0 {
                return;
            }
            self.left -= 1;
            self.last = Some(it.id);
            // A delivery time in the future makes the idle time negative, which is shown as 0.
            let idle_ms = (self.now as i64).wrapping_sub(it.delivered_ms as i64);
            if filter.min_idle_ms != 0 && !it.is_released && idle_ms < filter.min_idle_ms {
                continue;
            }
            reply.array(4);
            write_id(reply, it.id);
            reply.bulk(it.consumer);
            reply.integer(if it.is_released { -1 } else { idle_ms.max(0) });
            reply.integer(it.deliveries as i64);
            self.len += 1;
        }
        self.last = None;
    }
}
