"""The store under redis-py's names."""

import tempfile
import threading
import unittest

import kvik


class Commands(unittest.TestCase):
    def setUp(self):
        self.db = kvik.Kvik()

    def test_strings(self):
        self.assertIs(self.db.set("k", "v"), True)
        self.assertEqual(self.db.get("k"), b"v")
        self.assertIsNone(self.db.get("none"))
        self.assertIsNone(self.db.set("k", 1, nx=True))
        self.assertEqual(self.db.set("k", b"\x00\xff", get=True), b"v")
        self.assertEqual(self.db.get("k"), b"\x00\xff")
        self.assertEqual(self.db.incr("n", 5), 5)
        self.db.mset({"a": 1, "b": 2.5})
        self.assertEqual(self.db.mget("a", "b", "c"), [b"1", b"2.5", None])
        self.assertEqual(self.db.delete("a", "b", "c"), 2)

    def test_expiry(self):
        self.db.set("k", "v", ex=100)
        self.assertTrue(0 < self.db.ttl("k") <= 100)
        self.assertEqual(self.db.persist("k"), 1)
        self.assertEqual(self.db.ttl("k"), -1)

    def test_collections(self):
        self.assertEqual(self.db.hset("h", mapping={"f": 1, "g": 2}), 2)
        self.assertEqual(self.db.hgetall("h"), {b"f": b"1", b"g": b"2"})
        self.assertEqual(self.db.rpush("l", "a", "b"), 2)
        self.assertEqual(self.db.lrange("l", 0, -1), [b"a", b"b"])
        self.db.sadd("s", "x", "y")
        self.assertEqual(self.db.smembers("s"), {b"x", b"y"})
        self.db.zadd("z", {"m": 1.5, "n": 3})
        self.assertEqual(self.db.zscore("z", "m"), 1.5)
        self.assertEqual(self.db.zrange("z", 0, -1, withscores=True), [[b"m", 1.5], [b"n", 3.0]])
        self.db.xadd("st", {"f": "v"}, id="1-1")
        self.assertEqual(self.db.xrange("st"), [[b"1-1", [b"f", b"v"]]])
        self.assertEqual(sorted(self.db.scan_iter()), [b"h", b"l", b"s", b"st", b"z"])

    def test_text(self):
        db = kvik.Kvik(decode_responses=True)
        db.set("k", "grün")
        self.assertEqual(db.get("k"), "grün")
        self.assertTrue(db.ping())

    def test_errors(self):
        self.db.set("k", "v")
        with self.assertRaisesRegex(kvik.ResponseError, "not an integer"):
            self.db.incr("k")
        with self.assertRaises(TypeError):
            self.db.set("k", None)
        with self.assertRaises(kvik.ResponseError):
            self.db.execute_command("NOSUCH")

    def test_scripts(self):
        self.assertEqual(self.db.eval("return {KEYS[1], 7}", 1, "k"), [b"k", 7])


class Pipelines(unittest.TestCase):
    def test_a_transaction_is_one_step(self):
        db = kvik.Kvik()
        with db.pipeline() as pipe:
            pipe.set("a", 1).incr("a").get("a")
            self.assertEqual(pipe.execute(), [True, 2, b"2"])
            pipe.lpush("a", "x")
            with self.assertRaises(kvik.ResponseError):
                pipe.execute()

    def test_a_changed_key_ends_it(self):
        db = kvik.Kvik()
        pipe = db.pipeline()
        pipe.watch("a")
        self.assertIsNone(pipe.get("a"))
        db.set("a", "other")
        pipe.multi()
        pipe.set("a", "mine")
        with self.assertRaises(kvik.WatchError):
            pipe.execute()
        self.assertEqual(db.get("a"), b"other")


class Files(unittest.TestCase):
    def test_a_directory_keeps_keys(self):
        with tempfile.TemporaryDirectory() as folder:
            with kvik.Kvik(folder) as db:
                db.set("k", "v")
                db.commit()
                with self.assertRaises(OSError):
                    kvik.Kvik(folder)
            self.assertEqual(kvik.Kvik(folder).get("k"), b"v")


class Threads(unittest.TestCase):
    def test_threads_share_a_store(self):
        db = kvik.Kvik()

        def work():
            for _ in range(1000):
                db.incr("n")

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(db.get("n"), b"4000")


if __name__ == "__main__":
    unittest.main()
