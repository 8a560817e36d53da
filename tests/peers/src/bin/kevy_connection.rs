//! One connection: every family of commands that kevy-client has for it.

use std::time::Duration;

use kevy_client::{Connection, HExpireCond, Reply, ZAggregate};
use kvik_peers::{Outcome, sorted, url, words};

fn main() -> Outcome {
    let mut client = Connection::open(&url()?)?;
    client.ping()?;
    client.flushall()?;
    strings(&mut client)?;
    keys(&mut client)?;
    hashes(&mut client)?;
    lists(&mut client)?;
    sets(&mut client)?;
    sorted_sets(&mut client)?;
    pipelines(&mut client)?;
    blocking(&mut client)?;
    other_urls()
}

fn strings(client: &mut Connection) -> Outcome {
    client.set(b"greeting", b"hello\0\r\n")?;
    assert_eq!(client.get(b"greeting")?, Some(b"hello\0\r\n".to_vec()));
    assert_eq!(client.get(b"none")?, None);
    assert_eq!(client.incr(b"n")?, 1);
    assert_eq!(client.incr_by(b"n", -11)?, -10);
    let error = client.incr(b"greeting").expect_err("it is no number");
    assert_eq!(
        error.to_string(),
        "ERR value is not an integer or out of range"
    );
    client.mset(&[(b"a", b"1"), (b"b", b"2")])?;
    let got = client.mget(&[b"a", b"none", b"b"])?;
    assert_eq!(got, [Some(b"1".to_vec()), None, Some(b"2".to_vec())]);
    let large = vec![b'x'; 3 << 20];
    client.set(b"large", &large)?;
    assert_eq!(client.get(b"large")?, Some(large));
    assert_eq!(client.del(&[b"large", b"a", b"b", b"none"])?, 3);
    Ok(())
}

fn keys(client: &mut Connection) -> Outcome {
    client.flushall()?;
    assert_eq!(client.randomkey()?, None);
    client.set(b"k", b"v")?;
    assert_eq!(client.ttl_ms(b"k")?, -1);
    assert_eq!(client.ttl_ms(b"none")?, -2);
    assert!(client.expire(b"k", Duration::from_millis(90_500))?);
    let left = client.ttl_ms(b"k")?;
    assert!((80_000..=90_500).contains(&left), "{left}");
    assert!(client.persist(b"k")? && !client.persist(b"k")?);
    assert!(!client.expire(b"none", Duration::from_secs(9))?);
    client.set_with_ttl(b"short", b"v", Duration::from_millis(30))?;
    while client.exists(&[b"short"])? == 1 {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(client.type_of(b"k")?, "string");
    assert_eq!(client.type_of(b"none")?, "none");
    for number in 0..250 {
        client.set(format!("scan:{number:03}").as_bytes(), b"v")?;
    }
    assert_eq!(client.dbsize()?, 251);
    assert_eq!(client.keys(b"scan:*")?.len(), 250);
    let (mut cursor, mut seen) = (0, Vec::new());
    loop {
        let (next, batch) = client.scan(cursor, Some(b"scan:*"), Some(20))?;
        seen.extend(batch);
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    let mut seen = sorted(seen);
    seen.dedup();
    assert_eq!(seen.len(), 250);
    assert!(client.randomkey()?.is_some());
    assert_eq!(client.exists(&[b"k", b"k", b"none"])?, 2);
    client.flushall()?;
    assert_eq!(client.dbsize()?, 0);
    Ok(())
}

fn hashes(client: &mut Connection) -> Outcome {
    assert_eq!(client.hset(b"h", &[(b"f", b"1"), (b"g", b"2")])?, 2);
    assert_eq!(client.hset(b"h", &[(b"f", b"3")])?, 0);
    assert_eq!(client.hget(b"h", b"f")?, Some(b"3".to_vec()));
    assert_eq!(client.hget(b"h", b"none")?, None);
    assert_eq!(client.hlen(b"h")?, 2);
    assert_eq!(sorted(client.hkeys(b"h")?), words(["f", "g"]));
    assert_eq!(sorted(client.hvals(b"h")?), words(["2", "3"]));
    assert_eq!(client.hgetall(b"h")?.len(), 4);
    let minute = Duration::from_secs(60);
    let codes = client.hexpire(b"h", &[b"f", b"none"], minute, HExpireCond::Always)?;
    assert_eq!(codes.len(), 2);
    let left = client.httl(b"h", &[b"f", b"g", b"none"])?;
    assert!(
        (1..=60).contains(&left[0]) && left[1..] == [-1, -2],
        "{left:?}"
    );
    assert_eq!(client.hpersist(b"h", &[b"f"])?.len(), 1);
    assert_eq!(client.hdel(b"h", &[b"f", b"none"])?, 1);
    Ok(())
}

fn lists(client: &mut Connection) -> Outcome {
    assert_eq!(client.rpush(b"l", &[b"b", b"c", b"d"])?, 3);
    assert_eq!(client.lpush(b"l", &[b"a"])?, 4);
    assert_eq!(client.lrange(b"l", 0, -1)?, words(["a", "b", "c", "d"]));
    assert_eq!(client.lpop(b"l", 1)?, words(["a"]));
    assert_eq!(client.rpop(b"l", 2)?, words(["d", "c"]));
    assert_eq!(client.llen(b"l")?, 1);
    assert_eq!(client.lpop(b"none", 3)?, words([]));
    let error = client.hget(b"l", b"f").expect_err("it is a list");
    assert!(error.to_string().starts_with("WRONGTYPE"), "{error}");
    Ok(())
}

fn sets(client: &mut Connection) -> Outcome {
    assert_eq!(client.sadd(b"s", &[b"a", b"b", b"c", b"a"])?, 3);
    assert_eq!(client.sadd(b"t", &[b"b", b"d"])?, 2);
    assert_eq!(client.srem(b"s", &[b"c", b"none"])?, 1);
    assert_eq!(sorted(client.smembers(b"s")?), words(["a", "b"]));
    assert_eq!(client.scard(b"s")?, 2);
    assert!(client.sismember(b"s", b"a")? && !client.sismember(b"s", b"c")?);
    assert_eq!(client.sinter(&[b"s", b"t"])?, words(["b"]));
    assert_eq!(
        sorted(client.sunion(&[b"s", b"t"])?),
        words(["a", "b", "d"])
    );
    assert_eq!(client.sdiff(&[b"s", b"t"])?, words(["a"]));
    Ok(())
}

fn sorted_sets(client: &mut Connection) -> Outcome {
    assert_eq!(client.zadd(b"z", &[(1.5, b"a"), (-2.0, b"b")])?, 2);
    assert_eq!(
        client.zadd(b"y", &[(10.0, b"a"), (f64::INFINITY, b"c")])?,
        2
    );
    assert_eq!(client.zscore(b"z", b"a")?, Some(1.5));
    assert_eq!(client.zscore(b"z", b"none")?, None);
    assert_eq!(client.zcard(b"z")?, 2);
    assert_eq!(client.zrange(b"z", 0, -1)?, words(["b", "a"]));
    assert_eq!(client.zinterstore(b"both", &[b"z", b"y"])?, 1);
    assert_eq!(client.zscore(b"both", b"a")?, Some(11.5));
    let weights = Some(&[2.0, 1.0][..]);
    let stored = client.zunionstore_with(b"all", &[b"z", b"y"], weights, ZAggregate::Max)?;
    assert_eq!((stored, client.zscore(b"all", b"b")?), (3, Some(-4.0)));
    assert_eq!(client.zintercard(&[b"z", b"y"], Some(5))?, 1);
    assert_eq!(client.zrem(b"z", &[b"a", b"none"])?, 1);
    Ok(())
}

fn pipelines(client: &mut Connection) -> Outcome {
    let replies = client.pipeline(|batch| {
        batch.cmd(&[b"SET", b"p", b"1"]);
        batch.cmd(&[b"INCR", b"p"]);
        batch.cmd(&[b"LPUSH", b"p", b"x"]);
        batch.cmd(&[b"GET", b"p"]);
    })?;
    let [first, second, Reply::Error(third), fourth] = &replies[..] else {
        return Err(format!("{replies:?}").into());
    };
    assert!(third.starts_with(b"WRONGTYPE"));
    assert_eq!(
        (first, second, fourth),
        (
            &Reply::Simple(b"OK".to_vec()),
            &Reply::Int(2),
            &Reply::Bulk(b"2".to_vec())
        )
    );
    let many = client.pipeline(|batch| {
        for _ in 0..5000 {
            batch.cmd(&[b"INCR", b"many"]);
        }
    })?;
    assert_eq!(many.last(), Some(&Reply::Int(5000)));
    Ok(())
}

fn blocking(client: &mut Connection) -> Outcome {
    let moment = Some(Duration::from_millis(20));
    assert_eq!(client.blpop(&[b"none"], moment)?, None);
    client.rpush(b"second", &[b"x", b"y"])?;
    let taken = client.blpop(&[b"first", b"second"], None)?;
    assert_eq!(taken, Some((b"second".to_vec(), b"x".to_vec())));
    let url = url()?;
    let pusher = std::thread::spawn(move || -> std::io::Result<()> {
        std::thread::sleep(Duration::from_millis(30));
        Connection::open(&url)?.rpush(b"queue", &[b"job"]).map(drop)
    });
    let taken = client.brpop(&[b"queue"], Some(Duration::from_secs(20)))?;
    assert_eq!(taken, Some((b"queue".to_vec(), b"job".to_vec())));
    pusher.join().map_err(|_| "the pusher has panicked")??;
    client.zadd(b"scores", &[(2.0, b"b"), (1.0, b"a")])?;
    let taken = client.bzpopmin(&[b"scores"], None)?;
    assert_eq!(taken, Some((b"scores".to_vec(), b"a".to_vec(), 1.0)));
    Ok(())
}

/// The other names of the same protocol.
fn other_urls() -> Outcome {
    let port = kvik_peers::port()?;
    for scheme in ["redis", "tcp", "kevy"] {
        let mut client = Connection::open(&format!("{scheme}://127.0.0.1:{port}"))?;
        client.set(b"scheme", scheme.as_bytes())?;
        assert_eq!(client.get(b"scheme")?, Some(scheme.as_bytes().to_vec()));
    }
    Connection::open(&format!("redis://127.0.0.1:{port}/0"))?.ping()?;
    Ok(())
}
