//! The cluster client, which finds the nodes of one process and goes to the right one for each key.

use std::time::Duration;

use kevy_client::{ClusterClient, Connection, Reply};
use kvik_peers::{Outcome, port, sorted, words};

fn main() -> Outcome {
    let mut client = ClusterClient::connect("127.0.0.1", port()?)?;
    assert!(client.shard_count() > 1);
    client.ping()?;
    client.flushall()?;
    keys(&mut client)?;
    collections(&mut client)?;
    messages(&mut client)
}

fn keys(client: &mut ClusterClient) -> Outcome {
    let names: Vec<_> = (0..300).map(|number| format!("k{number}")).collect();
    for name in &names {
        client.set(name.as_bytes(), name.as_bytes())?;
    }
    for name in &names {
        assert_eq!(
            client.get(name.as_bytes())?.as_deref(),
            Some(name.as_bytes())
        );
    }
    assert_eq!(client.dbsize()?, 300);
    let all: Vec<_> = names.iter().map(String::as_bytes).collect();
    assert_eq!(client.exists(&all)?, 300);
    assert_eq!(client.del(&all[..100])?, 100);
    assert_eq!((client.incr(b"n")?, client.incr_by(b"n", 4)?), (1, 5));
    client.set_with_ttl(b"n", b"1", Duration::from_secs(100))?;
    assert!((1..=100_000).contains(&client.ttl_ms(b"n")?));
    assert!(client.persist(b"n")? && client.expire(b"n", Duration::from_secs(9))?);
    let set = [b"SET".to_vec(), b"raw".to_vec(), b"v".to_vec()];
    assert_eq!(
        client.request_keyed(b"raw", &set)?,
        Reply::Simple(b"OK".to_vec())
    );
    // A node that does not have the key says who does.
    let info = client.request_unkeyed(&[b"CLUSTER".to_vec(), b"INFO".to_vec()])?;
    assert!(matches!(info, Reply::Bulk(_)));
    let mut refused = 0;
    for name in &names {
        let get = [b"GET".to_vec(), name.clone().into_bytes()];
        match client.request_unkeyed(&get)? {
            Reply::Error(error) if error.starts_with(b"MOVED ") => refused += 1,
            Reply::Bulk(_) | Reply::Nil => {}
            other => return Err(format!("{other:?}").into()),
        }
    }
    assert!((1..300).contains(&refused));
    Ok(())
}

fn collections(client: &mut ClusterClient) -> Outcome {
    assert_eq!(client.hset(b"h", &[(b"f", b"1"), (b"g", b"2")])?, 2);
    assert_eq!(client.hget(b"h", b"f")?, Some(b"1".to_vec()));
    assert_eq!((client.hlen(b"h")?, client.hgetall(b"h")?.len()), (2, 4));
    assert_eq!(sorted(client.hkeys(b"h")?), words(["f", "g"]));
    assert_eq!(sorted(client.hvals(b"h")?), words(["1", "2"]));
    assert_eq!(client.hdel(b"h", &[b"f"])?, 1);
    assert_eq!(client.rpush(b"l", &[b"a", b"b"])?, 2);
    assert_eq!(client.lpush(b"l", &[b"c"])?, 3);
    assert_eq!(client.lrange(b"l", 0, -1)?, words(["c", "a", "b"]));
    assert_eq!(
        (client.lpop(b"l", 1)?, client.rpop(b"l", 1)?),
        (words(["c"]), words(["b"]))
    );
    assert_eq!(client.llen(b"l")?, 1);
    assert_eq!(client.sadd(b"{t}s", &[b"a", b"b"])?, 2);
    assert_eq!(client.sadd(b"{t}t", &[b"b", b"c"])?, 2);
    assert_eq!(client.sinter(&[b"{t}s", b"{t}t"])?, words(["b"]));
    assert_eq!(client.sdiff(&[b"{t}s", b"{t}t"])?, words(["a"]));
    assert_eq!(client.sunion(&[b"{t}s", b"{t}t"])?.len(), 3);
    assert_eq!(
        (client.scard(b"{t}s")?, client.srem(b"{t}s", &[b"a"])?),
        (2, 1)
    );
    assert!(client.sismember(b"{t}s", b"b")?);
    assert_eq!(client.smembers(b"{t}s")?, words(["b"]));
    assert_eq!(client.zadd(b"z", &[(2.5, b"b"), (1.0, b"a")])?, 2);
    assert_eq!(client.zrange(b"z", 0, -1)?, words(["a", "b"]));
    assert_eq!(
        (client.zscore(b"z", b"b")?, client.zcard(b"z")?),
        (Some(2.5), 2)
    );
    assert_eq!(client.zrem(b"z", &[b"a"])?, 1);
    Ok(())
}

fn messages(client: &mut ClusterClient) -> Outcome {
    let url = format!("kevy://127.0.0.1:{}", port()?);
    let mut subscriber = kevy_client::Subscriber::open(&url, &[b"news"])?;
    subscriber.recv()?;
    assert_eq!(client.publish(b"news", b"hello")?, 1);
    assert_eq!(subscriber.recv_message()?.1, b"hello");
    // Any port sees all keys where no key is named.
    assert_eq!(Connection::open(&url)?.dbsize()?, client.dbsize()?);
    Ok(())
}
