//! Whether a command may use its keys in their namespaces: asked with the stripes held, before the
//! command has had any effect.
//!
//! Bytes that a command may add to a namespace with a quota are reserved first, so that commands
//! which run at the same time cannot exceed the quota together. Bytes are estimated from above: by
//! the words behind a key, what an offset reaches, and the values that are copied; an overwritten
//! value is taken off.

use std::sync::Arc;

use kvik_command::declare::{Command, Flags, KeyFlags};
use kvik_command::namespace_quotas::Quota;
use kvik_command::{Ctx, Error, ErrorText, Handler, Session};
use kvik_resp::{Args, ArgsBuf};
use kvik_store::{DEFAULT_NAMESPACE, Mode, Namespace, Namespaces, canonical, full_name, named_in};
use std::sync::atomic::Ordering::Relaxed;

/// Bytes of a new key beside its name and value.
const ENTRY_BYTES: u64 = 32;

/// Runs a handler whose keys may be of namespaces.
pub(super) fn run(
    all: &Namespaces,
    ctx: &mut Ctx<'_>,
    mode: Mode,
    handler: Handler,
) -> Result<(), Error> {
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
    let mut admitted = Admitted::default();
    admit(all, ctx, has_quotas, &mut admitted)?;
    let result = handler(ctx);
    drop(admitted);
    result
}

/// The namespaces that a command may make, and what it may add to those with a quota.
#[derive(Default)]
struct Admitted {
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

/// Lets a command make the namespaces of the keys that it may make, and grow those with a quota.
#[inline(never)]
fn admit(
    all: &Namespaces,
    ctx: &mut Ctx<'_>,
    has_quotas: bool,
    admitted: &mut Admitted,
) -> Result<(), Error> {
    let (command, args, engine) = (ctx.command, ctx.args, ctx.engine);
    let guard = &mut ctx.keys;
    let may_grow = command.flags().contains(Flags::DENYOOM);
    let max = engine.settings.max_namespaces.load(Relaxed);
    let mut keys = Vec::new();
    // Keys that cannot be told from the words the handler refuses.
    let _ = command.for_each_key(args, |at, flags| keys.push((at, flags)));
    let mut copied = None;
    for (nth, &(at, flags)) in keys.iter().enumerate() {
        let makes = flags.intersects(KeyFlags::INSERT | KeyFlags::OW)
            || may_grow && flags.contains(KeyFlags::RW);
        if !makes {
            continue;
        }
        let name = name_of(&args[at]);
        let namespace = match guard.namespace_of(&args[at]) {
            Some(namespace) => Arc::clone(namespace),
            None => {
                let made = all.admit(guard.keyspace(), name, max);
                let made = made.map_err(|_| too_many(max, name))?;
                admitted.made.push(Arc::clone(&made));
                made
            }
        };
        // A key that only changes its place within the namespace adds nothing.
        if !may_grow && keys.iter().all(|&(at, _)| name_of(&args[at]) == name) {
            continue;
        }
        let quota = engine.settings.namespace_quotas.get(name);
        let Some(quota) = quota.filter(|it| has_quotas && (it.keys > 0 || it.bytes > 0)) else {
            continue;
        };
        let end = keys.get(nth + 1).map_or(args.len(), |next| next.0);
        let words: usize = (at..end).map(|at| args[at].len()).sum();
        let old = guard.peek(&args[at]).map(|view| view.bytes() as u64);
        let overwrites = flags.contains(KeyFlags::OW);
        let copies = *copied.get_or_insert_with(|| {
            let sources = keys
                .iter()
                .filter(|(at, flags)| !flags.contains(KeyFlags::OW) && overwrites && *at > 0);
            let bytes = sources.filter_map(|(at, _)| Some(guard.peek(&args[*at])?.bytes() as u64));
            bytes.sum::<u64>()
        });
        let growth = words as u64 + copies + reach_of(command, args);
        let bytes = match old {
            None => growth + ENTRY_BYTES,
            Some(old) if overwrites => growth.saturating_sub(old),
            Some(_) => growth,
        };
        reserve(admitted, namespace, u64::from(old.is_none()), bytes, quota)?;
    }
    Ok(())
}

fn reserve(
    admitted: &mut Admitted,
    namespace: Arc<Namespace>,
    keys: u64,
    bytes: u64,
    quota: Quota,
) -> Result<(), Error> {
    let used = namespace.reserve(keys, bytes);
    let name = namespace.name().to_vec();
    admitted.reserved.push(Reservation {
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

/// Bytes that an offset among the words makes a string grow to, at most.
fn reach_of(command: &Command, args: Args<'_>) -> u64 {
    let number = |at: usize| args.get(at).and_then(kvik_resp::parse_i64);
    let reach = match command.name() {
        "SETRANGE" => number(2),
        "SETBIT" => number(2).map(|bits| bits / 8),
        _ => None,
    };
    reach
        .and_then(|bytes| u64::try_from(bytes).ok())
        .unwrap_or(0)
}

/// Counts a command against the quota of operations of the namespaces of its keys.
#[inline(never)]
fn count_operation(all: &Namespaces, ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (args, quotas) = (ctx.args, &ctx.engine.settings.namespace_quotas);
    let (second, database) = (ctx.now_us / 1_000_000, ctx.keys.keyspace());
    let (mut counted, mut refusal): (Vec<&[u8]>, _) = (Vec::new(), None);
    let _ = ctx.command.for_each_key(args, |at, _| {
        let key: &[u8] = &args[at];
        let name = name_of(key);
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

fn name_of(key: &[u8]) -> &[u8] {
    named_in(canonical(key)).unwrap_or(DEFAULT_NAMESPACE)
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
