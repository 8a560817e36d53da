//! Lua's stack, used directly: what every call of a command and every script crosses.
//!
//! mlua keeps a value of Lua alive by a reference in a table of its own, and protects each step
//! that may fail for want of memory by itself. A script with two commands crosses some thirty such
//! steps, which took longer than its commands did. Here a whole script is one protected call, and
//! values stay on the stack.
//!
//! An error of Lua is a long jump. It passes over the frames of Rust between the protected call and
//! the function that raises it, so nothing in them may need to be dropped: whoever makes a
//! [`Stack`] promises that.

use std::ffi::{CStr, c_int, c_void};

use kvik_resp::Args;
use mlua::ffi;

/// The stack of the function of Lua's that runs.
#[derive(Clone, Copy)]
pub(crate) struct Stack(*mut ffi::lua_State);

/// The type of a value, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Nil,
    Boolean,
    Number,
    Text,
    Table,
    Other,
}

/// Places of a function that are there without being asked for.
const FREE_PLACES: c_int = ffi::LUA_MINSTACK;

impl Stack {
    /// The stack of a state.
    ///
    /// # Safety
    /// While it is used, the state runs a protected call or a function that Lua has called, on this
    /// thread, unless it is asked for nothing that allocates. No frame from there up to the last
    /// use of the stack owns anything that has to be dropped, since an error of Lua jumps over all
    /// of them.
    pub(crate) unsafe fn new(state: *mut ffi::lua_State) -> Self {
        Self(state)
    }

    /// The number of values on it.
    #[inline]
    pub(crate) fn len(self) -> c_int {
        // SAFETY: by the contract of `new`, as for every call of Lua's below. Each leaves the stack
        // as its manual says, and those that push have room by the contract of their own.
        unsafe { ffi::lua_gettop(self.0) }
    }

    /// Cuts it to so many values.
    #[inline]
    pub(crate) fn truncate(self, len: c_int) {
        // SAFETY: as above.
        unsafe { ffi::lua_settop(self.0, len) }
    }

    /// Takes so many values off it.
    #[inline]
    pub(crate) fn pop(self, count: c_int) {
        self.truncate(-count - 1);
    }

    /// Makes sure of room for values beyond [`FREE_PLACES`]; raises an error if there is none.
    #[inline]
    pub(crate) fn reserve(self, count: c_int) {
        // SAFETY: as above.
        if unsafe { ffi::lua_checkstack(self.0, count + FREE_PLACES) } == 0 {
            self.truncate(0);
            self.text(b"reached lua stack limit");
            self.raise();
        }
    }

    /// The type of a value.
    #[inline]
    pub(crate) fn kind(self, at: c_int) -> Kind {
        // SAFETY: as above.
        match unsafe { ffi::lua_type(self.0, at) } {
            ffi::LUA_TNIL | ffi::LUA_TNONE => Kind::Nil,
            ffi::LUA_TBOOLEAN => Kind::Boolean,
            ffi::LUA_TNUMBER => Kind::Number,
            ffi::LUA_TSTRING => Kind::Text,
            ffi::LUA_TTABLE => Kind::Table,
            _ => Kind::Other,
        }
    }

    /// The bytes of a string. They live as long as the string is on the stack or in a table: use
    /// them before anything else changes there.
    #[inline]
    pub(crate) fn bytes<'a>(self, at: c_int) -> &'a [u8] {
        if self.kind(at) != Kind::Text {
            return &[];
        }
        let mut len = 0;
        // SAFETY: as above; the value is a string, which is not converted, so that its bytes are
        // where they were and as many as said.
        unsafe {
            let bytes = ffi::lua_tolstring(self.0, at, &raw mut len);
            std::slice::from_raw_parts(bytes.cast(), len)
        }
    }

    /// The value of a number.
    #[inline]
    pub(crate) fn as_number(self, at: c_int) -> f64 {
        // SAFETY: as above.
        unsafe { ffi::lua_tonumber(self.0, at) }
    }

    /// Whether a value is neither nil nor false.
    #[inline]
    pub(crate) fn as_truth(self, at: c_int) -> bool {
        // SAFETY: as above.
        unsafe { ffi::lua_toboolean(self.0, at) != 0 }
    }

    // What pushes a value.

    #[inline]
    pub(crate) fn nil(self) {
        // SAFETY: as above.
        unsafe { ffi::lua_pushnil(self.0) }
    }

    #[inline]
    pub(crate) fn truth(self, truth: bool) {
        // SAFETY: as above.
        unsafe { ffi::lua_pushboolean(self.0, truth.into()) }
    }

    #[inline]
    pub(crate) fn number(self, number: f64) {
        // SAFETY: as above.
        unsafe { ffi::lua_pushnumber(self.0, number) }
    }

    #[inline]
    pub(crate) fn text(self, text: &[u8]) {
        // SAFETY: as above; Lua copies the bytes.
        unsafe { ffi::lua_pushlstring_(self.0, text.as_ptr().cast(), text.len()) }
    }

    /// An empty table with room for so many elements and fields.
    #[inline]
    pub(crate) fn table(self, elements: usize, fields: usize) {
        let room = |count| c_int::try_from(count).unwrap_or(0);
        // SAFETY: as above.
        unsafe { ffi::lua_createtable(self.0, room(elements), room(fields)) }
    }

    /// A list of words.
    pub(crate) fn words(self, words: Args<'_>) {
        self.table(words.len(), 0);
        for at in 0..words.len() {
            self.text(&words[at]);
            self.set_element(-2, at + 1);
        }
    }

    /// Puts words in the place of those of a list that is kept, of which there were so many.
    pub(crate) fn refill(self, words: Args<'_>, before: usize) {
        for at in 0..words.len() {
            self.text(&words[at]);
            self.set_element(-2, at + 1);
        }
        for at in words.len()..before {
            self.nil();
            self.set_element(-2, at + 1);
        }
    }

    /// A value that mlua keeps for whoever has this number of it.
    #[inline]
    pub(crate) fn kept(self, id: c_int) {
        // SAFETY: as above.
        unsafe { ffi::lua_rawgeti_(self.0, ffi::LUA_REGISTRYINDEX, id) }
    }

    /// A field of a table, whatever its metatable says.
    #[inline]
    pub(crate) fn field(self, table: c_int, name: &CStr) -> Kind {
        let table = self.absolute(table);
        self.text(name.to_bytes());
        // SAFETY: as above.
        unsafe { ffi::lua_rawget_(self.0, table) };
        self.kind(-1)
    }

    /// An element of a table, whatever its metatable says.
    #[inline]
    pub(crate) fn element(self, table: c_int, at: usize) -> Kind {
        // SAFETY: as above.
        unsafe { ffi::lua_rawgeti_(self.0, table, c_int::try_from(at).unwrap_or(0)) };
        self.kind(-1)
    }

    /// A value once more.
    #[inline]
    pub(crate) fn copy(self, at: c_int) {
        // SAFETY: as above.
        unsafe { ffi::lua_pushvalue(self.0, at) }
    }

    /// In place of the key on top the next key of a table and its value, if there is one; otherwise
    /// nothing.
    pub(crate) fn next(self, table: c_int) -> bool {
        // SAFETY: as above.
        unsafe { ffi::lua_next(self.0, table) != 0 }
    }

    // What takes the value on top.

    /// Puts it into a field, whatever the table's metatable says.
    #[inline]
    pub(crate) fn set_field(self, table: c_int, name: &CStr) {
        let table = self.absolute(table);
        self.text(name.to_bytes());
        // SAFETY: as above; the name goes below the value.
        unsafe {
            ffi::lua_insert(self.0, -2);
            ffi::lua_rawset(self.0, table);
        }
    }

    /// Makes it an element.
    #[inline]
    pub(crate) fn set_element(self, table: c_int, at: usize) {
        // SAFETY: as above.
        unsafe { ffi::lua_rawseti_(self.0, table, c_int::try_from(at).unwrap_or(0)) }
    }

    /// Puts it under the key below it, which is taken as well.
    #[inline]
    pub(crate) fn set(self, table: c_int) {
        // SAFETY: as above.
        unsafe { ffi::lua_rawset(self.0, table) }
    }

    /// Raises it as an error.
    pub(crate) fn raise(self) -> ! {
        // SAFETY: as above.
        unsafe { ffi::lua_error(self.0) }
    }

    /// Calls the function below so many arguments, which are taken; its one result is on top then.
    pub(crate) fn call(self, arguments: c_int) {
        // SAFETY: as above.
        unsafe { ffi::lua_call(self.0, arguments, 1) }
    }

    /// Pushes a function of C that keeps a pointer, which [`Self::pointer`] returns in it.
    pub(crate) fn closure(self, function: ffi::lua_CFunction, pointer: *const c_void) {
        // SAFETY: as above.
        unsafe {
            ffi::lua_pushlightuserdata(self.0, pointer.cast_mut());
            ffi::lua_pushcclosure(self.0, function, 1);
        }
    }

    /// The pointer that the running function of C keeps.
    #[inline]
    pub(crate) fn pointer(self) -> *const c_void {
        // SAFETY: as above.
        unsafe { ffi::lua_touserdata(self.0, ffi::lua_upvalueindex(1)) }
    }

    #[inline]
    pub(crate) fn absolute(self, at: c_int) -> c_int {
        match at {
            ..0 if at > ffi::LUA_REGISTRYINDEX => self.len() + at + 1,
            _ => at,
        }
    }
}
