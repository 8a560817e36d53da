//! Where a command's keys are: derived from its argument tree, or declared beside it.
//!
//! A [`KeySpec`] is the key specification of COMMAND INFO: where to begin (a fixed position, or the
//! word after a keyword) and how to go on (a range with a step, or as many keys as a count says).
//! Every spec is understood by one function, [`KeySpec::positions`]; execution, routing, ACLs and
//! COMMAND GETKEYS all go through it. It allocates nothing, and for the commonest shape (one key,
//! or one run of keys) is a handful of instructions.

use kvik_resp::Args;

use super::argument::{Argument, Kind, Length, Repetition};
use super::flags::{Flags, KeyFlags};

/// One key specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySpec {
    /// The effect of the command on these keys.
    pub flags: KeyFlags,
    /// Where the search begins.
    pub begin: Begin,
    /// How the keys lie from there.
    pub find: Find,
    /// A remark shown by COMMAND INFO.
    pub notes: &'static str,
}

/// Where the search for keys begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At this argument (0 is the command's name).
    Index(usize),
    /// Behind this word, looked for from argument `from` on.
    Keyword {
        /// The word, any case.
        word: &'static str,
        /// The first argument that may be the word; counted from the end when negative, and then
        /// searched backwards.
        from: isize,
    },
    /// Only the command's own function knows.
    Unknown,
}

/// How the keys lie from where the search begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Find {
    /// Up to a last key.
    Range {
        /// Counted from the beginning; from the end of the arguments when negative.
        last: isize,
        /// From one key to the next.
        step: usize,
        /// With `last` = -1: keys fill only the first 1/limit of what is left, unless 0 or 1.
        limit: usize,
    },
    /// As many as a number says.
    Count {
        /// Where the number is, counted from the beginning.
        number: usize,
        /// Where the first key is, counted from the beginning.
        first: usize,
        /// From one key to the next.
        step: usize,
    },
    /// Only the command's own function knows.
    Unknown,
}

/// The arguments do not have the form in which keys could be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidKeys;

/// Finds the keys of a command whose positions no [`KeySpec`] can express: calls back with each
/// position.
pub type KeyFinder = fn(Args<'_>, &mut dyn FnMut(usize, KeyFlags)) -> Result<(), InvalidKeys>;

/// A run of key positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Positions {
    next: usize,
    step: usize,
    left: usize,
}

impl Positions {
    const NONE: Self = Self {
        next: 0,
        step: 1,
        left: 0,
    };
}

impl Iterator for Positions {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let at = self.next;
        self.next += self.step;
        Some(at)
    }
}

impl KeySpec {
    /// A run of keys from a fixed position on.
    pub const fn range(index: usize, last: isize, step: usize, flags: KeyFlags) -> Self {
        Self {
            flags,
            begin: Begin::Index(index),
            find: Find::Range {
                last,
                step,
                limit: 0,
            },
            notes: "",
        }
    }

    /// As many keys as the argument at `index` says, right after it.
    pub const fn counted(index: usize, flags: KeyFlags) -> Self {
        Self {
            flags,
            begin: Begin::Index(index),
            find: Find::Count {
                number: 0,
                first: 1,
                step: 1,
            },
            notes: "",
        }
    }

    /// The one key behind a keyword.
    pub const fn after(word: &'static str, from: isize, flags: KeyFlags) -> Self {
        Self {
            flags,
            begin: Begin::Keyword { word, from },
            find: Find::Range {
                last: 0,
                step: 1,
                limit: 0,
            },
            notes: "",
        }
    }

    /// Keys that only the command's own function finds.
    pub const fn unknown(flags: KeyFlags, notes: &'static str) -> Self {
        Self {
            flags,
            begin: Begin::Unknown,
            find: Find::Unknown,
            notes,
        }
    }

    /// The positions of the keys in `args`, none when the keyword is absent.
    pub fn positions(&self, args: Args<'_>) -> Result<Positions, InvalidKeys> {
        let begin = match self.begin {
            Begin::Index(index) => index,
            Begin::Keyword { word, from } => match find_keyword(args, word, from) {
                Some(at) => at + 1,
                None => return Ok(Positions::NONE),
            },
            Begin::Unknown => return Ok(Positions::NONE),
        };
        if begin >= args.len() {
            return if matches!(self.begin, Begin::Index(_)) {
                Ok(Positions::NONE)
            } else {
                Err(InvalidKeys)
            };
        }
        match self.find {
            Find::Range { last, step, limit } => range(begin, last, step, limit, args.len()),
            Find::Count {
                number,
                first,
                step,
            } => counted(begin + number, begin + first, step, args),
            Find::Unknown => Ok(Positions::NONE),
        }
    }
}

fn find_keyword(args: Args<'_>, word: &str, from: isize) -> Option<usize> {
    let matches = |at: &usize| args[*at].eq_ignore_ascii_case(word.as_bytes());
    match usize::try_from(from) {
        Ok(from) => (from..args.len()).find(matches),
        Err(_) => (1..=args.len().checked_add_signed(from)?)
            .rev()
            .find(matches),
    }
}

fn range(
    begin: usize,
    last: isize,
    step: usize,
    limit: usize,
    count: usize,
) -> Result<Positions, InvalidKeys> {
    // A `last` of 0 or more counts from the first key, a negative one from the end; a limit
    // n of 2 or more takes an nth of the words that are left.
    let end = match (usize::try_from(last), limit) {
        (Ok(last), _) => begin + last + 1,
        (Err(_), 0 | 1) => (count + 1).checked_add_signed(last).ok_or(InvalidKeys)?,
        (Err(_), limit) => begin + (count - begin) / limit,
    };
    if end > count || end < begin {
        return Err(InvalidKeys);
    }
    Ok(Positions {
        next: begin,
        step,
        left: (end - begin).div_ceil(step),
    })
}

fn counted(
    number: usize,
    first: usize,
    step: usize,
    args: Args<'_>,
) -> Result<Positions, InvalidKeys> {
    let digits = args.get(number).ok_or(InvalidKeys)?;
    let text = std::str::from_utf8(digits).map_err(|_| InvalidKeys)?;
    let left: usize = text.parse().map_err(|_| InvalidKeys)?;
    // The number comes from a client: it must not exceed the words that are there.
    let room = args.len().saturating_sub(first).div_ceil(step);
    if left > room {
        return Err(InvalidKeys);
    }
    Ok(Positions {
        next: first,
        step,
        left,
    })
}

/// The keys of a command in the form in which they are found while it runs.
#[derive(Clone, Copy, Debug)]
pub(super) enum KeyShape {
    None,
    /// One key at a fixed position.
    At(usize),
    /// The keys that the specifications find. Specifications of channels do not stand beside those
    /// of keys.
    Specs,
    /// The keys that the command's own function finds.
    Computed(KeyFinder),
}

impl KeyShape {
    pub(super) fn of(specs: &[KeySpec], finder: Option<KeyFinder>) -> Self {
        // Channels are declared like keys, but lock nothing.
        let channels_only = specs
            .iter()
            .all(|spec| spec.flags.contains(KeyFlags::NOT_KEY));
        match (finder, specs) {
            (Some(finder), _) => Self::Computed(finder),
            (None, _) if channels_only => Self::None,
            (
                None,
                [
                    KeySpec {
                        begin: Begin::Index(at),
                        find: Find::Range { last: 0, .. },
                        ..
                    },
                ],
            ) => Self::At(*at),
            (None, _) => Self::Specs,
        }
    }
}

/// First key, last key, step: the positions of COMMAND INFO from before there were specifications.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LegacyRange {
    /// The first key; 0 when there is none.
    pub first: isize,
    /// The last key; counted from the end when negative.
    pub last: isize,
    /// From one key to the next.
    pub step: isize,
}

impl LegacyRange {
    /// The range the specifications describe, and whether it leaves keys out ("movablekeys").
    pub(super) fn of(specs: &[KeySpec]) -> (Self, bool) {
        let mut range = Self::default();
        let mut movable = false;
        for spec in specs {
            match range.extended_by(spec) {
                Some(longer) => range = longer,
                None => movable = true,
            }
        }
        (range, movable)
    }

    /// This range and the keys of `spec` behind it, if that is one range.
    fn extended_by(self, spec: &KeySpec) -> Option<Self> {
        let (
            Begin::Index(index),
            Find::Range {
                last,
                step,
                limit: 0 | 1,
            },
        ) = (spec.begin, spec.find)
        else {
            return None;
        };
        let (first, step) = (index.cast_signed(), step.cast_signed());
        // Specifications count from their first key, COMMAND INFO from the command's name.
        let last = if last < 0 { last } else { first + last };
        if self.first == 0 {
            return Some(Self { first, last, step });
        }
        (self.last + 1 == first && self.step == step).then_some(Self { last, ..self })
    }
}

/// Derives the key specifications of `arguments`, the first of which is argument number `at`, and
/// marks the arguments with the number of theirs.
pub(super) fn derive(arguments: &mut [Argument], at: usize, flags: Flags) -> Vec<KeySpec> {
    let mut found: Vec<DerivedSpec> = Vec::new();
    // The position of a key is known only while all arguments before it have a fixed length.
    let mut before = Length {
        min: at,
        fixed: true,
    };
    for i in 0..arguments.len() {
        if let Some(next) = find_in(arguments, i, before) {
            match found.last_mut().filter(|last| last.continues_with(&next)) {
                Some(last) => last.extend(),
                None => found.push(next),
            }
            if let Some(key) = first_key(&mut arguments[i]) {
                key.key_spec = Some(found.len() - 1);
            }
        }
        let length = arguments[i].length();
        before = Length {
            min: before.min + length.min,
            fixed: before.fixed && length.fixed,
        };
    }
    // `key` beside a destination is a source, which is only read.
    let overwrites = found.iter().any(|key| is_destination(&key.name));
    let several = found.len() > 1;
    found
        .iter()
        .map(|key| KeySpec {
            flags: default_flags(&key.name, flags, overwrites && several),
            ..key.spec
        })
        .collect()
}

/// A derived specification and the name of its argument.
struct DerivedSpec {
    name: String,
    spec: KeySpec,
}

impl DerivedSpec {
    fn new(name: String, begin: Begin, find: Find) -> Self {
        let spec = KeySpec {
            flags: KeyFlags::empty(),
            begin,
            find,
            notes: "",
        };
        Self { name, spec }
    }

    /// `key1 key2` are one specification, `source destination` are two.
    fn continues_with(&self, next: &Self) -> bool {
        // `key1` and `key2` have the same stem, which differs from their names.
        let stem = |name: &str| {
            name.trim_end_matches(|c: char| c.is_ascii_digit())
                .to_owned()
        };
        let numbered = self.name != stem(&self.name) && stem(&self.name) == stem(&next.name);
        numbered
            && matches!(
                (self.spec.begin, next.spec.begin),
                (Begin::Index(_), Begin::Index(_))
            )
    }

    fn extend(&mut self) {
        if let Find::Range { last, .. } = &mut self.spec.find {
            *last += 1;
        }
    }
}

fn find_in(arguments: &mut [Argument], i: usize, before: Length) -> Option<DerivedSpec> {
    let key = first_key(&mut arguments[i])?;
    let (name, repetition) = (key.name.clone(), key.repetition);
    let argument = &arguments[i];
    // A token is searched for; without one the key must stand at a fixed position.
    let begin = match argument.token {
        Some(word) => Begin::Keyword {
            word,
            from: before.min.cast_signed(),
        },
        None if before.fixed => Begin::Index(before.min),
        None => return None,
    };
    let width = argument.parts().len().max(1);
    let many = argument.repetition != Repetition::Once || repetition != Repetition::Once;
    // Keys behind `numkeys` are found through it: the count is the word before the first key.
    let after_count = i > 0 && arguments[i - 1].name == "numkeys";
    let find = match (many, argument.token.is_some()) {
        (true, _) if after_count => {
            let spec = Find::Count {
                number: 0,
                first: 1,
                step: width,
            };
            return Some(DerivedSpec::new(name, Begin::Index(before.min - 1), spec));
        }
        (true, true) if width > 1 => Find::Range {
            last: -1,
            step: 1,
            limit: width,
        },
        (true, _) => Find::Range {
            last: last_of_run(&arguments[i + 1..])?,
            step: width,
            limit: 0,
        },
        (false, _) => Find::Range {
            last: 0,
            step: 1,
            limit: 0,
        },
    };
    Some(DerivedSpec::new(name, begin, find))
}

/// The key with which an argument begins, behind no other token than its own.
fn first_key(argument: &mut Argument) -> Option<&mut Argument> {
    if argument.kind == Kind::Key {
        return Some(argument);
    }
    let bare = |part: &mut Argument| part.token.is_none();
    match &mut argument.kind {
        Kind::Block(parts) => parts
            .first_mut()
            .and_then(|part| bare(part).then_some(part)),
        Kind::OneOf(choices) => choices.iter_mut().find(|choice| choice.token.is_none()),
        _ => None,
    }
    .and_then(first_key)
}

/// A key that no specification finds: its command would work on it without holding its lock.
pub(super) fn unfound(arguments: &[Argument]) -> Option<&Argument> {
    arguments
        .iter()
        .find_map(|argument| match argument.key_spec {
            None if argument.kind == Kind::Key => Some(argument),
            _ => unfound(argument.parts()),
        })
}

/// Where a run of keys ends when `rest` follows it: nothing is derived when that has no fixed
/// length.
fn last_of_run(rest: &[Argument]) -> Option<isize> {
    let rest = Length::of(rest);
    rest.fixed.then(|| -1 - rest.min.cast_signed())
}

fn is_destination(name: &str) -> bool {
    matches!(
        name,
        "destination" | "destkey" | "newkey" | "storekey" | "dst"
    )
}

/// The effect of a command on a key of this name if its row gives none: a reader reads, a writer
/// overwrites its destination, reads the keys beside one, and otherwise updates.
fn default_flags(name: &str, flags: Flags, beside_destination: bool) -> KeyFlags {
    if flags.contains(Flags::READONLY) {
        KeyFlags::RO_ACCESS
    } else if !flags.contains(Flags::WRITE) {
        KeyFlags::RO
    } else if is_destination(name) {
        KeyFlags::OW_UPDATE
    } else if beside_destination {
        KeyFlags::RO_ACCESS
    } else {
        KeyFlags::RW_UPDATE
    }
}
