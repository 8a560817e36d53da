"""A Redis-compatible store in this process, under the names of redis-py."""

from ._kvik import ResponseError, Store, __version__

__all__ = ["Kvik", "Pipeline", "ResponseError", "WatchError", "__version__"]


class WatchError(Exception):
    """A watched key has changed, so the transaction has not happened."""


def _each(keys, more):
    """Keys that are given one by one, or as a list."""
    if isinstance(keys, (bytes, str, int, float)):
        keys = [keys]
    return [*keys, *more]


def _pairs(mapping):
    return [word for pair in mapping.items() for word in pair]


class _Commands:
    """The commands, by the names and arguments that redis-py has for them."""

    def get(self, name):
        return self.execute_command("GET", name)

    def set(self, name, value, ex=None, px=None, nx=False, xx=False, keepttl=False, get=False, exat=None, pxat=None):
        words = ["SET", name, value]
        for option, number in (("EX", ex), ("PX", px), ("EXAT", exat), ("PXAT", pxat)):
            if number is not None:
                words += [option, number]
        for option, is_set in (("NX", nx), ("XX", xx), ("KEEPTTL", keepttl), ("GET", get)):
            if is_set:
                words.append(option)
        return self.execute_command(*words)

    def setnx(self, name, value):
        return self.execute_command("SETNX", name, value)

    def getdel(self, name):
        return self.execute_command("GETDEL", name)

    def getrange(self, key, start, end):
        return self.execute_command("GETRANGE", key, start, end)

    def append(self, key, value):
        return self.execute_command("APPEND", key, value)

    def strlen(self, name):
        return self.execute_command("STRLEN", name)

    def mget(self, keys, *args):
        return self.execute_command("MGET", *_each(keys, args))

    def mset(self, mapping):
        return self.execute_command("MSET", *_pairs(mapping))

    def incr(self, name, amount=1):
        return self.execute_command("INCRBY", name, amount)

    incrby = incr

    def decr(self, name, amount=1):
        return self.execute_command("DECRBY", name, amount)

    decrby = decr

    def incrbyfloat(self, name, amount=1.0):
        return self.execute_command("INCRBYFLOAT", name, amount)

    def delete(self, *names):
        return self.execute_command("DEL", *names)

    def exists(self, *names):
        return self.execute_command("EXISTS", *names)

    def expire(self, name, time):
        return self.execute_command("EXPIRE", name, time)

    def pexpire(self, name, time):
        return self.execute_command("PEXPIRE", name, time)

    def persist(self, name):
        return self.execute_command("PERSIST", name)

    def ttl(self, name):
        return self.execute_command("TTL", name)

    def pttl(self, name):
        return self.execute_command("PTTL", name)

    def type(self, name):
        return self.execute_command("TYPE", name)

    def rename(self, src, dst):
        return self.execute_command("RENAME", src, dst)

    def keys(self, pattern="*"):
        return self.execute_command("KEYS", pattern)

    def dbsize(self):
        return self.execute_command("DBSIZE")

    def flushdb(self):
        return self.execute_command("FLUSHDB")

    def flushall(self):
        return self.execute_command("FLUSHALL")

    def ping(self):
        return self.execute_command("PING") in (b"PONG", "PONG")

    def hset(self, name, key=None, value=None, mapping=None):
        words = [] if key is None else [key, value]
        return self.execute_command("HSET", name, *words, *_pairs(mapping or {}))

    def hsetnx(self, name, key, value):
        return self.execute_command("HSETNX", name, key, value)

    def hget(self, name, key):
        return self.execute_command("HGET", name, key)

    def hmget(self, name, keys, *args):
        return self.execute_command("HMGET", name, *_each(keys, args))

    def hgetall(self, name):
        return self.execute_command("HGETALL", name)

    def hdel(self, name, *keys):
        return self.execute_command("HDEL", name, *keys)

    def hexists(self, name, key):
        return self.execute_command("HEXISTS", name, key)

    def hlen(self, name):
        return self.execute_command("HLEN", name)

    def hkeys(self, name):
        return self.execute_command("HKEYS", name)

    def hvals(self, name):
        return self.execute_command("HVALS", name)

    def hincrby(self, name, key, amount=1):
        return self.execute_command("HINCRBY", name, key, amount)

    def lpush(self, name, *values):
        return self.execute_command("LPUSH", name, *values)

    def rpush(self, name, *values):
        return self.execute_command("RPUSH", name, *values)

    def lpop(self, name, count=None):
        return self.execute_command("LPOP", name, *([] if count is None else [count]))

    def rpop(self, name, count=None):
        return self.execute_command("RPOP", name, *([] if count is None else [count]))

    def llen(self, name):
        return self.execute_command("LLEN", name)

    def lindex(self, name, index):
        return self.execute_command("LINDEX", name, index)

    def lrange(self, name, start, end):
        return self.execute_command("LRANGE", name, start, end)

    def lrem(self, name, count, value):
        return self.execute_command("LREM", name, count, value)

    def ltrim(self, name, start, end):
        return self.execute_command("LTRIM", name, start, end)

    def sadd(self, name, *values):
        return self.execute_command("SADD", name, *values)

    def srem(self, name, *values):
        return self.execute_command("SREM", name, *values)

    def smembers(self, name):
        return self.execute_command("SMEMBERS", name)

    def sismember(self, name, value):
        return self.execute_command("SISMEMBER", name, value)

    def scard(self, name):
        return self.execute_command("SCARD", name)

    def spop(self, name, count=None):
        return self.execute_command("SPOP", name, *([] if count is None else [count]))

    def sinter(self, keys, *args):
        return self.execute_command("SINTER", *_each(keys, args))

    def sunion(self, keys, *args):
        return self.execute_command("SUNION", *_each(keys, args))

    def sdiff(self, keys, *args):
        return self.execute_command("SDIFF", *_each(keys, args))

    def zadd(self, name, mapping, nx=False, xx=False):
        options = [word for word, is_set in (("NX", nx), ("XX", xx)) if is_set]
        scored = [word for member, score in mapping.items() for word in (score, member)]
        return self.execute_command("ZADD", name, *options, *scored)

    def zrem(self, name, *values):
        return self.execute_command("ZREM", name, *values)

    def zscore(self, name, value):
        return self.execute_command("ZSCORE", name, value)

    def zincrby(self, name, amount, value):
        return self.execute_command("ZINCRBY", name, amount, value)

    def zcard(self, name):
        return self.execute_command("ZCARD", name)

    def zrank(self, name, value):
        return self.execute_command("ZRANK", name, value)

    def zrange(self, name, start, end, desc=False, withscores=False):
        options = [word for word, is_set in (("REV", desc), ("WITHSCORES", withscores)) if is_set]
        return self.execute_command("ZRANGE", name, start, end, *options)

    def zrangebyscore(self, name, min, max, withscores=False):
        options = ["WITHSCORES"] if withscores else []
        return self.execute_command("ZRANGEBYSCORE", name, min, max, *options)

    def xadd(self, name, fields, id="*"):
        return self.execute_command("XADD", name, id, *_pairs(fields))

    def xlen(self, name):
        return self.execute_command("XLEN", name)

    def xrange(self, name, min="-", max="+"):
        return self.execute_command("XRANGE", name, min, max)

    def eval(self, script, numkeys, *keys_and_args):
        return self.execute_command("EVAL", script, numkeys, *keys_and_args)

    def publish(self, channel, message):
        return self.execute_command("PUBLISH", channel, message)


class Kvik(_Commands):
    """A store in memory, or in a directory. Threads may share it."""

    def __init__(self, path=None, decode_responses=False):
        self._store = Store(path)
        self._decode = decode_responses

    def execute_command(self, *args):
        """Any command; its reply as RESP3 has it."""
        return self._store.execute(args, self._decode)

    def scan_iter(self, match="*", count=1000):
        """All keys that match; what stays meanwhile is not left out."""
        cursor = "0"
        while True:
            cursor, keys = self.execute_command("SCAN", cursor, "MATCH", match, "COUNT", count)
            yield from keys
            if cursor in (b"0", "0"):
                return

    def pipeline(self, transaction=True):
        """Commands that run together, as one transaction unless told otherwise."""
        return Pipeline(self._store, self._decode, transaction)

    def commit(self):
        """Waits until everything so far is on disk."""
        self._store.commit()

    def close(self):
        """Closes the store; what is in its log is on disk then."""
        self._store = None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


class Pipeline(_Commands):
    """Commands that are collected and run by execute()."""

    def __init__(self, store, decode, transaction):
        self._session = store.session()
        self._decode = decode
        self._transaction = transaction
        self._commands = []
        self._watching = False

    def execute_command(self, *args):
        if self._watching:
            return self._session.execute(args, self._decode)
        self._commands.append(args)
        return self

    def watch(self, *names):
        """Watches keys; until multi() commands run at once."""
        self._watching = True
        return self._session.execute(("WATCH", *names), self._decode)

    def multi(self):
        """Begins to collect commands behind watch()."""
        self._watching = False

    def execute(self, raise_on_error=True):
        """Runs what was collected; the replies in order."""
        commands, self._commands, self._watching = self._commands, [], False
        if not self._transaction:
            replies = [self._one(command) for command in commands]
        else:
            self._session.execute(("MULTI",), self._decode)
            try:
                for command in commands:
                    self._session.execute(command, self._decode)
            except ResponseError:
                self._session.execute(("DISCARD",), self._decode)
                raise
            replies = self._session.execute(("EXEC",), self._decode)
            if replies is None:
                raise WatchError("a watched key has changed")
        if raise_on_error:
            for reply in replies:
                if isinstance(reply, ResponseError):
                    raise reply
        return replies

    def _one(self, command):
        try:
            return self._session.execute(command, self._decode)
        except ResponseError as error:
            return error

    def __len__(self):
        return len(self._commands)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._commands = []
