"""A session of redis-py, unmodified, in both protocols: redis_py.py PORT"""

import sys

import redis


def session(protocol):
    r = redis.Redis(port=int(sys.argv[1]), protocol=protocol, decode_responses=True, client_name=f"py{protocol}")
    r.flushall()
    strings(r)
    keys(r)
    transactions(r)
    server(r, protocol)
    r.close()


def strings(r):
    assert r.set("k", "v", ex=100) is True
    assert r.set("k", "w", nx=True) is None
    assert r.set("k", "w", xx=True, get=True, keepttl=True) == "v"
    assert 0 < r.ttl("k") <= 100
    assert r.incr("n", 41) == 41 and r.incrbyfloat("n", 1.5) == 42.5
    assert r.mset({"a": "1", "b": "2"}) is True
    assert r.mget("a", "none", "b") == ["1", None, "2"]
    assert r.append("a", "0") == 2 and r.getrange("a", 0, -1) == "10"
    assert r.getdel("a") == "10" and r.getex("b", persist=True) == "2"
    try:
        r.incr("k")
        raise AssertionError("INCR of a word")
    except redis.ResponseError as error:
        assert "not an integer" in str(error)


def keys(r):
    assert r.exists("k", "b", "none") == 2 and r.type("k") == "string"
    assert r.expire("b", 10) is True and r.persist("b") is True and r.ttl("b") == -1
    assert r.rename("b", "c") is True and r.copy("c", "d") and r.unlink("c", "d") == 2
    for number in range(100):
        r.set(f"scan:{number}", number)
    assert len(set(r.scan_iter("scan:*", count=7))) == 100
    assert r.object("encoding", "scan:1") == "int"


def transactions(r):
    with r.pipeline() as pipe:
        assert pipe.set("x", 1).incr("x").get("x").execute() == [True, 2, "2"]
    with r.pipeline(transaction=False) as pipe:
        assert len(pipe.get("x").get("none").execute()) == 2
    with r.pipeline() as pipe:
        pipe.watch("x")
        r.set("x", 5)
        pipe.multi()
        pipe.set("x", 6)
        try:
            pipe.execute()
            raise AssertionError("a watched key changed")
        except redis.WatchError:
            pass
    assert r.get("x") == "5"


def server(r, protocol):
    assert r.ping() and r.echo("hi") == "hi"
    assert r.client_getname() == f"py{protocol}"
    assert r.client_info()["resp"] == str(protocol)
    assert r.config_get("maxclients")["maxclients"].isdigit()
    assert r.info("server")["tcp_port"] == int(sys.argv[1])
    assert r.command_count() > 50
    assert r.dbsize() > 100 and len(r.time()) == 2
    other = redis.Redis(port=int(sys.argv[1]), db=3, protocol=protocol)
    other.set("k", b"\x00\xff")
    assert other.get("k") == b"\x00\xff" and other.dbsize() == 1
    other.close()


for protocol in (2, 3):
    session(protocol)
