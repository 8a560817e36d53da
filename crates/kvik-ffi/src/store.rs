//! Stores and sessions.

use std::ffi::{CStr, OsStr, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::null_mut;

use kvik::{Connection, Db, Options};
use kvik_script::LuaEngine;

use crate::guard::{plain, replying};
use crate::reply::KvikReply;

/// An open store. Threads may share it.
pub struct KvikStore(Db);

/// Somebody who uses a store: with a database of their own (SELECT), and transactions (MULTI).
pub struct KvikSession(Connection);

/// Words that need no memory of their own to be gathered.
const FEW: usize = 8;

fn opened(db: Db) -> *mut KvikStore {
    Box::into_raw(Box::new(KvikStore(db)))
}

/// Opens the store whose files lie in a directory, which is made if there is none. Null if that
/// fails; `error`, unless it is null, is then an error reply to be freed, and null otherwise.
///
/// # Safety
/// The path ends with a zero, or is null; the error is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvik_open(
    path: *const c_char,
    error: *mut *mut KvikReply,
) -> *mut KvikStore {
    let open = || {
        if path.is_null() {
            return Err("there is no path".to_owned());
        }
        // SAFETY: it is not null, and ends with a zero by the contract of this function.
        let path = unsafe { CStr::from_ptr(path) };
        let path = Path::new(OsStr::from_bytes(path.to_bytes()));
        std::fs::create_dir_all(path).map_err(|error| error.to_string())?;
        let options = Options::default().dir(path).scripts(LuaEngine::shared());
        Db::open(options).map_err(|error| error.to_string())
    };
    let outcome = plain(Err("the store has panicked".to_owned()), open);
    let (store, refusal) = match outcome {
        Ok(db) => (opened(db), null_mut()),
        Err(reason) => {
            let reply = KvikReply::error(&format!("ERR {}", reason.replace(['\r', '\n'], " ")));
            (null_mut(), Box::into_raw(Box::new(reply)))
        }
    };
    if error.is_null() {
        // SAFETY: the pointer is null, or has just been made.
        unsafe { crate::reply::kvik_reply_free(refusal) };
    } else {
        // SAFETY: it is not null, and may be written by the contract of this function.
        unsafe { *error = refusal };
    }
    store
}

/// Opens an empty store in memory. Null only if the system has no thread left.
#[unsafe(no_mangle)]
pub extern "C" fn kvik_open_memory() -> *mut KvikStore {
    plain(null_mut(), || {
        opened(Db::in_memory(
            Options::default().scripts(LuaEngine::shared()),
        ))
    })
}

/// Closes a store: what is in its log is on disk then. Sessions that are still there keep it open
/// until the last of them is closed. Null is none.
///
/// # Safety
/// The store is null, or was opened and has not been closed, and no call uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvik_close(store: *mut KvikStore) {
    if store.is_null() {
        return;
    }
    // SAFETY: by the contract of this function the pointer came out of a box.
    let store = unsafe { Box::from_raw(store) };
    plain((), || drop(store));
}

/// Runs a command on database 0: `count` words, the name first, with their lengths. The reply is to
/// be freed. State that a command leaves behind, such as MULTI, is gone with the call; a session keeps
/// it.
///
/// # Safety
/// The store is null or open; words and lengths are arrays of `count` elements, and each word has as
/// many bytes as its length says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvik_run(
    store: *const KvikStore,
    count: usize,
    words: *const *const u8,
    lengths: *const usize,
) -> *mut KvikReply {
    replying(|| {
        // SAFETY: by the contract of this function.
        let Some(store) = (unsafe { store.as_ref() }) else {
            return KvikReply::error("ERR there is no store");
        };
        // SAFETY: by the contract of this function.
        unsafe { with_words(count, words, lengths, |words| KvikReply(store.0.run(words))) }
    })
}

/// Waits until all that has happened so far is on disk. The reply, a status or an error, is to be
/// freed.
///
/// # Safety
/// The store is null or open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvik_commit(store: *const KvikStore) -> *mut KvikReply {
    replying(|| {
        // SAFETY: by the contract of this function.
        let Some(store) = (unsafe { store.as_ref() }) else {
            return KvikReply::error("ERR there is no store");
        };
        match store.0.commit() {
            Ok(()) => KvikReply(kvik::Value::Simple("OK".into())),
            Err(error) => KvikReply(kvik::Value::Error(error.line().into())),
        }
    })
}

/// Opens a session; null if there is no store. Use it from one thread at a time.
///
/// # Safety
/// The store is null or open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvik_session_open(store: *const KvikStore) -> *mut KvikSession {
    // SAFETY: by the contract of this function.
    let Some(store) = (unsafe { store.as_ref() }) else {
        return null_mut();
    };
    plain(null_mut(), || {
        Box::into_raw(Box::new(KvikSession(store.0.connect())))
    })
}

/// Runs a command in a session, which keeps the state that it leaves. BLPOP and its like wait, and
/// block the calling thread. The reply is to be freed.
///
/// # Safety
/// The session is null or open, and no other call uses it; words and lengths as for `kvik_run`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvik_session_run(
    session: *mut KvikSession,
    count: usize,
    words: *const *const u8,
    lengths: *const usize,
) -> *mut KvikReply {
    replying(|| {
        // SAFETY: by the contract of this function.
        let Some(session) = (unsafe { session.as_mut() }) else {
            return KvikReply::error("ERR there is no session");
        };
        // SAFETY: by the contract of this function.
        unsafe {
            with_words(count, words, lengths, |words| {
                KvikReply(session.0.run(words))
            })
        }
    })
}

/// Closes a session. Null is none.
///
/// # Safety
/// The session is null, or was opened and has not been closed, and no call uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvik_session_close(session: *mut KvikSession) {
    if session.is_null() {
        return;
    }
    // SAFETY: by the contract of this function the pointer came out of a box.
    let session = unsafe { Box::from_raw(session) };
    plain((), || drop(session));
}

/// Gives words to `run`, unless there are none or one of them is null with bytes.
///
/// # Safety
/// As [`kvik_run`] demands of words and lengths.
unsafe fn with_words(
    count: usize,
    words: *const *const u8,
    lengths: *const usize,
    run: impl FnOnce(&[&[u8]]) -> KvikReply,
) -> KvikReply {
    if count == 0 || words.is_null() || lengths.is_null() {
        return KvikReply::error("ERR there is no command");
    }
    // SAFETY: neither is null, and both have so many elements by the contract.
    let (words, lengths) = unsafe {
        (
            std::slice::from_raw_parts(words, count),
            std::slice::from_raw_parts(lengths, count),
        )
    };
    let (mut few, mut many) = ([&[][..]; FEW], Vec::new());
    let gathered = match few.get_mut(..count) {
        Some(few) => few,
        None => {
            many.resize(count, &[][..]);
            &mut many[..]
        }
    };
    for (index, slot) in gathered.iter_mut().enumerate() {
        let (word, length) = (words[index], lengths[index]);
        if length == 0 {
            continue;
        }
        if word.is_null() || isize::try_from(length).is_err() {
            return KvikReply::error(&format!("ERR the word {index} is no bytes"));
        }
        // SAFETY: it is not null, and has so many bytes by the contract.
        *slot = unsafe { std::slice::from_raw_parts(word, length) };
    }
    run(gathered)
}
