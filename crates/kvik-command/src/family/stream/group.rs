//! XGROUP and XACK: making and ending groups and consumers, acknowledging.

use kvik_store::{Entry, Event, StreamMut, StreamRef};

use super::{ids, stream};
use crate::{Ctx, Error, ErrorText};

const NO_KEY: Error = Error::text(
    "The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to \
     create an empty stream automatically.",
);

/// The options behind the id of XGROUP CREATE and XGROUP SETID.
#[derive(Debug, Default)]
struct GroupOptions {
    make_stream: bool,
    entries_read: Option<i64>,
}

impl GroupOptions {
    fn parse(ctx: &Ctx<'_>, creates: bool) -> Result<Self, Error> {
        let (mut options, mut at) = (Self::default(), 5);
        while at < ctx.args.len() {
            if creates && ctx.is(at, "MKSTREAM") {
                options.make_stream = true;
                at += 1;
            } else if ctx.is(at, "ENTRIESREAD") && at + 1 < ctx.args.len() {
                let read = ctx.int(at + 1)?;
                if read < -1 {
                    return Err(Error::text("value for ENTRIESREAD must be positive or -1"));
                }
                options.entries_read = Some(read).filter(|read| *read >= 0);
                at += 2;
            } else {
                return Err(ctx.subcommand_error());
            }
        }
        Ok(options)
    }

    /// How many entries the group has read: not more than the stream ever had.
    fn entries_read_in(&self, stream: StreamRef<'_>) -> Option<i64> {
        let added = i64::try_from(stream.entries_added()).unwrap_or(i64::MAX);
        self.entries_read.map(|read| read.min(added))
    }
}

/// The stream that a subcommand is about, which must be there.
fn existing<'c>(entry: Entry<'c>) -> Result<StreamMut<'c>, Error> {
    match entry {
        Entry::Vacant(_) => Err(NO_KEY),
        occupied => Ok(occupied.stream_mut()?),
    }
}

/// Redis' refusal where the key is there and the group is not.
pub(super) fn no_group(ctx: &Ctx<'_>) -> Error {
    let text = ErrorText::quoting(&[
        b"No such consumer group '",
        &ctx.args[3],
        b"' for key name '",
        &ctx.args[2],
        b"'",
    ]);
    Error::Coded("NOGROUP", text)
}

pub(super) fn create(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    const WORDS_MAX: usize = 8;
    let args = ctx.args;
    let options = GroupOptions::parse(ctx, true)?;
    let too_long = (args.len() > WORDS_MAX).then(|| ctx.subcommand_error());
    let entry = ctx.keys.entry(ctx.key(2));
    let mut stream = if options.make_stream {
        entry.stream_mut()?
    } else {
        existing(entry)?
    };
    if let Some(error) = too_long {
        return Err(error);
    }
    let id = match &args[4] {
        b"$" => stream.view().last_id(),
        id => ids::parse(id)?,
    };
    let entries_read = options.entries_read_in(stream.view());
    if !stream.create_group(&args[3], id, entries_read) {
        let text = "Consumer Group name already exists";
        return Err(Error::Coded("BUSYGROUP", text.into()));
    }
    ctx.reply.ok();
    Ok(())
}

pub(super) fn set_id(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let args = ctx.args;
    let options = GroupOptions::parse(ctx, false)?;
    let too_long = (args.len() > 7).then(|| ctx.subcommand_error());
    let missing = no_group(ctx);
    let mut stream = existing(ctx.keys.entry(ctx.key(2)))?;
    let last_id = stream.view().last_id();
    let entries_read = options.entries_read_in(stream.view());
    let mut group = stream.group_mut(&args[3]).ok_or(missing)?;
    if let Some(error) = too_long {
        return Err(error);
    }
    let id = match &args[4] {
        b"$" => last_id,
        id => ids::parse_or_bound(id)?,
    };
    group.set_last_id(id, entries_read);
    drop(stream);
    // A delivery moves the group on as well, without an event.
    ctx.keys.note(&args[2], Event::XGROUP_SETID);
    ctx.reply.ok();
    Ok(())
}

pub(super) fn destroy(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let args = ctx.args;
    let destroyed = existing(ctx.keys.entry(ctx.key(2)))?.destroy_group(&args[3]);
    if destroyed {
        // Consumers that wait are told, though the key has not changed for those who watch it.
        ctx.keys.mark_ready(&args[2]);
    }
    ctx.reply.integer(i64::from(destroyed));
    Ok(())
}

pub(super) fn create_consumer(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (args, missing) = (ctx.args, no_group(ctx));
    let mut stream = existing(ctx.keys.entry(ctx.key(2)))?;
    let mut group = stream.group_mut(&args[3]).ok_or(missing)?;
    let created = group.create_consumer(&args[4]);
    ctx.reply.integer(i64::from(created));
    Ok(())
}

pub(super) fn delete_consumer(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (args, missing) = (ctx.args, no_group(ctx));
    let mut stream = existing(ctx.keys.entry(ctx.key(2)))?;
    let mut group = stream.group_mut(&args[3]).ok_or(missing)?;
    let pending = group.delete_consumer(&args[4]).unwrap_or_default();
    ctx.reply.integer(pending as i64);
    Ok(())
}

pub(super) fn xack(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let args = ctx.args;
    let there = stream(ctx.keys.read(ctx.key(1)))?;
    let ids = args.tail(3).iter();
    let mut acknowledged = 0;
    if there.is_some_and(|stream| stream.group(&args[2]).is_some()) {
        ids.clone().try_for_each(|id| ids::parse(id).map(drop))?;
        let words = args.tail(3);
        ctx.change_in_slices(words.len(), |ctx, slice| {
            let mut stream = ctx.keys.entry(ctx.key(1)).stream_mut()?;
            if let Some(mut group) = stream.group_mut(&args[2]) {
                let ids = words.slice(slice).iter();
                acknowledged += group.acknowledge(ids.filter_map(|id| ids::parse(id).ok()));
            }
            Ok(())
        })?;
    }
    ctx.reply.integer(acknowledged as i64);
    Ok(())
}
