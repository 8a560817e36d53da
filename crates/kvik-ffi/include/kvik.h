/* kvik: the embedded store for C. Written by cargo x docs from crates/kvik-ffi/src.
 *
 * Threads share a store; a session belongs to one thread at a time. What is returned to be freed is
 * freed by the function for it, and by no other. Words and bytes may hold zeros.
 */
#ifndef KVIK_H
#define KVIK_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An open store. Threads may share it. */
typedef struct kvik_store kvik_store;

/* Somebody who uses a store: with a database of their own (SELECT), and transactions (MULTI). */
typedef struct kvik_session kvik_session;

/* A reply, or a part of one. */
typedef struct kvik_reply kvik_reply;

#define KVIK_ABI_VERSION 1

/* The kind of a reply. */
typedef enum {
  /* Nothing. */
  KVIK_NIL = 0,
  /* A status such as OK. */
  KVIK_STATUS = 1,
  /* An error: its code and text. */
  KVIK_ERROR = 2,
  /* An integer. */
  KVIK_INTEGER = 3,
  /* Bytes. */
  KVIK_BYTES = 4,
  /* A floating-point number. */
  KVIK_DOUBLE = 5,
  /* A truth value: an integer that is 0 or 1. */
  KVIK_BOOLEAN = 6,
  /* Replies in order. */
  KVIK_ARRAY = 7,
  /* Names and values in turns. */
  KVIK_MAP = 8,
  /* Replies of which the order means nothing. */
  KVIK_SET = 9,
  /* A message that nobody asked for. */
  KVIK_PUSH = 10,
} kvik_type;

/* The version of this interface. It changes when a function changes or goes, not when one comes. */
int kvik_abi_version(void);

/* The version of the library, as text that ends with a zero and is never freed. */
const char *kvik_version(void);

/* Opens the store whose files lie in a directory, which is made if there is none. Null if that
 * fails; `error`, unless it is null, is then an error reply to be freed, and null otherwise.
 *
 * Contract:
 * The path ends with a zero, or is null; the error is null or may be written.
 */
kvik_store *kvik_open(const char *path, kvik_reply **error);

/* Opens an empty store in memory. Null only if the system has no thread left. */
kvik_store *kvik_open_memory(void);

/* Closes a store: what is in its log is on disk then. Sessions that are still there keep it open
 * until the last of them is closed. Null is none.
 *
 * Contract:
 * The store is null, or was opened and has not been closed, and no call uses it.
 */
void kvik_close(kvik_store *store);

/* Runs a command on database 0: `count` words, the name first, with their lengths. The reply is to
 * be freed. State that a command leaves behind, such as MULTI, is gone with the call; a session
 * keeps it.
 *
 * Contract:
 * The store is null or open; words and lengths are arrays of `count` elements, and each word has
 * as many bytes as its length says.
 */
kvik_reply *kvik_run(const kvik_store *store, size_t count, const uint8_t *const *words, const size_t *lengths);

/* Copies the string of a key of database 0 into a buffer, as much of it as there is room for, and
 * returns its whole length. Returns -1 if there is no such key, and -2 if it holds another type or
 * cannot be read just now, for reasons that GET gives as its error. Makes no reply.
 *
 * Contract:
 * The store is null or open; the key has as many bytes as its length says, and so has the buffer
 * room.
 */
int64_t kvik_get(const kvik_store *store, const uint8_t *key, size_t key_length, uint8_t *buffer, size_t room);

/* Sets a key of database 0 to a string that does not expire, whatever it held. Returns 0, or -2 if
 * no write is admitted, for reasons that SET gives as its error. Makes no reply.
 *
 * Contract:
 * The store is null or open; key and value have as many bytes as their lengths say.
 */
int64_t kvik_set(const kvik_store *store, const uint8_t *key, size_t key_length, const uint8_t *value, size_t value_length);

/* Waits until all that has happened so far is on disk. The reply, a status or an error, is to be
 * freed.
 *
 * Contract:
 * The store is null or open.
 */
kvik_reply *kvik_commit(const kvik_store *store);

/* Does what is due in a store without threads, as one is in WebAssembly: keys expire, the log is
 * written. Returns after how many milliseconds there is more to do at the latest. Where the store
 * has threads this does nothing, and returns a very large number.
 *
 * Contract:
 * The store is null or open.
 */
int64_t kvik_tick(const kvik_store *store);

/* Opens a session; null if there is no store. Use it from one thread at a time.
 *
 * Contract:
 * The store is null or open.
 */
kvik_session *kvik_session_open(const kvik_store *store);

/* Runs a command in a session, which keeps the state that it leaves. BLPOP and its like wait, and
 * block the calling thread. The reply is to be freed.
 *
 * Contract:
 * The session is null or open, and no other call uses it; words and lengths as for `kvik_run`.
 */
kvik_reply *kvik_session_run(kvik_session *session, size_t count, const uint8_t *const *words, const size_t *lengths);

/* Closes a session. Null is none.
 *
 * Contract:
 * The session is null, or was opened and has not been closed, and no call uses it.
 */
void kvik_session_close(kvik_session *session);

/* The kind of a reply; KVIK_NIL for a null pointer.
 *
 * Contract:
 * The reply is null, or one that has not been freed.
 */
kvik_type kvik_reply_type(const kvik_reply *reply);

/* Whether a reply is an error: 1 or 0.
 *
 * Contract:
 * As for `kvik_reply_type`.
 */
int kvik_reply_is_error(const kvik_reply *reply);

/* The number that a reply is, or that its bytes spell; 0 if there is none.
 *
 * Contract:
 * As for `kvik_reply_type`.
 */
int64_t kvik_reply_integer(const kvik_reply *reply);

/* The floating-point number that a reply is, or that its bytes spell; 0 if there is none.
 *
 * Contract:
 * As for `kvik_reply_type`.
 */
double kvik_reply_double(const kvik_reply *reply);

/* The bytes of a reply that is a status, an error or bytes, and their number in `length` unless
 * that is null. No zero follows them, and they may hold some. Null and 0 for other replies. They
 * live as long as the reply.
 *
 * Contract:
 * As for `kvik_reply_type`; the length is null or may be written.
 */
const uint8_t *kvik_reply_bytes(const kvik_reply *reply, size_t *length);

/* How many parts a reply has: those of an array, a set or a message, and the names and values of a
 * map, each counted.
 *
 * Contract:
 * As for `kvik_reply_type`.
 */
size_t kvik_reply_count(const kvik_reply *reply);

/* A part of a reply; null if there are not so many. In a map names have even numbers, and each
 * value follows its name. It lives as long as the reply, and is not freed.
 *
 * Contract:
 * As for `kvik_reply_type`.
 */
const kvik_reply *kvik_reply_part(const kvik_reply *reply, size_t index);

/* Frees a reply with all its parts. Null is none.
 *
 * Contract:
 * The reply is null, or was returned to be freed and has not been freed.
 */
void kvik_reply_free(kvik_reply *reply);

#ifdef __cplusplus
}
#endif

#endif
