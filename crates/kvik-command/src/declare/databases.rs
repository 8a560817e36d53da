//! The databases that a call reaches: what a user is confined to who may use only some.
//!
//! Nearly every command reaches the database that its client has selected, or no data at all, which
//! follows from its flags and keys. The rows of the others say where they reach.

use kvik_resp::{Args, parse_i64};

use super::command::Command;

/// The databases that a command reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Databases {
    /// None: it is about the connection or the server.
    None,
    /// That which its client has selected.
    Selected,
    /// All that there are.
    All,
    /// Those whose numbers are the words at these positions.
    Named(&'static [usize]),
    /// The selected one, and that whose number is the word at this position.
    SelectedAnd(usize),
    /// The selected one, and that whose number stands behind this word, if it is among the options.
    SelectedAndBehind(&'static str),
}

impl Command {
    /// Visits the databases that a call reaches whose client has selected `selected`, and says
    /// whether these are all of them: if not, it may reach any. A word that is no number is passed
    /// over, for the command refuses it.
    pub fn for_each_database(
        &self,
        args: Args<'_>,
        selected: u32,
        mut visit: impl FnMut(u32),
    ) -> bool {
        let mut visit_word = |at: usize| {
            let number = args.get(at).and_then(parse_i64);
            if let Some(database) = number.and_then(|number| u32::try_from(number).ok()) {
                visit(database);
            }
        };
        match self.databases() {
            Databases::None => {}
            Databases::All => return false,
            Databases::Named(positions) => positions.iter().for_each(|at| visit_word(*at)),
            Databases::Selected => visit(selected),
            Databases::SelectedAnd(at) => {
                visit_word(at);
                visit(selected);
            }
            Databases::SelectedAndBehind(word) => {
                let options = 1..args.len();
                let is_word = |at: &usize| args[*at].eq_ignore_ascii_case(word.as_bytes());
                // A key may be called as the option is: to take one too many refuses too much.
                options.filter(is_word).for_each(|at| visit_word(at + 1));
                visit(selected);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use kvik_resp::ArgsBuf;

    use super::*;
    use crate::declare::{Flags, table};

    /// The databases of a call in database 7; none if it may reach any.
    fn reached(line: &str) -> Option<Vec<u32>> {
        let mut words = ArgsBuf::new();
        words.extend(line.split(' '));
        let command = table().resolve(words.as_args()).unwrap();
        let mut found = Vec::new();
        let are_all = command.for_each_database(words.as_args(), 7, |it| found.push(it));
        are_all.then_some(found)
    }

    #[test]
    fn calls_reach_the_databases_that_they_name() {
        for (line, expected) in [
            ("PING", &[][..]),
            ("GET k", &[7]),
            ("EVAL script 0", &[7]),
            ("DBSIZE", &[7]),
            ("SELECT 3", &[3]),
            ("SELECT x", &[]),
            ("SWAPDB 1 2", &[1, 2]),
            ("MOVE k 4", &[4, 7]),
            ("COPY a b", &[7]),
            ("COPY a b REPLACE db 9", &[9, 7]),
        ] {
            assert_eq!(reached(line).as_deref(), Some(expected), "{line}");
        }
        assert_eq!(reached("FLUSHALL"), None);
        assert_eq!(reached("MONITOR"), None);
    }

    #[test]
    fn whatever_reads_or_writes_reaches_somewhere() {
        for command in table().commands() {
            let uses_data = command.flags().intersects(Flags::WRITE | Flags::READONLY);
            let uses_data = uses_data || command.has_keys();
            if uses_data {
                assert_ne!(command.databases(), Databases::None, "{}", command.name());
            }
        }
    }
}
