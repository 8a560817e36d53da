//! The typed methods of all types, iterators and figures, on stores of every kind.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use kvik_client::{ClientError, Store};

use super::{PATIENCE, bytes, on_each, sorted};

#[test]
fn collections_do_the_same_everywhere() {
    on_each("collections", |url| {
        let mut client = Store::open(url).unwrap();
        client.set("s", "v").unwrap();
        assert!(client.copy("s", "t").unwrap() && !client.renamenx("s", "t").unwrap());
        assert_eq!(client.touch(["s", "t", "none"]).unwrap(), 2);
        assert_eq!(client.unlink(["s", "t"]).unwrap(), 2);
        assert_eq!(client.incr_by_float("n", 1.5).unwrap(), 1.5);
        assert!(client.pexpireat("n", 4_000_000_000_000_u64).unwrap());
        assert!(client.msetnx([("a", "1"), ("b", "2")]).unwrap());
        assert!(!client.msetnx([("b", "2"), ("c", "3")]).unwrap(), "{url}");
        assert_eq!(client.decr_by("a", 3).unwrap(), -2);
        assert_eq!(client.setrange("b", 2, "x").unwrap(), 3);
        assert_eq!(client.getex_for("b", 100_000).unwrap().unwrap(), b"2\0x");

        assert!(client.hsetnx("h", "f", "1").unwrap() && !client.hsetnx("h", "f", "2").unwrap());
        assert_eq!(client.hincr_by_float("h", "f", 0.5).unwrap(), 1.5);
        assert_eq!(client.hstrlen("h", "f").unwrap(), 3);
        assert_eq!(client.hrandfield("h").unwrap().unwrap(), b"f");

        assert_eq!(client.lpushx("l", "x").unwrap(), 0);
        client.rpush("l", ["a", "b", "c", "d"]).unwrap();
        assert_eq!(client.linsert_before("l", "b", "ab").unwrap(), 5);
        client.lset("l", 0, "A").unwrap();
        assert_eq!(client.lpos("l", "c").unwrap(), Some(3));
        assert_eq!(
            client.lmove("l", "m", "LEFT", "RIGHT").unwrap().unwrap(),
            b"A"
        );
        assert_eq!(client.rpoplpush("l", "m").unwrap().unwrap(), b"d");
        let rest = client.lpop_many("l", 2).unwrap().unwrap();
        assert_eq!(rest, bytes(&["ab", "b"]));
        assert_eq!(client.rpop_many("none", 2).unwrap(), None);

        client.sadd("one", ["x", "y", "z"]).unwrap();
        client.sadd("two", ["y"]).unwrap();
        assert_eq!(client.smismember("one", ["x", "w"]).unwrap(), [true, false]);
        assert!(client.smove("one", "two", "x").unwrap());
        assert_eq!(client.sdiffstore("diff", ["one", "two"]).unwrap(), 1);
        assert_eq!(client.sunionstore("all", ["one", "two"]).unwrap(), 3);
        assert_eq!(client.spop_many("all", 9).unwrap().len(), 3);

        let scores = [(1.0, "a"), (2.0, "b"), (3.0, "c"), (4.0, "d")];
        client.zadd("z", scores).unwrap();
        assert_eq!(client.zcount("z", "(1", "+inf").unwrap(), 3);
        assert_eq!(client.zrevrange("z", 0, 1).unwrap(), bytes(&["d", "c"]));
        assert_eq!(client.zrevrank("z", "d").unwrap(), Some(0));
        assert_eq!(
            client.zmscore("z", ["b", "none"]).unwrap(),
            [Some(2.0), None]
        );
        let part = client.zrange_by_score_part("z", 1, 4, 1, 2).unwrap();
        assert_eq!(part, bytes(&["b", "c"]));
        assert_eq!(client.zpopmin("z", 1).unwrap().0, [(b"a".to_vec(), 1.0)]);
        assert_eq!(client.zremrangebyscore("z", 2, 3).unwrap(), 2);

        assert!(!client.setbit("bits", 7, true).unwrap() && client.getbit("bits", 7).unwrap());
        assert_eq!(
            (
                client.bitcount("bits").unwrap(),
                client.bitpos("bits", 1).unwrap()
            ),
            (1, 7)
        );
        assert!(client.pfadd("seen", ["a", "b"]).unwrap());
        assert_eq!(client.pfcount(["seen"]).unwrap(), 2);
        let places = [
            (13.361389, 38.115556, "Palermo"),
            (15.087269, 37.502669, "Catania"),
        ];
        assert_eq!(client.geoadd("geo", places).unwrap(), 2);
        let apart = client.geodist("geo", "Palermo", "Catania", "km").unwrap();
        assert!(apart.is_some_and(|km| (166.0..167.0).contains(&km)));
        let near = client.geosearch_radius("geo", 15, 37, 100, "km").unwrap();
        assert_eq!(near, bytes(&["Catania"]));
        let found = client.geopos("geo", ["Palermo", "none"]).unwrap();
        assert!(
            found[0].is_some_and(|(east, _)| (east - 13.36).abs() < 0.01) && found[1].is_none()
        );
    });
}

#[test]
fn streams_are_read_by_groups_and_waited_for() {
    on_each("streams", |url| {
        let mut client = Store::open(url).unwrap();
        for id in 1..=3 {
            client.xadd("x", format!("{id}-0"), [("n", id)]).unwrap();
        }
        let all = client.xrange("x", "-", "+").unwrap();
        assert_eq!(all.len(), 3, "{url}");
        assert_eq!(all[1].fields, [(b"n".to_vec(), b"2".to_vec())]);
        assert_eq!(client.xrevrange("x", "+", "3-0").unwrap()[0], all[2]);
        client.xgroup_create("x", "group", "0").unwrap();
        let own = ("group", "worker");
        let read = client.xreadgroup(own, &[("x", ">")], 2, None).unwrap();
        assert_eq!(read, [(b"x".to_vec(), all[..2].to_vec())]);
        assert_eq!(client.xack("x", "group", ["1-0"]).unwrap(), 1);
        let (next, claimed, gone) = client.xautoclaim("x", "group", "other", 0, "0").unwrap();
        assert_eq!((&*next, gone), ("0-0", vec![]));
        assert_eq!(claimed, all[1..2]);
        assert_eq!(client.xdel("x", ["2-0"]).unwrap(), 1);
        // What was deleted while it was pending has no fields.
        let pending = client.xreadgroup(("group", "other"), &[("x", "0")], 9, None);
        assert!(pending.unwrap()[0].1[0].fields.is_empty());
        assert_eq!(client.xtrim("x", 1).unwrap(), 1);
        assert!(client.xgroup_destroy("x", "group").unwrap());
        let none = client.xread(&[("x", "3-0"), ("y", "0")], 9, None).unwrap();
        assert!(none.is_empty());
        let mut other = client.another().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| other.xadd("y", "7-7", [("f", "v")]).unwrap());
            let read = client.xread(&[("x", "$"), ("y", "0")], 9, Some(PATIENCE));
            assert_eq!(read.unwrap()[0].1[0].id, "7-7");
        });
    });
}

#[test]
fn sorted_sets_and_moves_wait_for_others() {
    on_each("queues", |url| {
        let mut client = Store::open(url).unwrap();
        let mut other = client.another().unwrap();
        let none = client.bzpopmax(&["z"], Duration::from_millis(5)).unwrap();
        assert_eq!(none, None, "{url}");
        thread::scope(|scope| {
            scope.spawn(|| {
                other.zadd("z", [(1.5, "m")]).unwrap();
                other.rpush("from", "e").unwrap();
            });
            let popped = client.bzpopmin(&["none", "z"], PATIENCE).unwrap();
            assert_eq!(popped, Some((b"z".to_vec(), b"m".to_vec(), 1.5)));
            let moved = client.blmove(("from", "LEFT"), ("to", "RIGHT"), PATIENCE);
            assert_eq!(moved.unwrap().unwrap(), b"e");
        });
        assert_eq!(client.llen("to").unwrap(), 1);
    });
}

#[test]
fn iterators_go_through_all_pages() {
    on_each("pages", |url| {
        let mut client = Store::open(url).unwrap();
        let names: BTreeSet<Vec<u8>> = (0..700).map(|n| format!("key:{n}").into_bytes()).collect();
        for name in &names {
            client.set(name, "v").unwrap();
        }
        client.set("other", "v").unwrap();
        let keys = client
            .scan_iter("key:*")
            .collect::<Result<BTreeSet<_>, _>>();
        assert_eq!(keys.unwrap(), names, "{url}");
        let members: Vec<_> = names.iter().cloned().collect();
        client.sadd("set", members.clone()).unwrap();
        let found = client.sscan_iter("set").collect::<Result<Vec<_>, _>>();
        assert_eq!(sorted(found.unwrap()), members);
        for (score, name) in (0..).zip(&members) {
            client.hset("hash", [(&name[..], &b"v"[..])]).unwrap();
            client
                .zadd("zset", [(f64::from(score), &name[..])])
                .unwrap();
        }
        let fields = client
            .hscan_iter("hash")
            .filter(|it| it.as_ref().is_ok_and(|(_, v)| v == b"v"));
        assert_eq!(fields.count(), 700);
        let mut scored = client
            .zscan_iter("zset")
            .collect::<Result<Vec<_>, _>>()
            .unwrap();
        scored.sort_by(|(_, one), (_, other)| one.total_cmp(other));
        assert!(scored.into_iter().map(|(name, _)| name).eq(members));
        let mut wrong = client.sscan_iter("hash");
        assert!(matches!(wrong.next(), Some(Err(ClientError::Reply(_)))));
        assert!(wrong.next().is_none());
        let statistics = client.statistics().unwrap();
        assert_eq!(statistics.keys(), 704);
        assert!(
            statistics
                .number("used_memory")
                .is_some_and(|bytes| bytes > 700)
        );
    });
}

#[test]
fn a_store_that_was_opened_elsewhere_has_typed_methods() {
    let db = kvik::Db::memory();
    let mut client = Store::from(db.clone());
    client.rpush("l", ["a", "b"]).unwrap();
    assert_eq!(db.run(&["LLEN", "l"]).as_int(), Some(2));
    // Somebody else can publish there.
    let mut subscriber = client.subscriber().unwrap();
    subscriber.subscribe(&["news"]).unwrap();
    db.run(&["PUBLISH", "news", "x"]);
    let message = subscriber.next_within(PATIENCE).unwrap();
    assert_eq!(message.unwrap().payload, b"x");
    let error = client.eval::<i64>("return 1", &["l"], "x").unwrap_err();
    assert!(
        matches!(error, ClientError::Reply(_)),
        "no engine for scripts"
    );
}
