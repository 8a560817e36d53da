//! One Lua state and the scripts that are compiled in it.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use kvik_command::script::{self, Caller, Interpreter, Invocation, Library, ProgramCode, Sha};
use kvik_resp::{Args, Reply};
use mlua::{HookTriggers, Lua, LuaOptions, Result, StdLib, Table, Value, VmState};

use crate::link::{Link, Loading};
use crate::{MEMORY_LIMIT, STEPS, api, failure, outgoing};

const SANDBOX: &str = include_str!("sandbox.lua");

/// Compiled scripts that are kept until it is looked which of them the store still knows.
const PRUNE_AT: usize = 64;

/// A Lua state that runs scripts.
pub struct LuaInterpreter {
    lua: Lua,
    link: Link,
    /// Runs a script under the handler that explains errors.
    run: mlua::Function,
    run_function: mlua::Function,
    register: mlua::Function,
    /// The globals of scripts, which hold KEYS and ARGV.
    globals: Table,
    library_env: Table,
    scripts: HashMap<Sha, (Weak<[u8]>, mlua::Function)>,
    prune_at: usize,
    /// The libraries that are loaded in this state.
    libraries: Vec<LoadedLibrary>,
}

/// A library in this state.
struct LoadedLibrary {
    library: Weak<Library>,
    functions: HashMap<String, mlua::Function>,
}

impl LuaInterpreter {
    /// A new state.
    ///
    /// # Panics
    /// If there is no memory for it.
    pub fn new(seed: u64) -> Self {
        Self::make(seed).expect("the sandbox, which is part of the program, loads")
    }

    fn make(seed: u64) -> Result<Self> {
        let libs = StdLib::TABLE | StdLib::STRING | StdLib::MATH;
        let lua = Lua::new_with(libs, LuaOptions::default())?;
        let link = Link::new(seed);
        let natives = lua.globals();
        let env = lua.create_table()?;
        let sandbox = lua
            .load(SANDBOX)
            .set_name("=sandbox")
            .set_environment(env.clone());
        // The sandbox sees the natives as arguments only, so that no script can reach them by name.
        let (run, run_function, register, globals, library_env) =
            sandbox.call((api::functions(&lua, &link)?, &env, natives))?;
        // The environment of all chunks from now on.
        lua.set_globals(env)?;
        let hooked = link.clone();
        let every = HookTriggers::new().every_nth_instruction(STEPS);
        lua.set_global_hook(every, move |_, _| {
            match hooked.with(crate::link::Shared::look) {
                Ok(()) => Ok(VmState::Continue),
                Err(ending) => Err(mlua::Error::runtime(ending.text())),
            }
        })?;
        // The sandbox itself is loaded before the limit holds, and cannot fail by it.
        lua.set_memory_limit(MEMORY_LIMIT)?;
        Ok(Self {
            lua,
            link,
            run,
            run_function,
            register,
            globals,
            library_env,
            scripts: HashMap::new(),
            prune_at: PRUNE_AT,
            libraries: Vec::new(),
        })
    }

    fn compile(&self, code: &[u8], name: &str) -> std::result::Result<mlua::Function, Vec<u8>> {
        // Bytecode is not verified by Lua: a made-up one could read and write any memory.
        if code.first() == Some(&b'\x1b') {
            return Err(b"user_script:1: bytecode is not loaded".to_vec());
        }
        let chunk = self
            .lua
            .load(code)
            .set_name(name)
            .set_mode(mlua::prelude::LuaChunkMode::Text);
        chunk.into_function().map_err(|error| match error {
            mlua::Error::SyntaxError { message, .. } => message.into_bytes(),
            other => other.to_string().into_bytes(),
        })
    }

    /// The compiled script.
    fn script(
        &mut self,
        sha: &Sha,
        source: &Arc<[u8]>,
        body: usize,
    ) -> std::result::Result<mlua::Function, Vec<u8>> {
        if let Some((_, function)) = self.scripts.get(sha) {
            return Ok(function.clone());
        }
        let function = self.compile(&source[body..], "@user_script")?;
        // Scripts are forgotten in bulk, at twice as many as were known: a look at all of them for
        // each new one would add up.
        if self.scripts.len() >= self.prune_at {
            self.scripts
                .retain(|_, (source, _)| source.strong_count() > 0);
            self.prune_at = 2 * self.scripts.len() + PRUNE_AT;
        }
        self.scripts
            .insert(*sha, (Arc::downgrade(source), function.clone()));
        Ok(function)
    }

    /// A function of a library, which is loaded if it has not been.
    fn function(
        &mut self,
        library: &Arc<Library>,
        name: &str,
    ) -> std::result::Result<mlua::Function, Vec<u8>> {
        let is_it = |it: &LoadedLibrary| std::ptr::eq(it.library.as_ptr(), Arc::as_ptr(library));
        let at = match self.libraries.iter().position(is_it) {
            Some(at) => at,
            None => {
                // Those that are gone leave the state.
                self.libraries.retain(|it| it.library.strong_count() > 0);
                let functions = self.load(library.code(), u64::MAX)?;
                let functions = functions
                    .into_iter()
                    .map(|(it, function)| (it.name, function));
                self.libraries.push(LoadedLibrary {
                    library: Arc::downgrade(library),
                    functions: functions.collect(),
                });
                self.libraries.len() - 1
            }
        };
        let function = self.libraries[at].functions.get(name);
        function.cloned().ok_or_else(|| {
            // Its code registers other functions than it did when it was loaded first.
            b"ERR Function not found".to_vec()
        })
    }

    fn load(
        &mut self,
        code: &[u8],
        steps: u64,
    ) -> std::result::Result<Vec<(script::Function, mlua::Function)>, Vec<u8>> {
        let chunk = self
            .compile(code, "@user_function")
            .map_err(|text| [b"Error compiling function: ", &text[..]].concat())?;
        let failed = |error: mlua::Error| error.to_string().into_bytes();
        chunk
            .set_environment(self.library_env.clone())
            .map_err(failed)?;
        self.link.with(|shared| {
            shared.ending = None;
            shared.loading = Some(Loading {
                functions: Vec::new(),
                steps,
            });
        });
        // What the code registers arrives in the link, where the hook also counts its steps.
        let result = self.register.call::<(bool, Value)>(chunk);
        let loading = self.link.with(|shared| {
            shared.ending = None;
            shared.loading.take()
        });
        match result.map_err(failed)? {
            (true, _) => Ok(loading.map(|it| it.functions).unwrap_or_default()),
            (false, problem) => {
                let text = failure::problem_text(&problem);
                Err([b"Error registering functions: ", &text[..]].concat())
            }
        }
    }

    fn list(&self, words: Args<'_>) -> Result<Table> {
        let list = self.lua.create_table_with_capacity(words.len(), 0)?;
        for (at, word) in words.iter().enumerate() {
            list.raw_set(at + 1, self.lua.create_string(word)?)?;
        }
        Ok(list)
    }

    fn start(
        &mut self,
        invocation: &Invocation<'_>,
        caller: &mut dyn Caller,
    ) -> std::result::Result<(bool, Value), Vec<u8>> {
        let failed = |error: mlua::Error| [b"ERR ", error.to_string().as_bytes()].concat();
        let keys = self.list(invocation.keys).map_err(failed)?;
        let args = self.list(invocation.args).map_err(failed)?;
        match &invocation.program.origin {
            ProgramCode::Script { sha, source, body } => {
                let function = self.script(sha, source, *body)?;
                let set = |name, list| self.globals.raw_set(name, list);
                set("KEYS", keys)
                    .and_then(|()| set("ARGV", args))
                    .map_err(failed)?;
                // The caller is there for this call only; see `Link::with_caller`.
                let run = || self.run.call(function);
                self.link.with_caller(caller, run).map_err(failed)
            }
            ProgramCode::Function { library, name } => {
                let function = self.function(library, name)?;
                let run = || self.run_function.call((function, keys, args));
                self.link.with_caller(caller, run).map_err(failed)
            }
        }
    }
}

impl Interpreter for LuaInterpreter {
    fn check(&mut self, source: &[u8]) -> std::result::Result<(), Vec<u8>> {
        self.compile(source, "@user_script").map(drop)
    }

    fn register(
        &mut self,
        code: &[u8],
        steps: u64,
    ) -> std::result::Result<Vec<script::Function>, Vec<u8>> {
        let loaded = self.load(code, steps)?;
        Ok(loaded.into_iter().map(|(function, _)| function).collect())
    }

    fn run(
        &mut self,
        invocation: &Invocation<'_>,
        caller: &mut dyn Caller,
        reply: &mut Reply<'_>,
    ) -> std::result::Result<(), Vec<u8>> {
        let (ok, value) = self.start(invocation, caller)?;
        if !ok {
            return Err(failure::problem_line(&value, invocation.program.name()));
        }
        let protocol = self.link.with(|shared| shared.protocol);
        outgoing::write(&value, protocol, reply)
            .map_err(|error| [b"ERR ", error.to_string().as_bytes()].concat())
    }

    fn memory(&self) -> usize {
        self.lua.used_memory()
    }
}

impl std::fmt::Debug for LuaInterpreter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LuaInterpreter")
            .field("scripts", &self.scripts.len())
            .finish_non_exhaustive()
    }
}
