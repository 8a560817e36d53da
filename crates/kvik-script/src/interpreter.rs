//! One Lua state and the scripts that are compiled in it.

use std::collections::HashMap;
use std::ffi::c_int;
use std::panic::resume_unwind;
use std::sync::{Arc, Weak};

use kvik_command::script::{
    self, Caller, Interpreter, Invocation, Library, Naming, Program, ProgramCode, Sha,
};
use kvik_resp::Reply;
use mlua::{HookTriggers, Lua, LuaOptions, RegistryKey, Result, StdLib, Table, Value, VmState};

use crate::execution::{Execution, Ready, Runner};
use crate::given::{Given, Givens, VARIABLES};
use crate::link::{Link, Loading};
use crate::{MEMORY_LIMIT, STEPS, api, failure};

const SANDBOX: &str = include_str!("sandbox.lua");

/// Compiled scripts that are kept until it is looked which of them the store still knows.
const PRUNE_AT: usize = 64;

/// A Lua state that runs scripts.
pub struct LuaInterpreter {
    lua: Lua,
    link: Link,
    register: mlua::Function,
    runner: Runner,
    givens: Givens,
    library_env: Table,
    scripts: HashMap<Sha, Compiled>,
    /// The script that ran last.
    latest: Option<(Sha, Ready)>,
    prune_at: usize,
    /// The libraries that are loaded in this state.
    libraries: Vec<LoadedLibrary>,
}

/// A library in this state.
struct LoadedLibrary {
    library: Weak<Library>,
    functions: HashMap<String, RegistryKey>,
}

/// A script in this state.
struct Compiled {
    source: Weak<[u8]>,
    function: RegistryKey,
    given: Given,
}

/// The end of a script.
struct Ended {
    /// The error that has ended it, if one has.
    problem: Option<Value>,
    /// The lines of errors in its reply that no command has counted.
    errors: Vec<Box<[u8]>>,
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
        type LaidOut = (mlua::Function, mlua::Function, Table, Table, Table, Table);
        let laid_out: LaidOut = sandbox.call((api::functions(&lua, &link)?, &env, natives))?;
        let (explain, register, globals, library_env, redis, redis_face) = laid_out;
        let givens = Givens::new(&lua, globals, redis, redis_face)?;
        let runner = Runner::new(&lua, explain)?;
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
        // What has made the sandbox is not needed any more.
        lua.gc_collect()?;
        Ok(Self {
            lua,
            link,
            register,
            runner,
            givens,
            library_env,
            scripts: HashMap::new(),
            latest: None,
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

    fn keep(&self, function: mlua::Function) -> std::result::Result<RegistryKey, Vec<u8>> {
        self.lua.create_registry_value(function).map_err(failed)
    }

    /// A script, which is compiled if it has not been.
    fn script(
        &mut self,
        program: &Program,
        sha: &Sha,
        source: &Arc<[u8]>,
        body: usize,
    ) -> std::result::Result<Ready, Vec<u8>> {
        match &self.latest {
            Some((latest, ready)) if latest == sha => return Ok(*ready),
            _ => {}
        }
        let ready = |it: &Compiled| Ready {
            function: it.function.id(),
            given: it.given,
        };
        let ready = match self.scripts.get(sha) {
            Some(compiled) => ready(compiled),
            None => {
                let (function, given) = self.compile_script(&source[body..], program.naming())?;
                self.prune();
                let source = Arc::downgrade(source);
                let compiled = Compiled {
                    source,
                    function,
                    given,
                };
                let ready = ready(&compiled);
                self.scripts.insert(*sha, compiled);
                ready
            }
        };
        self.latest = Some((*sha, ready));
        Ok(ready)
    }

    /// Compiles a script, with variables for what it is given if that makes no difference to it.
    fn compile_script(
        &self,
        body: &[u8],
        naming: Naming,
    ) -> std::result::Result<(RegistryKey, Given), Vec<u8>> {
        // It may have as many variables as Lua allows already.
        if naming.are_variables
            && let Ok(function) = self.compile(&[VARIABLES, body].concat(), "@user_script")
        {
            return Ok((self.keep(function)?, Given::Variables(naming)));
        }
        let function = self.compile(body, "@user_script")?;
        Ok((self.keep(function)?, Given::Globals))
    }

    /// Drops compiled scripts that the store knows no more: in bulk, at twice as many as were
    /// known, as a look at all of them for each new one would add up.
    fn prune(&mut self) {
        if self.scripts.len() >= self.prune_at {
            self.scripts.retain(|_, it| it.source.strong_count() > 0);
            self.prune_at = 2 * self.scripts.len() + PRUNE_AT;
            self.latest = None;
            self.lua.expire_registry_values();
        }
    }

    /// The number of a library's function. The library is loaded if it has not been.
    fn function(
        &mut self,
        library: &Arc<Library>,
        name: &str,
    ) -> std::result::Result<c_int, Vec<u8>> {
        let is_it = |it: &LoadedLibrary| std::ptr::eq(it.library.as_ptr(), Arc::as_ptr(library));
        let at = match self.libraries.iter().position(is_it) {
            Some(at) => at,
            None => {
                // Those that are gone leave the state.
                self.libraries.retain(|it| it.library.strong_count() > 0);
                self.lua.expire_registry_values();
                let mut functions = HashMap::new();
                for (it, function) in self.load(library.code(), u64::MAX)? {
                    functions.insert(it.name, self.keep(function)?);
                }
                self.libraries.push(LoadedLibrary {
                    library: Arc::downgrade(library),
                    functions,
                });
                self.libraries.len() - 1
            }
        };
        let function = self.libraries[at].functions.get(name);
        function.map(RegistryKey::id).ok_or_else(|| {
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

    fn prepare(&mut self, invocation: &Invocation<'_>) -> std::result::Result<Ready, Vec<u8>> {
        Ok(match &invocation.program.origin {
            ProgramCode::Script { sha, source, body } => {
                self.script(invocation.program, sha, source, *body)?
            }
            ProgramCode::Function { library, name } => Ready {
                function: self.function(library, name)?,
                given: Given::Arguments,
            },
        })
    }

    /// Runs a script, from its arguments to its reply.
    fn execute(
        &self,
        ready: Ready,
        invocation: &Invocation<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<Ended> {
        let mut errors = Vec::new();
        let execution = Execution {
            ready,
            givens: &self.givens,
            invocation,
            link: self.link.cell(),
            reply,
            errors: &mut errors,
        };
        let problem = self.runner.run(&self.lua, execution)?;
        Ok(Ended { problem, errors })
    }
}

fn failed(error: mlua::Error) -> Vec<u8> {
    [b"ERR ", error.to_string().as_bytes()].concat()
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
        let ready = self.prepare(invocation)?;
        let run = || self.execute(ready, invocation, reply);
        let (ended, panic) = self.link.with_caller(caller, run);
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
        let ended = ended.map_err(failed)?;
        for line in &ended.errors {
            caller.count_error(line);
        }
        match ended.problem {
            None => Ok(()),
            Some(problem) => {
                let line = failure::problem_line(&problem, invocation.program.name());
                if !failure::is_counted(&problem) {
                    caller.count_error(&line);
                }
                Err(line)
            }
        }
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

#[cfg(test)]
mod tests;
