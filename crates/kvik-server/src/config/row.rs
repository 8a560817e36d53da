//! One row of the directive table, and the small builder the table is written with.

use std::path::PathBuf;

use kvik_command::persistence::SaveRule;
use kvik_command::{EventClasses, Settings};

use super::path::path_of;
use super::value::{self, Value};

/// One directive: everything that flags, environment, files, CONFIG and the documentation know of
/// it.
pub struct Row {
    /// Redis' spelling, lower case, words joined by `-`.
    pub name: &'static str,
    /// A second spelling with the same meaning (`slaveof` for `replicaof`).
    pub alias: Option<&'static str>,
    /// The shape of its value.
    pub kind: Kind,
    /// The default, as it would be written in redis.conf.
    pub default: &'static str,
    /// Who may see and change it.
    pub access: Access,
    /// Whether its value reaches the server.
    pub effect: Effect,
    /// A value that holds all the same although the directive has no effect.
    pub holds: Option<&'static str>,
    /// A rule beyond the kind's, run after the value has been parsed.
    pub check: Option<Check>,
    /// Copies its value into the settings that commands obey, if that is where it acts.
    pub(crate) sets: Option<Set>,
    /// One line of documentation.
    pub about: &'static str,
}

/// A rule on a parsed value; the error is what CONFIG SET prints after the dash.
pub type Check = fn(&Row, &Value) -> Result<(), String>;

/// Copies the value of a directive into the settings that commands obey.
pub(crate) type Set = fn(&Settings, &Current<'_>);

/// The value of one directive that is in force.
pub(crate) struct Current<'a> {
    pub(crate) kind: Kind,
    pub(crate) value: &'a Value,
}

impl Current<'_> {
    /// A number that may be negative; 0 for what is none.
    pub(crate) fn signed(&self) -> i64 {
        match self.value {
            Value::Number(number) => *number,
            _ => 0,
        }
    }

    /// A number that its row keeps from being negative.
    pub(crate) fn number(&self) -> u64 {
        self.signed().unsigned_abs()
    }

    /// Classes of keyspace events.
    pub(crate) fn events(&self) -> EventClasses {
        EventClasses::from_bits(self.signed() as u32)
    }

    /// Whether a yes-or-no directive is on.
    pub(crate) fn is_on(&self) -> bool {
        self.signed() != 0
    }

    /// The name that a choice stands at.
    pub(crate) fn choice(&self) -> &'static str {
        match self.kind {
            Kind::Choice(names) => value::choice_name(names, self.signed()),
            _ => "",
        }
    }

    /// A text for people and for names of files.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    /// A text as a path.
    pub(crate) fn path(&self) -> PathBuf {
        path_of(&self.bytes())
    }

    /// The same; nothing if it is empty.
    pub(crate) fn path_if_any(&self) -> Option<PathBuf> {
        Some(self.path()).filter(|path| !path.as_os_str().is_empty())
    }

    /// Rules of `save`.
    pub(crate) fn save_rules(&self) -> Vec<SaveRule> {
        let Value::Numbers(numbers) = self.value else {
            return Vec::new();
        };
        let rules = numbers.chunks_exact(2).map(|rule| SaveRule {
            seconds: rule[0].unsigned_abs(),
            changes: rule[1].unsigned_abs(),
        });
        rules.collect()
    }

    /// The words of a list of them.
    pub(crate) fn words(&self) -> &[Vec<u8>] {
        match self.value {
            Value::Words(words) => words,
            _ => &[],
        }
    }

    /// A text; nothing for what is none.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self.value {
            Value::Text(text) => text.clone(),
            _ => Vec::new(),
        }
    }
}

/// The shape of a directive's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `yes` or `no`.
    Bool,
    /// A decimal integer in a range.
    Int(i64, i64),
    /// Bytes, with `k kb m mb g gb`, in a range.
    Memory(i64, i64),
    /// Bytes or, held as a negative number, a percentage up to 100.
    MemoryOrPercent,
    /// A file mode in octal, up to the bound.
    Octal(i64),
    /// `auto`, held as 0, or an integer up to the bound.
    AutoOr(i64),
    /// One of several names; a name's synonyms follow it after `|`. Its number is its position.
    Choice(&'static [&'static str]),
    /// Several names at once, each a bit after the first, which stands for none.
    Flags(&'static [&'static str]),
    /// Any bytes.
    Text,
    /// An existing directory, held as its absolute path.
    Dir,
    /// Any number of words.
    Words,
    /// Exactly so many integers, between the bounds.
    Integers(usize, i64, i64),
    /// Percentages with decimals.
    Percentiles,
    /// `<seconds> <changes>` pairs; repeated lines add up.
    Save,
    /// `<class> <hard> <soft> <soft seconds>` for some of the client classes.
    BufferLimits,
    /// Letters that name classes of keyspace events.
    Events,
    /// `<host> <port>`, or `no one`.
    HostPort,
    /// Two words; repeated lines add up.
    Pairs,
    /// URLs of doors; repeated lines add up.
    Doors,
}

impl Kind {
    /// Whether the value may be written as several words.
    #[must_use]
    pub fn takes_words(self) -> bool {
        use Kind::{
            BufferLimits, Doors, Flags, HostPort, Integers, Pairs, Percentiles, Save, Words,
        };
        matches!(
            self,
            Words
                | Doors
                | Integers(..)
                | Percentiles
                | Save
                | BufferLimits
                | HostPort
                | Pairs
                | Flags(_)
        )
    }

    /// Whether a TOML table `[name]` holds the value, one line per key.
    pub(super) fn takes_table(self) -> bool {
        matches!(self, Self::BufferLimits | Self::Pairs)
    }
}

/// Who may see and change a directive while the server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// CONFIG SET changes it.
    Open,
    /// CONFIG SET changes it, and nothing that records commands may keep the value.
    Secret,
    /// CONFIG SET changes it only as `enable-protected-configs` allows.
    Protected,
    /// Set once, at the start.
    Fixed,
    /// Known to files, flags and the environment only, and not shown: CONFIG has never heard of it.
    FileOnly,
}

/// Whether the server acts on a directive. What is not honoured is still parsed, stored and shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It does what it says.
    Honoured,
    /// It will; why it does not yet. CONFIG SET of a running server refuses it.
    Pending(&'static str),
    /// It never will, because kvik has no use for it; why.
    Ignored(&'static str),
    /// As `Ignored`, and CONFIG SET refuses it, so that tools which probe for it see that it is not
    /// there.
    Unavailable(&'static str),
}

impl Effect {
    /// Why a value other than the default changes nothing, if so.
    #[must_use]
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::Honoured => None,
            Self::Pending(reason) | Self::Ignored(reason) | Self::Unavailable(reason) => {
                Some(reason)
            }
        }
    }
}

/// Starts a row; the table's macro adds the documentation.
pub(super) const fn row(name: &'static str, kind: Kind, default: &'static str) -> Row {
    Row {
        name,
        alias: None,
        kind,
        default,
        access: Access::Open,
        effect: Effect::Honoured,
        holds: None,
        check: None,
        sets: None,
        about: "",
    }
}

pub(super) const fn yes_no(name: &'static str, default: &'static str) -> Row {
    row(name, Kind::Bool, default)
}

pub(super) const fn int(name: &'static str, default: &'static str, min: i64, max: i64) -> Row {
    row(name, Kind::Int(min, max), default)
}

pub(super) const fn memory(name: &'static str, default: &'static str, min: i64, max: i64) -> Row {
    row(name, Kind::Memory(min, max), default)
}

pub(super) const fn choice(
    name: &'static str,
    default: &'static str,
    names: &'static [&'static str],
) -> Row {
    row(name, Kind::Choice(names), default)
}

pub(super) const fn text(name: &'static str, default: &'static str) -> Row {
    row(name, Kind::Text, default)
}

impl Row {
    pub(super) const fn alias(self, alias: &'static str) -> Self {
        Self {
            alias: Some(alias),
            ..self
        }
    }

    pub(super) const fn about(self, about: &'static str) -> Self {
        Self { about, ..self }
    }

    pub(super) const fn fixed(self) -> Self {
        Self {
            access: Access::Fixed,
            ..self
        }
    }

    pub(super) const fn secret(self) -> Self {
        Self {
            access: Access::Secret,
            ..self
        }
    }

    pub(super) const fn protected(self) -> Self {
        Self {
            access: Access::Protected,
            ..self
        }
    }

    pub(super) const fn file_only(self) -> Self {
        Self {
            access: Access::FileOnly,
            ..self
        }
    }

    pub(super) const fn pending(self, reason: &'static str) -> Self {
        Self {
            effect: Effect::Pending(reason),
            ..self
        }
    }

    pub(super) const fn ignored(self, reason: &'static str) -> Self {
        Self {
            effect: Effect::Ignored(reason),
            ..self
        }
    }

    pub(super) const fn unavailable(self, reason: &'static str) -> Self {
        Self {
            effect: Effect::Unavailable(reason),
            ..self
        }
    }

    pub(super) const fn holds(self, value: &'static str) -> Self {
        Self {
            holds: Some(value),
            ..self
        }
    }

    pub(super) const fn check(self, check: Check) -> Self {
        Self {
            check: Some(check),
            ..self
        }
    }

    pub(super) const fn sets(self, sets: Set) -> Self {
        Self {
            sets: Some(sets),
            ..self
        }
    }

    /// Whether its value is copied into the settings that commands obey.
    #[must_use]
    pub fn is_obeyed_by_commands(&self) -> bool {
        self.sets.is_some()
    }
}
