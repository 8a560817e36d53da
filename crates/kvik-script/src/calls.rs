//! `redis.call` and `redis.pcall`: from the values on Lua's stack to a command, and back.

use std::ffi::c_int;

use mlua::{Function, Lua, Result, Table, ffi};

use crate::incoming;
use crate::link::{Link, ReplyPlace, Shared};
use crate::numbers;
use crate::stack::{Kind, Stack};

/// Adds the functions to those that `sandbox.lua` arranges.
pub(crate) fn add(lua: &Lua, link: &Link, raw: &Table) -> Result<()> {
    let functions: [(_, ffi::lua_CFunction); 2] = [("call", call), ("pcall", pcall)];
    for (name, function) in functions {
        // SAFETY: the closure runs in a protected call and owns nothing. The pointer is good for as
        // long as the state is, whose interpreter has the link as well.
        let function: Function = unsafe {
            lua.exec_raw((), |state| {
                Stack::new(state).closure(function, link.address());
            })?
        };
        raw.raw_set(name, function)?;
    }
    Ok(())
}

unsafe extern "C-unwind" fn call(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: Lua calls this function, in which nothing is dropped.
    let stack = unsafe { Stack::new(state) };
    if run(stack) {
        stack.raise();
    }
    1
}

unsafe extern "C-unwind" fn pcall(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: as above.
    run(unsafe { Stack::new(state) });
    1
}

/// The answer to a call. It owns nothing: its bytes belong to what is shared.
#[derive(Clone, Copy)]
enum Answer {
    /// The words are none of a command.
    Misuse(&'static str),
    /// The command was refused, with the line of this error.
    Refusal(ReplyPlace),
    Reply(ReplyPlace),
    /// The command has panicked, and the script ends.
    Panic,
}

/// Runs the command whose words are on the stack, in whose place its reply comes. Says whether that
/// is an error.
fn run(stack: Stack) -> bool {
    // SAFETY: `add` has made the closures with the address of a link.
    let link = unsafe { Link::at(stack.pointer()) };
    let answer = link.catching(|shared| perform(stack, shared));
    let answer = answer.unwrap_or(Answer::Panic);
    stack.truncate(0);
    // SAFETY: the thread that runs the script alone calls commands, and turns the reply into a
    // value first. No Lua runs meanwhile, as there are no finalizers.
    let bytes = |place: ReplyPlace| unsafe { place.bytes() };
    match answer {
        Answer::Misuse(text) => {
            stack.table(0, 1);
            stack.text(text.as_bytes());
            stack.set_field(-2, c"err");
            true
        }
        Answer::Refusal(line) => {
            incoming::push_error(stack, bytes(line));
            true
        }
        Answer::Reply(reply) => incoming::push(stack, bytes(reply)),
        Answer::Panic => {
            stack.text(b"ERR the command has failed");
            stack.raise()
        }
    }
}

/// The part that runs no Lua, so that it may own what it likes.
fn perform(stack: Stack, shared: &mut Shared) -> Answer {
    if let Err(text) = take_words(stack, shared) {
        return Answer::Misuse(text);
    }
    match shared.call() {
        Ok(()) => Answer::Reply(shared.reply_place()),
        Err(error) => {
            shared.reply = error.line();
            Answer::Refusal(shared.reply_place())
        }
    }
}

/// Puts the words of a command where commands are called from.
fn take_words(stack: Stack, shared: &mut Shared) -> std::result::Result<(), &'static str> {
    shared.args.clear();
    if stack.len() == 0 {
        return Err("ERR Please specify at least one argument for this call");
    }
    for at in 1..=stack.len() {
        match stack.kind(at) {
            Kind::Text => shared.args.push(stack.bytes(at)),
            Kind::Number => shared.args.push(&numbers::argument(stack.as_number(at))),
            _ => return Err("ERR Command arguments must be strings or integers"),
        };
    }
    Ok(())
}
