//! Lua 5.1 for scripts and functions.
//!
//! Each thread that runs scripts has a state of its own ([`LuaInterpreter`]). What a script finds
//! in it is laid out by `sandbox.lua`, which runs once when the state is made: global tables that
//! cannot be changed, no files, no loading of bytecode, and standard functions in place of those
//! that could run for ever without being seen. The functions written in Rust return the text of
//! an error; `raise` makes functions of them that raise it as a script expects.
//!
//! A script is interrupted every [`STEPS`] instructions, and as often inside functions that loop,
//! to learn whether it goes on. Once it has been killed, no `pcall` holds the error up.

mod api;
mod bits;
mod calls;
mod execution;
mod failure;
mod given;
mod incoming;
mod interpreter;
mod json;
mod link;
mod msgpack;
mod native;
mod numbers;
mod outgoing;
mod packing;
mod pattern;
mod raise;
mod random;
mod stack;

use std::sync::Arc;

use kvik_command::script::{Interpreter, ScriptEngine};

pub use interpreter::LuaInterpreter;

/// Instructions of Lua, or steps of a function that loops, between two looks at whether a script
/// goes on: 50 to 100 microseconds.
const STEPS: u32 = 10_000;

/// Bytes that one state may use.
const MEMORY_LIMIT: usize = 512 << 20;

/// Makes interpreters of Lua.
#[derive(Clone, Copy, Debug, Default)]
pub struct LuaEngine;

impl LuaEngine {
    /// The engine for [`Options::scripts`](https://docs.rs/kvik).
    pub fn shared() -> Arc<dyn ScriptEngine> {
        Arc::new(Self)
    }
}

impl ScriptEngine for LuaEngine {
    fn interpreter(&self, seed: u64) -> Box<dyn Interpreter> {
        Box::new(LuaInterpreter::new(seed))
    }

    fn digest(&self, source: &[u8]) -> [u8; 20] {
        sha1_smol::Sha1::from(source).digest().bytes()
    }
}
