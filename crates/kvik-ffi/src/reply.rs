//! The reply to a command.

use std::ffi::c_int;
use std::ptr::null;

use kvik::Value;

use crate::guard::plain;

/// A reply, or a part of one.
// A part of a reply is handed out as a reply, so it must be a value and no more.
#[repr(transparent)]
pub struct KvikReply(pub(crate) Value);

/// The kind of a reply.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvikType {
    /// Nothing.
    Nil = 0,
    /// A status such as OK.
    Status = 1,
    /// An error: its code and text.
    Error = 2,
    /// An integer.
    Integer = 3,
    /// Bytes.
    Bytes = 4,
    /// A floating-point number.
    Double = 5,
    /// A truth value: an integer that is 0 or 1.
    Boolean = 6,
    /// Replies in order.
    Array = 7,
    /// Names and values in turns.
    Map = 8,
    /// Replies of which the order means nothing.
    Set = 9,
    /// A message that nobody asked for.
    Push = 10,
}

impl KvikReply {
    pub(crate) fn error(text: &str) -> Self {
        Self(Value::Error(text.into()))
    }

    fn kind(&self) -> KvikType {
        match self.0.plain() {
            Value::Null | Value::Attributed { .. } => KvikType::Nil,
            Value::Simple(_) => KvikType::Status,
            Value::Error(_) => KvikType::Error,
            Value::Integer(_) => KvikType::Integer,
            Value::Bulk(_) | Value::BigNumber(_) | Value::Verbatim { .. } => KvikType::Bytes,
            Value::Double(_) => KvikType::Double,
            Value::Boolean(_) => KvikType::Boolean,
            Value::Array(_) => KvikType::Array,
            Value::Map(_) => KvikType::Map,
            Value::Set(_) => KvikType::Set,
            Value::Push(_) => KvikType::Push,
        }
    }

    fn text(&self) -> Option<&[u8]> {
        let error = || self.0.as_error().map(|error| error.as_bytes());
        self.0.as_bytes().or_else(error)
    }

    fn count(&self) -> usize {
        match self.0.plain() {
            Value::Map(pairs) => 2 * pairs.len(),
            other => other.as_slice().map_or(0, <[Value]>::len),
        }
    }

    fn part(&self, index: usize) -> Option<&Value> {
        match self.0.plain() {
            Value::Map(pairs) => {
                let (name, value) = pairs.get(index / 2)?;
                Some(if index.is_multiple_of(2) { name } else { value })
            }
            other => other.as_slice()?.get(index),
        }
    }
}

/// The kind of a reply; KVIK_NIL for a null pointer.
///
/// # Safety
/// The reply is null, or one that has not been freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvik_reply_type(reply: *const KvikReply) -> KvikType {
    // SAFETY: by the contract of this function.
    let reply = unsafe { reply.as_ref() };
    plain(KvikType::Nil, || {
        reply.map_or(KvikType::Nil, KvikReply::kind)
    })
}

/// Whether a reply is an error: 1 or 0.
///
/// # Safety
/// As for `kvik_reply_type`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvik_reply_is_error(reply: *const KvikReply) -> c_int {
    // SAFETY: by the contract of this function.
    let kind = unsafe { kvik_reply_type(reply) };
    (kind == KvikType::Error).into()
}

/// The number that a reply is, or that its bytes spell; 0 if there is none.
///
/// # Safety
/// As for `kvik_reply_type`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvik_reply_integer(reply: *const KvikReply) -> i64 {
    // SAFETY: by the contract of this function.
    let reply = unsafe { reply.as_ref() };
    plain(0, || reply.and_then(|reply| reply.0.as_int()).unwrap_or(0))
}

/// The floating-point number that a reply is, or that its bytes spell; 0 if there is none.
///
/// # Safety
/// As for `kvik_reply_type`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvik_reply_double(reply: *const KvikReply) -> f64 {
    // SAFETY: by the contract of this function.
    let reply = unsafe { reply.as_ref() };
    plain(0.0, || {
        reply.and_then(|reply| reply.0.as_double()).unwrap_or(0.0)
    })
}

/// The bytes of a reply that is a status, an error or bytes, and their number in `length` unless
/// that is null. No zero follows them, and they may hold some. Null and 0 for other replies. They
/// live as long as the reply.
///
/// # Safety
/// As for `kvik_reply_type`; the length is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvik_reply_bytes(
    reply: *const KvikReply,
    length: *mut usize,
) -> *const u8 {
    // SAFETY: by the contract of this function.
    let (reply, length) = unsafe { (reply.as_ref(), length.as_mut()) };
    let text = plain(None, || reply.and_then(KvikReply::text));
    if let Some(length) = length {
        *length = text.map_or(0, <[u8]>::len);
    }
    text.map_or(null(), <[u8]>::as_ptr)
}

/// How many parts a reply has: those of an array, a set or a message, and the names and values of a
/// map, each counted.
///
/// # Safety
/// As for `kvik_reply_type`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvik_reply_count(reply: *const KvikReply) -> usize {
    // SAFETY: by the contract of this function.
    let reply = unsafe { reply.as_ref() };
    plain(0, || reply.map_or(0, KvikReply::count))
}

/// A part of a reply; null if there are not so many. In a map names have even numbers, and each
/// value follows its name. It lives as long as the reply, and is not freed.
///
/// # Safety
/// As for `kvik_reply_type`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvik_reply_part(
    reply: *const KvikReply,
    index: usize,
) -> *const KvikReply {
    // SAFETY: by the contract of this function.
    let reply = unsafe { reply.as_ref() };
    let part = plain(None, || reply.and_then(|reply| reply.part(index)));
    // A reply is a value and no more.
    part.map_or(null(), |part| std::ptr::from_ref(part).cast())
}

/// Frees a reply with all its parts. Null is none.
///
/// # Safety
/// The reply is null, or was returned to be freed and has not been freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvik_reply_free(reply: *mut KvikReply) {
    if reply.is_null() {
        return;
    }
    // SAFETY: by the contract of this function the pointer came out of a box.
    let reply = unsafe { Box::from_raw(reply) };
    plain((), || drop(reply));
}
