//! A command: a row of the table and what follows from it.
//!
//! Arity, key positions, ACL categories and the documentation follow from the syntax string and the
//! flags of the [`Row`], so that they cannot disagree.

use kvik_resp::Args;
use kvik_store::Event;

use super::argument::{self, Argument, Length, Style};
use super::databases::Databases;
use super::flags::{Category, Flags, Group, KeyFlags, Locking};
use super::keys::{self, InvalidKeys, KeyShape, KeySpec, LegacyRange};
use super::row::{Arrival, Deprecation, Preparation, Readiness, Row};
use super::syntax;
use super::work::Work;
use crate::Handler;

/// One command or subcommand.
#[derive(Debug)]
pub struct Command {
    row: Row,
    id: u16,
    container: Option<u16>,
    pub(super) subcommands: Vec<u16>,
    full_name: String,
    arguments: Vec<Argument>,
    arity: i16,
    flags: Flags,
    group: Group,
    categories: Category,
    specs: Vec<KeySpec>,
    shape: KeyShape,
    range: LegacyRange,
    event: Option<Event>,
}

/// Why a row cannot be completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclareError {
    /// The command.
    pub command: &'static str,
    /// The fault in its row.
    pub what: String,
}

impl std::fmt::Display for DeclareError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the row of {} is wrong: {}", self.command, self.what)
    }
}

impl std::error::Error for DeclareError {}

/// Declaring.
impl Command {
    /// Begins the row of a command; `name` is one word, or two for a subcommand ("CONFIG GET"),
    /// `syntax` is in the notation of [`super::syntax`].
    #[allow(
        clippy::new_ret_no_self,
        reason = "the table makes a command of the row"
    )]
    pub fn new(name: &'static str, syntax: &'static str, handler: Handler) -> Row {
        Row::new(name, syntax, Some(handler))
    }

    /// Begins the row of a command that consists of its subcommands only.
    pub fn container(name: &'static str) -> Row {
        Row::new(name, "", None).arity(-2)
    }

    /// Completes a row. A subcommand has its container's group unless its row names another.
    pub(super) fn complete(
        row: Row,
        id: u16,
        container: Option<&Self>,
    ) -> Result<Self, DeclareError> {
        let wrong = |what: String| DeclareError {
            command: row.name,
            what,
        };
        let mut arguments =
            syntax::parse(row.syntax).map_err(|e| wrong(format!("{} at {:?}", e.what, e.rest)))?;
        let words = row.name.split(' ').count();
        let derived = keys::derive(&mut arguments, words, row.flags);
        let regular = row.key_specs.is_none() && row.finder.is_none();
        if let Some(key) = keys::unfound(&arguments).filter(|_| regular) {
            return Err(wrong(format!("nothing finds its key {:?}", key.name)));
        }
        let specs = apply_access(&row, row.key_specs.map_or(derived, <[KeySpec]>::to_vec))
            .map_err(wrong)?;
        let (range, movable) = LegacyRange::of(&specs);
        let group = row
            .group
            .or(container.map(Self::group))
            .ok_or_else(|| wrong("it has no group".to_owned()))?;
        Ok(Self {
            id,
            container: container.map(Self::id),
            subcommands: Vec::new(),
            full_name: row.name.to_lowercase().replace(' ', "|"),
            arity: row.arity.unwrap_or_else(|| arity(words, &arguments)),
            flags: if movable || row.finder.is_some() {
                row.flags | Flags::MOVABLE_KEYS
            } else {
                row.flags
            },
            categories: categories(&row, group),
            shape: KeyShape::of(&specs, row.finder),
            group,
            arguments,
            specs,
            range,
            event: row.event.map(|name| Event::new(group.events(), name)),
            row,
        })
    }
}

/// Asking.
impl Command {
    /// The name as declared: "GET", "CONFIG GET".
    pub fn name(&self) -> &'static str {
        self.row.name
    }

    /// The name in replies and errors: "get", "config|get".
    pub fn full_name(&self) -> &str {
        &self.full_name
    }

    /// The last word of the name: "GET" for both of these.
    pub fn last_word(&self) -> &'static str {
        self.row
            .name
            .split_once(' ')
            .map_or(self.row.name, |(_, word)| word)
    }

    /// A dense number: the index of the command in [`super::Table::commands`], for counters per
    /// command.
    pub fn id(&self) -> u16 {
        self.id
    }

    /// The id of the command it is a subcommand of.
    pub fn container_id(&self) -> Option<u16> {
        self.container
    }

    /// The function that runs it; none for a mere container of subcommands.
    pub fn handler(&self) -> Option<Handler> {
        self.row.handler
    }

    /// How the server treats it.
    pub fn flags(&self) -> Flags {
        self.flags
    }

    /// The words of a call, its name included: exactly so many, or at least so many when negative.
    pub fn arity(&self) -> i16 {
        self.arity
    }

    /// Whether a call of `count` words, its name included, has the right number of them.
    pub fn accepts(&self, count: usize) -> bool {
        let least = usize::from(self.arity.unsigned_abs());
        if self.arity < 0 {
            count >= least
        } else {
            count == least
        }
    }

    /// The ACL categories.
    pub fn categories(&self) -> Category {
        self.categories
    }

    /// The documentation group.
    pub fn group(&self) -> Group {
        self.group
    }

    /// The version that introduced it.
    pub fn since(&self) -> &'static str {
        self.row.since
    }

    /// One sentence for people.
    pub fn summary(&self) -> &'static str {
        self.row.summary
    }

    /// Whether a call takes little time whatever it finds, but for copying what is long.
    #[inline]
    pub fn is_quick(&self) -> bool {
        self.flags.contains(Flags::FAST) || self.row.complexity == "O(1)"
    }

    /// The running time.
    pub fn complexity(&self) -> &'static str {
        self.row.complexity
    }

    /// Hints for clients and proxies.
    pub fn tips(&self) -> &'static [&'static str] {
        self.row.tips
    }

    /// The versions that changed it, and how.
    pub fn history(&self) -> &[(&'static str, &'static str)] {
        &self.row.history
    }

    /// Whether it is not to be used any more.
    pub fn deprecation(&self) -> Option<Deprecation> {
        self.row.deprecation
    }

    /// The argument tree.
    pub fn arguments(&self) -> &[Argument] {
        &self.arguments
    }

    /// The usage line without the name, as in `key value [NX|XX]`.
    pub fn usage(&self, style: Style) -> String {
        argument::usage(&self.arguments, style)
    }

    /// The locks that a call must hold while it runs.
    #[inline]
    pub fn locking_of(&self, args: Args<'_>) -> Locking {
        match self.row.reaches_all {
            Some(reaches) if reaches(args) => Locking::All,
            _ => self.locking(),
        }
    }

    /// The locks that it declares, whatever its arguments are.
    pub fn locking(&self) -> Locking {
        let with_keys = if self.has_keys() {
            Locking::Keys
        } else {
            Locking::None
        };
        self.row.locking.unwrap_or(with_keys)
    }

    /// Whether a call names one key, as its first argument, and reaches no others.
    pub(crate) fn has_its_only_key_first(&self) -> bool {
        matches!(self.shape, KeyShape::At(1)) && self.locks_its_keys()
    }

    /// Whether a call reaches no other keys than those that it names.
    pub(crate) fn locks_its_keys(&self) -> bool {
        self.locking() == Locking::Keys && self.row.reaches_all.is_none()
    }

    /// How much a call does while it holds the stripes of its keys.
    pub fn work(&self) -> Work {
        let prepared = self.row.preparation.map(|_| Work::Prepared);
        self.row.work.or(prepared).unwrap_or(Work::Constant)
    }

    /// The work to be done in parts, with its keys at hand, before it runs.
    #[inline]
    pub fn preparation(&self) -> Option<Preparation> {
        self.row.preparation
    }

    /// The event by which others hear of its changes, if it has a name of its own for them.
    pub fn event(&'static self) -> Option<&'static Event> {
        self.event.as_ref()
    }

    /// The check whether a call can run now; only commands with [`Flags::WAITS`] have one.
    pub fn readiness(&self) -> Option<Readiness> {
        self.row.readiness
    }

    /// The check whether there is something for a blocked call.
    pub fn arrival(&self) -> Option<Arrival> {
        self.row.arrival
    }

    /// The databases that it reaches.
    pub fn databases(&self) -> Databases {
        let uses_data = self.flags.intersects(Flags::WRITE | Flags::READONLY) || self.has_keys();
        let usual = match uses_data {
            true => Databases::Selected,
            false => Databases::None,
        };
        self.row.databases.unwrap_or(usual)
    }

    /// Whether it has subcommands.
    pub fn is_container(&self) -> bool {
        !self.subcommands.is_empty()
    }

    /// Whether it may name keys.
    pub fn has_keys(&self) -> bool {
        !matches!(self.shape, KeyShape::None)
    }

    /// The position of the key in an accepted call, when the command has exactly one, at a fixed
    /// place.
    #[inline]
    pub fn only_key(&self, args: Args<'_>) -> Option<usize> {
        match self.shape {
            KeyShape::At(at) if at < args.len() => Some(at),
            _ => None,
        }
    }

    /// The key specifications of COMMAND INFO.
    pub fn specs(&self) -> &[KeySpec] {
        &self.specs
    }

    /// First key, last key and step of COMMAND INFO.
    pub fn range(&self) -> LegacyRange {
        self.range
    }

    /// Calls `visit` with the position of every key in `args` (a call with an accepted number of
    /// words) and what the command is declared to do to it. On [`InvalidKeys`] some keys may
    /// already have been visited; the command itself will refuse the call.
    #[inline]
    pub fn for_each_key(
        &self,
        args: Args<'_>,
        mut visit: impl FnMut(usize, KeyFlags),
    ) -> Result<(), InvalidKeys> {
        match self.shape {
            KeyShape::None => Ok(()),
            KeyShape::At(at) => {
                if at < args.len() {
                    visit(at, self.specs[0].flags);
                }
                Ok(())
            }
            KeyShape::Specs => self.specs.iter().try_for_each(|spec| {
                spec.positions(args)?.for_each(|at| visit(at, spec.flags));
                Ok(())
            }),
            // What finds keys knows accepted calls; in a shorter one there is less to visit.
            KeyShape::Computed(finder) => finder(args, &mut |at, flags| {
                if at < args.len() {
                    visit(at, flags);
                }
            }),
        }
    }

    /// The effect of this call on a key declared with `flags`: the same, unless they are variable.
    pub fn access_in(&self, args: Args<'_>, flags: KeyFlags) -> KeyFlags {
        match self.row.access_by {
            Some(access) if flags.contains(KeyFlags::VARIABLE) => access(args),
            _ => flags - KeyFlags::VARIABLE,
        }
    }
}

/// The specifications with the access the row declares for them.
fn apply_access(row: &Row, mut specs: Vec<KeySpec>) -> Result<Vec<KeySpec>, String> {
    if !row.access.is_empty() && row.access.len() != specs.len() {
        return Err(format!(
            "access is declared for {} of {} key specifications",
            row.access.len(),
            specs.len()
        ));
    }
    for (spec, access) in specs.iter_mut().zip(row.access) {
        spec.flags = *access;
    }
    if row.access_by.is_some() {
        specs
            .iter_mut()
            .for_each(|spec| spec.flags |= KeyFlags::VARIABLE);
    }
    Ok(specs)
}

fn categories(row: &Row, group: Group) -> Category {
    let implied = Category::implied_by(row.flags, group == Group::Scripting);
    let grouped = if row.handler.is_some() {
        group.category()
    } else {
        Category::empty()
    };
    implied | row.categories.unwrap_or(grouped) | row.more_categories
}

/// The number of words of a call in Redis' sign convention.
fn arity(name_words: usize, arguments: &[Argument]) -> i16 {
    let length = Length::of(arguments);
    let words = i16::try_from(name_words + length.min).unwrap_or(i16::MAX);
    if length.fixed { words } else { -words }
}
