//! From the words of a request to a command and the hash of its key.

use kvik_command::declare::{Command, Locking};
use kvik_command::{Error, table};
use kvik_resp::Args;
use kvik_store::{KeyHash, Layout};

/// Calls of one quick command in a row that are timed as one. Reading the clock for each of them
/// would take longer than many of them do.
pub(super) const TIMED_TOGETHER: u8 = 8;

/// A command looked up, and position and hash of its key where it has one at a fixed place.
#[derive(Clone, Copy, Debug)]
pub struct Prepared {
    command: Option<&'static Command>,
    hash: KeyHash,
    /// Which word is the key; 0 where there is no such word.
    key: u8,
    /// How many of its kind come right before it and are timed together with it.
    behind: u8,
    /// Whether one of its kind comes behind and is timed together with it.
    goes_on: bool,
    /// Whether the hash is that of a key that it will use, among others perhaps.
    is_fetched: bool,
}

impl Prepared {
    #[inline]
    pub(super) fn new(layout: &Layout, command: Option<&'static Command>, args: Args<'_>) -> Self {
        let key = command.and_then(|command| command.only_key(args));
        let key = key.map_or(0, |at| u8::try_from(at).unwrap_or(0));
        let fetched = match key {
            0 => command.map_or(0, |command| first_key_of_script(command, args)),
            _ => usize::from(key),
        };
        let word = args.get(fetched).filter(|_| fetched > 0);
        Self {
            command,
            hash: word.map_or(KeyHash::default(), |word| layout.hash(word)),
            key,
            behind: 0,
            goes_on: false,
            is_fetched: fetched > 0,
        }
    }

    /// The hash of a key that is fetched from memory before the command runs.
    #[inline]
    pub(crate) fn fetched(&self) -> Option<KeyHash> {
        self.is_fetched.then_some(self.hash)
    }

    #[inline]
    pub(crate) fn command(&self) -> Option<&'static Command> {
        self.command
    }

    /// Which word is the key, and its hash.
    #[inline]
    pub(crate) fn hash(&self) -> Option<(usize, KeyHash)> {
        (self.key > 0).then_some((usize::from(self.key), self.hash))
    }

    #[inline]
    pub(super) fn goes_on(&self) -> bool {
        self.goes_on
    }

    /// Whether there is such a command.
    #[inline]
    pub fn is_known(&self) -> bool {
        self.command.is_some()
    }

    /// Has the next command of a pipeline timed together with this one if they are alike and quick.
    #[inline]
    pub fn join(&mut self, next: &mut Self) {
        let same = match (self.command, next.command) {
            (Some(one), Some(other)) => one.id() == other.id() && one.is_quick(),
            _ => false,
        };
        if same && self.behind + 1 < TIMED_TOGETHER {
            self.goes_on = true;
            next.behind = self.behind + 1;
        }
    }
}

/// Which word is the first key of a script, if it has keys; 0 otherwise.
#[inline]
fn first_key_of_script(command: &Command, args: Args<'_>) -> usize {
    const FIRST: usize = 3;
    let has_keys = command.locking() == Locking::Script && args.len() > FIRST && &args[2] != b"0";
    if has_keys { FIRST } else { 0 }
}

/// The command looked up last, by the name as it was spelled: a pipeline mostly repeats one
/// command.
#[derive(Default)]
pub(super) struct LatestLookup {
    name: Vec<u8>,
    command: Option<&'static Command>,
}

impl LatestLookup {
    #[inline]
    pub(super) fn lookup(&mut self, args: Args<'_>) -> Option<&'static Command> {
        match self.command {
            Some(command) if args.get(0) == Some(&self.name) && command.accepts(args.len()) => {
                Some(command)
            }
            _ => self.look_again(args),
        }
    }

    fn look_again(&mut self, args: Args<'_>) -> Option<&'static Command> {
        let command = table().lookup(args).ok()?;
        // The first word does not say which subcommand it is.
        if !command.is_container() && command.container_id().is_none() {
            self.name.clear();
            self.name.extend_from_slice(&args[0]);
            self.command = Some(command);
        }
        Some(command)
    }
}

/// Why words name no command that could run.
#[cold]
pub(super) fn unknown(args: Args<'_>) -> Error {
    match table().lookup(args) {
        Err(error) => error.error(args),
        Ok(command) => Error::arity(command),
    }
}
