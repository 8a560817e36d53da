//! Whether a command may use its keys in their namespaces: asked with the stripes held, before the
//! command has had any effect.
//!
//! Bytes that a command may add to a namespace with a quota are reserved first, so that commands
//! which run at the same time cannot exceed the quota together. Bytes are estimated from above: by
//! the words behind a key, what an offset reaches, and the values that are copied; an overwritten
//! value is taken off.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use kvik_command::declare::{Command, Flags, KeyFlags};
use kvik_command::namespace_quotas::Quota;
use kvik_command::{Ctx, Engine, Error, ErrorText, Handler, Session};
use kvik_resp::{Args, ArgsBuf};
use kvik_store::{
    Guard, KeyspaceId, Mode, Namespace, Namespaces, Reading, full_name, namespace_name,
};

use super::growth::{ENTRY_BYTES, GrowingKey, ValueSize, growing_keys};
use crate::promise::Promise;
use crate::shared::Shared;

/// Runs a handler whose keys may be of namespaces. `promise` is what room was made for.
pub(super) fn run(
    all: &Namespaces,
    ctx: &mut Ctx<'_>,
    mode: Mode,
    promise: Option<&mut Promise>,
    handler: Handler,
) -> Result<(), Error> {
    if all.notes_reads() {
        ctx.keys.read_as(reading(ctx.command));
    }
    // Effects of another store were admitted where they happened.
    let writes = ctx.command.flags().contains(Flags::WRITE);
    let has_quotas = ctx.engine.settings.namespace_quotas.is_any();
    if mode == Mode::Follower || !writes && !has_quotas {
        return handler(ctx);
    }
    if has_quotas {
        count_operation(all, ctx)?;
    }
    if !writes {
        return handler(ctx);
    }
    // What is made and reserved for the command stays until it has run.
    let mut admission = Admitted::new(all, ctx.engine, promise);
    let (command, args, keys) = (ctx.command, ctx.args, &mut ctx.keys);
    for it in growing_keys(command, args, |key| size_of(keys, key)) {
        admission.admit(keys, &it)?;
    }
    let result = handler(ctx);
    drop(admission);
    result
}

/// What a command reads of its keys, as the kvns server counts reads: GET is a hit, and commands
/// that return values or parts of them have read them. Sizes and sums of sets do not count.
pub(super) fn reading(command: &Command) -> Reading {
    match command.name() {
        "GET" => Reading::Whole,
        "MGET" | "GETRANGE" | "SUBSTR" | "LRANGE" | "LINDEX" | "HGET" | "HMGET" | "HGETALL"
        | "HKEYS" | "HVALS" | "HRANDFIELD" | "HSCAN" | "SMEMBERS" | "SISMEMBER" | "SMISMEMBER"
        | "SRANDMEMBER" | "SSCAN" | "ZRANGE" | "ZRANGEBYSCORE" | "ZRANGEBYLEX" | "ZREVRANGE"
        | "ZREVRANGEBYSCORE" | "ZREVRANGEBYLEX" | "ZRANK" | "ZREVRANK" | "ZSCORE" | "ZMSCORE"
        | "ZRANDMEMBER" | "ZSCAN" | "XRANGE" | "XREVRANGE" | "XREAD" | "DUMP" => Reading::Part,
        _ => Reading::Nothing,
    }
}

/// The size of what a key holds.
pub(super) fn size_of(keys: &mut Guard<'_>, key: &[u8]) -> Option<ValueSize> {
    let (_, payload) = keys.payload_of(key)?;
    let bytes = keys.peek(key)?.bytes();
    Some(ValueSize {
        bytes: bytes as u64,
        payload: payload as u64,
    })
}

/// Admits that a typed call sets a string, under the lock of its key.
///
/// # Errors
/// If the namespace of the key, or its quota, has no room for it.
pub(crate) fn admit_set<'a>(
    shared: &'a Shared,
    keys: &mut Guard<'_>,
    key: &[u8],
    value_len: usize,
) -> Result<Option<Admitted<'a>>, Error> {
    let Some(all) = shared.stripes.layout.namespaces() else {
        return Ok(None);
    };
    let (old, engine) = (size_of(keys, key), &shared.engine);
    let bytes = (key.len() + value_len) as u64 + ENTRY_BYTES;
    let mut admission = Admitted::new(all, engine, None);
    let growth = GrowingKey {
        key,
        is_new: old.is_none(),
        bytes: bytes.saturating_sub(old.map_or(0, |old| old.bytes)),
        payload: 0,
        stays: false,
    };
    admission.admit(keys, &growth)?;
    Ok(Some(admission))
}

/// The namespaces that a command may make, and what it may add to those with a quota.
pub(crate) struct Admitted<'a> {
    all: &'a Namespaces,
    engine: &'a Engine,
    promise: Option<&'a mut Promise>,
    made: Vec<Arc<Namespace>>,
    reserved: Vec<Reservation>,
}

struct Reservation {
    namespace: Arc<Namespace>,
    keys: u64,
    bytes: u64,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.namespace.release(self.keys, self.bytes);
    }
}

impl<'a> Admitted<'a> {
    fn new(all: &'a Namespaces, engine: &'a Engine, promise: Option<&'a mut Promise>) -> Self {
        Self {
            all,
            engine,
            promise,
            made: Vec::new(),
            reserved: Vec::new(),
        }
    }

    /// Lets a command make the namespace of a key, and grow it if it has a quota.
    #[inline(never)]
    fn admit(&mut self, keys: &mut Guard<'_>, growth: &GrowingKey<'_>) -> Result<(), Error> {
        let settings = &self.engine.settings;
        let name = namespace_name(growth.key);
        let namespace = match keys.namespace_of(growth.key) {
            Some(namespace) => Arc::clone(namespace),
            None => {
                let max = settings.max_namespaces.load(Relaxed);
                let made = self.all.admit(keys.keyspace(), name, max);
                let made = made.map_err(|_| too_many(max, name))?;
                self.made.push(Arc::clone(&made));
                made
            }
        };
        // A key that only changes its place within the namespace adds nothing.
        if growth.stays || !settings.namespace_quotas.is_any() {
            return Ok(());
        }
        match settings.namespace_quotas.get(name) {
            Some(quota) if quota.keys > 0 || quota.bytes > 0 => {
                self.reserve(namespace, growth, quota)
            }
            _ => Ok(()),
        }
    }

    fn reserve(
        &mut self,
        namespace: Arc<Namespace>,
        growth: &GrowingKey<'_>,
        quota: Quota,
    ) -> Result<(), Error> {
        let promise = self.promise.as_deref_mut();
        let promised = promise.map_or(0, |it| it.draw(&namespace, growth.bytes));
        let (keys, bytes) = (u64::from(growth.is_new), growth.bytes - promised);
        let used = namespace.reserve(keys, bytes);
        let name = namespace.name().to_vec();
        self.reserved.push(Reservation {
            namespace,
            keys,
            bytes,
        });
        if quota.keys > 0 && keys > 0 && used.0 > quota.keys {
            return Err(over(&name, "keys", quota.keys, used.0 - keys, keys));
        }
        if quota.bytes > 0 && bytes > 0 && used.1 > quota.bytes {
            return Err(over(&name, "bytes", quota.bytes, used.1 - bytes, bytes));
        }
        Ok(())
    }
}

/// Counts a command against the quota of operations of the namespaces of its keys.
#[inline(never)]
fn count_operation(all: &Namespaces, ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (args, quotas) = (ctx.args, &ctx.engine.settings.namespace_quotas);
    let (second, database) = (ctx.now_us / 1_000_000, ctx.keys.keyspace());
    let (mut counted, mut refusal): (Vec<&[u8]>, _) = (Vec::new(), None);
    let _ = ctx.command.for_each_key(args, |at, _| {
        let key: &[u8] = &args[at];
        let name = namespace_name(key);
        if refusal.is_some() || counted.contains(&name) {
            return;
        }
        counted.push(name);
        let max = quotas.get(name).map_or(0, |quota| quota.ops);
        let namespace = (max > 0).then(|| all.find(database, name)).flatten();
        if namespace.is_some_and(|namespace| !namespace.count_operation(second, max)) {
            refusal = Some(over(name, "commands per second", max, max, 1));
        }
    });
    refusal.map_or(Ok(()), Err)
}

/// Counts a typed call against the quota of operations of its key's namespace.
///
/// # Errors
/// If it is used up.
#[cold]
pub(crate) fn count_call(shared: &Shared, database: KeyspaceId, key: &[u8]) -> Result<(), Error> {
    let name = namespace_name(key);
    let quotas = &shared.engine.settings.namespace_quotas;
    let max = quotas.get(name).map_or(0, |quota| quota.ops);
    let all = shared.stripes.layout.namespaces();
    let namespace = all.filter(|_| max > 0);
    let namespace = namespace.and_then(|all| all.find(database, name));
    let second = shared.clock.now_us() / 1_000_000;
    match namespace {
        Some(namespace) if !namespace.count_operation(second, max) => {
            Err(over(name, "commands per second", max, max, 1))
        }
        _ => Ok(()),
    }
}

/// The error for what exceeds a quota.
fn over(name: &[u8], unit: &str, max: u64, used: u64, more: u64) -> Error {
    let figures = format!(
        "' would exceed its quota of {max} {unit}: it has {used}, and {more} more are needed"
    );
    Error::Coded(
        "QUOTA",
        ErrorText::quoting(&[b"namespace '", name, figures.as_bytes()]),
    )
}

/// The reason why there is no namespace with this name.
fn too_many(max: u64, name: &[u8]) -> Error {
    let max = max.to_string();
    Error::quoting(&[
        b"cannot create namespace '",
        name,
        b"': max-namespaces is ",
        max.as_bytes(),
    ])
}

/// A command's words with the full names of its keys, for a session that chose a namespace.
#[cold]
pub(super) fn with_full_names(
    session: &Session,
    command: &'static Command,
    args: Args<'_>,
) -> Option<ArgsBuf> {
    let seat = session.namespace.as_ref()?;
    let mut places = Vec::new();
    let _ = command.for_each_key(args, |at, flags| {
        if !flags.contains(KeyFlags::NOT_KEY) {
            places.push(at);
        }
    });
    if places.is_empty() {
        return None;
    }
    let mut words = ArgsBuf::default();
    for (at, word) in args.iter().enumerate() {
        match places.contains(&at) {
            true => words.push(&full_name(seat.name(), word)),
            false => words.push(word),
        };
    }
    Some(words)
}
