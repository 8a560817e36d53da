//! Stores and sessions.

use std::ffi::{CStr, c_char};
use std::ptr::null_mut;

use kvik::{Connection, Db};

use crate::guard::{plain, replying};
use crate::platform;
use crate::reply::KvikReply;

/// An open store. Threads may share it.
pub struct KvikStore(Db);

/// Somebody who uses a store: with a database of their own (SELECT), and transactions (MULTI).
pub struct KvikSession(Connection);

/// The answers of calls that make no reply.
const NO_KEY: i64 = -1;
const REFUSED: i64 = -2;

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
        let path = platform::path(path.to_bytes()).ok_or("the path is no text")?;
        std::fs::create_dir_all(&path).map_err(|error| error.to_string())?;
        Db::open(platform::options().dir(path)).map_err(|error| error.to_string())
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
    plain(null_mut(), || opened(Db::in_memory(platform::options())))
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
/// be freed. State that a command leaves behind, such as MULTI, is gone with the call; a session
/// keeps it.
///
/// # Safety
/// The store is null or open; words and lengths are arrays of `count` elements, and each word has
/// as many bytes as its length says.
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

/// Copies the string of a key of database 0 into a buffer, as much of it as there is room for, and
/// returns its whole length. Returns -1 if there is no such key, and -2 if it holds another type or
/// cannot be read just now, for reasons that GET gives as its error. Makes no reply.
///
/// # Safety
/// The store is null or open; the key has as many bytes as its length says, and so has the buffer
/// room.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvik_get(
    store: *const KvikStore,
    key: *const u8,
    key_length: usize,
    buffer: *mut u8,
    room: usize,
) -> i64 {
    // SAFETY: by the contract of this function.
    let (store, key) = unsafe { (store.as_ref(), bytes(key, key_length)) };
    let (Some(store), Some(key)) = (store, key) else {
        return REFUSED;
    };
    let room = if buffer.is_null() { 0 } else { room };
    let copy = |found: Option<&[u8]>| {
        let Some(found) = found else { return NO_KEY };
        // SAFETY: the buffer has so much room by the contract, and the store's memory is elsewhere.
        unsafe { std::ptr::copy_nonoverlapping(found.as_ptr(), buffer, found.len().min(room)) };
        found.len() as i64
    };
    plain(REFUSED, || store.0.read(key, copy).unwrap_or(REFUSED))
}

/// Sets a key of database 0 to a string that does not expire, whatever it held. Returns 0, or -2 if
/// no write is admitted, for reasons that SET gives as its error. Makes no reply.
///
/// # Safety
/// The store is null or open; key and value have as many bytes as their lengths say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvik_set(
    store: *const KvikStore,
    key: *const u8,
    key_length: usize,
    value: *const u8,
    value_length: usize,
) -> i64 {
    // SAFETY: by the contract of this function.
    let (store, key, value) = unsafe {
        (
            store.as_ref(),
            bytes(key, key_length),
            bytes(value, value_length),
        )
    };
    let (Some(store), Some(key), Some(value)) = (store, key, value) else {
        return REFUSED;
    };
    plain(REFUSED, || store.0.set(key, value).map_or(REFUSED, |()| 0))
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

/// Does what is due in a store without threads, as one is in WebAssembly: keys expire, the log is
/// written. Returns after how many milliseconds there is more to do at the latest. Where the store
/// has threads this does nothing, and returns a very large number.
///
/// # Safety
/// The store is null or open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvik_tick(store: *const KvikStore) -> i64 {
    // SAFETY: by the contract of this function.
    let Some(store) = (unsafe { store.as_ref() }) else {
        return i64::MAX;
    };
    plain(0, || {
        i64::try_from(store.0.tick().as_millis()).unwrap_or(i64::MAX)
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
        // SAFETY: by the contract of this function.
        match unsafe { bytes(word, length) } {
            Some(word) => *slot = word,
            None => return KvikReply::error(&format!("ERR the word {index} is no bytes")),
        }
    }
    run(gathered)
}

/// So many bytes; none if they cannot be that many, or are null. No bytes may lie anywhere.
///
/// # Safety
/// The pointer is null, or so many bytes are there as long as they are used.
unsafe fn bytes<'a>(start: *const u8, length: usize) -> Option<&'a [u8]> {
    match length {
        0 => Some(&[]),
        _ if start.is_null() || isize::try_from(length).is_err() => None,
        // SAFETY: it is not null, and has so many bytes by the contract.
        _ => Some(unsafe { std::slice::from_raw_parts(start, length) }),
    }
}
