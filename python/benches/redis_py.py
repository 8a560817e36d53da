"""Operations per second of this library and of redis-py with a server: python redis_py.py REDIS_URL"""

import sys
import time

import redis

import kvik


def rate(run, seconds=1.0):
    count, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        for _ in range(500):
            run()
        count += 500
    return count / (time.perf_counter() - begun)


def main():
    ours, theirs = kvik.Kvik(), redis.Redis.from_url(sys.argv[1])
    for db in (ours, theirs):
        db.set("key", "x" * 32)
    print(f"{'':8}{'kvik':>12}{'redis-py':>12}{'ratio':>8}")
    for name in ("get", "set"):
        args = ("key",) if name == "get" else ("key", "y" * 32)
        # In turns, so that both see the machine alike.
        rates = [[rate(lambda: getattr(db, name)(*args)) for db in (ours, theirs)] for _ in range(3)]
        one, other = (sorted(each)[1] for each in zip(*rates))
        print(f"{name:8}{one:12.0f}{other:12.0f}{one / other:8.1f}")


if __name__ == "__main__":
    main()
