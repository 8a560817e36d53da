//! One program on stores behind every kind of URL.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail like the test"
)]

#[path = "url/typed.rs"]
mod typed;

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use kvik_client::{ClientError, Options, Pool, Scored, Store, Subscriber};
use kvik_server::{Server, config};

/// As long as something that must come may take.
const PATIENCE: Duration = Duration::from_secs(20);

fn serve(socket: &std::path::Path) -> Server {
    let socket = socket.display().to_string();
    let args = ["--port", "0", "--listen", "resp://127.0.0.1:0", "--memory"];
    let args = args.into_iter().chain(["--unixsocket", &socket]);
    let args: Vec<OsString> = args.map(OsString::from).collect();
    let loaded = config::load(&args, [], &mut std::io::empty()).unwrap();
    Server::start(Arc::new(loaded.config)).unwrap()
}

/// Runs a program on a store of each kind.
fn on_each(name: &str, program: impl Fn(&str)) {
    program(&format!("mem://{name}"));
    let directory = tempfile::tempdir().unwrap();
    program(&format!("file://{}/data", directory.path().display()));
    let socket = directory.path().join("kvik.sock");
    let server = serve(&socket);
    program(&format!("redis://{}", server.addresses()[0]));
    Store::open(&format!("unix://{}", socket.display()))
        .unwrap()
        .flushall()
        .unwrap();
    program(&format!("unix://{}", socket.display()));
}

fn bytes(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn sorted(mut list: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    list.sort();
    list
}

#[test]
fn typed_methods_do_the_same_everywhere() {
    on_each("typed", |url| {
        let mut client = Store::open(url).unwrap();
        let other = &mut Store::open(url).unwrap();
        client.ping().unwrap();
        client.set("s", "v").unwrap();
        assert_eq!(other.get("s").unwrap(), Some(b"v".to_vec()), "{url}");
        assert_eq!(client.get("none").unwrap(), None);
        assert!(!client.set_new("s", "w").unwrap() && client.set_old("s", "w").unwrap());
        assert_eq!(client.set_get("s", "x").unwrap(), Some(b"w".to_vec()));
        client.mset([("a", "1"), ("b", "2")]).unwrap();
        let both = client.mget(["a", "none"]).unwrap();
        assert_eq!(both, [Some(b"1".to_vec()), None]);
        assert_eq!(
            (client.incr("a").unwrap(), client.incr_by("a", -5).unwrap()),
            (2, -3)
        );
        assert_eq!(client.append("s", "yz").unwrap(), 3);
        assert_eq!(client.getrange("s", 1, -1).unwrap(), b"yz");
        client.set_for("short", "v", 100_000).unwrap();
        assert!(client.ttl_ms("short").unwrap() > 0 && client.ttl_ms("s").unwrap() == -1);
        assert!(client.persist("short").unwrap() && !client.persist("short").unwrap());
        assert_eq!(client.type_of("s").unwrap(), "string");
        assert_eq!(client.exists(["s", "s", "none"]).unwrap(), 2);
        assert_eq!(client.del(&["a", "b", "none"]).unwrap(), 2);

        assert_eq!(client.hset("h", [("f", "1"), ("g", "2")]).unwrap(), 2);
        assert_eq!(client.hget("h", "g").unwrap(), Some(b"2".to_vec()));
        assert_eq!(client.hincr_by("h", "f", 4).unwrap(), 5);
        let all = HashMap::from([
            (b"f".to_vec(), b"5".to_vec()),
            (b"g".to_vec(), b"2".to_vec()),
        ]);
        assert_eq!(client.hgetall("h").unwrap(), all);
        assert!(client.hexists("h", "f").unwrap());

        assert_eq!(client.rpush("l", ["a", "b", "c"]).unwrap(), 3);
        assert_eq!(client.lrange("l", 0, -1).unwrap(), bytes(&["a", "b", "c"]));
        assert_eq!(client.lpop("l").unwrap(), Some(b"a".to_vec()));
        assert_eq!(client.lindex("l", 5).unwrap(), None);

        assert_eq!(client.sadd("t", ["x", "y"]).unwrap(), 2);
        assert_eq!(sorted(client.smembers("t").unwrap()), bytes(&["x", "y"]));
        assert!(client.sismember("t", "x").unwrap());

        assert_eq!(client.zadd("z", [(1.5, "a"), (0.5, "b")]).unwrap(), 2);
        assert_eq!(client.zscore("z", "a").unwrap(), Some(1.5));
        let scored = Scored(vec![(b"b".to_vec(), 0.5), (b"a".to_vec(), 1.5)]);
        assert_eq!(client.zrange_scored("z", 0, -1).unwrap(), scored);
        assert_eq!(client.zrank("z", "none").unwrap(), None);

        assert_eq!(client.xadd("x", "1-1", [("f", "v")]).unwrap(), "1-1");
        assert_eq!(client.xlen("x").unwrap(), 1);
        assert_eq!(client.dbsize().unwrap(), 7);
        let (next, keys) = client.scan(0).unwrap();
        assert_eq!((next, keys.len()), (0, 7));

        let refused = client.incr("s").unwrap_err();
        assert!(
            matches!(&refused, ClientError::Reply(text) if text.starts_with("ERR value is not"))
        );
        let wrong = client.get("l").unwrap_err();
        assert!(
            matches!(&wrong, ClientError::Reply(text) if text.starts_with("WRONGTYPE")),
            "{url}"
        );
        client.select(1).unwrap();
        assert_eq!(client.get("s").unwrap(), None);
        client.set("s", "elsewhere").unwrap();
        client.select(0).unwrap();
        assert_eq!(client.get("s").unwrap(), Some(b"xyz".to_vec()));
    });
}

#[test]
fn pipelines_and_transactions_have_typed_replies() {
    on_each("gathered", |url| {
        let mut client = Store::open(url).unwrap();
        let mut other = client.another().unwrap();
        let mut pipeline = client.pipeline();
        pipeline.set("n", 1);
        let sum = pipeline.incr_by("n", 2);
        let fails = pipeline.lpush("n", "x");
        let text = pipeline.query::<String>(["GET", "n"]);
        let mut replies = pipeline.run().unwrap();
        assert_eq!(replies.take(sum).unwrap(), 3);
        assert!(matches!(replies.take(fails), Err(ClientError::Reply(_))));
        assert_eq!(replies.take(text).unwrap(), "3");

        let mut transaction = client.transaction();
        let before = transaction.get("n");
        let after = transaction.incr("n");
        let mut replies = transaction.exec().unwrap().unwrap();
        assert_eq!(replies.take(before).unwrap(), Some(b"3".to_vec()));
        assert_eq!(replies.take(after).unwrap(), 4);

        client.watch(&["n"]).unwrap();
        other.incr("n").unwrap();
        let mut transaction = client.transaction();
        transaction.set("n", "lost");
        assert!(transaction.exec().unwrap().is_none(), "{url}");
        client.watch(&["n"]).unwrap();
        client.unwatch().unwrap();
        other.incr("n").unwrap();
        let mut transaction = client.transaction();
        transaction.incr("n");
        assert!(transaction.exec().unwrap().is_some());
        let mut transaction = client.transaction();
        transaction.incr("n");
        transaction.query::<()>("NONSENSE");
        assert!(
            matches!(transaction.exec(), Err(ClientError::Reply(_))),
            "none is executed"
        );
        assert_eq!(client.get("n").unwrap(), Some(b"7".to_vec()));
    });
}

#[test]
fn reads_wait_for_others() {
    on_each("waiting", |url| {
        let options = Options {
            read_timeout: Some(Duration::from_millis(100)),
            ..Options::default()
        };
        let mut client = Store::open_with(url, &options).unwrap();
        let keys = ["first", "second"];
        let none = client.blpop(&keys, Duration::from_millis(150)).unwrap();
        assert_eq!(none, None, "{url}");
        let mut other = client.another().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| other.rpush("second", "v").unwrap());
            let popped = client.blpop(&keys, PATIENCE).unwrap();
            assert_eq!(popped, Some((b"second".to_vec(), b"v".to_vec())));
        });
    });
}

#[test]
fn subscribers_hear_what_is_published() {
    on_each("heard", |url| {
        let mut client = Store::open(url).unwrap();
        let mut subscriber = client.subscriber().unwrap();
        subscriber.subscribe(&["news", "sport"]).unwrap();
        subscriber.psubscribe(&["room:*"]).unwrap();
        assert_eq!(client.publish("news", "one").unwrap(), 1);
        client.publish("room:7", "two").unwrap();
        let message = subscriber.next_message().unwrap();
        assert_eq!(
            (&message.channel[..], &message.payload[..]),
            (&b"news"[..], &b"one"[..])
        );
        let message = subscriber.next_within(PATIENCE).unwrap().unwrap();
        assert_eq!(message.pattern.as_deref(), Some(&b"room:*"[..]));
        subscriber.unsubscribe(&["news"]).unwrap();
        assert_eq!(client.publish("news", "unheard").unwrap(), 0, "{url}");
        assert!(subscriber.next_within(Duration::ZERO).unwrap().is_none());
        let mut second = Subscriber::open(url).unwrap();
        second.subscribe(&["sport"]).unwrap();
        assert_eq!(client.publish("sport", "goal").unwrap(), 2);
        assert_eq!(second.next_message().unwrap().payload, b"goal");
    });
}

#[test]
fn a_pool_lends_clients_without_a_past() {
    on_each("pooled", |url| {
        let pool = Pool::open(url, 3).unwrap();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..25 {
                        pool.get().unwrap().incr("n").unwrap();
                    }
                });
            }
        });
        let mut first = pool.get().unwrap();
        assert_eq!(first.get("n").unwrap(), Some(b"200".to_vec()), "{url}");
        first.select(1).unwrap();
        first.watch(&["n"]).unwrap();
        drop(first);
        let mut all: Vec<_> = (0..3).map(|_| pool.get().unwrap()).collect();
        for client in &mut all {
            assert_eq!(client.get("n").unwrap(), Some(b"200".to_vec()));
        }
    });
}

#[test]
fn what_has_no_name_is_nobody_elses() {
    let mut one = Store::open("mem://").unwrap();
    one.set("k", "v").unwrap();
    assert_eq!(Store::open("mem://").unwrap().get("k").unwrap(), None);
    assert_eq!(
        one.another().unwrap().get("k").unwrap(),
        Some(b"v".to_vec())
    );
    assert!(matches!(one.subscriber(), Err(ClientError::Unsupported(_))));
    let mut named = Store::open("mem://short-lived").unwrap();
    named.set("k", "v").unwrap();
    drop(named);
    assert_eq!(
        Store::open("mem://short-lived").unwrap().get("k").unwrap(),
        None
    );
}

#[test]
fn files_are_shared_kept_and_opened_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    let url = format!("file://{}", path.display());
    let mut client = Store::open(&url).unwrap();
    client.set("k", "v").unwrap();
    let detour = format!("file://{}/../data", path.display());
    assert_eq!(
        Store::open(&detour).unwrap().get("k").unwrap(),
        Some(b"v".to_vec())
    );
    // A store that is not this crate's is as good as one of another process.
    let foreign = directory.path().join("foreign");
    let held = kvik::Db::open(foreign.clone()).unwrap();
    let refused = Store::open(&format!("file://{}", foreign.display())).unwrap_err();
    assert!(matches!(&refused, ClientError::Open { directory, .. } if *directory == foreign));
    drop(held);
    Store::open(&format!("file://{}", foreign.display())).unwrap();
    // Many open and close it at once.
    drop(client);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5 {
                    Store::open(&url).unwrap().incr("n").unwrap();
                }
            });
        }
    });
    let mut client = Store::open(&url).unwrap();
    assert_eq!(client.get("n").unwrap(), Some(b"40".to_vec()));
    assert_eq!(client.get("k").unwrap(), Some(b"v".to_vec()));
}

/// A server that ends each connection after so many replies.
fn fleeting(replies: &'static [usize]) -> (u16, thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        let mut seen = Vec::new();
        for count in replies {
            let (mut stream, _): (TcpStream, _) = listener.accept().unwrap();
            for _ in 0..*count {
                let mut request = [0; 256];
                let len = stream.read(&mut request).unwrap();
                seen.push(String::from_utf8_lossy(&request[..len]).into_owned());
                stream.write_all(b"+OK\r\n").unwrap();
            }
        }
        seen
    });
    (port, server)
}

#[test]
fn a_lost_connection_is_made_anew_and_what_was_lost_is_told() {
    let (port, server) = fleeting(&[2, 2, 1]);
    let url = format!("tcp://127.0.0.1:{port}");
    let mut client = Store::open_with(&url, &Options::default()).unwrap();
    client.select(3).unwrap();
    client.watch(&["k"]).unwrap();
    assert!(matches!(client.set("k", "v"), Err(ClientError::Closed)));
    assert!(matches!(
        client.set("k", "v"),
        Err(ClientError::StateLost("WATCH"))
    ));
    client.set("k", "v").unwrap();
    assert!(matches!(client.set("k", "v"), Err(ClientError::Closed)));
    // Nothing but the database has to be made again.
    assert!(matches!(client.set("k", "w"), Err(ClientError::Closed)));
    let seen = server.join().unwrap();
    let select = "*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n";
    assert_eq!((&*seen[0], &*seen[2], &*seen[4]), (select, select, select));
    assert!(seen[3].contains("SET"));
}
