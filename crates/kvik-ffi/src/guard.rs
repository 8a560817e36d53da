//! Keeps panics on this side of the interface.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::reply::KvikReply;

/// Runs a call that answers with a reply. A panic is an error reply.
pub(crate) fn replying(call: impl FnOnce() -> KvikReply) -> *mut KvikReply {
    // What a panic leaves behind is the store's business, which panics on every further call if it
    // cannot go on.
    let reply = catch_unwind(AssertUnwindSafe(call));
    let reply = reply.unwrap_or_else(|_| KvikReply::error("ERR the store has panicked"));
    Box::into_raw(Box::new(reply))
}

/// Runs a call that answers with something plain, or with `otherwise` if it panics.
pub(crate) fn plain<T>(otherwise: T, call: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or(otherwise)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_answer() {
        let reply = replying(|| panic!("as it must never happen"));
        // SAFETY: the pointer has just been made from a box, and is used once.
        let reply = unsafe { Box::from_raw(reply) };
        assert!(reply.0.as_error().is_some());
        assert_eq!(plain(7, || panic!("as it must never happen")), 7);
    }
}
