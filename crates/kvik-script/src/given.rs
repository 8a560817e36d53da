//! What a script is given: its keys and arguments, and `redis`.

use std::cell::Cell;
use std::ffi::c_int;

use kvik_command::script::{Invocation, Naming};
use mlua::{Lua, RegistryKey, Result, Table};

use crate::stack::Stack;

/// How a script gets its keys and arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    /// As globals.
    Globals,
    /// As arguments of a function.
    Arguments,
    /// As variables of its own, beside `redis`, which save it the way through two tables for each
    /// use of one.
    Variables(Naming),
}

/// The words before a script that is given variables, on its first line.
pub(crate) const VARIABLES: &[u8] = b"local redis,KEYS,ARGV=... ";

/// Elements of KEYS and of ARGV for which tables are kept.
const KEPT_WORDS: usize = 16;

/// The tables that scripts are given.
pub(crate) struct Givens {
    /// The globals of scripts.
    globals: RegistryKey,
    redis: RegistryKey,
    /// The face of `redis`, which cannot be changed.
    redis_face: RegistryKey,
    /// KEYS and ARGV of scripts that only read them, filled anew for each: to make such tables
    /// takes as long as the commands of a small script.
    keys: RegistryKey,
    args: RegistryKey,
    /// How many elements those have.
    filled: Cell<(usize, usize)>,
}

impl Givens {
    pub(crate) fn new(lua: &Lua, globals: Table, redis: Table, redis_face: Table) -> Result<Self> {
        let words = || lua.create_registry_value(lua.create_table_with_capacity(KEPT_WORDS, 0)?);
        Ok(Self {
            globals: lua.create_registry_value(globals)?,
            redis: lua.create_registry_value(redis)?,
            redis_face: lua.create_registry_value(redis_face)?,
            keys: words()?,
            args: words()?,
            filled: Cell::default(),
        })
    }

    /// Hands a script its keys and arguments. Returns how many values are on the stack for it. An
    /// error of Lua may jump over it.
    pub(crate) fn give(&self, stack: Stack, given: Given, invocation: &Invocation<'_>) -> c_int {
        let (keys, args) = (invocation.keys, invocation.args);
        match given {
            Given::Globals => {
                stack.kept(self.globals.id());
                stack.words(keys);
                stack.set_field(-2, c"KEYS");
                stack.words(args);
                stack.set_field(-2, c"ARGV");
                stack.pop(1);
                0
            }
            Given::Arguments => {
                stack.words(keys);
                stack.words(args);
                2
            }
            Given::Variables(naming) => {
                let redis = match naming.redis_is_called {
                    true => &self.redis,
                    false => &self.redis_face,
                };
                stack.kept(redis.id());
                if naming.words_are_read && keys.len().max(args.len()) <= KEPT_WORDS {
                    self.refill(stack, invocation);
                } else {
                    stack.words(keys);
                    stack.words(args);
                }
                3
            }
        }
    }

    fn refill(&self, stack: Stack, invocation: &Invocation<'_>) {
        let (keys, args) = (invocation.keys, invocation.args);
        let (more_keys, more_args) = self.filled.get();
        // An error may end this half-way.
        let most = (more_keys.max(keys.len()), more_args.max(args.len()));
        self.filled.set(most);
        stack.kept(self.keys.id());
        stack.refill(keys, more_keys);
        stack.kept(self.args.id());
        stack.refill(args, more_args);
        self.filled.set((keys.len(), args.len()));
    }
}
