//! XDELEX and XACKDEL: deleting entries with regard to the groups that refer to them.

use kvik_store::{Deletion, Entry, References, StreamId};

use super::options::references;
use super::{ids, stream};
use crate::{Ctx, Error};

/// The words behind the key or the group.
struct DeletionRequest {
    references: References,
    ids: Vec<StreamId>,
}

impl DeletionRequest {
    fn parse(ctx: &Ctx<'_>, mut at: usize) -> Result<Self, Error> {
        let (mut references_said, mut ids) = (None, None);
        while at < ctx.args.len() {
            if ctx.is(at, "IDS") && ids.is_none() {
                let count = count(ctx, at + 1)?;
                ids = Some((at + 2, count));
                at += 2 + count;
            } else if let Some(references) = references(&ctx.args[at])
                && references_said.is_none()
            {
                references_said = Some(references);
                at += 1;
            } else {
                return Err(Error::SYNTAX);
            }
        }
        let (first, count) = ids.ok_or(Error::text("IDS option is required"))?;
        // All ids are checked before the first entry is deleted.
        let words = ctx.args.slice(first..first + count).iter();
        Ok(Self {
            references: references_said.unwrap_or_default(),
            ids: words.map(ids::parse).collect::<Result<_, _>>()?,
        })
    }
}

/// The number of ids at an index, which are all there.
fn count(ctx: &Ctx<'_>, at: usize) -> Result<usize, Error> {
    const NOT_POSITIVE: Error = Error::text("Number of IDs must be a positive integer");
    let count = ctx.args.get(at).and_then(kvik_resp::parse_i64);
    let count = count.filter(|count| (1..=i64::from(i32::MAX)).contains(count));
    let count = count.ok_or(NOT_POSITIVE)? as usize;
    if count > ctx.args.len() - at - 1 {
        return Err(Error::text(
            "The `numids` parameter must match the number of arguments",
        ));
    }
    Ok(count)
}

pub(super) fn xdelex(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    stream(ctx.keys.read(ctx.key(1)))?;
    let (request, key) = (DeletionRequest::parse(ctx, 2)?, ctx.key(1));
    ctx.reply.array(request.ids.len());
    ctx.change_in_slices(request.ids.len(), |ctx, slice| {
        let (ids, reply) = (&request.ids[slice], &mut ctx.reply);
        let mut tell = |outcome| reply.integer(number(outcome));
        match ctx.keys.entry(key) {
            Entry::Vacant(_) => ids.iter().for_each(|_| tell(Deletion::Missing)),
            occupied => {
                let mut stream = occupied.stream_mut()?;
                stream.delete_unless(ids, request.references, tell);
            }
        }
        Ok(())
    })
}

pub(super) fn xackdel(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let args = ctx.args;
    let group = &args[2];
    let there = stream(ctx.keys.read(ctx.key(1)))?;
    let is_there = there.is_some_and(|stream| stream.group(group).is_some());
    let (request, key) = (DeletionRequest::parse(ctx, 3)?, ctx.key(1));
    ctx.reply.array(request.ids.len());
    ctx.change_in_slices(request.ids.len(), |ctx, slice| {
        let (ids, reply) = (&request.ids[slice], &mut ctx.reply);
        let mut tell = |outcome| reply.integer(number(outcome));
        if is_there {
            let mut stream = ctx.keys.entry(key).stream_mut()?;
            stream.acknowledge_and_delete(group, ids, request.references, tell);
        } else {
            ids.iter().for_each(|_| tell(Deletion::Missing));
        }
        Ok(())
    })
}

fn number(outcome: Deletion) -> i64 {
    match outcome {
        Deletion::Missing => -1,
        Deletion::Done => 1,
        Deletion::Referenced => 2,
    }
}
