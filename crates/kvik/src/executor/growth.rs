//! The bytes that a command may add to the namespaces of its keys, by its words: an estimate from
//! above.
//!
//! It is made twice: before a command runs, so that room can be made where there is none, and with
//! its stripes held, so that quotas are exact. The sizes of values that are written over or copied
//! have to be asked for, which the first estimate does only where they matter.

use kvik_command::declare::{Command, Flags, KeyFlags, Locking};
use kvik_resp::Args;
use kvik_store::{canonical, name_payload, namespace_name};

/// Bytes of a new key beside its name and value.
pub(super) const ENTRY_BYTES: u64 = 32;
/// Bytes of a word of which it is not known what becomes of it, beyond those that it has: a score,
/// or a number that is added to.
const UNSURE_WORD: u64 = 16;
/// Bytes of a sketch that PFADD or PFMERGE makes.
const SKETCH: u64 = 12_304;

/// The size of what a key holds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ValueSize {
    /// Bytes of the entry.
    pub(super) bytes: u64,
    /// Bytes of the value's strings.
    pub(super) payload: u64,
}

/// A key that a command may make or grow, and by how much.
#[derive(Clone, Copy, Debug)]
pub(super) struct GrowingKey<'a> {
    pub(super) key: &'a [u8],
    pub(super) is_new: bool,
    pub(super) bytes: u64,
    pub(super) payload: u64,
    /// The command only changes the place of values, all within the key's namespace.
    pub(super) stays: bool,
}

/// A key of a command.
struct KeyAt {
    at: usize,
    flags: KeyFlags,
}

impl KeyAt {
    fn makes(&self, may_grow: bool) -> bool {
        let flags = self.flags;
        flags.intersects(KeyFlags::INSERT | KeyFlags::OW)
            || may_grow && flags.contains(KeyFlags::RW)
    }
}

fn word_at<'a>(args: Args<'a>, at: usize) -> &'a [u8] {
    args.get(at).unwrap_or_default()
}

fn keys_of(command: &Command, args: Args<'_>) -> Vec<KeyAt> {
    let mut keys = Vec::new();
    // Keys that cannot be told from the words the handler refuses.
    let _ = command.for_each_key(args, |at, flags| {
        let flags = command.access_in(args, flags);
        keys.push(KeyAt { at, flags });
    });
    keys
}

/// Whether what a command adds depends on values that other keys hold.
pub(super) fn copies(command: &Command, args: Args<'_>) -> bool {
    let keys = keys_of(command, args);
    let writes_over = |it: &KeyAt| it.flags.contains(KeyFlags::OW);
    keys.iter().any(writes_over) && !keys.iter().all(writes_over) || command.name() == "PFMERGE"
}

/// The keys that a command may make or grow. `size_of` says what a key holds, where that is known.
pub(super) fn growing_keys<'a>(
    command: &Command,
    args: Args<'a>,
    mut size_of: impl FnMut(&[u8]) -> Option<ValueSize>,
) -> Vec<GrowingKey<'a>> {
    // A script may do to its keys whatever it likes; its arguments say how much that may be.
    let is_script = command.locking() == Locking::Script;
    let may_grow = is_script || command.flags().contains(Flags::DENYOOM);
    let keys = keys_of(command, args);
    let name = |it: &KeyAt| namespace_name(word_at(args, it.at));
    let mut copied = None;
    let mut growing = Vec::new();
    for (nth, it) in keys.iter().enumerate() {
        if !it.makes(may_grow) {
            continue;
        }
        let key = word_at(args, it.at);
        let stays = !may_grow && keys.iter().all(|other| name(other) == namespace_name(key));
        let end = keys.get(nth + 1).map_or(args.len(), |next| next.at);
        let overwrites = it.flags.contains(KeyFlags::OW);
        let copies = match overwrites {
            false => ValueSize::default(),
            true => *copied.get_or_insert_with(|| {
                let sources = keys.iter().filter(|it| !it.flags.contains(KeyFlags::OW));
                let sizes = sources.filter_map(|it| size_of(word_at(args, it.at)));
                sizes.fold(ValueSize::default(), |sum, it| ValueSize {
                    bytes: sum.bytes + it.bytes,
                    payload: sum.payload + it.payload,
                })
            }),
        };
        let old = size_of(key);
        let words: usize = (it.at..end).map(|at| args[at].len()).sum();
        let reach = reach_of(command, args);
        let mut bytes = words as u64 + copies.bytes + reach;
        let mut payload = value_payload(command, args, it.at, end) + copies.payload + reach;
        match old {
            None => {
                bytes += ENTRY_BYTES;
                payload += name_payload(canonical(key)) as u64;
            }
            Some(old) if overwrites => {
                bytes = bytes.saturating_sub(old.bytes);
                payload = payload.saturating_sub(old.payload);
            }
            Some(_) => {}
        }
        growing.push(GrowingKey {
            key,
            is_new: old.is_none(),
            bytes,
            payload,
            stays,
        });
    }
    growing
}

/// Bytes of strings that the words behind a key, up to `end`, may become.
fn value_payload(command: &Command, args: Args<'_>, at: usize, end: usize) -> u64 {
    let word = |at: usize| args.get(at).map_or(0, |word| word.len() as u64);
    let words = || (at + 1..end).map(word).sum::<u64>();
    match command.name() {
        "SET" | "GETSET" | "SETNX" => word(at + 1),
        "SETEX" | "PSETEX" => word(at + 2),
        "INCR" | "DECR" => 2,
        "INCRBY" | "DECRBY" => word(at + 1) + 1,
        "APPEND" | "MSET" | "MSETNX" | "LPUSH" | "RPUSH" | "LPUSHX" | "RPUSHX" | "HSET"
        | "HMSET" | "HSETNX" | "SADD" => words(),
        "RENAME" | "RENAMENX" | "COPY" => 0,
        "PFADD" | "PFMERGE" => words() + SKETCH,
        _ => words() + UNSURE_WORD * (end - at) as u64,
    }
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
