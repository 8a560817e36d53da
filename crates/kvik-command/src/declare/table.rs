//! The command table: every row, and the way from a client's words to a row.
//!
//! Lookup is two probes at most in one flat index ([`super::index`]): the command, then its
//! subcommand. Nothing is allocated.

use std::sync::LazyLock;

use kvik_resp::Args;

use super::command::{Command, DeclareError};
use super::index::{Index, Name};
use super::row::Row;
use crate::Error;

/// All commands of this build.
///
/// # Panics
/// On first use, when a row is malformed: a unit test completes every row.
pub fn table() -> &'static Table {
    static TABLE: LazyLock<Table> = LazyLock::new(|| {
        Table::build(crate::family::commands()).unwrap_or_else(|error| unreachable!("{error}"))
    });
    &TABLE
}

/// The rows, completed, and their index.
#[derive(Debug)]
pub struct Table {
    pub(super) commands: Vec<Command>,
    index: Index,
}

/// Why a client's words name no command that can run.
#[derive(Clone, Copy, Debug)]
pub enum LookupError<'t> {
    /// No command of this name.
    UnknownCommand,
    /// The container has no subcommand of this name.
    UnknownSubcommand(&'t Command),
    /// The command takes another number of words.
    WrongArity(&'t Command),
}

impl Table {
    /// Completes the rows. A container's row stands anywhere; commands get their ids and their
    /// order in replies from the order of the rows, containers first.
    pub fn build(mut rows: Vec<Row>) -> Result<Self, DeclareError> {
        rows.sort_by_key(|row| row.name.contains(' '));
        let mut table = Self {
            index: Index::for_entries(rows.len()),
            commands: Vec::with_capacity(rows.len()),
        };
        rows.into_iter().try_for_each(|row| table.enter(row))?;
        Ok(table)
    }

    fn enter(&mut self, row: Row) -> Result<(), DeclareError> {
        let wrong = |what: &str| DeclareError {
            command: row.name,
            what: what.to_owned(),
        };
        let (first, word) = row.name.split_once(' ').unwrap_or(("", row.name));
        let container = self.child(NO_CONTAINER, first.as_bytes());
        if container.is_none() && !first.is_empty() {
            return Err(wrong("its container is not declared"));
        }
        let within = container.map_or(NO_CONTAINER, Command::id);
        if self.child(within, word.as_bytes()).is_some() {
            return Err(wrong("it is declared twice"));
        }
        let name = Name::fold(word.as_bytes()).ok_or_else(|| wrong("its name is too long"))?;
        let id =
            u16::try_from(self.commands.len()).map_err(|_| wrong("there are too many commands"))?;
        let command = Command::complete(row, id, container)?;
        self.index.insert(within, name, id);
        if let Some(container) = self.commands.get_mut(usize::from(within)) {
            container.subcommands.push(id);
        }
        self.commands.push(command);
        Ok(())
    }

    fn child(&self, container: u16, word: &[u8]) -> Option<&Command> {
        self.index
            .find(container, Name::fold(word)?)
            .map(|id| &self.commands[usize::from(id)])
    }

    /// The command that `args` call, with an accepted number of words.
    pub fn lookup(&self, args: Args<'_>) -> Result<&Command, LookupError<'_>> {
        let command = self.resolve(args)?;
        if command.accepts(args.len()) {
            Ok(command)
        } else {
            Err(LookupError::WrongArity(command))
        }
    }

    /// The command that `args` name, whatever their number.
    pub fn resolve(&self, args: Args<'_>) -> Result<&Command, LookupError<'_>> {
        let name = args.get(0).unwrap_or_default();
        let command = self
            .child(NO_CONTAINER, name)
            .ok_or(LookupError::UnknownCommand)?;
        match args.get(1) {
            Some(word) if command.is_container() => self
                .child(command.id(), word)
                .ok_or(LookupError::UnknownSubcommand(command)),
            _ => Ok(command),
        }
    }

    /// The command called `name`, subcommands as in "config|get".
    pub fn find(&self, name: &[u8]) -> Option<&Command> {
        let mut words = name.splitn(2, |byte| *byte == b'|');
        let command = self.child(NO_CONTAINER, words.next()?)?;
        match words.next() {
            Some(word) => self.child(command.id(), word),
            None => Some(command),
        }
    }

    /// All commands and subcommands; the index is [`Command::id`].
    pub fn commands(&self) -> &[Command] {
        &self.commands
    }

    /// The commands that are no subcommands.
    pub fn top_level(&self) -> impl Iterator<Item = &Command> + Clone {
        self.commands
            .iter()
            .filter(|command| !command.name().contains(' '))
    }

    /// The subcommands of `container`.
    pub fn subcommands(
        &self,
        container: &Command,
    ) -> impl ExactSizeIterator<Item = &Command> + Clone {
        container
            .subcommands
            .iter()
            .map(|id| &self.commands[usize::from(*id)])
    }

    /// The command that `subcommand` belongs to.
    pub fn container(&self, subcommand: &Command) -> Option<&Command> {
        subcommand
            .container_id()
            .map(|id| &self.commands[usize::from(id)])
    }
}

/// The container of a command that is no subcommand.
const NO_CONTAINER: u16 = u16::MAX;

impl LookupError<'_> {
    /// The error reply to `args`, in Redis' words.
    pub fn error(&self, args: Args<'_>) -> Error {
        match self {
            Self::UnknownCommand => unknown_command(args),
            Self::UnknownSubcommand(container) => Error::quoting(&[
                b"unknown subcommand '",
                shown(args.get(1).unwrap_or_default(), SHOWN_MAX),
                b"'. Try ",
                container.name().as_bytes(),
                b" HELP.",
            ]),
            Self::WrongArity(command) => Error::arity(command),
        }
    }
}

/// How many bytes of a client's words an error repeats.
const SHOWN_MAX: usize = 128;

fn unknown_command(args: Args<'_>) -> Error {
    let name = shown(args.get(0).unwrap_or_default(), SHOWN_MAX);
    let mut beginning: Vec<&[u8]> = Vec::new();
    let mut left = SHOWN_MAX;
    // As in Redis the quotes and the blank count, too, and an argument that begins within the limit
    // may take what is left.
    for arg in args.tail(1) {
        if left == 0 {
            break;
        }
        let arg = shown(arg, left);
        left = left.saturating_sub(arg.len() + 3);
        beginning.extend([b"'", arg, b"' "]);
    }
    let parts: [&[u8]; 3] = [b"unknown command '", name, b"', with args beginning with: "];
    Error::quoting(&[&parts, &beginning[..]].concat())
}

/// At most `max` bytes of a word as Redis prints it, which a zero byte ends.
fn shown(word: &[u8], max: usize) -> &[u8] {
    let end = memchr::memchr(0, word).unwrap_or(word.len());
    &word[..end.min(max)]
}
