//! The declaration of commands: one row says everything about one command.
//!
//! A row is a name, a syntax string, a handler and a few flags. From it follow arity, key
//! positions, ACL categories, COMMAND INFO, COMMAND DOCS and COMMAND GETKEYS, the HELP subcommands,
//! completion and hints of the interactive client, and docs/commands.md. What does not follow is
//! declared in the same row, so a command is described in one place and nowhere else.
//!
//! - [`Row`]: what is declared; [`Command`]: that and what follows from it
//! - [`syntax`]: the notation of the syntax string; [`Argument`]: the tree it describes
//! - [`KeySpec`]: where the keys are; [`Databases`]: where the databases are
//! - [`Table`]: all rows; lookup by name

mod argument;
mod command;
mod databases;
mod flags;
mod hint;
mod index;
mod info;
mod keys;
mod markdown;
mod row;
pub mod syntax;
mod table;
mod work;

pub use argument::{Argument, Kind, Repetition, Style, usage};
pub use command::{Command, DeclareError};
pub use databases::Databases;
pub use flags::{Category, Flags, Group, KeyFlags, Locking};
pub use keys::{Begin, Find, InvalidKeys, KeyFinder, KeySpec, LegacyRange, Positions};
pub use row::{AccessBy, Arrival, Deprecation, Preparation, ReachesAll, Readiness, Row};
pub use table::{LookupError, Table, table};
pub use work::Work;

#[cfg(test)]
mod tests;
