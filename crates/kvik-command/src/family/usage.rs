//! The keys that are used most, those that are largest, and figures by prefix: HOTKEYS, BIGKEYS and
//! STATS.

use std::ops::RangeInclusive;
use std::sync::atomic::Ordering::Relaxed;

use kvik_resp::Reply;
use kvik_store::SLOTS;

use super::command::help;
use crate::cluster::SlotRange;
use crate::declare::{Command, Databases, Group, Row};
use crate::hot_keys::CollectionTerms;
use crate::{Ctx, Error, ErrorText, Handler};

/// Keys shown unless COUNT says otherwise, and the most that are known.
const USUAL_COUNT: usize = 10;
const MOST_COUNT: i64 = 128;

/// The rows of this family.
pub(super) fn rows() -> Vec<Row> {
    let command = |name, syntax, handler: Handler| {
        Command::new(name, syntax, handler)
            .group(Group::Server)
            .admin()
            .since("0.1.0")
            .tips(&["nondeterministic_output"])
    };
    vec![
        command("HOTKEYS", HOTKEYS_SYNTAX, hotkeys)
            .noscript()
            .databases(Databases::All)
            .complexity("O(T) where T is the number of threads")
            .changed("0.2.0", "Added START, STOP, GET and RESET of Redis 8.6.")
            .about("Returns the keys that are used most, at present or while they are collected."),
        command("BIGKEYS", "[COUNT count]", bigkeys)
            .databases(Databases::All)
            .complexity("O(1)")
            .about("Returns the largest keys, as a walk in the background finds them."),
        Command::container("STATS")
            .group(Group::Server)
            .since("0.1.0")
            .complexity("Depends on subcommand.")
            .about("Commands about figures."),
        command("STATS PREFIX", "[prefix]", prefix)
            .complexity("O(N) where N is the number of prefixes")
            .about("Returns keys, bytes, hits and misses under each prefix of stats-prefixes."),
        command("STATS RESET", "", reset)
            .complexity("O(1)")
            .about("Forgets what HOTKEYS and BIGKEYS know, and counts by prefix from zero."),
        help("STATS HELP").since("0.1.0"),
    ]
}

const HOTKEYS_SYNTAX: &str = "[request:<COUNT count|START start:<METRICS metrics:<count:integer <CPU|NET> \
    [<CPU|NET> ...]> [COUNT count] [DURATION seconds] [SAMPLE ratio:integer] \
    [SLOTS slots:<count:integer slot:integer [slot:integer ...]>]>|STOP|GET|RESET>]";

/// The number behind COUNT.
fn count(ctx: &Ctx<'_>) -> Result<usize, Error> {
    match ctx.args.len() {
        1 => Ok(USUAL_COUNT),
        3 if ctx.is(1, "COUNT") => match ctx.int(2)? {
            count @ 1..=MOST_COUNT => Ok(count as usize),
            _ => Err(Error::text("COUNT must be between 1 and 128")),
        },
        _ => Err(Error::SYNTAX),
    }
}

fn hotkeys(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let now_us = ctx.now_us;
    match ctx.args.get(1).map(<[u8]>::to_ascii_uppercase).as_deref() {
        Some(b"START") => return start(ctx),
        Some(b"GET") if ctx.args.len() == 2 => return get(ctx),
        Some(b"STOP") if ctx.args.len() == 2 => {
            if ctx.engine.hot_keys.end_collection(now_us) {
                ctx.reply.ok();
            } else {
                ctx.reply.null();
            }
            return Ok(());
        }
        Some(b"RESET") if ctx.args.len() == 2 => {
            if !ctx.engine.hot_keys.forget_collection(now_us) {
                const STILL: &str = "hotkey tracking session in progress, stop tracking first";
                return Err(Error::text(STILL));
            }
            ctx.reply.ok();
            return Ok(());
        }
        _ => {}
    }
    let keys = ctx.engine.hot_keys.top(count(ctx)?, ctx.now_us / 1_000_000);
    ctx.reply.array(keys.len());
    for hot in keys {
        ctx.reply.map(4);
        ctx.reply.bulk_str("key");
        ctx.reply.bulk(&hot.key);
        ctx.reply.bulk_str("db");
        ctx.reply.integer(i64::from(hot.db));
        ctx.reply.bulk_str("calls-per-second");
        ctx.reply.double(round(hot.per_second));
        ctx.reply.bulk_str("percent");
        ctx.reply.double(round(hot.percent));
    }
    Ok(())
}

const IN_PROGRESS: Error = Error::text("hotkey tracking session already in progress");

/// Begins to collect keys.
fn start(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let terms = collection_terms(ctx)?;
    let process = ctx.engine.host.process();
    let processor_s = (process.user_s, process.system_s);
    if !ctx.engine.hot_keys.collect(terms, ctx.now_us, processor_s) {
        return Err(IN_PROGRESS);
    }
    ctx.reply.ok();
    Ok(())
}

/// A number of an option of HOTKEYS START.
fn number(
    ctx: &Ctx<'_>,
    at: usize,
    range: RangeInclusive<i64>,
    text: &'static str,
) -> Result<u64, Error> {
    let number = ctx.args.get(at).and_then(kvik_resp::parse_i64);
    let number = number.filter(|number| range.contains(number));
    number.map(|number| number as u64).ok_or(Error::text(text))
}

fn collection_terms(ctx: &Ctx<'_>) -> Result<CollectionTerms, Error> {
    let mut terms = CollectionTerms {
        times: false,
        bytes: false,
        count: USUAL_COUNT,
        until_us: None,
        ratio: 1,
        slots: own_slots(ctx).into_iter().collect(),
        chosen: false,
    };
    let mut at = metrics(ctx, &mut terms)?;
    while at < ctx.args.len() {
        match () {
            () if ctx.is(at, "COUNT") => {
                let text = "COUNT must be between 1 and 64";
                terms.count = number(ctx, at + 1, 1..=64, text)? as usize;
            }
            () if ctx.is(at, "DURATION") => {
                let text = "DURATION must be between 0 and 1000000";
                let seconds = number(ctx, at + 1, 0..=1_000_000, text)?;
                terms.until_us = (seconds > 0).then_some(ctx.now_us + seconds * 1_000_000);
            }
            () if ctx.is(at, "SAMPLE") => {
                let text = "SAMPLE ratio must be positive";
                terms.ratio = number(ctx, at + 1, 1..=i64::from(i32::MAX), text)?;
            }
            () if ctx.is(at, "SLOTS") => {
                at += slots(ctx, at + 1, &mut terms)?;
            }
            () => return Err(Error::SYNTAX),
        }
        at += 2;
    }
    Ok(terms)
}

/// Reads what is to be measured, and says where the other options begin. Metrics that nobody knows
/// yet may stand beside those that are known.
fn metrics(ctx: &Ctx<'_>, terms: &mut CollectionTerms) -> Result<usize, Error> {
    const FIRST: usize = 4;
    if ctx.args.len() < FIRST || !ctx.is(2, "METRICS") {
        return Err(Error::text("METRICS parameter is required"));
    }
    let text = "METRICS count must be positive";
    let count = number(ctx, 3, 1..=i64::from(i32::MAX), text)? as usize;
    if count > ctx.args.len() - FIRST {
        let text = "METRICS count does not match number of metric types provided";
        return Err(Error::text(text));
    }
    for at in FIRST..FIRST + count {
        let (wanted, twice) = match () {
            () if ctx.is(at, "CPU") => (&mut terms.times, "METRICS CPU defined more than once"),
            () if ctx.is(at, "NET") => (&mut terms.bytes, "METRICS NET defined more than once"),
            () => continue,
        };
        if std::mem::replace(wanted, true) {
            return Err(Error::text(twice));
        }
    }
    if !terms.times && !terms.bytes {
        return Err(Error::text("METRICS no valid metrics passed"));
    }
    Ok(FIRST + count)
}

/// The slots of the node whose port the client came to.
fn own_slots(ctx: &Ctx<'_>) -> Option<SlotRange> {
    let node = ctx.session.node()?;
    let topology = ctx.engine.cluster()?;
    Some(topology.slots_of(node.index.into()))
}

/// Reads the slots behind SLOTS, from their count on, and says how many they are.
fn slots(ctx: &Ctx<'_>, at: usize, terms: &mut CollectionTerms) -> Result<usize, Error> {
    const LAST_SLOT: i64 = SLOTS as i64 - 1;
    let Some(own) = own_slots(ctx) else {
        let text = "SLOTS parameter cannot be used in non-cluster mode";
        return Err(Error::text(text));
    };
    if std::mem::replace(&mut terms.chosen, true) {
        return Err(Error::text("SLOTS parameter already specified"));
    }
    let text = "SLOTS count must be between 1 and 16384";
    let count = number(ctx, at, 1..=i64::from(SLOTS), text)? as usize;
    if count > ctx.args.len() - at - 1 {
        return Err(Error::text("not enough slot numbers provided"));
    }
    let mut slots = Vec::with_capacity(count);
    for at in at + 1..=at + count {
        let text = "Invalid or out of range slot";
        let slot = number(ctx, at, 0..=LAST_SLOT, text)? as u16;
        if !(own.first..=own.last).contains(&slot) {
            let text = ErrorText::quoting(&[b"slot ", &ctx.args[at], b" not handled by this node"]);
            return Err(Error::Coded("ERR", text));
        }
        slots.push(slot);
    }
    slots.sort_unstable();
    if slots.windows(2).any(|two| two[0] == two[1]) {
        return Err(Error::text("duplicate slot number"));
    }
    let runs = slots.chunk_by(|a, b| a + 1 == *b);
    let runs = runs.filter_map(|run| Some((*run.first()?, *run.last()?)));
    terms.slots = runs
        .map(|(first, last)| SlotRange { first, last })
        .collect();
    Ok(count)
}

/// Describes the collection in progress, or the last one.
fn get(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let now_us = ctx.now_us;
    let Some(collection) = ctx.engine.hot_keys.collection(now_us) else {
        ctx.reply.null();
        return Ok(());
    };
    let terms = &collection.terms;
    let lasted_us = collection.ended_us.unwrap_or(now_us) - collection.began_us;
    let reply = &mut ctx.reply;
    reply.array(1);
    let micros = |nanos: u64| nanos.div_ceil(1000);
    let (selected, sampled) = (collection.selected, collection.sampled);
    let is_sampled = terms.chosen && terms.ratio > 1;
    let figures = [
        (
            is_sampled,
            "sampled-commands-selected-slots-us",
            micros(sampled.nanos),
        ),
        (
            terms.chosen,
            "all-commands-selected-slots-us",
            micros(selected.nanos),
        ),
        (true, "all-commands-all-slots-us", micros(collection.nanos)),
        (
            is_sampled,
            "net-bytes-sampled-commands-selected-slots",
            sampled.bytes,
        ),
        (
            terms.chosen,
            "net-bytes-all-commands-selected-slots",
            selected.bytes,
        ),
        (true, "net-bytes-all-commands-all-slots", collection.bytes),
        (
            true,
            "collection-start-time-unix-ms",
            collection.began_us / 1000,
        ),
        (true, "collection-duration-ms", lasted_us / 1000),
    ];
    let figures = figures.into_iter().filter(|(is_told, ..)| *is_told);
    let told = figures.clone().count();
    reply.map(3 + told + 3 * usize::from(terms.times) + 2 * usize::from(terms.bytes));
    reply.bulk(b"tracking-active");
    reply.integer(i64::from(collection.ended_us.is_none()));
    reply.bulk(b"sample-ratio");
    reply.integer(terms.ratio as i64);
    reply.bulk(b"selected-slots");
    write_slots(reply, &terms.slots);
    for (_, name, figure) in figures {
        reply.bulk_str(name);
        reply.integer(figure as i64);
    }
    if terms.times {
        let process = ctx.engine.host.process();
        let (user_s, system_s) = collection.processor_s;
        let since_ms = |now_s: f64, then_s: f64| ((now_s - then_s) * 1000.0) as i64;
        reply.bulk(b"total-cpu-time-user-ms");
        reply.integer(since_ms(process.user_s, user_s));
        reply.bulk(b"total-cpu-time-sys-ms");
        reply.integer(since_ms(process.system_s, system_s));
        let keys = collection.by_time().into_iter();
        let keys = keys.map(|(key, nanos)| (key, nanos.div_ceil(1000)));
        write_costs(reply, b"by-cpu-time-us", keys);
    }
    if terms.bytes {
        reply.bulk(b"total-net-bytes");
        reply.integer(collection.bytes as i64);
        write_costs(reply, b"by-net-bytes", collection.by_bytes().into_iter());
    }
    Ok(())
}

/// Writes each run of slots with its ends, or with its one slot.
fn write_slots(reply: &mut Reply<'_>, slots: &[SlotRange]) {
    const ALL: SlotRange = SlotRange {
        first: 0,
        last: SLOTS - 1,
    };
    let slots = if slots.is_empty() { &[ALL] } else { slots };
    reply.array(slots.len());
    for &SlotRange { first, last } in slots {
        reply.array(if first == last { 1 } else { 2 });
        reply.integer(first.into());
        if first != last {
            reply.integer(last.into());
        }
    }
}

/// Writes keys and their costs in turn.
fn write_costs(
    reply: &mut Reply<'_>,
    name: &[u8],
    keys: impl ExactSizeIterator<Item = (Vec<u8>, u64)>,
) {
    reply.bulk(name);
    reply.array(2 * keys.len());
    for (key, cost) in keys {
        reply.bulk(&key);
        reply.integer(cost as i64);
    }
}

/// To two decimals: the figure is an estimate.
fn round(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

fn bigkeys(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let keys = ctx.engine.key_walk.largest(count(ctx)?);
    ctx.reply.array(keys.len());
    for large in keys {
        ctx.reply.map(4);
        ctx.reply.bulk_str("key");
        ctx.reply.bulk(&large.key);
        ctx.reply.bulk_str("db");
        ctx.reply.integer(i64::from(large.db));
        ctx.reply.bulk_str("type");
        ctx.reply.bulk_str(large.kind.name());
        ctx.reply.bulk_str("bytes");
        ctx.reply.integer(large.bytes as i64);
    }
    Ok(())
}

fn prefix(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    if ctx.args.len() > 3 {
        return Err(Error::SYNTAX);
    }
    let mut all = ctx.engine.settings.prefix_stats.all();
    if let Some(wanted) = ctx.args.get(2) {
        all.retain(|it| it.prefix == wanted);
        if all.is_empty() {
            return Err(Error::text("stats-prefixes does not name this prefix"));
        }
    }
    ctx.reply.array(all.len());
    for it in all {
        let sizes = ctx.engine.key_walk.sizes(&it.prefix).unwrap_or_default();
        let (hits, misses) = (it.hits.load(Relaxed), it.misses.load(Relaxed));
        ctx.reply.map(8);
        ctx.reply.bulk_str("prefix");
        ctx.reply.bulk(&it.prefix);
        let figures = [
            ("keys", sizes.keys),
            ("bytes", sizes.bytes),
            ("hits", hits),
            ("misses", misses),
            ("expired", it.expired.load(Relaxed)),
            ("evicted", it.evicted.load(Relaxed)),
        ];
        for (name, figure) in figures {
            ctx.reply.bulk_str(name);
            ctx.reply.integer(figure as i64);
        }
        ctx.reply.bulk_str("hit-percent");
        let rate = hits as f64 * 100.0 / (hits + misses).max(1) as f64;
        ctx.reply.double(round(rate));
    }
    Ok(())
}

fn reset(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    ctx.engine.hot_keys.reset();
    ctx.engine.key_walk.reset();
    ctx.engine.settings.prefix_stats.reset();
    ctx.reply.ok();
    Ok(())
}
