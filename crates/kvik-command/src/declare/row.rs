//! A row of the command table, as a family declares it.
//!
//! `Command::new(name, syntax, handler)` begins a row; the calls that follow say what cannot be
//! derived. A row says more than its flags and its documentation only where the command is
//! irregular, and the overriding call ([`Row::key_specs`], [`Row::arity`], [`Row::categories`])
//! then stands visibly beside it.

use kvik_resp::Args;
use kvik_store::Guard;

use super::databases::Databases;
use super::flags::{Category, Flags, Group, KeyFlags, Locking};
use super::keys::{KeyFinder, KeySpec};
use super::work::Work;
use crate::{Ctx, Engine, Handler, Session};

/// One declared command or subcommand.
#[derive(Debug)]
pub struct Row {
    pub(super) name: &'static str,
    pub(super) syntax: &'static str,
    pub(super) handler: Option<Handler>,
    pub(super) flags: Flags,
    pub(super) group: Option<Group>,
    pub(super) since: &'static str,
    pub(super) complexity: &'static str,
    pub(super) summary: &'static str,
    pub(super) tips: &'static [&'static str],
    pub(super) history: Vec<(&'static str, &'static str)>,
    pub(super) deprecation: Option<Deprecation>,
    pub(super) access: &'static [KeyFlags],
    pub(super) access_by: Option<AccessBy>,
    pub(super) key_specs: Option<&'static [KeySpec]>,
    pub(super) finder: Option<KeyFinder>,
    pub(super) arity: Option<i16>,
    pub(super) categories: Option<Category>,
    pub(super) more_categories: Category,
    pub(super) locking: Option<Locking>,
    pub(super) reaches_all: Option<ReachesAll>,
    pub(super) preparation: Option<Preparation>,
    pub(super) work: Option<Work>,
    pub(super) readiness: Option<Readiness>,
    pub(super) arrival: Option<Arrival>,
    pub(super) event: Option<&'static str>,
    pub(super) databases: Option<Databases>,
}

/// The effect of one call's arguments on the keys of a command with [`KeyFlags::VARIABLE`].
pub type AccessBy = fn(Args<'_>) -> KeyFlags;

/// Whether the arguments of one call make a command reach keys that they do not name.
pub type ReachesAll = fn(Args<'_>) -> bool;

/// Does a part of what a call needs beforehand and takes long, and says whether there is more. It
/// must not be seen, for the call may never come.
pub type Preparation = fn(&mut Guard<'_>, Args<'_>, &Engine) -> bool;

/// Whether a call can run now. If not, until when it is put off at most, in milliseconds since the
/// epoch; it is asked again then or when something has ended that commands wait for. The last
/// argument is the present time in the same unit.
pub type Readiness = fn(&mut Session, Args<'_>, &Engine, u64) -> Option<u64>;

/// Whether a blocked call has something to answer now, were it that its stream is gone.
pub type Arrival = fn(&mut Ctx<'_>) -> bool;

/// Since when a command is not to be used any more, and what to use instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deprecation {
    /// The version.
    pub since: &'static str,
    /// The replacement, as in "`SET` with the `GET` argument".
    pub replaced_by: &'static str,
}

macro_rules! flag_setters {
    ($($(#[$doc:meta])* $method:ident => $flag:ident;)*) => {
        impl Row {
            $($(#[$doc])* pub fn $method(mut self) -> Self { self.flags |= Flags::$flag; self })*
        }
    };
}

flag_setters! {
    /// May change the keyspace.
    write => WRITE;
    /// Reads the keyspace and never changes it.
    readonly => READONLY;
    /// May use more memory: refused when the memory limit is reached.
    may_grow => DENYOOM;
    /// An operator's command.
    admin => ADMIN;
    /// Publishes or subscribes.
    pubsub => PUBSUB;
    /// Not callable from a script.
    noscript => NOSCRIPT;
    /// May block its client.
    blocking => BLOCKING;
    /// Allowed while the data set is loading.
    loading => LOADING;
    /// Allowed on a replica whose data is out of date.
    stale => STALE;
    /// Not shown by MONITOR.
    skip_monitor => SKIP_MONITOR;
    /// Not recorded by SLOWLOG.
    skip_slowlog => SKIP_SLOWLOG;
    /// Served for a slot that is being imported, even without ASKING.
    asking => ASKING;
    /// Constant or logarithmic time.
    fast => FAST;
    /// Needs no authentication.
    no_auth => NO_AUTH;
    /// Takes keys, and may be given none.
    no_mandatory_keys => NO_MANDATORY_KEYS;
    /// Refused while a replacement data set is loading in the background.
    no_async_loading => NO_ASYNC_LOADING;
    /// Refused inside MULTI.
    no_multi => NO_MULTI;
    /// Allowed while a script is over its time limit.
    allow_busy => ALLOW_BUSY;
    /// Its effect may be replicated although it is no write command.
    may_replicate => MAY_REPLICATE;
    /// Reaches keys that no argument names.
    touches_arbitrary_keys => TOUCHES_ARBITRARY_KEYS;
}

impl Row {
    pub(super) fn new(name: &'static str, syntax: &'static str, handler: Option<Handler>) -> Self {
        Self {
            name,
            syntax,
            handler,
            flags: Flags::empty(),
            group: None,
            since: "",
            complexity: "",
            summary: "",
            tips: &[],
            history: Vec::new(),
            deprecation: None,
            access: &[],
            access_by: None,
            key_specs: None,
            finder: None,
            arity: None,
            categories: None,
            more_categories: Category::empty(),
            locking: None,
            reaches_all: None,
            preparation: None,
            work: None,
            readiness: None,
            arrival: None,
            event: None,
            databases: None,
        }
    }

    /// The documentation group; a subcommand without one has its container's.
    pub fn group(mut self, group: Group) -> Self {
        self.group = Some(group);
        self
    }

    /// The Redis or Valkey version that introduced the command.
    pub fn since(mut self, version: &'static str) -> Self {
        self.since = version;
        self
    }

    /// The running time, as in "O(1)".
    pub fn complexity(mut self, complexity: &'static str) -> Self {
        self.complexity = complexity;
        self
    }

    /// One sentence for people.
    pub fn about(mut self, summary: &'static str) -> Self {
        self.summary = summary;
        self
    }

    /// Hints for clients and proxies, as in "request_policy:all_shards".
    pub fn tips(mut self, tips: &'static [&'static str]) -> Self {
        self.tips = tips;
        self
    }

    /// A later version that changed the command, and how.
    pub fn changed(mut self, version: &'static str, how: &'static str) -> Self {
        self.history.push((version, how));
        self
    }

    /// Not to be used any more since `since`; `replaced_by` is what to use instead.
    pub fn deprecated(mut self, since: &'static str, replaced_by: &'static str) -> Self {
        self.deprecation = Some(Deprecation { since, replaced_by });
        self
    }

    /// The databases that it reaches, where these are not the selected one or none.
    pub fn databases(mut self, databases: Databases) -> Self {
        self.databases = Some(databases);
        self
    }

    /// The effect on the keys of each key specification, in their order, where the default
    /// (read: RO access, write: RW update, destination: OW update) is not right.
    pub fn access(mut self, flags: &'static [KeyFlags]) -> Self {
        self.access = flags;
        self
    }

    /// The function that finds the effect of a call on its keys from the arguments; the declared
    /// flags get [`KeyFlags::VARIABLE`].
    pub fn access_by(mut self, access: AccessBy) -> Self {
        self.access_by = Some(access);
        self
    }

    /// The key specifications, where the syntax does not give them.
    pub fn key_specs(mut self, specs: &'static [KeySpec]) -> Self {
        self.key_specs = Some(specs);
        self
    }

    /// Finds the keys, where no key specification can.
    pub fn find_keys(mut self, finder: KeyFinder) -> Self {
        self.finder = Some(finder);
        self
    }

    /// The arity in Redis' sign convention, where the syntax does not give it.
    pub fn arity(mut self, arity: i16) -> Self {
        self.arity = Some(arity);
        self
    }

    /// The ACL categories in place of the group's.
    pub fn categories(mut self, categories: Category) -> Self {
        self.categories = Some(categories);
        self
    }

    /// ACL categories beside the derived ones.
    pub fn also(mut self, categories: Category) -> Self {
        self.more_categories |= categories;
        self
    }

    /// The locks that the command must hold while it runs, where these are not just its keys.
    pub fn locks(mut self, locking: Locking) -> Self {
        self.locking = Some(locking);
        self
    }

    /// Which calls must hold every stripe, because they reach keys that no argument names.
    pub fn locks_all_if(mut self, reaches: ReachesAll) -> Self {
        self.reaches_all = Some(reaches);
        self
    }

    /// The keyspace event by which others hear of the changes that the command is there for, where
    /// these are called otherwise elsewhere. Its class is that of the group.
    pub fn event(mut self, name: &'static str) -> Self {
        self.event = Some(name);
        self
    }

    /// The work done in parts before the command runs. The command must have more than one key.
    pub fn prepared_by(mut self, preparation: Preparation) -> Self {
        self.preparation = Some(preparation);
        self
    }

    /// Whether there is something for a blocked call in its keys, where it is not enough that they
    /// hold a value of the wanted type.
    pub fn served_by(mut self, arrival: Arrival) -> Self {
        self.arrival = Some(arrival);
        self
    }

    /// The condition that a call waits for before it runs, holding nothing. It is not asked inside
    /// a transaction.
    pub fn waits(mut self, readiness: Readiness) -> Self {
        self.flags |= Flags::WAITS;
        self.readiness = Some(readiness);
        self
    }
}
