//! The commands, one file per family: rows first, then the handlers they name.

use crate::declare::Row;

/// The rows of all families.
pub fn commands() -> Vec<Row> {
    Vec::new()
}
