//! Keyspace events: the names of changes, by which others are told of them.
//!
//! The names and classes are those of Redis' keyspace notifications. An event is stated where the
//! change is made: what changes a string or a whole key knows its event, and what changes a
//! collection has one for each verb of its effects ([`Event::of_verb`]). A command that calls its
//! changes by another name (`zincr`, `incrby`, `sinterstore`) gives it to the guard
//! ([`Guard::called`](crate::Guard::called)).
//!
//! Nothing is noted unless somebody wants to hear of its class: one comparison with a word that the
//! guard carries.

use crate::kind::Kind;
use crate::layout::KeyspaceId;

/// Classes of events, and the kinds of channels on which events are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventClasses(u32);

macro_rules! classes {
    ($($(#[$doc:meta])* $name:ident = $bit:literal;)*) => {
        impl EventClasses {
            $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)*
        }
    };
}

classes! {
    /// `g`: what happens to keys whatever their type.
    GENERIC = 0;
    /// `$`: changes of strings.
    STRING = 1;
    /// `l`: changes of lists.
    LIST = 2;
    /// `s`: changes of sets.
    SET = 3;
    /// `h`: changes of hashes.
    HASH = 4;
    /// `z`: changes of sorted sets.
    ZSET = 5;
    /// `x`: keys whose time has come.
    EXPIRED = 6;
    /// `e`: keys that were given up for memory.
    EVICTED = 7;
    /// `t`: changes of streams.
    STREAM = 8;
    /// `d`: events of modules, of which there are none.
    MODULE = 9;
    /// `n`: keys that were not there before.
    NEW = 10;
    /// `K`: a channel for each key.
    KEYSPACE = 11;
    /// `E`: a channel for each event.
    KEYEVENT = 12;
    /// `m`: reads of keys that do not exist.
    MISS = 13;
    /// `o`: values that were replaced as a whole.
    OVERWRITTEN = 14;
    /// `c`: those of them that are of another type now.
    TYPE_CHANGED = 15;
    /// `S`: a channel for each key, with the fields.
    SUBKEYSPACE = 16;
    /// `T`: a channel for each event, with key and fields.
    SUBKEYEVENT = 17;
    /// `I`: a channel for each field.
    SUBKEYSPACE_ITEM = 18;
    /// `V`: a channel for each pair of an event and a key, with the fields.
    SUBKEYSPACE_EVENT = 19;
    /// `a`: changes of arrays.
    ARRAY = 20;
    /// No class: the state of keys before they change is wanted.
    FORMER = 30;
    /// No class: the name of every key that changes is wanted.
    CHANGES = 31;
}

/// The letter of each class in its order.
const LETTERS: &[u8] = b"g$lshzxetdnKEmocSTIVa";

impl EventClasses {
    /// No class.
    pub const NONE: Self = Self(0);
    /// `A`: all classes that have no reason to be asked for by themselves.
    pub const ALL: Self = Self(((1 << 10) - 1) | Self::ARRAY.0);
    /// The kinds of channels.
    const CHANNELS: Self = Self(Self::KEYSPACE.0 | Self::KEYEVENT.0 | Self::SUBKEYS.0);
    /// The kinds of channels that name fields.
    pub const SUBKEYS: Self = Self(
        Self::SUBKEYSPACE.0
            | Self::SUBKEYEVENT.0
            | Self::SUBKEYSPACE_ITEM.0
            | Self::SUBKEYSPACE_EVENT.0,
    );

    /// The classes that letters name, as in `notify-keyspace-events`; nothing if one of them is
    /// unknown.
    pub fn from_letters(letters: &[u8]) -> Option<Self> {
        letters.iter().try_fold(Self::NONE, |classes, letter| {
            if *letter == b'A' {
                return Some(classes.with(Self::ALL));
            }
            let bit = LETTERS.iter().position(|known| known == letter)?;
            Some(classes.with(Self(1 << bit)))
        })
    }

    /// The letters that name the classes. As in Redis, `A` stands for `n` as well.
    pub fn letters(self) -> String {
        let all = self.contains(Self::ALL);
        let of_all = Self::ALL.with(Self::NEW);
        let shown = LETTERS.iter().enumerate().filter(|(bit, _)| {
            let class = Self(1 << bit);
            self.meets(class) && !(all && of_all.meets(class))
        });
        let letters = shown.map(|(_, letter)| char::from(*letter));
        all.then_some('A').into_iter().chain(letters).collect()
    }

    /// These classes as bits, to be kept in an atomic.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The classes that [`bits`](Self::bits) gave.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// These classes and others.
    #[must_use]
    pub const fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// These classes without others.
    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Whether there is any.
    #[inline]
    pub const fn any(self) -> bool {
        self.0 != 0
    }

    /// Whether any class is in both.
    #[inline]
    pub const fn meets(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// Whether all of the others are among these.
    pub const fn contains(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// The classes to be noted: none if there is no channel to tell it on.
    #[must_use]
    pub fn told(self) -> Self {
        if self.meets(Self::CHANNELS) {
            self
        } else {
            Self::NONE
        }
    }
}

/// A kind of event.
#[derive(Debug, PartialEq, Eq)]
pub struct Event {
    /// Its class.
    pub class: EventClasses,
    /// Its name.
    pub name: &'static str,
}

macro_rules! events {
    ($($class:ident { $($name:ident = $text:literal;)* })*) => {
        impl Event {
            $($(
                #[doc = concat!("`", $text, "`")]
                pub const $name: &'static Self = &Self::new(EventClasses::$class, $text);
            )*)*
        }
    };
}

events! {
    GENERIC {
        DEL = "del"; EXPIRE = "expire"; PERSIST = "persist"; RESTORE = "restore";
        RENAME_FROM = "rename_from"; RENAME_TO = "rename_to";
        MOVE_FROM = "move_from"; MOVE_TO = "move_to"; COPY_TO = "copy_to";
        BLESS = "bless"; UNBLESS = "unbless";
    }
    STRING { SET_STRING = "set"; SET_RANGE = "setrange"; }
    LIST {
        LPUSH = "lpush"; RPUSH = "rpush"; LPOP = "lpop"; RPOP = "rpop"; LTRIM = "ltrim";
        LSET = "lset"; LINSERT = "linsert"; LREM = "lrem"; SORTSTORE = "sortstore";
    }
    SET {
        SADD = "sadd"; SREM = "srem"; SEXPIRE = "sexpire"; SPERSIST = "spersist";
        SEXPIRED = "sexpired";
    }
    HASH {
        HSET = "hset"; HDEL = "hdel"; HEXPIRE = "hexpire"; HPERSIST = "hpersist";
        HEXPIRED = "hexpired";
    }
    ZSET {
        ZADD = "zadd"; ZREM = "zrem"; ZEXPIRE = "zexpire"; ZPERSIST = "zpersist";
        ZEXPIRED = "zexpired"; ZINCR = "zincr"; ZPOPMIN = "zpopmin"; ZPOPMAX = "zpopmax";
    }
    STREAM {
        XADD = "xadd"; XTRIM = "xtrim"; XDEL = "xdel"; XSETID = "xsetid";
        XGROUP_CREATE = "xgroup-create"; XGROUP_SETID = "xgroup-setid";
        XGROUP_DESTROY = "xgroup-destroy"; XGROUP_CREATECONSUMER = "xgroup-createconsumer";
        XGROUP_DELCONSUMER = "xgroup-delconsumer";
    }
    ARRAY {
        ARSET = "arset"; ARMSET = "armset"; ARINSERT = "arinsert"; ARRING = "arring";
        ARDEL = "ardel"; ARDELRANGE = "ardelrange"; ARSEEK = "arseek";
    }
    EXPIRED { EXPIRED = "expired"; }
    EVICTED { EVICTED = "evicted"; }
    NEW { NEW = "new"; }
    MISS { MISS = "keymiss"; }
    OVERWRITTEN { OVERWRITTEN = "overwritten"; }
    TYPE_CHANGED { TYPE_CHANGED = "type_changed"; }
}

/// The event of one verb of a collection's effects.
#[derive(Clone, Copy, Debug)]
pub(crate) enum VerbEvent {
    /// The change a command is there for, which may have the command's own name.
    Main(&'static Event),
    /// A change that goes with others.
    Side(&'static Event),
}

impl Event {
    /// An event of one class.
    pub const fn new(class: EventClasses, name: &'static str) -> Self {
        Self { class, name }
    }

    /// Whether it says that a key got another value, whatever it held.
    pub(crate) fn is_replacement(&self) -> bool {
        self.name == Self::SET_STRING.name
    }

    /// The event of members that have expired.
    pub(crate) fn of_expired_members(kind: Kind) -> &'static Self {
        match kind {
            Kind::Set => Self::SEXPIRED,
            Kind::Zset => Self::ZEXPIRED,
            _ => Self::HEXPIRED,
        }
    }

    /// The event of a verb in the effects of collections of this kind, if it has one.
    pub(crate) fn of_verb(verb: &[u8], kind: Kind) -> Option<VerbEvent> {
        use VerbEvent::{Main, Side};
        Some(match verb {
            b"LPUSH" => Main(Self::LPUSH),
            b"RPUSH" => Main(Self::RPUSH),
            b"LPOP" => Main(Self::LPOP),
            b"RPOP" => Main(Self::RPOP),
            b"LTRIM" => Main(Self::LTRIM),
            b"LSET" => Main(Self::LSET),
            b"LINSERT" => Main(Self::LINSERT),
            b"LREM" => Main(Self::LREM),
            b"SADD" => Main(Self::SADD),
            b"SREM" => Main(Self::SREM),
            b"HSET" => Main(Self::HSET),
            b"HDEL" => Side(Self::HDEL),
            b"HPEXPIREAT" => Side(Self::HEXPIRE),
            b"HPERSIST" => Side(Self::HPERSIST),
            b"ZADD" => Main(Self::ZADD),
            b"ZREM" => Main(Self::ZREM),
            b"XADD" => Main(Self::XADD),
            b"XTRIM" => Side(Self::XTRIM),
            b"XDEL" => Main(Self::XDEL),
            b"XSETID" => Main(Self::XSETID),
            b"XGROUP CREATE" => Side(Self::XGROUP_CREATE),
            b"XGROUP DESTROY" => Side(Self::XGROUP_DESTROY),
            b"XGROUP CREATECONSUMER" => Side(Self::XGROUP_CREATECONSUMER),
            b"XGROUP DELCONSUMER" => Side(Self::XGROUP_DELCONSUMER),
            b"ARSET" => Main(Self::ARSET),
            b"ARMSET" => Main(Self::ARMSET),
            b"ARINSERT" => Main(Self::ARINSERT),
            b"ARRING" => Main(Self::ARRING),
            b"ARDEL" => Main(Self::ARDEL),
            b"ARDELRANGE" => Main(Self::ARDELRANGE),
            b"ARSEEK" => Main(Self::ARSEEK),
            b"PEXPIREMEMBERAT" if kind == Kind::Set => Side(Self::SEXPIRE),
            b"PEXPIREMEMBERAT" => Side(Self::ZEXPIRE),
            b"PERSISTMEMBER" if kind == Kind::Set => Side(Self::SPERSIST),
            b"PERSISTMEMBER" => Side(Self::ZPERSIST),
            _ => return None,
        })
    }
}

/// An event of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEvent {
    /// The key's keyspace.
    pub keyspace: KeyspaceId,
    /// The key.
    pub key: Box<[u8]>,
    /// The event.
    pub event: &'static Event,
    /// The fields of a hash that it concerns, where somebody wants to know.
    pub subkeys: Vec<Box<[u8]>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_name_classes_as_in_redis() {
        let text = |letters: &str| {
            let classes = EventClasses::from_letters(letters.as_bytes());
            classes.map(EventClasses::letters)
        };
        assert_eq!(text("").as_deref(), Some(""));
        assert_eq!(text("KEA").as_deref(), Some("AKE"));
        assert_eq!(text("g$lshzxetdaK").as_deref(), Some("AK"));
        assert_eq!(text("KEAn").as_deref(), Some("AKE"));
        assert_eq!(text("Kn").as_deref(), Some("nK"));
        assert_eq!(text("coSK").as_deref(), Some("KocS"));
        assert_eq!(text("q"), None);
    }

    #[test]
    fn nothing_is_told_without_a_channel() {
        let of = |letters: &[u8]| EventClasses::from_letters(letters).map(EventClasses::told);
        assert_eq!(of(b"A"), Some(EventClasses::NONE));
        assert!(of(b"AI").is_some_and(EventClasses::any));
    }
}
