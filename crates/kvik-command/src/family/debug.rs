//! DEBUG: what test suites use to look inside and to provoke.
//!
//! Nothing here is for production, so all subcommands hold every stripe while they run.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use kvik_resp::{Args, format_f64, parse_i64};
use kvik_store::{
    ArrayRef, EventClasses, Expiry, HashRef, IntText, KeyspaceId, Layout, ListRef, NewString,
    QuicklistRef, StreamId, StreamRef, ValueRef, View, ZsetRef,
};

use super::persistence::{finish, wait_for_debug};
use crate::declare::{Category, Command, Databases, Group, Locking, Row};
use crate::glob::glob_match;
use crate::{Ctx, Engine, Error, Session};

/// The rows of this family.
pub(super) fn rows() -> Vec<Row> {
    vec![
        Command::new("DEBUG", "subcommand [arg [arg ...]]", debug)
            .databases(Databases::All)
            .group(Group::Server)
            .admin()
            .noscript()
            .loading()
            .stale()
            .also(Category::DANGEROUS)
            .locks(Locking::All)
            .waits(wait_for_files)
            .since("1.0.0")
            .complexity("Depends on subcommand.")
            .about("Looks inside the server, for tests."),
    ]
}

/// A subcommand: its name, the words that follow it at least and at most, its usage and what it
/// does.
struct Probe {
    name: &'static str,
    words: std::ops::RangeInclusive<usize>,
    usage: &'static str,
    about: &'static str,
    run: fn(&mut Ctx<'_>) -> Result<(), Error>,
}

const PROBES: &[Probe] = &[
    Probe {
        name: "CHANGE-REPL-ID",
        words: 0..=0,
        usage: "",
        about: "Gives the history of the data set another name.",
        run: change_replication_id,
    },
    Probe {
        name: "DIGEST",
        words: 0..=0,
        usage: "",
        about: "Digest of the whole data set.",
        run: digest,
    },
    Probe {
        name: "DIGEST-VALUE",
        words: 0..=usize::MAX,
        usage: "<key> [<key> ...]",
        about: "Digests of values.",
        run: digest_value,
    },
    Probe {
        name: "ERROR",
        words: 1..=1,
        usage: "<string>",
        about: "Replies with this error.",
        run: error,
    },
    Probe {
        name: "HOLD",
        words: 2..=2,
        usage: "<key> <seconds>",
        about: "Has a thread of its own hold the key's stripe for so long. Replies at once.",
        run: hold,
    },
    Probe {
        name: "LOADAOF",
        words: 0..=0,
        usage: "",
        about: "Forces the log to disk, empties the store and loads the log.",
        run: finish,
    },
    Probe {
        name: "LOG",
        words: 1..=1,
        usage: "<message>",
        about: "Writes to the log.",
        run: log,
    },
    Probe {
        name: "OBJECT",
        words: 1..=2,
        usage: "<key>",
        about: "How a key is stored.",
        run: object,
    },
    Probe {
        name: "PAUSE-CRON",
        words: 1..=1,
        usage: "<0|1>",
        about: "Whether clients are held against their limits only when they do something.",
        run: pause_cron,
    },
    Probe {
        name: "POPULATE",
        words: 1..=3,
        usage: "<count> [<prefix>] [<size>]",
        about: "Creates keys that do not exist yet.",
        run: populate,
    },
    Probe {
        name: "PROTOCOL",
        words: 1..=1,
        usage: "<type>",
        about: "A reply of each type: string, integer, double, bignum, null, array, set, map, attrib, push, verbatim, true, false.",
        run: protocol,
    },
    Probe {
        name: "QUICKLIST-PACKED-THRESHOLD",
        words: 1..=1,
        usage: "<bytes>[b]",
        about: "Length from which an element of a large list is kept by itself; 0: where a node would be too small for it.",
        run: quicklist_packed_threshold,
    },
    Probe {
        name: "RELOAD",
        words: 0..=3,
        usage: "[<option> ...]",
        about: "Saves a snapshot (but for NOSAVE), empties the store (but for NOFLUSH) and loads the snapshot (with MERGE over existing keys).",
        run: finish,
    },
    Probe {
        name: "SET-ACTIVE-EXPIRE",
        words: 1..=1,
        usage: "<0|1>",
        about: "Whether keys are deleted when their time comes, or only when they are met.",
        run: set_active_expire,
    },
    Probe {
        name: "SET-DISABLE-DENY-SCRIPTS",
        words: 1..=1,
        usage: "<0|1>",
        about: "Whether scripts may also call commands that are not for scripts.",
        run: set_scripts_call_all,
    },
    Probe {
        name: "SET-SKIP-CHECKSUM-VALIDATION",
        words: 1..=1,
        usage: "<0|1>",
        about: "Whether checksums of snapshots and of RESTORE's payloads are believed.",
        run: set_believes_checksums,
    },
    Probe {
        name: "SLEEP",
        words: 1..=1,
        usage: "<seconds>",
        about: "Holds every key for so long.",
        run: sleep,
    },
    Probe {
        name: "STRINGMATCH-LEN",
        words: 2..=2,
        usage: "<length> <pattern>",
        about: "Matches a pattern against so many letters.",
        run: stringmatch,
    },
];

const NOT_ALLOWED: Error = Error::text(
    "DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from a local \
     connection, otherwise you need to set this option in the configuration file, and then restart the server.",
);

/// Whether the client may use DEBUG.
fn is_allowed(session: &Session, engine: &Engine) -> bool {
    let settings = &engine.settings;
    let allowed = if session.client.is_local() {
        &settings.debug_for_local
    } else {
        &settings.debug_for_remote
    };
    allowed.load(Relaxed)
}

/// Has the files of RELOAD and LOADAOF read beforehand, for who may use DEBUG.
fn wait_for_files(
    session: &mut Session,
    args: Args<'_>,
    engine: &Engine,
    now_ms: u64,
) -> Option<u64> {
    is_allowed(session, engine)
        .then(|| wait_for_debug(session, args, engine, now_ms))
        .flatten()
}

fn debug(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    if !is_allowed(ctx.session, ctx.engine) {
        return Err(NOT_ALLOWED);
    }
    if ctx.is(1, "HELP") {
        print_help(ctx);
        return Ok(());
    }
    let words = ctx.args.len() - 2;
    match PROBES
        .iter()
        .find(|probe| ctx.is(1, probe.name) && probe.words.contains(&words))
    {
        Some(probe) => (probe.run)(ctx),
        None => Err(ctx.subcommand_error()),
    }
}

fn print_help(ctx: &mut Ctx<'_>) {
    ctx.reply.array(2 * PROBES.len() + 3);
    ctx.reply
        .simple("DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    for probe in PROBES {
        ctx.reply
            .simple(format!("{} {}", probe.name, probe.usage).trim_end());
        ctx.reply.simple(&format!("    {}", probe.about));
    }
    ctx.reply.simple("HELP");
    ctx.reply.simple("    Print this help.");
}

fn change_replication_id(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    ctx.engine.set_replication_id(ctx.random.hex(40));
    ctx.reply.ok();
    Ok(())
}

fn sleep(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let duration = duration(ctx, 2)?;
    ctx.engine.host.sleep(duration);
    ctx.reply.ok();
    Ok(())
}

fn hold(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let duration = duration(ctx, 3)?;
    ctx.engine.host.hold(&ctx.args[2], duration)?;
    ctx.reply.ok();
    Ok(())
}

/// A word that is a number of seconds, which end at a time that can be counted.
fn duration(ctx: &Ctx<'_>, at: usize) -> Result<Duration, Error> {
    let seconds = ctx.float(at)?.max(0.0);
    let duration = Duration::try_from_secs_f64(seconds).ok();
    // A time that cannot be counted would be past, and the wait none.
    let ends = |duration: &Duration| {
        let ms = i64::try_from(duration.as_millis()).ok();
        ms.and_then(|ms| ctx.time_in(ms)).is_some()
    };
    duration
        .filter(ends)
        .ok_or(Error::text("timeout is out of range"))
}

fn pause_cron(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let paused = ctx.int(2)? != 0;
    ctx.engine.settings.patrol_paused.store(paused, Relaxed);
    ctx.reply.ok();
    Ok(())
}

fn set_active_expire(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let on = ctx.int(2)? != 0;
    ctx.engine.settings.active_expire.store(on, Relaxed);
    ctx.reply.ok();
    Ok(())
}

fn set_scripts_call_all(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let on = ctx.int(2)? != 0;
    ctx.engine.settings.scripts_call_all.store(on, Relaxed);
    ctx.reply.ok();
    Ok(())
}

fn set_believes_checksums(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let on = ctx.int(2)? != 0;
    ctx.engine.settings.believes_checksums.store(on, Relaxed);
    ctx.reply.ok();
    Ok(())
}

fn quicklist_packed_threshold(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    const OUT_OF_RANGE: Error =
        Error::text("argument must be a memory value bigger than 1 and smaller than 4gb");
    let word = &ctx.args[2];
    let bytes = parse_i64(word.strip_suffix(b"b").unwrap_or(word));
    let bytes = bytes.filter(|bytes| u32::try_from(*bytes).is_ok());
    let threshold = &ctx.engine.settings.limits.list_plain_bytes;
    threshold.store(bytes.ok_or(OUT_OF_RANGE)?, Relaxed);
    ctx.reply.ok();
    Ok(())
}

fn error(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    ctx.reply.error_bytes(&ctx.args[2]);
    Ok(())
}

fn log(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    ctx.engine.host.log(&String::from_utf8_lossy(&ctx.args[2]));
    ctx.reply.ok();
    Ok(())
}

fn object(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let view = ctx.keys.peek(ctx.key(2)).ok_or(Error::NO_SUCH_KEY)?;
    let length = match view.value() {
        ValueRef::String(string) => string.len() + 1,
        _ => view.bytes(),
    };
    let mut text = format!(
        "Value at:0x0 refcount:1 encoding:{} serializedlength:{} lru:{} lru_seconds_idle:{}",
        view.encoding().name(),
        length,
        view.frequency(),
        view.idle_seconds()
    );
    if let ValueRef::List(ListRef::Quick(list)) = view.value() {
        text += &describe_nodes(list);
    }
    ctx.reply.simple(&text);
    Ok(())
}

/// The text about the nodes of a large list.
fn describe_nodes(list: QuicklistRef<'_>) -> String {
    let bytes = list.nodes().map(|node| node.bytes().len());
    let (nodes, elements) = (list.node_count(), ListRef::Quick(list).len());
    format!(
        " ql_nodes:{nodes} ql_avg_node:{:.2} ql_compressed:0 ql_uncompressed_size:{}",
        elements as f64 / nodes as f64,
        bytes.sum::<usize>()
    )
}

fn populate(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    ctx.keys.mute(EventClasses::STRING);
    let count = u64::try_from(ctx.int(2).unwrap_or(-1)).map_err(|_| Error::NOT_POSITIVE)?;
    let prefix = ctx.args.get(3).unwrap_or(b"key").to_vec();
    let size = match ctx.args.get(4) {
        Some(_) => usize::try_from(ctx.int(4).unwrap_or(-1))
            .ok()
            .filter(|&size| size <= ctx.engine.settings.max_string()),
        None => Some(0),
    };
    let size = size.ok_or(Error::NOT_POSITIVE)?;
    for n in 0..count {
        let number = n.to_string();
        let key = [&prefix, &b":"[..], number.as_bytes()].concat();
        let mut value = [&b"value:"[..], number.as_bytes()].concat();
        if size > 0 {
            value.resize(size, 0);
        }
        if ctx.keys.peek(&key).is_none() {
            ctx.keys
                .entry(&key)
                .set(NewString::Bytes(&value), Expiry::Clear);
        }
    }
    ctx.reply.ok();
    Ok(())
}

fn stringmatch(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let len = usize::try_from(ctx.int(2)?)
        .ok()
        .filter(|&len| len <= ctx.engine.settings.max_string());
    let text = vec![b'a'; len.ok_or(Error::OUT_OF_RANGE)?];
    ctx.reply
        .integer(i64::from(glob_match(&ctx.args[3], &text, false)));
    Ok(())
}

fn protocol(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let reply = &mut ctx.reply;
    match ctx.args[2].to_ascii_lowercase().as_slice() {
        b"string" => reply.bulk(b"Hello World"),
        b"integer" => reply.integer(12345),
        b"double" => reply.double_text(b"3.141"),
        b"bignum" => reply.big_number(b"1234567999999999999999999999999999999"),
        b"null" => reply.null(),
        b"array" => {
            reply.array(3);
            (0..3).for_each(|n| reply.integer(n));
        }
        b"set" => {
            reply.set(3);
            (0..3).for_each(|n| reply.integer(n));
        }
        b"map" => {
            reply.map(3);
            for n in 0..3 {
                reply.integer(n);
                reply.boolean(n == 1);
            }
        }
        b"attrib" => {
            if reply.protocol() == kvik_resp::Protocol::Resp3 {
                reply.attribute(1);
                reply.bulk(b"key-popularity");
                reply.array(2);
                reply.bulk(b"key:123");
                reply.integer(90);
            }
            reply.bulk(b"Some real reply following the attribute");
        }
        b"push" => {
            if reply.protocol() != kvik_resp::Protocol::Resp3 {
                return Err(Error::text("RESP2 is not supported by this command"));
            }
            // A push is no reply: a client that waits for one gets it behind the push.
            reply.push(2);
            reply.bulk(b"server-cpu-usage");
            reply.integer(42);
            reply.bulk(b"Some real reply following the push reply");
        }
        b"true" => reply.boolean(true),
        b"false" => reply.boolean(false),
        b"verbatim" => reply.verbatim("txt", b"This is a verbatim\nstring"),
        _ => return Err(Error::text(PROTOCOL_TYPES)),
    }
    Ok(())
}

const PROTOCOL_TYPES: &str = "Wrong protocol type name. Please use one of the following: \
     string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false";

/// 160 bits that say what is stored, whatever the order in which it came there.
#[derive(Clone, Copy, Default)]
struct Digest([u64; 3]);

impl Digest {
    /// The digest of some words. The hash seeds are fixed, so that two stores can be compared.
    fn of(words: &[&[u8]]) -> Self {
        let mut joined = Vec::new();
        for word in words {
            // With lengths, so that words cannot run into each other.
            joined.extend_from_slice(&(word.len() as u64).to_le_bytes());
            joined.extend_from_slice(word);
        }
        Self([1, 2, 3].map(|seed| Layout::new(1, seed).hash(&joined).bits()))
    }

    fn mix(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(a, b)| *a ^= b);
    }

    /// The digest of what this is the digest of, followed by a word.
    fn then(self, word: &[u8]) -> Self {
        Self::of(&[&self.0.map(u64::to_le_bytes).concat(), word])
    }

    fn print(&self, ctx: &mut Ctx<'_>) {
        let [a, b, c] = self.0;
        ctx.reply
            .simple(&format!("{a:016x}{b:016x}{:08x}", c as u32));
    }
}

fn value_digest(view: &View<'_>) -> Digest {
    match view.value() {
        ValueRef::String(string) => Digest::of(&[&string.text(&mut IntText::default())]),
        ValueRef::Set(set) => {
            let mut all = Digest::default();
            for member in set.iter() {
                // Mixing is exclusive or, which knows no order: two stores hold sets in different
                // ones.
                all.mix(Digest::of(&[member.text(&mut IntText::default())]));
            }
            all
        }
        ValueRef::List(list) => list.iter().fold(Digest::of(&[b"list"]), |before, element| {
            before.then(element.text(&mut IntText::default()))
        }),
        ValueRef::Stream(stream) => stream_digest(&stream),
        ValueRef::Array(array) => array_digest(array),
        ValueRef::Hash(hash) => hash_digest(hash),
        ValueRef::Zset(zset) => zset_digest(zset),
    }
}

/// The digest of the entries in their order; groups do not count, as for Redis.
fn stream_digest(stream: &StreamRef<'_>) -> Digest {
    let mut all = Digest::of(&[b"stream"]);
    let mut text = IntText::default();
    for entry in stream.range(StreamId::MIN, StreamId::MAX) {
        all = all.then(&entry.id().text());
        for (field, value) in entry.fields() {
            all = all.then(field.text(&mut text));
            all = all.then(value.text(&mut text));
        }
    }
    all
}

/// The digest of the elements with their indexes, and of the cursor.
fn array_digest(array: ArrayRef<'_>) -> Digest {
    let mut text = IntText::default();
    let cursor = array.cursor().map_or(&b"none"[..], |it| text.unsigned(it));
    let mut all = Digest::of(&[b"array", cursor]);
    for (index, value) in array.range(0, u64::MAX) {
        all = all.then(text.unsigned(index));
        all = all.then(value.text(&mut text));
    }
    all
}

/// The digest of all members with their scores, in any order.
fn zset_digest(zset: ZsetRef<'_>) -> Digest {
    zset.iter().fold(Digest::of(&[b"zset"]), |mut all, member| {
        let (mut room, score) = (IntText::default(), format_f64(member.score()));
        all.mix(Digest::of(&[member.name.text(&mut room), score.as_bytes()]));
        all
    })
}

/// The digest of all fields, of each with its value and its expiry, in any order.
fn hash_digest(hash: HashRef<'_>) -> Digest {
    let mut all = Digest::of(&[b"hash"]);
    hash.for_each(|field| {
        let mut rooms = [IntText::default(); 3];
        let [name, value, at] = &mut rooms;
        let at: &[u8] = field.expire_at.map_or(b"", |time| at.unsigned(time));
        all.mix(Digest::of(&[
            field.name.text(name),
            field.value.text(value),
            at,
        ]));
    });
    all
}

fn digest(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let mut all = Digest::default();
    let selected = ctx.keys.keyspace();
    for db in 0..ctx.engine.settings.databases.load(Relaxed) as u32 {
        ctx.keys.select(KeyspaceId(db));
        ctx.keys.for_each(|view| {
            let value = value_digest(&view).0.map(u64::to_le_bytes).concat();
            let expires: &[u8] = if view.expire_at().is_some() {
                b"!!expire!!"
            } else {
                b""
            };
            all.mix(Digest::of(&[
                &db.to_le_bytes(),
                view.key(),
                &value,
                expires,
            ]));
        });
    }
    ctx.keys.select(selected);
    all.print(ctx);
    Ok(())
}

fn digest_value(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    ctx.reply.array(ctx.args.len() - 2);
    for key in ctx.args.tail(2).iter() {
        let digest = ctx
            .keys
            .peek(key)
            .map_or_else(Digest::default, |view| value_digest(&view));
        digest.print(ctx);
    }
    Ok(())
}
