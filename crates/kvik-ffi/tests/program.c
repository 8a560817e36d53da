/* A program in C that uses the store; tests/c.rs compiles and runs it. Its argument is a directory. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvik.h"

#define CHECK(condition)                                                   \
  do {                                                                     \
    if (!(condition)) {                                                    \
      fprintf(stderr, "line %d: %s does not hold\n", __LINE__, #condition); \
      exit(1);                                                             \
    }                                                                      \
  } while (0)

/* Runs a command of text. */
static kvik_reply *run(const kvik_store *store, size_t count, const char *const *text) {
  const uint8_t *words[16];
  size_t lengths[16];
  for (size_t i = 0; i < count; i++) {
    words[i] = (const uint8_t *)text[i];
    lengths[i] = strlen(text[i]);
  }
  return kvik_run(store, count, words, lengths);
}

#define RUN(store, ...)                                               \
  run((store), sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *), \
      (const char *[]){__VA_ARGS__})

static int is_text(const kvik_reply *reply, const char *text) {
  size_t length = 99;
  const uint8_t *bytes = kvik_reply_bytes(reply, &length);
  return bytes != NULL && length == strlen(text) && memcmp(bytes, text, length) == 0;
}

static void replies(kvik_store *store) {
  kvik_reply *reply = RUN(store, "SET", "k", "v");
  CHECK(kvik_reply_type(reply) == KVIK_STATUS && is_text(reply, "OK"));
  kvik_reply_free(reply);
  reply = RUN(store, "GET", "k");
  CHECK(kvik_reply_type(reply) == KVIK_BYTES && is_text(reply, "v"));
  kvik_reply_free(reply);
  reply = RUN(store, "GET", "none");
  CHECK(kvik_reply_type(reply) == KVIK_NIL && kvik_reply_bytes(reply, NULL) == NULL);
  kvik_reply_free(reply);
  reply = RUN(store, "INCRBY", "n", "-5");
  CHECK(kvik_reply_type(reply) == KVIK_INTEGER && kvik_reply_integer(reply) == -5);
  kvik_reply_free(reply);
  reply = RUN(store, "ZADD", "z", "1.5", "m");
  kvik_reply_free(reply);
  reply = RUN(store, "ZSCORE", "z", "m");
  CHECK(kvik_reply_type(reply) == KVIK_DOUBLE && kvik_reply_double(reply) == 1.5);
  kvik_reply_free(reply);
  reply = RUN(store, "HSET", "h", "f", "1", "g", "2");
  kvik_reply_free(reply);
  reply = RUN(store, "HGETALL", "h");
  CHECK(kvik_reply_type(reply) == KVIK_MAP && kvik_reply_count(reply) == 4);
  CHECK(is_text(kvik_reply_part(reply, 0), "f") && is_text(kvik_reply_part(reply, 3), "2"));
  CHECK(kvik_reply_part(reply, 4) == NULL);
  kvik_reply_free(reply);
  reply = RUN(store, "INCR", "k");
  CHECK(kvik_reply_type(reply) == KVIK_ERROR && kvik_reply_is_error(reply));
  CHECK(is_text(reply, "ERR value is not an integer or out of range"));
  kvik_reply_free(reply);
  reply = RUN(store, "EVAL", "return {1, 'a'}", "0");
  CHECK(kvik_reply_type(reply) == KVIK_ARRAY && kvik_reply_count(reply) == 2);
  CHECK(kvik_reply_integer(kvik_reply_part(reply, 0)) == 1);
  kvik_reply_free(reply);
}

/* Bytes are bytes: zeros as well. */
static void bytes(kvik_store *store) {
  const uint8_t key[] = {0, 1, 0}, value[] = {'a', 0, 0xff, '\n'};
  const uint8_t *words[] = {(const uint8_t *)"SET", key, value};
  const size_t lengths[] = {3, sizeof key, sizeof value};
  kvik_reply_free(kvik_run(store, 3, words, lengths));
  const uint8_t *get[] = {(const uint8_t *)"GET", key};
  kvik_reply *reply = kvik_run(store, 2, get, lengths);
  size_t length;
  const uint8_t *found = kvik_reply_bytes(reply, &length);
  CHECK(length == sizeof value && memcmp(found, value, length) == 0);
  kvik_reply_free(reply);
}

/* Calls that make no reply. */
static void plain(kvik_store *store) {
  const uint8_t *key = (const uint8_t *)"plain", *value = (const uint8_t *)"12345";
  uint8_t buffer[8] = {0};
  CHECK(kvik_set(store, key, 5, value, 5) == 0);
  CHECK(kvik_get(store, key, 5, buffer, sizeof buffer) == 5);
  CHECK(memcmp(buffer, "12345\0\0", 8) == 0);
  CHECK(kvik_get(store, key, 5, NULL, 0) == 5);
  memset(buffer, 0, sizeof buffer);
  CHECK(kvik_get(store, key, 5, buffer, 2) == 5 && memcmp(buffer, "12\0", 3) == 0);
  CHECK(kvik_set(store, key, 5, NULL, 0) == 0 && kvik_get(store, key, 5, buffer, 2) == 0);
  CHECK(kvik_get(store, key, 4, buffer, 2) == -1);
  kvik_reply_free(RUN(store, "RPUSH", "plain list", "a"));
  CHECK(kvik_get(store, (const uint8_t *)"plain list", 10, buffer, 2) == -2);
  CHECK(kvik_get(store, NULL, 4, buffer, 2) == -2 && kvik_set(store, key, 5, NULL, 4) == -2);
  CHECK(kvik_get(NULL, key, 5, buffer, 2) == -2 && kvik_set(NULL, key, 5, value, 5) == -2);
  /* The store has threads for what is due. */
  CHECK(kvik_tick(store) > 1000000 && kvik_tick(NULL) > 1000000);
}

/* What is null is answered. */
static void nulls(kvik_store *store) {
  const uint8_t *words[] = {(const uint8_t *)"GET", NULL};
  const size_t lengths[] = {3, 5}, none[] = {3, 0};
  kvik_reply *answers[] = {
      kvik_run(NULL, 1, words, lengths), kvik_run(store, 0, words, lengths),
      kvik_run(store, 1, NULL, lengths), kvik_run(store, 1, words, NULL),
      kvik_run(store, 2, words, lengths), kvik_session_run(NULL, 1, words, lengths),
      kvik_commit(NULL),
  };
  for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
    CHECK(kvik_reply_is_error(answers[i]));
    kvik_reply_free(answers[i]);
  }
  kvik_reply *reply = kvik_run(store, 2, words, none);
  CHECK(kvik_reply_type(reply) == KVIK_NIL);
  kvik_reply_free(reply);
  CHECK(kvik_reply_type(NULL) == KVIK_NIL && kvik_reply_integer(NULL) == 0);
  CHECK(kvik_reply_count(NULL) == 0 && kvik_reply_part(NULL, 0) == NULL);
  CHECK(kvik_reply_double(NULL) == 0 && kvik_session_open(NULL) == NULL);
  kvik_reply_free(NULL);
  kvik_close(NULL);
  kvik_session_close(NULL);
  CHECK(kvik_open(NULL, NULL) == NULL);
}

/* A session keeps what a command leaves. */
static void sessions(kvik_store *store) {
  kvik_session *session = kvik_session_open(store);
  const char *text[] = {"SELECT", "3", "MULTI", "SET", "k", "three", "EXEC"};
  const size_t counts[] = {2, 1, 3, 1};
  const char *const *next = text;
  for (size_t i = 0; i < 4; next += counts[i++]) {
    const uint8_t *words[3];
    size_t lengths[3];
    for (size_t j = 0; j < counts[i]; j++) {
      words[j] = (const uint8_t *)next[j];
      lengths[j] = strlen(next[j]);
    }
    kvik_reply *reply = kvik_session_run(session, counts[i], words, lengths);
    CHECK(!kvik_reply_is_error(reply));
    kvik_reply_free(reply);
  }
  kvik_session_close(session);
  kvik_reply *reply = RUN(store, "GET", "k");
  CHECK(is_text(reply, "v"));
  kvik_reply_free(reply);
}

static void *count_up(void *store) {
  for (int i = 0; i < 1000; i++) kvik_reply_free(RUN(store, "INCR", "count"));
  return NULL;
}

static void threads(kvik_store *store) {
  pthread_t each[4];
  for (int i = 0; i < 4; i++) CHECK(pthread_create(&each[i], NULL, count_up, store) == 0);
  for (int i = 0; i < 4; i++) pthread_join(each[i], NULL);
  kvik_reply *reply = RUN(store, "GET", "count");
  CHECK(kvik_reply_integer(reply) == 4000);
  kvik_reply_free(reply);
}

static void files(const char *directory) {
  kvik_reply *error = NULL;
  kvik_store *store = kvik_open(directory, &error);
  CHECK(store != NULL && error == NULL);
  kvik_reply_free(RUN(store, "SET", "kept", "yes"));
  kvik_reply *done = kvik_commit(store);
  CHECK(kvik_reply_type(done) == KVIK_STATUS);
  kvik_reply_free(done);
  /* One process, or one handle, at a time. */
  CHECK(kvik_open(directory, &error) == NULL && kvik_reply_is_error(error));
  kvik_reply_free(error);
  kvik_close(store);
  store = kvik_open(directory, NULL);
  CHECK(store != NULL);
  kvik_reply *reply = RUN(store, "GET", "kept");
  CHECK(is_text(reply, "yes"));
  kvik_reply_free(reply);
  kvik_close(store);
}

int main(int argc, char **argv) {
  CHECK(argc == 2 && kvik_abi_version() == KVIK_ABI_VERSION && strlen(kvik_version()) > 0);
  kvik_store *store = kvik_open_memory();
  CHECK(store != NULL);
  replies(store);
  bytes(store);
  plain(store);
  nulls(store);
  sessions(store);
  threads(store);
  kvik_close(store);
  files(argv[1]);
  puts("ok");
  return 0;
}
