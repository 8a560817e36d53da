//! Publish and subscribe: SUBSCRIBE, PUBLISH, PUBSUB and their kin for patterns and shard channels.
//!
//! A subscription is acknowledged in the reply, one push for each name, when whatever anybody
//! publishes from then on reaches the client. What it has not got yet of a channel that it leaves
//! comes before the reply.

use super::command::help;
use crate::declare::{Begin, Command, Find, Group, KeyFlags, KeySpec, Locking, Row};
use crate::pubsub::{Hearing, Publication};
use crate::session::Session;
use crate::{Ctx, Error, Handler};

/// Channels of SPUBLISH lie where the slot of their name does.
const SHARD_CHANNELS: &[KeySpec] = &[KeySpec {
    flags: KeyFlags::NOT_KEY,
    begin: Begin::Index(1),
    find: Find::Range {
        last: -1,
        step: 1,
        limit: 0,
    },
    notes: "",
}];
const SHARD_CHANNEL: &[KeySpec] = &[KeySpec {
    find: Find::Range {
        last: 0,
        step: 1,
        limit: 0,
    },
    ..SHARD_CHANNELS[0]
}];

/// The rows of this family.
pub(super) fn rows() -> Vec<Row> {
    let command = |name, syntax, handler: Handler| {
        Command::new(name, syntax, handler)
            .group(Group::PubSub)
            .pubsub()
            .loading()
            .stale()
            .locks(Locking::None)
    };
    const SUBSCRIBING: &str = "O(N) where N is the number of channels to subscribe to.";
    vec![
        command("SUBSCRIBE", "channel [channel ...]", subscribe)
            .noscript()
            .since("2.0.0")
            .complexity(SUBSCRIBING)
            .about("Listens to channels."),
        command("UNSUBSCRIBE", "[channel ...]", unsubscribe)
            .noscript()
            .since("2.0.0")
            .complexity("O(N) where N is the number of channels to unsubscribe.")
            .about("Stops listening to channels, or to all."),
        command("PSUBSCRIBE", "pattern [pattern ...]", psubscribe)
            .noscript()
            .since("2.0.0")
            .complexity("O(N) where N is the number of patterns to subscribe to.")
            .about("Listens to all channels that match a pattern."),
        command("PUNSUBSCRIBE", "[pattern ...]", punsubscribe)
            .noscript()
            .since("2.0.0")
            .complexity("O(N) where N is the number of patterns to unsubscribe.")
            .about("Stops listening to patterns, or to all."),
        command("SSUBSCRIBE", "shardchannel [shardchannel ...]", ssubscribe)
            .noscript()
            .key_specs(SHARD_CHANNELS)
            .since("7.0.0")
            .complexity("O(N) where N is the number of shard channels to subscribe to.")
            .about("Listens to shard channels."),
        command("SUNSUBSCRIBE", "[shardchannel ...]", sunsubscribe)
            .noscript()
            .key_specs(SHARD_CHANNELS)
            .since("7.0.0")
            .complexity("O(N) where N is the number of shard channels to unsubscribe.")
            .about("Stops listening to shard channels, or to all."),
        command("PUBLISH", "channel message", publish)
            .fast()
            .may_replicate()
            .since("2.0.0")
            .complexity("O(N+M) where N is the number of clients subscribed to the receiving channel and M is the total number of subscribed patterns (by any client).")
            .about("Sends a message to all who listen to a channel."),
        command("SPUBLISH", "shardchannel message", spublish)
            .fast()
            .may_replicate()
            .key_specs(SHARD_CHANNEL)
            .since("7.0.0")
            .complexity("O(N) where N is the number of clients subscribed to the receiving shard channel.")
            .about("Sends a message to all who listen to a shard channel."),
        Command::container("PUBSUB")
            .group(Group::PubSub)
            .since("2.8.0")
            .complexity("Depends on subcommand.")
            .about("Commands about channels."),
        command("PUBSUB CHANNELS", "[pattern]", channels)
            .since("2.8.0")
            .complexity("O(N) where N is the number of active channels, and assuming constant time pattern matching (relatively short channels and patterns)")
            .about("Returns the channels that somebody listens to."),
        command("PUBSUB NUMSUB", "[channel ...]", numsub)
            .since("2.8.0")
            .complexity("O(N) for the NUMSUB subcommand, where N is the number of requested channels")
            .about("Returns how many listen to each channel by its name."),
        command("PUBSUB NUMPAT", "", numpat)
            .since("2.8.0")
            .complexity("O(1)")
            .about("Returns how many patterns somebody listens to."),
        command("PUBSUB SHARDCHANNELS", "[pattern]", shard_channels)
            .since("7.0.0")
            .complexity("O(N) where N is the number of active shard channels, and assuming constant time pattern matching (relatively short shard channels).")
            .about("Returns the shard channels that somebody listens to."),
        command("PUBSUB SHARDNUMSUB", "[shardchannel ...]", shard_numsub)
            .since("7.0.0")
            .complexity("O(N) for the SHARDNUMSUB subcommand, where N is the number of requested shard channels")
            .about("Returns how many listen to each shard channel."),
        help("PUBSUB HELP").since("6.2.0"),
    ]
}

fn subscribe(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    join(ctx, Hearing::Channel, b"subscribe")
}

fn psubscribe(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    join(ctx, Hearing::Pattern, b"psubscribe")
}

fn ssubscribe(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    join(ctx, Hearing::ShardChannel, b"ssubscribe")
}

fn unsubscribe(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    part(ctx, Hearing::Channel, b"unsubscribe")
}

fn punsubscribe(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    part(ctx, Hearing::Pattern, b"punsubscribe")
}

fn sunsubscribe(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    part(ctx, Hearing::ShardChannel, b"sunsubscribe")
}

fn join(ctx: &mut Ctx<'_>, hearing: Hearing, verb: &[u8]) -> Result<(), Error> {
    if !ctx.session.client.has_mailbox() {
        let name = ctx.command.name();
        let text = format!("{name} isn't allowed for a DENY BLOCKING client");
        return Err(Error::new(text));
    }
    for name in ctx.args.tail(1).iter() {
        ctx.engine.pubsub.subscribe(ctx.session, hearing, name);
        acknowledge(ctx, hearing, verb, Some(name));
    }
    Ok(())
}

fn part(ctx: &mut Ctx<'_>, hearing: Hearing, verb: &[u8]) -> Result<(), Error> {
    if ctx.args.len() > 1 {
        for name in ctx.args.tail(1).iter() {
            ctx.engine.pubsub.unsubscribe(ctx.session, hearing, name);
            acknowledge(ctx, hearing, verb, Some(name));
        }
    } else {
        let names = ctx.session.subscribed(hearing);
        if names.is_empty() {
            acknowledge(ctx, hearing, verb, None);
        }
        for name in &names {
            ctx.engine.pubsub.unsubscribe(ctx.session, hearing, name);
            acknowledge(ctx, hearing, verb, Some(name));
        }
    }
    ctx.engine.pubsub.catch_up(ctx.session);
    Ok(())
}

/// Tells the client of one name, and how many it listens to now.
fn acknowledge(ctx: &mut Ctx<'_>, hearing: Hearing, verb: &[u8], name: Option<&[u8]>) {
    ctx.reply.push(3);
    ctx.reply.bulk(verb);
    match name {
        Some(name) => ctx.reply.bulk(name),
        None => ctx.reply.null(),
    }
    let subscriptions = ctx.session.subscriptions.as_ref();
    let count = subscriptions.map_or(0, |it| it.count(hearing));
    ctx.reply.integer(count as i64);
}

fn publish(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    send(ctx, Hearing::Channel)
}

fn spublish(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    send(ctx, Hearing::ShardChannel)
}

fn send(ctx: &mut Ctx<'_>, hearing: Hearing) -> Result<(), Error> {
    let (channel, payload) = (&ctx.args[1], &ctx.args[2]);
    let pubsub = &ctx.engine.pubsub;
    let Session {
        publications,
        rings,
        ..
    } = ctx.session;
    let listeners = match publications {
        // Nobody hears of what a section does before it ends.
        Some(publications) => {
            publications.push(Publication::to(hearing, channel, payload));
            pubsub.listeners(hearing, channel)
        }
        None => pubsub.publish_to(hearing, channel, payload, 0, rings),
    };
    ctx.reply.integer(listeners as i64);
    Ok(())
}

fn channels(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    list(ctx, Hearing::Channel)
}

fn shard_channels(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    list(ctx, Hearing::ShardChannel)
}

fn list(ctx: &mut Ctx<'_>, hearing: Hearing) -> Result<(), Error> {
    if ctx.args.len() > 3 {
        return Err(ctx.subcommand_error());
    }
    let names = ctx.engine.pubsub.channels(hearing, ctx.args.get(2));
    ctx.reply.array(names.len());
    names.iter().for_each(|name| ctx.reply.bulk(name));
    Ok(())
}

fn numsub(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    count(ctx, Hearing::Channel)
}

fn shard_numsub(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    count(ctx, Hearing::ShardChannel)
}

fn count(ctx: &mut Ctx<'_>, hearing: Hearing) -> Result<(), Error> {
    let names = ctx.args.tail(2);
    ctx.reply.array(names.len() * 2);
    for name in names.iter() {
        ctx.reply.bulk(name);
        let subscribers = ctx.engine.pubsub.subscribers(hearing, name);
        ctx.reply.integer(subscribers as i64);
    }
    Ok(())
}

fn numpat(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let patterns = ctx.engine.pubsub.count(Hearing::Pattern);
    ctx.reply.integer(patterns as i64);
    Ok(())
}
