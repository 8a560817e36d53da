//! How a script uses the names that every script finds.

/// The ways in which a script uses `redis`, KEYS and ARGV, as far as its text shows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Naming {
    /// They are only used, so that it makes no difference whether they are globals or variables of
    /// the script.
    pub are_variables: bool,
    /// Functions of `redis` are called by their names, and nothing else is done with it.
    pub redis_is_called: bool,
    /// Elements of KEYS and ARGV are read at literal positions, and nothing else is done with the
    /// tables but to count them.
    pub words_are_read: bool,
}
