//! XREAD and XREADGROUP: what has come into streams since an id, or comes next.

use kvik_resp::{Args, ArgsBuf, Protocol, Reply};
use kvik_store::{GroupRef, Guard, IdleEntry, StreamEntry, StreamId, StreamRef, Wanted};

use super::{ids, stream, write_entry, write_id, write_parts};
use crate::blocking::{Block, NEVER_MS};
use crate::declare::{InvalidKeys, KeyFlags};
use crate::{CHANGED_AT_ONCE, Ctx, Error, ErrorText, SLICE};

/// The words of one call.
struct ReadRequest<'a> {
    /// Entries of each stream at most.
    max: usize,
    /// Group and consumer of XREADGROUP.
    group: Option<(&'a [u8], &'a [u8])>,
    /// Entries do not become pending.
    no_ack: bool,
    /// How long ago pending entries were delivered that are to be handed over, in milliseconds.
    claim_idle_ms: Option<u64>,
    budget: Budget,
    /// Until when to wait if there is nothing, in milliseconds since the epoch.
    block_until_ms: Option<u64>,
    /// Which word is the first key.
    first_key: usize,
    keys: Args<'a>,
    ids: Args<'a>,
}

/// How much a call may answer with, over all streams.
#[derive(Clone, Copy, Debug)]
struct Budget {
    entries: usize,
    /// Bytes of the reply; the first entry is written whatever its size.
    bytes: usize,
}

impl Budget {
    /// Pays for an entry behind which the reply has so many bytes; says whether more may follow.
    fn pay(&mut self, written: usize) -> bool {
        self.entries -= 1;
        if written >= self.bytes {
            self.entries = 0;
        }
        self.entries > 0
    }
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
            () if is("BLOCK") || is("COUNT") || is("CLAIM") => 2,
            () if is("MAXCOUNT") || is("MAXSIZE") => 2,
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
            claim_idle_ms: None,
            budget: Budget {
                entries: usize::MAX,
                bytes: usize::MAX,
            },
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
        if request.max != usize::MAX && request.budget.entries < request.max {
            return Err(Error::text(
                "MAXCOUNT must be greater than or equal to COUNT",
            ));
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
        } else if ctx.is(at, "CLAIM") && more > 0 {
            self.refuse_outside("CLAIM", of_group)?;
            self.claim_idle_ms = Some(min_idle(ctx, at + 1)?);
            Ok(2)
        } else if ctx.is(at, "MAXCOUNT") && more > 0 {
            self.budget.entries = positive(ctx, at + 1, "MAXCOUNT")?;
            Ok(2)
        } else if ctx.is(at, "MAXSIZE") && more > 0 {
            self.budget.bytes = positive(ctx, at + 1, "MAXSIZE")?;
            Ok(2)
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
        block.look_ms = self.next_look_ms(ctx);
        ctx.wait_or_answer(block);
    }

    /// When a call that waits and claims should look at its keys, though nothing has happened to
    /// them: when the next entry is idle for long enough.
    fn next_look_ms(&self, ctx: &mut Ctx<'_>) -> u64 {
        // What is delivered from now on is idle no earlier; whoever asks for what was delivered
        // just now is patient for a moment.
        const PATIENCE_MS: u64 = 10;
        let (Some(idle_ms), Some((group, _))) = (self.claim_idle_ms, self.group) else {
            return NEVER_MS;
        };
        let now = ctx.now_ms();
        let mut look_ms = now.saturating_add(idle_ms.max(PATIENCE_MS));
        for key in self.keys {
            if !ctx.may_see(key) {
                continue;
            }
            let stream = stream(ctx.keys.read(key)).ok().flatten();
            let earliest = stream.and_then(|stream| stream.earliest_delivery(group));
            let due_ms = earliest.map(|at| at.saturating_add(idle_ms));
            look_ms = look_ms.min(due_ms.unwrap_or(NEVER_MS));
        }
        look_ms.max(now + 1)
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

fn min_idle(ctx: &Ctx<'_>, at: usize) -> Result<u64, Error> {
    let idle_ms = ctx.int(at);
    let idle_ms =
        idle_ms.map_err(|_| Error::text("min-idle-time is not an integer or out of range"))?;
    u64::try_from(idle_ms).map_err(|_| Error::text("min-idle-time must be a positive integer"))
}

fn positive(ctx: &Ctx<'_>, at: usize, option: &str) -> Result<usize, Error> {
    let number = ctx.int(at)?;
    let number = usize::try_from(number).ok().filter(|number| *number > 0);
    number.ok_or_else(|| Error::new(format!("{option} must be a positive integer")))
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
    let mut request = ReadRequest::parse(ctx, false)?;
    let after = request.after(ctx)?;
    let mut answer = StreamsReply::new(&mut ctx.reply);
    for (key, &after) in request.keys.iter().zip(&after) {
        let Some(after) = after.filter(|_| request.budget.entries > 0) else {
            continue;
        };
        let news = news(&mut ctx.keys, key, after)?;
        let Some((stream, start)) = news.zip(after.next()) else {
            continue;
        };
        answer.begin(&mut ctx.reply, key);
        let most = usize::try_from(stream.len()).unwrap_or(usize::MAX);
        answer_from(ctx, &mut request, key, start, most)?;
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

/// Answers with the entries of a stream from an id on, of which there are so many at most.
fn answer_from(
    ctx: &mut Ctx<'_>,
    request: &mut ReadRequest<'_>,
    key: &[u8],
    start: StreamId,
    most: usize,
) -> Result<(), Error> {
    let (array, mut len) = (ctx.reply.deferred_array(), 0);
    let mut next = Some(start);
    while let Some(start) = next.take() {
        if len > 0 {
            // How many there are is not known before: so many that the rest is done elsewhere.
            ctx.weigh(most.min(request.max))?;
            ctx.breathe()?;
        }
        let Some(stream) = stream(ctx.keys.peek(key))? else {
            break;
        };
        let slice = SLICE.min(request.max - len);
        let (mut left, mut goes_on) = (slice, true);
        let mut latest = None;
        for entry in stream.range(start, StreamId::MAX).take(slice) {
            write_entry(&mut ctx.reply, &entry);
            latest = Some(entry.id());
            left -= 1;
            goes_on = request.budget.pay(ctx.reply.len());
            if !goes_on {
                break;
            }
        }
        len += slice - left;
        if goes_on && left == 0 && len < request.max {
            next = latest.and_then(StreamId::next);
        }
    }
    if len > SLICE {
        // The header moves all that is behind it, and no key is needed for that.
        ctx.keys.rest();
    }
    ctx.reply.finish_array(array, len);
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
    /// About how many entries of a stream a call for a group is to deliver. Many are not counted to
    /// the last.
    fn work(&self, stream: &StreamRef<'_>, group: &GroupRef<'_>, from: From) -> usize {
        let at_most = |most: usize| self.max.min(self.budget.entries).min(most);
        let pending = || at_most(group.pending_len());
        let all = usize::try_from(stream.len()).unwrap_or(usize::MAX);
        match (from, group.last_id().next()) {
            (From::After(_), _) => pending(),
            (From::New, Some(start)) if at_most(all) > SLICE => {
                let news = stream.range(start, StreamId::MAX).take(SLICE + 1).count();
                let news = if news > SLICE { at_most(all) } else { news };
                news + self.claim_idle_ms.map_or(0, |_| pending())
            }
            (From::New, _) => 0,
        }
    }

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
    let mut request = ReadRequest::parse(ctx, true)?;
    let (group, consumer) = request.group.ok_or(Error::SYNTAX)?;
    // All keys and ids are checked before the first stream changes.
    let (mut from, mut work) = (Vec::with_capacity(request.keys.len()), 0);
    for (key, id) in request.keys.iter().zip(request.ids) {
        if !ctx.may_see(key) {
            from.push(None);
            continue;
        }
        let stream = stream(ctx.keys.read(key))?;
        let found = stream.and_then(|stream| Some((stream, stream.group(group)?)));
        let (stream, of_group) = found.ok_or_else(|| no_group(key, group))?;
        let start = from_id(id)?;
        work += request.work(&stream, &of_group, start);
        from.push(Some(start));
    }
    ctx.weigh(work)?;
    let mut answer = StreamsReply::new(&mut ctx.reply);
    for (key, from) in request.keys.iter().zip(from) {
        if let Some(from) = from.filter(|_| request.budget.entries > 0) {
            serve(ctx, &mut request, (key, group, consumer), from, &mut answer)?;
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
            let idle = request.claim_idle_ms.zip(stream.earliest_delivery(name));
            if idle.is_some_and(|(idle_ms, at)| ctx.now_ms() >= at.saturating_add(idle_ms)) {
                return Ok(true);
            }
        }
        ctx.session.look_ms = request.next_look_ms(ctx);
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
    request: &mut ReadRequest<'_>,
    (key, group, consumer): (&[u8], &[u8], &[u8]),
    from: From,
    answer: &mut StreamsReply,
) -> Result<(), Error> {
    let mut stream = ctx.keys.entry(key).stream_mut()?;
    let last_entry_id = stream.view().last_entry_id();
    let mut edit = stream.group_mut(group).ok_or(no_group(key, group))?;
    edit.see_consumer(consumer);
    let news = last_entry_id.is_some_and(|last| last > edit.last_id());
    // A stream without news is left out of the reply.
    if from == From::New && !news && request.claim_idle_ms.is_none() {
        return Ok(());
    }
    drop(stream);
    let start = ctx.reply.len();
    answer.begin(&mut ctx.reply, key);
    let (array, mut len) = (ctx.reply.deferred_array(), 0);
    let mut part = match (from, request.claim_idle_ms) {
        (From::After(id), _) => GivenPart::Again(id),
        (From::New, Some(idle_ms)) => GivenPart::Idle(idle_ms),
        (From::New, None) => GivenPart::New,
    };
    ctx.change_while(|ctx| {
        let most = part.at_once().min(request.max - len);
        let told = part.serve(ctx, request, (key, group, consumer), most)?;
        len += told.entries;
        if !told.goes_on || len == request.max {
            return Ok(false);
        }
        match part {
            GivenPart::Again(_) => part = GivenPart::Again(told.last),
            GivenPart::Idle(_) if told.entries < most => {
                part = GivenPart::New;
                return Ok(true);
            }
            GivenPart::Idle(_) | GivenPart::New => {}
        }
        Ok(told.entries == most)
    })?;
    if from == From::New && len == 0 {
        // Nothing was idle for so long.
        ctx.reply.truncate(start);
        answer.streams -= 1;
        return Ok(());
    }
    ctx.reply.finish_array(array, len);
    Ok(())
}

/// The entries that a consumer is given, in this order.
#[derive(Clone, Copy, Debug)]
enum GivenPart {
    /// Those that were delivered so many milliseconds ago.
    Idle(u64),
    /// Those that the group was not given yet.
    New,
    /// Its own, behind this id.
    Again(StreamId),
}

/// The entries that a consumer was told of at once.
#[derive(Clone, Copy, Debug)]
struct Told {
    entries: usize,
    last: StreamId,
    /// The reply may have more.
    goes_on: bool,
}

impl GivenPart {
    /// How many entries are delivered while the stripe is held once.
    fn at_once(self) -> usize {
        match self {
            // What is delivered now would be met again.
            Self::Idle(0) => usize::MAX,
            _ => CHANGED_AT_ONCE,
        }
    }

    /// Delivers up to `most` entries.
    fn serve(
        self,
        ctx: &mut Ctx<'_>,
        request: &mut ReadRequest<'_>,
        (key, group, consumer): (&[u8], &[u8], &[u8]),
        most: usize,
    ) -> Result<Told, Error> {
        let mut stream = ctx.keys.entry(key).stream_mut()?;
        let mut edit = stream.group_mut(group).ok_or(no_group(key, group))?;
        let (reply, budget) = (&mut ctx.reply, &mut request.budget);
        let mut told = Told {
            entries: 0,
            last: StreamId::MIN,
            goes_on: true,
        };
        let mut pay = |reply: &Reply<'_>, id| {
            told.entries += 1;
            told.last = id;
            told.goes_on = budget.pay(reply.len());
            told.goes_on
        };
        match self {
            Self::Idle(idle_ms) => edit.claim_idle(consumer, idle_ms, most, |entry, idle| {
                write_claimed(reply, entry, idle);
                pay(reply, entry.id())
            }),
            Self::New => edit.deliver(consumer, most, !request.no_ack, |entry| {
                match request.claim_idle_ms {
                    Some(_) => write_claimed(reply, entry, NOT_DELIVERED),
                    None => write_entry(reply, entry),
                }
                pay(reply, entry.id())
            }),
            Self::Again(id) => {
                let start = id.next().unwrap_or(StreamId::MAX);
                edit.deliver_again(consumer, start, most, |id, entry| {
                    match entry {
                        Some(entry) => write_entry(reply, entry),
                        None => {
                            // A pending entry may have been deleted: its id comes with nothing.
                            reply.array(2);
                            write_id(reply, id);
                            reply.null_array();
                        }
                    }
                    pay(reply, id)
                });
            }
        }
        Ok(told)
    }
}

/// The figures of an entry that nobody was given before.
const NOT_DELIVERED: IdleEntry = IdleEntry {
    idle_ms: 0,
    deliveries: 0,
};

/// Writes an entry of a call that claims: how long ago and how often it was delivered stand behind
/// its fields.
fn write_claimed(reply: &mut Reply<'_>, entry: &StreamEntry<'_>, before: IdleEntry) {
    write_parts(reply, entry, 4);
    reply.integer(i64::try_from(before.idle_ms).unwrap_or(i64::MAX));
    reply.integer(i64::try_from(before.deliveries).unwrap_or(i64::MAX));
}
