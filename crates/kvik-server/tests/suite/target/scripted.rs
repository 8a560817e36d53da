//! A target whose commands run in scripts: each that may is called by EVAL.

use std::time::Duration;

use kvik_command::declare::{Flags, Locking};
use kvik_command::table;
use kvik_resp::{Args, ArgsBuf};

use super::{Connection, Identity, Received, Target};

/// More words than this do not fit on Lua's stack.
const MOST_WORDS: usize = 7000;

const CALL: &str = "return redis.pcall(unpack(ARGV))";
const CALL_IN_RESP3: &str = "redis.setresp(3) return redis.pcall(unpack(ARGV))";

/// Another target, reached by scripts.
pub(crate) struct ScriptedTarget<T> {
    inner: T,
    identity: Identity,
}

impl<T: Target> ScriptedTarget<T> {
    pub(crate) fn new(inner: T) -> Self {
        let mut identity = inner.identity().clone();
        identity.variant.push_str(" from Lua");
        identity.is_scripted = true;
        Self { inner, identity }
    }
}

impl<T: Target> Target for ScriptedTarget<T> {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn connect(&self) -> Result<Box<dyn Connection>, String> {
        Ok(Box::new(ScriptedConnection {
            inner: self.inner.connect()?,
            protocol: self.identity.protocol,
            is_direct: false,
        }))
    }

    fn wait(&self, time: Duration) {
        self.inner.wait(time);
    }

    fn check(&self) -> Result<(), String> {
        self.inner.check()
    }
}

struct ScriptedConnection {
    inner: Box<dyn Connection>,
    protocol: u8,
    /// No scripts just now: commands are queued, and what is wrong with them shows when they come;
    /// or writes are paused, and so would scripts be.
    is_direct: bool,
}

impl Connection for ScriptedConnection {
    fn send(&mut self, command: Args<'_>) -> Result<(), String> {
        self.follow(command);
        if self.is_direct || !may_be_called(command) {
            return self.inner.send(command);
        }
        let script = match self.protocol {
            3 => CALL_IN_RESP3,
            _ => CALL,
        };
        let mut words: ArgsBuf = ["EVAL", script, "0"].iter().collect();
        for word in command {
            words.push(word);
        }
        self.inner.send(words.as_args())
    }

    fn receive(&mut self, patience: Duration) -> Result<Received, String> {
        self.inner.receive(patience)
    }
}

impl ScriptedConnection {
    fn follow(&mut self, command: Args<'_>) {
        let word = |at| command.get(at).unwrap_or_default().to_ascii_uppercase();
        match (&*word(0), &*word(1)) {
            (b"MULTI", _) | (b"CLIENT", b"PAUSE") => self.is_direct = true,
            (b"EXEC" | b"DISCARD", _) | (b"CLIENT", b"UNPAUSE") => self.is_direct = false,
            (b"RESET", _) => (self.is_direct, self.protocol) = (false, 2),
            (b"HELLO", b"2") => self.protocol = 2,
            (b"HELLO", b"3") => self.protocol = 3,
            _ => {}
        }
    }
}

/// Whether a script may call a command, and is not told something else than a client. Faults of the
/// words and waits are, as is what a script changes for itself only.
fn may_be_called(command: Args<'_>) -> bool {
    let Ok(row) = table().resolve(command) else {
        return false;
    };
    let locking = row.locking_of(command);
    command.len() <= MOST_WORDS
        && row.accepts(command.len())
        && row.handler().is_some()
        && row.name() != "SELECT"
        && !row.flags().intersects(Flags::NOSCRIPT | Flags::BLOCKING)
        && !matches!(locking, Locking::Queue | Locking::Script)
}
