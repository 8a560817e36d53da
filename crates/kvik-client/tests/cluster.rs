//! The cluster client against the nodes of a server in this process.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use kvik_client::{Client, ClientError, Options, Pool, Protocol, Store, Value};
use kvik_server::{Server, config};

struct Cluster {
    _server: Server,
    _folder: tempfile::TempDir,
    main: u16,
    threads: u16,
}

impl Cluster {
    fn start(threads: u16, settings: &[&str]) -> Self {
        let main = free_ports(threads);
        Self::start_at(main, threads, settings)
    }

    fn start_at(main: u16, threads: u16, settings: &[&str]) -> Self {
        let (port, crew) = (main.to_string(), threads.to_string());
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().to_str().unwrap();
        let common = [
            "--port",
            &port,
            "--bind",
            "127.0.0.1",
            "--threads",
            &crew,
            "--cluster",
            "yes",
            "--appendonly",
            "no",
            "--save",
            "",
            "--dir",
            dir,
        ];
        let args = [&common[..], settings].concat();
        let args: Vec<OsString> = args.into_iter().map(OsString::from).collect();
        let loaded = config::load(&args, [], &mut std::io::empty()).unwrap();
        Self {
            _server: Server::start(Arc::new(loaded.config)).unwrap(),
            _folder: folder,
            main,
            threads,
        }
    }

    fn url(&self) -> String {
        format!("redis+cluster://127.0.0.1:{}", self.main + 1)
    }

    fn open(&self) -> Store {
        Store::open(&self.url()).unwrap()
    }
}

/// Ports that are free, one behind the other.
fn free_ports(count: u16) -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let turn = NEXT.fetch_add(1, Ordering::Relaxed) * 16 + std::process::id() * 137;
        let base = 10_000 + (turn % 20_000) as u16;
        let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if (base..=base + count).all(is_free) {
            return base;
        }
    }
}

#[test]
fn typed_methods_find_their_node() {
    let cluster = Cluster::start(3, &[]);
    let mut client = cluster.open();
    for number in 0..300 {
        client
            .set(format!("k{number}"), number.to_string())
            .unwrap();
    }
    for number in 0..300 {
        let value = client.get(format!("k{number}")).unwrap();
        assert_eq!(value, Some(number.to_string().into_bytes()));
    }
    assert_eq!(client.dbsize().unwrap(), 300);
    assert_eq!(client.rpush("{t}list", ["a", "b"]).unwrap(), 2);
    // The nodes of kvik run what has keys of several slots.
    assert_eq!(
        client.mget(["k1", "k2", "none"]).unwrap(),
        [Some(b"1".to_vec()), Some(b"2".to_vec()), None]
    );
    // Nothing was sent on: all nodes together have refused nothing.
    let mut main = Client::connect(
        &format!("redis://127.0.0.1:{}", cluster.main),
        &Options::default(),
    );
    let stats = main
        .as_mut()
        .unwrap()
        .call(&["INFO", "errorstats"])
        .unwrap();
    assert!(!stats.as_str().unwrap().contains("MOVED"), "{stats:?}");
}

#[test]
fn pipelines_are_shared_out_and_put_together() {
    let cluster = Cluster::start(3, &[]);
    let mut client = cluster.open();
    let mut pipeline = client.pipeline();
    let sums: Vec<_> = (0..200)
        .map(|n| pipeline.incr_by(format!("n{n}"), n))
        .collect();
    let wrong = pipeline.query::<i64>(["INCR"]);
    let mut replies = pipeline.run().unwrap();
    for (number, sum) in sums.into_iter().enumerate() {
        assert_eq!(replies.take(sum).unwrap(), number as i64);
    }
    assert!(matches!(replies.take(wrong), Err(ClientError::Reply(_))));
}

#[test]
fn a_transaction_and_a_watch_belong_to_a_node() {
    let cluster = Cluster::start(3, &[]);
    let (mut client, mut other) = (cluster.open(), cluster.open());
    for number in 0..20 {
        let (a, b) = (format!("{{{number}}}a"), format!("{{{number}}}b"));
        let mut transaction = client.transaction();
        let (one, two) = (transaction.incr(&a), transaction.incr(&b));
        let mut replies = transaction.exec().unwrap().unwrap();
        assert_eq!(
            (replies.take(one).unwrap(), replies.take(two).unwrap()),
            (1, 1)
        );
        client.watch(&[&a]).unwrap();
        other.incr(&a).unwrap();
        let mut transaction = client.transaction();
        transaction.incr(&a);
        assert!(transaction.exec().unwrap().is_none(), "it has changed");
        client.watch(&[&a]).unwrap();
        client.unwatch().unwrap();
    }
    client.watch(&["{1}a"]).unwrap();
    let apart: Vec<_> = (0..100)
        .map(|n| client.watch(&[&format!("w{n}")]))
        .collect();
    let refused = |it: &Result<(), ClientError>| matches!(it, Err(ClientError::Unsupported(_)));
    assert!(apart.iter().any(refused), "keys of other nodes");
}

#[test]
fn a_lost_connection_reports_a_watch_and_nothing_else() {
    let cluster = Cluster::start(2, &[]);
    let mut client = cluster.open();
    let url = format!("redis://127.0.0.1:{}", cluster.main);
    let mut main = Client::connect(&url, &Options::default()).unwrap();
    let mut kill = || {
        main.call(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"])
            .unwrap()
    };
    client.set("a", "1").unwrap();
    kill();
    // Whether the command was executed is unknown; the next one has a new connection.
    assert!(matches!(client.get("a"), Err(ClientError::Closed)));
    assert_eq!(client.get("a").unwrap(), Some(b"1".to_vec()));
    client.watch(&["a"]).unwrap();
    kill();
    assert!(matches!(client.get("a"), Err(ClientError::Closed)));
    assert!(matches!(
        client.get("a"),
        Err(ClientError::StateLost("WATCH"))
    ));
    assert_eq!(client.get("a").unwrap(), Some(b"1".to_vec()));
}

/// Slots that are elsewhere than the client believes, as after a restart with other threads.
#[test]
fn a_stale_map_is_learned_anew() {
    let main = free_ports(4);
    let before = Cluster::start_at(main, 4, &[]);
    let mut client = before.open();
    for number in 0..50 {
        client.set(format!("k{number}"), "x").unwrap();
    }
    drop(before);
    let after = Cluster::start_at(main, 2, &[]);
    let mut failures = 0;
    for number in 0..50 {
        // The first command over each old connection finds it closed.
        failures += usize::from(client.set(format!("k{number}"), "y").is_err());
    }
    assert!(failures <= 4, "{failures}");
    let mut pipeline = client.pipeline();
    let all: Vec<_> = (0..50)
        .map(|n| pipeline.set_get(format!("k{n}"), "z"))
        .collect();
    let mut replies = pipeline.run().unwrap();
    let found: Vec<_> = all
        .into_iter()
        .map(|it| replies.take(it).unwrap())
        .collect();
    let there = found
        .iter()
        .filter(|it| it.as_deref() == Some(b"y"))
        .count();
    assert!(there >= 46, "{there}");
    drop(after);
    // The map of four nodes again, and a transaction that the old one leads astray.
    let again = Cluster::start_at(main, 4, &[]);
    let _ = client.pipeline().run();
    for number in 0..50 {
        let mut done = false;
        for _ in 0..4 {
            let mut transaction = client.transaction();
            let sum = transaction.incr(format!("t{number}"));
            if let Ok(Some(mut replies)) = transaction.exec() {
                assert_eq!(replies.take(sum).unwrap(), 1);
                done = true;
                break;
            }
        }
        assert!(done, "{number}");
    }
    drop(again);
}

#[test]
fn pools_and_subscribers_work_in_a_cluster() {
    let cluster = Cluster::start(2, &["--requirepass", "secret"]);
    let url = format!("kvik+cluster://:secret@127.0.0.1:{}", cluster.main);
    let pool = Pool::open(&url, 3).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                for number in 0..50 {
                    pool.get().unwrap().incr(format!("n{number}")).unwrap();
                }
            });
        }
    });
    let mut client = pool.get().unwrap();
    let values: BTreeSet<_> = (0..50)
        .map(|n| client.get(format!("n{n}")).unwrap())
        .collect();
    assert_eq!(values, BTreeSet::from([Some(b"6".to_vec())]));
    let mut subscriber = client.subscriber().unwrap();
    subscriber.subscribe(&["news"]).unwrap();
    assert_eq!(client.publish("news", "x").unwrap(), 1);
    let message = subscriber.next_within(Duration::from_secs(10)).unwrap();
    assert_eq!(message.unwrap().payload, b"x");
    let wrong = format!("kvik+cluster://:wrong@127.0.0.1:{}", cluster.main);
    assert!(matches!(
        Store::open(&wrong),
        Err(ClientError::Refused { .. })
    ));
}

#[test]
fn a_server_without_nodes_is_no_cluster() {
    let cluster = Cluster::start(1, &["--cluster", "no"]);
    let url = format!("redis+cluster://127.0.0.1:{}", cluster.main);
    let Err(ClientError::Reply(error)) = Store::open(&url) else {
        panic!("it was opened");
    };
    assert!(error.contains("cluster support disabled"), "{error}");
}

#[test]
fn waiting_reads_and_both_protocols_work_at_nodes() {
    let cluster = Cluster::start(3, &[]);
    assert_eq!(cluster.threads, 3);
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let options = Options {
            protocol,
            read_timeout: Some(Duration::from_millis(200)),
            ..Options::default()
        };
        let mut client = Store::open_with(&cluster.url(), &options).unwrap();
        client.rpush("queue", ["x"]).unwrap();
        let popped = client.call(&["BLPOP", "queue", "1"]).unwrap();
        assert_eq!(popped.as_slice().map(<[Value]>::len), Some(2));
        let fields = client.hset("h", [("a", "1"), ("b", "2")]).unwrap();
        assert!(fields <= 2);
        assert_eq!(client.hgetall("h").unwrap().len(), 2);
    }
}
