//! One run of a script: a protected call, from its arguments to its reply.
//!
//! mlua makes two functions for each protected call, which are garbage after it. Here one function
//! is kept for all of them.

use std::ffi::c_int;
use std::ptr;

use kvik_command::script::Invocation;
use kvik_resp::Reply;
use mlua::{Lua, RegistryKey, Result, Value, ffi};

use crate::given::{Given, Givens};
use crate::link::LinkCell;
use crate::outgoing::ReplyWriter;
use crate::stack::Stack;

/// Runs scripts in a state.
pub(crate) struct Runner {
    /// The state, as long as the interpreter has it.
    state: *mut ffi::lua_State,
    /// The handler that explains errors.
    explain: RegistryKey,
    /// The function that runs a script.
    run: RegistryKey,
    /// Where the error is kept that has ended one.
    problem: RegistryKey,
}

// SAFETY: the state is that of the interpreter that has the runner as well. Whoever runs a script
// has both to itself, and none of the threads that do so one after the other is special to Lua.
unsafe impl Send for Runner {}

/// A script that is ready to run. It owns nothing.
#[derive(Clone, Copy)]
pub(crate) struct Ready {
    /// The number of its function among the values that mlua keeps.
    pub(crate) function: c_int,
    pub(crate) given: Given,
}

/// A script that runs. It owns nothing, as an error of Lua jumps over who uses it.
pub(crate) struct Execution<'e, 'r> {
    pub(crate) ready: Ready,
    pub(crate) givens: &'e Givens,
    pub(crate) invocation: &'e Invocation<'e>,
    pub(crate) link: &'e LinkCell,
    pub(crate) reply: &'e mut Reply<'r>,
    /// The lines of errors in its reply that no command has counted.
    pub(crate) errors: &'e mut Vec<Box<[u8]>>,
}

impl Runner {
    pub(crate) fn new(lua: &Lua, explain: mlua::Function) -> Result<Self> {
        let mut state = ptr::null_mut();
        // SAFETY: the closures own nothing; the second leaves one function as the one result.
        let run: mlua::Function = unsafe {
            lua.exec_raw::<()>((), |it| state = it)?;
            lua.exec_raw((), |it| ffi::lua_pushcclosure(it, run_script, 0))?
        };
        Ok(Self {
            state,
            explain: lua.create_registry_value(explain)?,
            run: lua.create_registry_value(run)?,
            // Something, so that its place in the registry is there.
            problem: lua.create_registry_value(true)?,
        })
    }

    /// Runs a script. Returns the error that has ended it, if one has.
    pub(crate) fn run(&self, lua: &Lua, mut execution: Execution<'_, '_>) -> Result<Option<Value>> {
        let execution = (&raw mut execution).cast();
        // SAFETY: the state is not in use, so that its stack has room for these few values. What is
        // done outside the protected call allocates nothing: it pushes values that are there, and
        // puts one in a place that is there. `run_script` gets the pointer that it expects.
        let has_ended_well = unsafe {
            let stack = Stack::new(self.state);
            let bottom = stack.len();
            stack.kept(self.explain.id());
            stack.kept(self.run.id());
            ffi::lua_pushlightuserdata(self.state, execution);
            let status = ffi::lua_pcall(self.state, 1, 0, bottom + 1);
            if status != ffi::LUA_OK {
                ffi::lua_rawseti_(self.state, ffi::LUA_REGISTRYINDEX, self.problem.id());
            }
            stack.truncate(bottom);
            status == ffi::LUA_OK
        };
        match has_ended_well {
            true => Ok(None),
            false => lua.registry_value(&self.problem).map(Some),
        }
    }
}

/// Runs the script whose [`Execution`] its argument points to.
unsafe extern "C-unwind" fn run_script(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: `Runner::run` calls it, with a pointer to an execution that nobody else uses
    // meanwhile. Nothing here owns anything.
    let (stack, execution) = unsafe {
        let execution = ffi::lua_touserdata(state, 1).cast::<Execution<'_, '_>>();
        (Stack::new(state), &mut *execution)
    };
    stack.kept(execution.ready.function);
    let (givens, given) = (execution.givens, execution.ready.given);
    let arguments = givens.give(stack, given, execution.invocation);
    stack.call(arguments);
    let mut writer = ReplyWriter {
        stack,
        link: execution.link,
        reply: execution.reply,
        errors: execution.errors,
    };
    writer.write();
    0
}
