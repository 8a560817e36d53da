//! The flag words of a declaration, spelled as COMMAND INFO spells them.
//!
//! Three independent sets: [`Flags`] says how the server treats a command, [`KeyFlags`] what a
//! command does to a key, [`Category`] which ACL categories it belongs to. Bits are declared in the
//! order in which Redis prints them, so iterating a set is already the reply.

use bitflags::bitflags;
use kvik_store::EventClasses;

bitflags! {
    /// How the server treats a command.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Flags: u32 {
        /// May change the keyspace.
        const WRITE = 1;
        /// Reads the keyspace and never changes it.
        const READONLY = 1 << 1;
        /// May use more memory: refused when the memory limit is reached.
        const DENYOOM = 1 << 2;
        /// An operator's command.
        const ADMIN = 1 << 3;
        /// Publishes or subscribes.
        const PUBSUB = 1 << 4;
        /// Not callable from a script.
        const NOSCRIPT = 1 << 5;
        /// May block its client.
        const BLOCKING = 1 << 6;
        /// Allowed while the data set is loading.
        const LOADING = 1 << 7;
        /// Allowed on a replica whose data is out of date.
        const STALE = 1 << 8;
        /// Not shown by MONITOR.
        const SKIP_MONITOR = 1 << 9;
        /// Not recorded by SLOWLOG.
        const SKIP_SLOWLOG = 1 << 10;
        /// Served for a slot that is being imported, even without ASKING.
        const ASKING = 1 << 11;
        /// Constant or logarithmic time.
        const FAST = 1 << 12;
        /// Needs no authentication.
        const NO_AUTH = 1 << 13;
        /// Takes keys, and may be given none.
        const NO_MANDATORY_KEYS = 1 << 14;
        /// Refused while a replacement data set is loading in the background.
        const NO_ASYNC_LOADING = 1 << 15;
        /// Refused inside MULTI.
        const NO_MULTI = 1 << 16;
        /// Key positions depend on the arguments: ask COMMAND GETKEYS. Derived.
        const MOVABLE_KEYS = 1 << 17;
        /// Allowed while a script is over its time limit.
        const ALLOW_BUSY = 1 << 18;
        /// Its effect may be replicated although it is no write command.
        const MAY_REPLICATE = 1 << 19;
        /// Reaches keys that no argument names.
        const TOUCHES_ARBITRARY_KEYS = 1 << 20;
        /// May have to wait for files before it runs. Derived.
        const WAITS = 1 << 21;
    }
}

impl Flags {
    /// The words of COMMAND INFO, in its order. The bits behind ALLOW_BUSY are internal and are not
    /// shown.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        const SHOWN: [(Flags, &str); 19] = [
            (Flags::WRITE, "write"),
            (Flags::READONLY, "readonly"),
            (Flags::DENYOOM, "denyoom"),
            (Flags::ADMIN, "admin"),
            (Flags::PUBSUB, "pubsub"),
            (Flags::NOSCRIPT, "noscript"),
            (Flags::BLOCKING, "blocking"),
            (Flags::LOADING, "loading"),
            (Flags::STALE, "stale"),
            (Flags::SKIP_MONITOR, "skip_monitor"),
            (Flags::SKIP_SLOWLOG, "skip_slowlog"),
            (Flags::ASKING, "asking"),
            (Flags::FAST, "fast"),
            (Flags::NO_AUTH, "no_auth"),
            (Flags::NO_MANDATORY_KEYS, "no_mandatory_keys"),
            (Flags::NO_ASYNC_LOADING, "no_async_loading"),
            (Flags::NO_MULTI, "no_multi"),
            (Flags::MOVABLE_KEYS, "movablekeys"),
            (Flags::ALLOW_BUSY, "allow_busy"),
        ];
        SHOWN
            .into_iter()
            .filter(move |(flag, _)| self.contains(*flag))
            .map(|(_, name)| name)
    }
}

bitflags! {
    /// The effect of a command on a key and on the value behind it.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct KeyFlags: u16 {
        /// Reads the value without changing it.
        const RO = 1;
        /// Reads and changes the value.
        const RW = 1 << 1;
        /// Overwrites the value without reading it.
        const OW = 1 << 2;
        /// Removes the key.
        const RM = 1 << 3;
        /// Returns, copies or depends on the user's data (not merely its length or type).
        const ACCESS = 1 << 4;
        /// Changes existing data.
        const UPDATE = 1 << 5;
        /// Adds data and changes none.
        const INSERT = 1 << 6;
        /// Removes data from the value.
        const DELETE = 1 << 7;
        /// Routes like a key and is none (a shard channel).
        const NOT_KEY = 1 << 8;
        /// May not find every key.
        const INCOMPLETE = 1 << 9;
        /// The effect depends on the arguments.
        const VARIABLE = 1 << 10;
    }
}

/// The usual combinations.
#[allow(missing_docs, reason = "the names say what they combine")]
impl KeyFlags {
    pub const RO_ACCESS: Self = Self::RO.union(Self::ACCESS);
    pub const RW_ACCESS: Self = Self::RW.union(Self::ACCESS);
    pub const RW_INSERT: Self = Self::RW.union(Self::INSERT);
    pub const RW_UPDATE: Self = Self::RW.union(Self::UPDATE);
    pub const RW_DELETE: Self = Self::RW.union(Self::DELETE);
    pub const RW_ACCESS_INSERT: Self = Self::RW_ACCESS.union(Self::INSERT);
    pub const RW_ACCESS_UPDATE: Self = Self::RW_ACCESS.union(Self::UPDATE);
    pub const RW_ACCESS_DELETE: Self = Self::RW_ACCESS.union(Self::DELETE);
    pub const OW_INSERT: Self = Self::OW.union(Self::INSERT);
    pub const OW_UPDATE: Self = Self::OW.union(Self::UPDATE);
    pub const RM_DELETE: Self = Self::RM.union(Self::DELETE);
}

impl KeyFlags {
    /// The words of COMMAND INFO and COMMAND GETKEYSANDFLAGS, in their order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        const SHOWN: [(KeyFlags, &str); 11] = [
            (KeyFlags::RO, "RO"),
            (KeyFlags::RW, "RW"),
            (KeyFlags::OW, "OW"),
            (KeyFlags::RM, "RM"),
            (KeyFlags::ACCESS, "access"),
            (KeyFlags::UPDATE, "update"),
            (KeyFlags::INSERT, "insert"),
            (KeyFlags::DELETE, "delete"),
            (KeyFlags::NOT_KEY, "not_key"),
            (KeyFlags::INCOMPLETE, "incomplete"),
            (KeyFlags::VARIABLE, "variable_flags"),
        ];
        SHOWN
            .into_iter()
            .filter(move |(flag, _)| self.contains(*flag))
            .map(|(_, name)| name)
    }

    /// Whether the key may be changed: everything but a pure read.
    pub fn writes(self) -> bool {
        self.intersects(Self::RW | Self::OW | Self::RM)
    }
}

bitflags! {
    /// The ACL categories.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Category: u32 {
        /// Commands on keys of any type.
        const KEYSPACE = 1;
        /// Commands that read values or metadata.
        const READ = 1 << 1;
        /// Commands that may change the keyspace.
        const WRITE = 1 << 2;
        /// Set commands.
        const SET = 1 << 3;
        /// Sorted set commands.
        const SORTEDSET = 1 << 4;
        /// List commands.
        const LIST = 1 << 5;
        /// Hash commands.
        const HASH = 1 << 6;
        /// String commands.
        const STRING = 1 << 7;
        /// Bitmap commands.
        const BITMAP = 1 << 8;
        /// HyperLogLog commands.
        const HYPERLOGLOG = 1 << 9;
        /// Geospatial commands.
        const GEO = 1 << 10;
        /// Stream commands.
        const STREAM = 1 << 11;
        /// Publish and subscribe.
        const PUBSUB = 1 << 12;
        /// Operators' commands.
        const ADMIN = 1 << 13;
        /// Constant or logarithmic time.
        const FAST = 1 << 14;
        /// Everything that is not fast.
        const SLOW = 1 << 15;
        /// Commands that may block their client.
        const BLOCKING = 1 << 16;
        /// Commands to be given with care.
        const DANGEROUS = 1 << 17;
        /// Commands about the connection itself.
        const CONNECTION = 1 << 18;
        /// MULTI and its kin.
        const TRANSACTION = 1 << 19;
        /// Scripts and functions.
        const SCRIPTING = 1 << 20;
        /// Array commands.
        const ARRAY = 1 << 21;
    }
}

impl Category {
    /// The names without the `@`, in the order of ACL CAT.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMED_CATEGORIES
            .into_iter()
            .filter(move |(category, _)| self.contains(*category))
            .map(|(_, name)| name)
    }

    /// The category called `name` (without the `@`, any case).
    pub fn named(name: &[u8]) -> Option<Self> {
        let mut all = NAMED_CATEGORIES.into_iter();
        all.find(|(_, known)| known.as_bytes().eq_ignore_ascii_case(name))
            .map(|(category, _)| category)
    }

    /// The categories that follow from the flags alone.
    pub(super) fn implied_by(flags: Flags, scripting: bool) -> Self {
        let mut categories = Self::empty();
        categories.set(Self::WRITE, flags.contains(Flags::WRITE));
        categories.set(Self::READ, flags.contains(Flags::READONLY) && !scripting);
        categories.set(Self::ADMIN | Self::DANGEROUS, flags.contains(Flags::ADMIN));
        categories.set(Self::PUBSUB, flags.contains(Flags::PUBSUB));
        categories.set(Self::BLOCKING, flags.contains(Flags::BLOCKING));
        categories.set(Self::FAST, flags.contains(Flags::FAST));
        categories.set(Self::SLOW, !flags.contains(Flags::FAST));
        categories
    }
}

const NAMED_CATEGORIES: [(Category, &str); 22] = [
    (Category::KEYSPACE, "keyspace"),
    (Category::READ, "read"),
    (Category::WRITE, "write"),
    (Category::SET, "set"),
    (Category::SORTEDSET, "sortedset"),
    (Category::LIST, "list"),
    (Category::HASH, "hash"),
    (Category::STRING, "string"),
    (Category::BITMAP, "bitmap"),
    (Category::HYPERLOGLOG, "hyperloglog"),
    (Category::GEO, "geo"),
    (Category::STREAM, "stream"),
    (Category::PUBSUB, "pubsub"),
    (Category::ADMIN, "admin"),
    (Category::FAST, "fast"),
    (Category::SLOW, "slow"),
    (Category::BLOCKING, "blocking"),
    (Category::DANGEROUS, "dangerous"),
    (Category::CONNECTION, "connection"),
    (Category::TRANSACTION, "transaction"),
    (Category::SCRIPTING, "scripting"),
    (Category::ARRAY, "array"),
];

/// The documentation group of a command, which also gives its ACL category.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(
    missing_docs,
    reason = "the variants are the groups of the Redis documentation"
)]
pub enum Group {
    Connection,
    Generic,
    String,
    List,
    Hash,
    Set,
    SortedSet,
    Stream,
    Array,
    Bitmap,
    Hyperloglog,
    Geo,
    PubSub,
    Transactions,
    Scripting,
    Server,
    Cluster,
}

impl Group {
    /// The class of the keyspace events of its commands.
    pub fn events(self) -> EventClasses {
        match self {
            Self::String | Self::Bitmap | Self::Hyperloglog => EventClasses::STRING,
            Self::List => EventClasses::LIST,
            Self::Hash => EventClasses::HASH,
            Self::Set => EventClasses::SET,
            Self::SortedSet | Self::Geo => EventClasses::ZSET,
            Self::Stream => EventClasses::STREAM,
            Self::Array => EventClasses::ARRAY,
            _ => EventClasses::GENERIC,
        }
    }

    /// The name in COMMAND DOCS.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Generic => "generic",
            Self::String => "string",
            Self::List => "list",
            Self::Hash => "hash",
            Self::Set => "set",
            Self::SortedSet => "sorted-set",
            Self::Stream => "stream",
            Self::Array => "array",
            Self::Bitmap => "bitmap",
            Self::Hyperloglog => "hyperloglog",
            Self::Geo => "geo",
            Self::PubSub => "pubsub",
            Self::Transactions => "transactions",
            Self::Scripting => "scripting",
            Self::Server => "server",
            Self::Cluster => "cluster",
        }
    }

    pub(super) fn category(self) -> Category {
        match self {
            Self::Connection => Category::CONNECTION,
            Self::Generic => Category::KEYSPACE,
            Self::String => Category::STRING,
            Self::List => Category::LIST,
            Self::Hash => Category::HASH,
            Self::Set => Category::SET,
            Self::SortedSet => Category::SORTEDSET,
            Self::Stream => Category::STREAM,
            Self::Array => Category::ARRAY,
            Self::Bitmap => Category::BITMAP,
            Self::Hyperloglog => Category::HYPERLOGLOG,
            Self::Geo => Category::GEO,
            Self::Transactions => Category::TRANSACTION,
            Self::Scripting => Category::SCRIPTING,
            Self::PubSub | Self::Server | Self::Cluster => Category::empty(),
        }
    }
}

/// The locks that a command must hold while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locking {
    /// Nothing: it touches no keyspace. The default of a command without keys.
    None,
    /// The stripes of its keys, in ascending order. The default of a command with keys.
    Keys,
    /// Every stripe at once (DBSIZE, FLUSHALL, SWAPDB).
    All,
    /// One stripe after the other (KEYS, SCAN).
    InTurn,
    /// The locks that the commands in the session's transaction need together (EXEC).
    Queue,
    /// The stripes of its keys, and those of others as the script that it runs asks for them.
    Script,
}
