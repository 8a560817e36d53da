"""A session of redis-py's cluster client, unmodified, in both protocols: redis_py_cluster.py PORT, of any node"""

import sys

import redis
from redis.cluster import ClusterNode, RedisCluster


def session(protocol):
    nodes = [ClusterNode("127.0.0.1", int(sys.argv[1]))]
    r = RedisCluster(startup_nodes=nodes, protocol=protocol, decode_responses=True)
    r.flushall()
    commands(r)
    nodes_and_slots(r)
    channels(r)
    r.close()


def commands(r):
    for number in range(100):
        assert r.set(f"k{number}", number) is True
    assert [r.get(f"k{number}") for number in range(100)] == [str(number) for number in range(100)]
    with r.pipeline() as pipe:
        for number in range(50):
            pipe.incr(f"k{number}")
        assert pipe.execute() == [number + 1 for number in range(50)]
    assert r.mget_nonatomic("k1", "none", "k99") == ["2", None, "99"]
    assert r.mset({"{t}a": "1", "{t}b": "2"}) is True and r.mget("{t}a", "{t}b") == ["1", "2"]
    assert r.exists("k1", "k2", "none") == 2 and r.delete("k1", "k2") == 2
    assert len(set(r.scan_iter("k*", count=7))) == 98
    assert r.eval("return redis.call('GET', KEYS[1])", 1, "k3") == "4"
    try:
        r.incr("{t}word" if r.set("{t}word", "x") else "")
        raise AssertionError("INCR of a word")
    except redis.ResponseError as error:
        assert "not an integer" in str(error)


def nodes_and_slots(r):
    assert len(r.get_nodes()) == 2
    assert r.cluster_info(target_nodes=r.get_random_node())["cluster_state"] == "ok"
    slot = r.keyslot("k3")
    assert r.cluster_keyslot("k3") == slot
    assert r.cluster_countkeysinslot(slot) == 1 and r.cluster_get_keys_in_slot(slot, 10) == ["k3"]
    assert r.info("cluster", target_nodes=r.get_random_node())["cluster_enabled"] == 1
    assert len(r.cluster_shards()) == 2


def channels(r):
    p = r.pubsub()
    p.ssubscribe("shard")
    assert p.get_sharded_message(timeout=5)["type"] == "ssubscribe"
    assert r.spublish("shard", "hello") == 1
    assert p.get_sharded_message(timeout=5)["data"] == "hello"
    p.close()


for protocol in (2, 3):
    session(protocol)
