//! XNACK: giving pending entries back, so that others may have them at once.

use kvik_store::{Recount, StreamId};

use super::{ids, no_group, stream};
use crate::{Ctx, Error};

/// The words behind the group.
struct ReleaseRequest {
    recount: Recount,
    ids: Vec<StreamId>,
    force: bool,
}

impl ReleaseRequest {
    fn parse(ctx: &Ctx<'_>) -> Result<Self, Error> {
        let recount = match () {
            () if ctx.is(3, "SILENT") => Recount::Less,
            () if ctx.is(3, "FAIL") => Recount::Same,
            // It was delivered too often, by whatever measure.
            () if ctx.is(3, "FATAL") => Recount::To(i64::MAX as u64),
            () => return Err(Error::text("mode must be SILENT, FAIL, or FATAL")),
        };
        if !ctx.is(4, "IDS") {
            return Err(Error::text("syntax error, expected IDS keyword"));
        }
        const FIRST_ID: usize = 6;
        let count = kvik_resp::parse_i64(&ctx.args[5]);
        let count = count.filter(|count| (1..=i64::from(i32::MAX)).contains(count));
        let count = count.ok_or(Error::text("numids must be a positive integer"))? as usize;
        let words = ctx.args.slice(FIRST_ID..FIRST_ID + count);
        if words.len() < count {
            return Err(Error::text("number of IDs doesn't match numids"));
        }
        let mut request = Self {
            recount,
            ids: Vec::with_capacity(count),
            force: false,
        };
        request.take_options(ctx, FIRST_ID + count)?;
        for word in words {
            request.ids.push(ids::parse(word)?);
        }
        Ok(request)
    }

    fn take_options(&mut self, ctx: &Ctx<'_>, mut at: usize) -> Result<(), Error> {
        while at < ctx.args.len() {
            if ctx.is(at, "FORCE") {
                self.force = true;
            } else if ctx.is(at, "RETRYCOUNT") && at + 1 < ctx.args.len() {
                const NEGATIVE: Error = Error::text("Invalid RETRYCOUNT value, must be >= 0");
                let count = ctx.int(at + 1)?;
                self.recount = Recount::To(u64::try_from(count).map_err(|_| NEGATIVE)?);
                at += 1;
            } else {
                return Err(Error::quoting(&[
                    b"Unrecognized XNACK option '",
                    &ctx.args[at],
                    b"'",
                ]));
            }
            at += 1;
        }
        Ok(())
    }
}

pub(super) fn xnack(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (args, missing) = (ctx.args, no_group(ctx));
    let there = stream(ctx.keys.read(ctx.key(1)))?;
    if there.is_none_or(|stream| stream.group(&args[2]).is_none()) {
        return Err(missing);
    }
    let request = ReleaseRequest::parse(ctx)?;
    let mut released = 0;
    ctx.change_in_slices(request.ids.len(), |ctx, slice| {
        let mut stream = ctx.keys.entry(ctx.key(1)).stream_mut()?;
        let mut group = stream.group_mut(&args[2]).ok_or(missing.clone())?;
        let ids = request.ids[slice].iter().copied();
        released += group.release(ids, request.recount, request.force);
        Ok(())
    })?;
    if released > 0 {
        // Consumers may wait for something to claim, though no watcher is told.
        ctx.keys.mark_ready(&args[1]);
    }
    ctx.reply.integer(released as i64);
    Ok(())
}
