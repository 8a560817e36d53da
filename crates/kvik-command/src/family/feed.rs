//! FEED: reading the committed changes, and being sent them.
//!
//! Each subcommand asks the feed's thread and is put off until it has answered. READ with BLOCK
//! goes on waiting there; when its time is over it replies with how far it has looked.

use kvik_resp::{Args, Protocol, parse_i64};

use crate::declare::{Category, Command, Databases, Group, Row};
use crate::feed::{FeedAnswer, FeedInfo, FeedQuery, FeedRequest, FeedSink, FeedStart, Subscriber};
use crate::session::FeedWait;
use crate::{Ctx, Engine, Error, Session};
use std::sync::Arc;

/// Entries of a READ that does not say.
const USUAL_COUNT: usize = 1000;
/// How long a connection that waits is left alone when nobody says that its wait is over, in
/// milliseconds.
const RETRY_MS: u64 = 100;

/// The rows of this family.
pub(super) fn rows() -> Vec<Row> {
    let command = |name, syntax, handler| {
        Command::new(name, syntax, handler)
            .group(Group::Generic)
            .also(Category::KEYSPACE | Category::DANGEROUS)
            .no_multi()
            .noscript()
            .since("0.1.0")
    };
    vec![
        Command::container("FEED")
            .group(Group::Generic)
            .since("0.1.0")
            .complexity("Depends on subcommand.")
            .about("Reads the committed changes of all databases in their order."),
        command(
            "FEED READ",
            "[PREFIX prefix:string] [FROM position:string] [COUNT count:integer] \
             [BLOCK milliseconds:integer] [OLD]",
            read,
        )
        .databases(Databases::All)
        .blocking()
        .waits(wait_for_read)
        .complexity("O(N) where N is the number of changes from the position on that are looked at")
        .about("Returns changes behind a position, and the position to go on from."),
        command(
            "FEED SUBSCRIBE",
            "[PREFIX prefix:string [PREFIX prefix:string ...]] [FROM position:string] [OLD]",
            subscribe,
        )
        .databases(Databases::All)
        .pubsub()
        .arity(-2)
        .waits(wait_for_subscription)
        .complexity("O(1)")
        .about("Has changes sent as pushes, from a position or from now on."),
        command("FEED UNSUBSCRIBE", "", unsubscribe)
            .pubsub()
            .complexity("O(1)")
            .about("Ends the subscription of the connection."),
        command("FEED INFO", "", info)
            .waits(wait_for_info)
            .complexity("O(1)")
            .tips(&["nondeterministic_output"])
            .about("Returns from where to where the feed can be read, and who does."),
        super::command::help("FEED HELP").since("0.1.0"),
    ]
}

/// The words of READ and SUBSCRIBE.
struct FeedWords {
    query: FeedQuery,
    count: usize,
    /// Milliseconds, 0 for ever.
    block_ms: Option<u64>,
}

impl FeedWords {
    /// Reads the words. A subscription has many prefixes; a read has COUNT and BLOCK.
    fn parse(args: Args<'_>, start: FeedStart, is_read: bool) -> Result<Self, Error> {
        let mut words = Self {
            query: FeedQuery::new(start),
            count: USUAL_COUNT,
            block_ms: None,
        };
        let mut at = 2;
        while at < args.len() {
            let is = |name: &str| args[at].eq_ignore_ascii_case(name.as_bytes());
            let value = args.get(at + 1);
            match value {
                _ if is("OLD") => {
                    words.query.old = true;
                    at += 1;
                    continue;
                }
                Some(prefix) if is("PREFIX") && (!is_read || words.query.prefixes.is_empty()) => {
                    words.query.prefixes.push(prefix.into());
                }
                Some(position) if is("FROM") => words.query.start = start_at(position)?,
                Some(count) if is("COUNT") && is_read => words.count = parse_count(count)?,
                Some(timeout) if is("BLOCK") && is_read => {
                    words.block_ms = Some(parse_timeout(timeout)?);
                }
                _ => return Err(Error::SYNTAX),
            }
            at += 2;
        }
        Ok(words)
    }
}

fn start_at(word: &[u8]) -> Result<FeedStart, Error> {
    match word {
        b"$" => Ok(FeedStart::Latest),
        b"-" => Ok(FeedStart::Oldest),
        _ => {
            let position = std::str::from_utf8(word)
                .ok()
                .and_then(|it| it.parse().ok());
            let position = position.ok_or(Error::text("invalid position of the feed"))?;
            Ok(FeedStart::After(position))
        }
    }
}

fn parse_count(word: &[u8]) -> Result<usize, Error> {
    let count = parse_i64(word).ok_or(Error::NOT_AN_INTEGER)?;
    let count = usize::try_from(count).ok().filter(|&count| count > 0);
    count.ok_or(Error::NOT_POSITIVE)
}

fn parse_timeout(word: &[u8]) -> Result<u64, Error> {
    let timeout =
        parse_i64(word).ok_or(Error::text("timeout is not an integer or out of range"))?;
    u64::try_from(timeout).map_err(|_| Error::text("timeout is negative"))
}

/// A request that a command makes.
struct Wish {
    request: FeedRequest,
    /// How long it may take, in milliseconds; none or 0 for ever.
    block_ms: Option<u64>,
    subscriber: Option<Arc<Subscriber>>,
}

/// Puts a command off until the feed has answered its request, which `begin` makes.
fn wait_for(
    session: &mut Session,
    engine: &Engine,
    now_ms: u64,
    begin: impl FnOnce(&Session) -> Option<Wish>,
) -> Option<u64> {
    // The command is offered again after each word from the feed; the request is made once.
    if session.feed_wait.is_none() {
        // What is wrong with the words the handler says.
        let wish = begin(session)?;
        let call = engine.feed().request(wish.request, session.client.id);
        let until_ms = match wish.block_ms {
            None | Some(0) => u64::MAX,
            Some(ms) => now_ms.saturating_add(ms),
        };
        session.feed_wait = Some(FeedWait {
            call,
            until_ms,
            subscriber: wish.subscriber,
        });
    }
    let wait = session.feed_wait.as_ref()?;
    let is_over = wait.call.is_answered() || now_ms >= wait.until_ms && wait.call.has_looked();
    if is_over {
        return None;
    }
    // Even when its time is up, a read waits for the feed's first look, which is due at once.
    let until_ms = wait.until_ms.max(now_ms + 1);
    Some(until_ms.min(now_ms + RETRY_MS))
}

fn wait_for_read(
    session: &mut Session,
    args: Args<'_>,
    engine: &Engine,
    now_ms: u64,
) -> Option<u64> {
    wait_for(session, engine, now_ms, |_| {
        let words = FeedWords::parse(args, FeedStart::Oldest, true).ok()?;
        let request = FeedRequest::Read {
            query: words.query,
            count: words.count,
            waits: words.block_ms.is_some(),
        };
        Some(Wish {
            request,
            block_ms: words.block_ms,
            subscriber: None,
        })
    })
}

fn wait_for_subscription(
    session: &mut Session,
    args: Args<'_>,
    engine: &Engine,
    now_ms: u64,
) -> Option<u64> {
    wait_for(session, engine, now_ms, |session| {
        let words = FeedWords::parse(args, FeedStart::Latest, false).ok()?;
        if session.protocol != Protocol::Resp3 || session.feed_subscribed {
            return None;
        }
        let client = Arc::clone(&session.client);
        let feed = Arc::downgrade(engine.feed());
        let sink = Arc::new(Subscriber::new(client, words.query.old, feed));
        let request = FeedRequest::Subscribe {
            query: words.query,
            subscriber: session.client.id,
            sink: Arc::clone(&sink) as Arc<dyn FeedSink>,
        };
        Some(Wish {
            request,
            block_ms: None,
            subscriber: Some(sink),
        })
    })
}

fn wait_for_info(
    session: &mut Session,
    _args: Args<'_>,
    engine: &Engine,
    now_ms: u64,
) -> Option<u64> {
    wait_for(session, engine, now_ms, |_| {
        Some(Wish {
            request: FeedRequest::Info,
            block_ms: None,
            subscriber: None,
        })
    })
}

/// The answer that the session has waited for.
fn answer(ctx: &mut Ctx<'_>) -> Result<FeedAnswer, Error> {
    const NOT_WAITED: Error = Error::text("not available here");
    let wait = ctx.session.feed_wait.take().ok_or(NOT_WAITED)?;
    wait.call.take()
}

fn read(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let words = FeedWords::parse(ctx.args, FeedStart::Oldest, true)?;
    let FeedAnswer::Page(page) = answer(ctx)? else {
        return Err(Error::SYNTAX);
    };
    ctx.reply.array(2);
    ctx.reply.bulk_str(&page.next.to_string());
    ctx.reply.array(page.entries.len());
    for entry in &page.entries {
        entry.write(words.query.old, &mut ctx.reply);
    }
    Ok(())
}

fn subscribe(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    const NEEDS_PUSHES: Error = Error::text("FEED SUBSCRIBE needs RESP3, see HELLO");
    const TWICE: Error = Error::text("this connection has subscribed to the feed already");
    FeedWords::parse(ctx.args, FeedStart::Latest, false)?;
    if ctx.session.protocol != Protocol::Resp3 {
        return Err(NEEDS_PUSHES);
    }
    if ctx.session.feed_subscribed {
        return Err(TWICE);
    }
    // Taken out before the answer is, which ends the wait.
    let subscriber = ctx.session.feed_wait.as_mut();
    let subscriber = subscriber.and_then(|wait| wait.subscriber.take());
    let FeedAnswer::Subscribed(position) = answer(ctx)? else {
        return Err(Error::SYNTAX);
    };
    ctx.session.feed_subscribed = true;
    ctx.reply.bulk_str(&position.to_string());
    if let Some(subscriber) = subscriber {
        subscriber.open();
    }
    Ok(())
}

/// Ends the subscription of the session, and says whether there was one.
pub(super) fn end(ctx: &mut Ctx<'_>) -> bool {
    let subscribed = std::mem::take(&mut ctx.session.feed_subscribed);
    if subscribed {
        ctx.engine.feed().unsubscribe(ctx.session.client.id);
    }
    subscribed
}

fn unsubscribe(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let subscribed = end(ctx);
    ctx.reply.integer(i64::from(subscribed));
    Ok(())
}

fn info(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let FeedAnswer::Info(info) = answer(ctx)? else {
        return Err(Error::SYNTAX);
    };
    describe(ctx, &info);
    Ok(())
}

fn describe(ctx: &mut Ctx<'_>, info: &FeedInfo) {
    let reply = &mut ctx.reply;
    let of = &info.figures;
    let figures = [
        ("durable", i64::from(info.durable)),
        ("subscribers", of.subscribers as i64),
        ("waiting", of.waiting as i64),
        ("buffered", of.buffered as i64),
        ("buffered-bytes", of.buffered_bytes as i64),
        ("delivered", of.delivered as i64),
        ("stalls", of.stalls as i64),
    ];
    reply.map(2 + figures.len());
    for (name, position) in [("oldest", info.oldest), ("latest", info.latest)] {
        reply.bulk_str(name);
        reply.bulk_str(&position.to_string());
    }
    for (name, figure) in figures {
        reply.bulk_str(name);
        reply.integer(figure);
    }
}
