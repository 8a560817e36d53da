//! XREAD and XREADGROUP: what has come into streams since an id, or comes next.

use kvik_resp::{Args, ArgsBuf, Protocol, Reply};
use kvik_store::{Guard, StreamId, StreamRef, Wanted};

use super::{ids, stream, write_entry, write_id};
use crate::blocking::Block;
use crate::declare::{InvalidKeys, KeyFlags};
use crate::{Ctx, Error, ErrorText};

/// The words of one call.
struct ReadRequest<'a> {
    /// Entries of each stream at most.
    max: usize,
    /// Group and consumer of XREADGROUP.
    group: Option<(&'a [u8], &'a [u8])>,
    /// Entries do not become pending.
    no_ack: bool,
    /// Until when to wait if there is nothing, in milliseconds since the epoch.
    block_until_ms: Option<u64>,
    /// Which word is the first key.
    first_key: usize,
    keys: Args<'a>,
    ids: Args<'a>,
}

/// From where on a stream is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    /// Behind this id.
    After(StreamId),
    /// The entries that the group was not given yet.
    New,
}

/// The keys: the first half of what follows STREAMS, which may also be the name of a group or
/// consumer.
pub(super) fn keys(
    args: Args<'_>,
    visit: &mut dyn FnMut(usize, KeyFlags),
) -> Result<(), InvalidKeys> {
    let mut at = 1;
    while let Some(word) = args.get(at) {
        let is = |option: &str| word.eq_ignore_ascii_case(option.as_bytes());
        if is("STREAMS") {
            let left = args.len() - at - 1;
            if left == 0 || !left.is_multiple_of(2) {
                return Err(InvalidKeys);
            }
            (at + 1..=at + left / 2).for_each(|key| visit(key, KeyFlags::RO_ACCESS));
            return Ok(());
        }
        at += match () {
            () if is("BLOCK") || is("COUNT") => 2,
            () if is("GROUP") => 3,
            () if is("NOACK") => 1,
            () => return Err(InvalidKeys),
        };
    }
    Err(InvalidKeys)
}

impl<'a> ReadRequest<'a> {
    fn parse(ctx: &Ctx<'a>, of_group: bool) -> Result<Self, Error> {
        let mut request = Self {
            max: usize::MAX,
            group: None,
            no_ack: false,
            block_until_ms: None,
            first_key: 0,
            keys: ctx.args.tail(usize::MAX),
            ids: ctx.args.tail(usize::MAX),
        };
        let mut at = 1;
        while at < ctx.args.len() && request.keys.is_empty() {
            at += request.take(ctx, at, of_group)?;
        }
        if request.keys.is_empty() {
            return Err(Error::SYNTAX);
        }
        if of_group && request.group.is_none() {
            return Err(Error::text("Missing GROUP option for XREADGROUP"));
        }
        Ok(request)
    }

    /// Takes an option and says of how many words it consists.
    fn take(&mut self, ctx: &Ctx<'a>, at: usize, of_group: bool) -> Result<usize, Error> {
        let (args, more) = (ctx.args, ctx.args.len() - at - 1);
        if ctx.is(at, "BLOCK") && more > 0 {
            self.block_until_ms = Some(ctx.deadline_ms(at + 1)?);
            Ok(2)
        } else if ctx.is(at, "COUNT") && more > 0 {
            let count = ctx.int(at + 1)?;
            self.max = if count > 0 {
                count as usize
            } else {
                usize::MAX
            };
            Ok(2)
        } else if ctx.is(at, "STREAMS") && more > 0 {
            let rest = args.tail(at + 1);
            if !rest.len().is_multiple_of(2) {
                return Err(unbalanced(ctx, of_group));
            }
            self.first_key = at + 1;
            self.keys = rest.slice(0..rest.len() / 2);
            self.ids = rest.tail(rest.len() / 2);
            Ok(1 + rest.len())
        } else if ctx.is(at, "GROUP") && more > 1 {
            self.refuse_outside("GROUP", of_group)?;
            self.group = args.get(at + 1).zip(args.get(at + 2));
            Ok(3)
        } else if ctx.is(at, "NOACK") {
            self.refuse_outside("NOACK", of_group)?;
            self.no_ack = true;
            Ok(1)
        } else {
            Err(Error::SYNTAX)
        }
    }

    /// Ends a call that has found nothing: it answers so, or waits.
    fn wait_or_answer(&self, ctx: &mut Ctx<'_>, wanted: Wanted, words: Option<ArgsBuf>) {
        let Some(until_ms) = self.block_until_ms else {
            return ctx.reply.null_array();
        };
        let keys = self.first_key..self.first_key + self.keys.len();
        let mut block = Block::new(wanted, keys, until_ms);
        block.words = words;
        ctx.wait_or_answer(block);
    }

    fn refuse_outside(&self, option: &str, of_group: bool) -> Result<(), Error> {
        if of_group {
            return Ok(());
        }
        Err(Error::new(format!(
            "The {option} option is only supported by XREADGROUP. You called XREAD instead."
        )))
    }
}

fn unbalanced(ctx: &Ctx<'_>, of_group: bool) -> Error {
    let (name, symbol) = (ctx.command.full_name(), if of_group { '>' } else { '$' });
    Error::new(format!(
        "Unbalanced '{name}' list of streams: for each stream key an ID or '{symbol}' must be specified."
    ))
}

/// Streams that are being answered with, each as its key and its entries.
struct StreamsReply {
    array: kvik_resp::Deferred,
    streams: usize,
}

impl StreamsReply {
    fn new(reply: &mut Reply<'_>) -> Self {
        Self {
            array: reply.deferred_array(),
            streams: 0,
        }
    }

    fn begin(&mut self, reply: &mut Reply<'_>, key: &[u8]) {
        // RESP3 has a map from keys to entries, RESP2 an array of pairs.
        if reply.protocol() == Protocol::Resp2 {
            reply.array(2);
        }
        reply.bulk(key);
        self.streams += 1;
    }

    fn is_empty(&self) -> bool {
        self.streams == 0
    }

    /// Ends an answer with at least one stream.
    fn finish(self, reply: &mut Reply<'_>) {
        match reply.protocol() {
            Protocol::Resp2 => reply.finish_array(self.array, self.streams),
            Protocol::Resp3 => reply.finish_map(self.array, self.streams),
        }
    }
}

pub(super) fn xread(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let request = ReadRequest::parse(ctx, false)?;
    let after = request.after(ctx)?;
    let mut answer = StreamsReply::new(&mut ctx.reply);
    for (key, &after) in request.keys.iter().zip(&after) {
        let Some(after) = after else { continue };
        let news = news(&mut ctx.keys, key, after)?;
        let Some((stream, start)) = news.zip(after.next()) else {
            continue;
        };
        answer.begin(&mut ctx.reply, key);
        let (array, mut len) = (ctx.reply.deferred_array(), 0);
        for entry in stream.range(start, StreamId::MAX).take(request.max) {
            write_entry(&mut ctx.reply, &entry);
            len += 1;
        }
        ctx.reply.finish_array(array, len);
    }
    if answer.is_empty() {
        // `$` means now, and would mean something else when the call is run again.
        let words = request.block_until_ms.map(|_| request.settle(ctx, &after));
        request.wait_or_answer(ctx, Wanted::Stream, words);
    } else {
        answer.finish(&mut ctx.reply);
    }
    Ok(())
}

/// The stream of a key, if it has entries behind an id.
///
/// # Errors
/// If the key holds another type.
fn news<'g>(
    keys: &'g mut Guard<'_>,
    key: &[u8],
    after: StreamId,
) -> Result<Option<StreamRef<'g>>, Error> {
    let stream = stream(keys.read(key))?;
    // The last entry may be older than the last id, where entries were deleted.
    Ok(stream.filter(|it| it.last_entry_id().is_some_and(|last| last > after)))
}

/// Whether a call of XREAD that waits has something to answer.
pub(super) fn has_news(ctx: &mut Ctx<'_>) -> bool {
    let mut look = || {
        let request = ReadRequest::parse(ctx, false)?;
        for (key, after) in request.keys.iter().zip(request.after(ctx)?) {
            if let Some(after) = after
                && news(&mut ctx.keys, key, after)?.is_some()
            {
                return Ok::<_, Error>(true);
            }
        }
        Ok(false)
    };
    // An error is an answer.
    look().unwrap_or(true)
}

impl ReadRequest<'_> {
    /// The id of each key behind which XREAD is to read; nothing for those that it may not see.
    fn after(&self, ctx: &mut Ctx<'_>) -> Result<Vec<Option<StreamId>>, Error> {
        let mut after = Vec::with_capacity(self.keys.len());
        for (key, id) in self.keys.iter().zip(self.ids) {
            if !ctx.may_see(key) {
                after.push(None);
                continue;
            }
            // `$` and `+` are resolved for all keys before the reply begins.
            let last_id = stream(ctx.keys.read(key))?.map(|stream| stream.last_id());
            after.push(Some(after_id(id, last_id)?));
        }
        Ok(after)
    }

    /// The words of a call that waits: `$` is what it is now.
    fn settle(&self, ctx: &Ctx<'_>, after: &[Option<StreamId>]) -> ArgsBuf {
        let first_id = self.first_key + self.keys.len();
        let word = |(at, word): (usize, &[u8])| {
            let id = at.checked_sub(first_id).and_then(|nth| after[nth]);
            match id {
                Some(id) if word == b"$" => id.text().to_vec(),
                _ => word.to_vec(),
            }
        };
        ctx.args.iter().enumerate().map(word).collect()
    }
}

/// The id behind which XREAD is to read.
fn after_id(word: &[u8], last_id: Option<StreamId>) -> Result<StreamId, Error> {
    let last_id = last_id.unwrap_or_default();
    match word {
        b"$" => Ok(last_id),
        b"+" => Ok(last_id.prev().unwrap_or_default()),
        b">" => Err(Error::text(
            "The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
        )),
        _ => ids::parse(word),
    }
}

pub(super) fn xreadgroup(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let request = ReadRequest::parse(ctx, true)?;
    let (group, consumer) = request.group.ok_or(Error::SYNTAX)?;
    // All keys and ids are checked before the first stream changes.
    let mut from = Vec::with_capacity(request.keys.len());
    for (key, id) in request.keys.iter().zip(request.ids) {
        if !ctx.may_see(key) {
            from.push(None);
            continue;
        }
        let stream = stream(ctx.keys.read(key))?;
        if stream.and_then(|stream| stream.group(group)).is_none() {
            return Err(no_group(key, group));
        }
        from.push(Some(from_id(id)?));
    }
    let mut answer = StreamsReply::new(&mut ctx.reply);
    for (key, from) in request.keys.iter().zip(from) {
        if let Some(from) = from {
            serve(ctx, &request, (key, group, consumer), from, &mut answer)?;
        }
    }
    if answer.is_empty() {
        request.wait_or_answer(ctx, Wanted::Group, None);
    } else {
        answer.finish(&mut ctx.reply);
    }
    Ok(())
}

/// Whether a call of XREADGROUP that waits has something to answer.
pub(super) fn has_group_news(ctx: &mut Ctx<'_>) -> bool {
    let mut look = || {
        let request = ReadRequest::parse(ctx, true)?;
        let (name, _) = request.group.ok_or(Error::SYNTAX)?;
        for key in request.keys {
            if !ctx.may_see(key) {
                continue;
            }
            let stream = stream(ctx.keys.read(key))?;
            let group = stream.and_then(|stream| Some((stream, stream.group(name)?)));
            let (stream, group) = group.ok_or_else(|| no_group(key, name))?;
            if stream
                .last_entry_id()
                .is_some_and(|last| last > group.last_id())
            {
                return Ok::<_, Error>(true);
            }
        }
        Ok(false)
    };
    // An error is an answer: of a stream or a group that is gone.
    look().unwrap_or(true)
}

fn no_group(key: &[u8], group: &[u8]) -> Error {
    let text = ErrorText::quoting(&[
        b"No such key '",
        key,
        b"' or consumer group '",
        group,
        b"' in XREADGROUP with GROUP option",
    ]);
    Error::Coded("NOGROUP", text)
}

fn from_id(word: &[u8]) -> Result<From, Error> {
    let meaningless = |id, instead| {
        Err(Error::new(format!(
            "The {id} ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by \
             specifying a proper ID, or use the > ID to get new messages. The {instead} ID would just return an empty \
             result set."
        )))
    };
    match word {
        b"$" => meaningless("$", "$"),
        b"+" => meaningless("+", "+"),
        b">" => Ok(From::New),
        // As for Redis, to which both are the same.
        _ => ids::parse(word).map(|id| match id {
            StreamId::MAX => From::New,
            id => From::After(id),
        }),
    }
}

/// Answers with the entries of one stream, if there are any to answer with.
fn serve(
    ctx: &mut Ctx<'_>,
    request: &ReadRequest<'_>,
    (key, group, consumer): (&[u8], &[u8], &[u8]),
    from: From,
    answer: &mut StreamsReply,
) -> Result<(), Error> {
    let mut stream = ctx.keys.entry(key).stream_mut()?;
    let last_entry_id = stream.view().last_entry_id();
    let mut group = stream.group_mut(group).ok_or(no_group(key, group))?;
    group.see_consumer(consumer);
    // A stream without news is left out of the reply.
    let news = last_entry_id.is_some_and(|last| last > group.last_id());
    if from == From::New && !news {
        return Ok(());
    }
    let reply = &mut ctx.reply;
    answer.begin(reply, key);
    let (array, mut len) = (reply.deferred_array(), 0);
    match from {
        From::New => group.deliver(consumer, request.max, !request.no_ack, |entry| {
            write_entry(reply, entry);
            len += 1;
        }),
        From::After(id) => {
            let start = id.next().unwrap_or(StreamId::MAX);
            group.deliver_again(consumer, start, request.max, |id, entry| {
                match entry {
                    Some(entry) => write_entry(reply, entry),
                    None => {
                        // A pending entry may have been deleted: its id comes with nothing.
                        reply.array(2);
                        write_id(reply, id);
                        reply.null_array();
                    }
                }
                len += 1;
            });
        }
    }
    ctx.reply.finish_array(array, len);
    Ok(())
}
