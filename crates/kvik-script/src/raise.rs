//! Functions that raise an error where they are called.
//!
//! A function made by mlua raises an error that is an object of Rust to the script. So those that
//! scripts see are C functions around one of mlua's, which returns the error, and raise what Lua
//! scripts expect: a text behind the place of the call, or a table with the text in `err`. As a C
//! function leaves the frame of a caller alone that ends with calling it, the place is known even
//! then.

use std::ffi::c_int;

use mlua::{Function, Lua, Result, ffi};

/// How a function returns its error and its results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The text of an error or nil, and the results.
    Text,
    /// The same, but the error is raised as a table.
    Table,
    /// The same, but the error is returned as a table.
    ReturnedTable,
}

/// The function that scripts see.
pub(crate) fn wrap(lua: &Lua, inner: Function, shape: Shape) -> Result<Function> {
    let outer = match shape {
        Shape::Text => text,
        Shape::Table => table,
        Shape::ReturnedTable => returned_table,
    };
    // SAFETY: the closure takes the one value that `exec_raw` has pushed as its upvalue, and leaves
    // itself as the one result.
    unsafe { lua.exec_raw(inner, |state| ffi::lua_pushcclosure(state, outer, 1)) }
}

/// Calls the inner function with all arguments; its results are all that is on the stack then.
///
/// # Safety
/// `state` is that of a closure made by [`wrap`], called by Lua.
unsafe fn call_inner(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: by the contract, the stack holds the arguments, upvalue 1 is a function, and Lua
    // guarantees room for one more value. Nothing here has a destructor, so that an error may
    // unwind.
    unsafe {
        let count = ffi::lua_gettop(state);
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(1));
        ffi::lua_insert(state, 1);
        ffi::lua_call(state, count, ffi::LUA_MULTRET);
        ffi::lua_gettop(state)
    }
}

unsafe extern "C-unwind" fn text(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: Lua calls this function; the inner one returns at least one value, and what is pushed
    // takes the place of what is popped.
    unsafe {
        let count = call_inner(state);
        if ffi::lua_type(state, 1) == ffi::LUA_TSTRING {
            ffi::lua_settop(state, 1);
            ffi::luaL_where(state, 1);
            ffi::lua_insert(state, 1);
            ffi::lua_concat(state, 2);
            ffi::lua_error(state);
        }
        count - 1
    }
}

unsafe extern "C-unwind" fn table(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: as above.
    unsafe {
        let count = call_inner(state);
        if ffi::lua_type(state, 1) == ffi::LUA_TSTRING {
            push_table(state);
            ffi::lua_error(state);
        }
        count - 1
    }
}

unsafe extern "C-unwind" fn returned_table(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: as above.
    unsafe {
        let count = call_inner(state);
        if ffi::lua_type(state, 1) == ffi::LUA_TSTRING {
            push_table(state);
            return 1;
        }
        count - 1
    }
}

/// Pushes a table with the text at the bottom of the stack in `err`.
///
/// # Safety
/// `state` is that of a function called by Lua, whose stack is not empty.
unsafe fn push_table(state: *mut ffi::lua_State) {
    // SAFETY: by the contract; a C function has room for twenty values.
    unsafe {
        ffi::lua_settop(state, 1);
        ffi::lua_createtable(state, 0, 1);
        ffi::lua_pushvalue(state, 1);
        ffi::lua_setfield(state, -2, c"err".as_ptr());
    }
}
