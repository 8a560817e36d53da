//! The commands, one file per family: rows first, then the handlers they name.

mod command;
mod connection;
mod string;
mod transaction;

use crate::declare::Row;

/// The rows of all families.
pub fn commands() -> Vec<Row> {
    [
        command::rows(),
        connection::rows(),
        string::rows(),
        transaction::rows(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
