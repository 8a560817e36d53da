//! The nodes of a cluster in one process: what each answers, where clients are sent, and that the
//! store behind them is one.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use kvik::key_slot;
use kvik_command::Random;
use kvik_resp::Value;
use kvik_server::{Server, config};
use tempfile::TempDir;

use crate::reactor::{field, ok};
use crate::target::{Product, SocketTarget, Wire};
use crate::transcript::{Exception, play_except, play_folder};

const THREADS: [usize; 3] = [1, 2, 8];

/// A server whose threads are nodes.
struct Cluster {
    server: Server,
    main: u16,
    nodes: Vec<u16>,
    /// Of the files that a client may have asked for.
    folder: TempDir,
}

impl Cluster {
    fn main(&self) -> Wire {
        Wire::open(self.main)
    }

    fn node(&self, index: usize) -> Wire {
        Wire::open(self.nodes[index])
    }

    /// A client of each node.
    fn wires(&self) -> Vec<Wire> {
        self.nodes.iter().map(|&port| Wire::open(port)).collect()
    }

    /// A target at one of its ports.
    fn into_target(self, port: u16, variant: &str) -> SocketTarget {
        let version = env!("CARGO_PKG_VERSION").parse().expect("a version");
        SocketTarget::new(
            port,
            (self.server, self.folder),
            Product::Kvik,
            version,
            variant,
        )
    }
}

/// Ports that are free, one behind the other. They lie below those that the system gives to
/// clients.
fn free_ports(count: usize) -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let turn = NEXT.fetch_add(1, Ordering::Relaxed) * 16 + std::process::id() * 131;
        let base = 10_000 + (turn % 20_000) as u16;
        let is_free = |port| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
        if (base..=base + count as u16).all(is_free) {
            return base;
        }
    }
}

/// Starts a server whose threads are nodes.
fn start(io: &str, threads: usize, settings: &[&str]) -> Result<Cluster, String> {
    start_crew(io, &threads.to_string(), threads, settings)
}

/// The same with another word for the number of threads.
fn start_crew(io: &str, crew: &str, threads: usize, settings: &[&str]) -> Result<Cluster, String> {
    let main = free_ports(threads);
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let (port, dir) = (main.to_string(), folder.path().to_str().unwrap_or_default());
    let place = [
        "--port",
        &port,
        "--bind",
        "127.0.0.1",
        "--io",
        io,
        "--dir",
        dir,
    ];
    let common = [
        "--threads",
        crew,
        "--cluster",
        "--save",
        "",
        "--appendonly",
        "no",
    ];
    let args = [&place[..], &common, settings].concat();
    let args: Vec<OsString> = args.into_iter().map(OsString::from).collect();
    let loaded = config::load(&args, [], &mut std::io::empty());
    let config = loaded.map_err(|error| error.to_string())?.config;
    let server = Server::start(Arc::new(config)).map_err(|error| error.to_string())?;
    let nodes = (main + 1..).take(threads).collect();
    Ok(Cluster {
        server,
        main,
        nodes,
        folder,
    })
}

/// Checks clusters of so many nodes on each backend that this machine has.
fn on_each(threads: &[usize], check: impl Fn(Cluster)) {
    for io in ["mio", "uring"] {
        for &threads in threads {
            match start(io, threads, &[]) {
                Ok(cluster) => check(cluster),
                Err(error) if io == "uring" => println!("no io_uring here: {error}"),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// The port in the reply that a key belongs to another node.
fn moved_to(reply: &Value, key: &[u8]) -> Option<u16> {
    let error = reply.as_error()?.to_string();
    let (slot, address) = error.strip_prefix("MOVED ")?.split_once(' ')?;
    assert_eq!(slot, key_slot(key).to_string());
    let (host, port) = address.rsplit_once(':')?;
    assert_eq!(host, "127.0.0.1");
    port.parse().ok()
}

/// First slot, last slot and port of each node, as a client learns them.
fn slots(wire: &mut Wire) -> Vec<(u16, u16, u16)> {
    let reply = wire.ask("CLUSTER SLOTS");
    let number = |value: &Value| value.as_int().expect("a number") as u16;
    let range = |range: &Value| {
        let range = range.as_slice().expect("a range");
        let node = range[2].as_slice().expect("a node");
        (number(&range[0]), number(&range[1]), number(&node[1]))
    };
    reply
        .as_slice()
        .expect("ranges")
        .iter()
        .map(range)
        .collect()
}

#[test]
fn a_node_answers_as_its_transcripts_say() {
    for io in ["mio", "uring"] {
        match start(io, 1, &[]) {
            Ok(cluster) => {
                let port = cluster.nodes[0];
                let mut target = cluster.into_target(port, &format!(" as a node on {io}"));
                for protocol in [2, 3] {
                    target.speak(protocol);
                    play_folder(&target, "cluster");
                }
            }
            Err(error) => println!("no server on {io}: {error}"),
        }
    }
}

/// What the main port says otherwise where there are nodes.
const NOT_AT_THE_MAIN_PORT: &[Exception] = &[
    (
        "cluster.txt",
        "Without cluster-enabled every subcommand is refused",
        "there is a cluster, of which the main port tells",
    ),
    (
        "cluster.txt",
        "A shard has an id of its own since Redis 7.2",
        "there is a cluster, of which the main port tells",
    ),
    (
        "cluster.txt",
        "CLUSTER SLOT-STATS needs a cluster",
        "there is a cluster, of which the main port tells",
    ),
    (
        "cluster.txt",
        "CLUSTERSCAN needs a cluster",
        "there is a cluster, of which the main port tells",
    ),
];

#[test]
fn the_main_port_serves_everything() {
    let settings = ["--enable-debug-command", "local"];
    let cluster = start("mio", 2, &settings).expect("a server");
    let port = cluster.main;
    let mut target = cluster.into_target(port, " beside 2 nodes");
    target.speak(3);
    play_except(&target, "commands", NOT_AT_THE_MAIN_PORT);
}

#[test]
fn every_key_has_one_node() {
    on_each(&THREADS, |cluster| {
        let mut wires = cluster.wires();
        let map = slots(&mut wires[0]);
        assert_eq!(map.first().map(|range| range.0), Some(0));
        assert_eq!(map.last().map(|range| range.1), Some(16_383));
        assert!(
            map.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0),
            "{map:?}"
        );
        let ports: Vec<u16> = map.iter().map(|range| range.2).collect();
        assert_eq!(ports, cluster.nodes);
        assert_eq!(
            slots(&mut cluster.main()),
            map,
            "the main port tells the same"
        );
        for number in 0..200 {
            let key = format!("key:{number}");
            let slot = key_slot(key.as_bytes());
            let range = map.iter().find(|range| range.0 <= slot && slot <= range.1);
            let owner = range.expect("an owner").2;
            for (at, wire) in wires.iter_mut().enumerate() {
                let reply = wire.ask(&format!("SET {key} {at}"));
                match moved_to(&reply, key.as_bytes()) {
                    None => assert_eq!((reply, cluster.nodes[at]), (ok(), owner)),
                    Some(port) => assert_eq!(port, owner),
                }
            }
            let value = cluster.nodes.iter().position(|&port| port == owner);
            let value = value.expect("a node").to_string();
            let stored = cluster.main().ask(&format!("GET {key}"));
            assert_eq!(stored.as_bytes(), Some(value.as_bytes()));
        }
    });
}

#[test]
fn what_names_no_key_sees_all_of_them_everywhere() {
    on_each(&THREADS, |cluster| {
        let mut main = cluster.main();
        let names: BTreeSet<String> = (0..500).map(|n| format!("k{n}")).collect();
        for name in &names {
            assert_eq!(main.ask(&format!("SET {name} x")), ok());
        }
        for wire in &mut cluster.wires() {
            assert_eq!(wire.ask("DBSIZE").as_int(), Some(500));
            assert_eq!(texts(&wire.ask("KEYS *")), names);
            let (mut found, mut cursor) = (BTreeSet::new(), "0".to_owned());
            loop {
                let page = wire.ask(&format!("SCAN {cursor} COUNT 7"));
                let page = page.as_slice().expect("a page");
                found.extend(texts(&page[1]));
                cursor = page[0].as_str().expect("a cursor").to_owned();
                if cursor == "0" {
                    break;
                }
            }
            assert_eq!(found, names);
        }
        assert_eq!(cluster.node(0).ask("FLUSHALL"), ok());
        assert_eq!(main.ask("DBSIZE").as_int(), Some(0));
    });
}

#[test]
fn a_cluster_scan_leads_from_node_to_node() {
    on_each(&THREADS, |cluster| {
        let mut main = cluster.main();
        let names: BTreeSet<String> = (0..300).map(|n| format!("k{n}")).collect();
        for name in &names {
            assert_eq!(main.ask(&format!("SET {name} x")), ok());
        }
        let map = slots(&mut main);
        let mut wires = cluster.wires();
        let (mut found, mut cursor, mut pages) = (Vec::new(), "0".to_owned(), 0);
        let mut asked = BTreeSet::new();
        loop {
            let slot = key_slot(cursor.as_bytes());
            let at = map.iter().position(|range| slot <= range.1);
            let at = at.expect("a node");
            asked.insert(at);
            let page = wires[at].ask(&format!("CLUSTERSCAN {cursor} COUNT 20"));
            let page = page.as_slice().unwrap_or_else(|| panic!("{page:?}"));
            found.extend(texts(&page[1]));
            cursor = page[0].as_str().expect("a cursor").to_owned();
            pages += 1;
            if cursor == "0" {
                break;
            }
        }
        assert_eq!(
            found.len(),
            names.len(),
            "none comes twice while nothing changes"
        );
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), names);
        assert_eq!(asked.len(), cluster.nodes.len());
        assert!(pages >= 8, "{pages}");
        // At the wrong node a cursor is sent on.
        if let [_, second, ..] = &mut wires[..] {
            let moved = second.ask("CLUSTERSCAN 0-{06S}-0");
            assert_eq!(moved_to(&moved, b"06S"), Some(cluster.nodes[0]));
        }
        // The main port leads through all slots by itself.
        let all = main.ask("CLUSTERSCAN 0-{06S}-0 COUNT 1000");
        assert_eq!(texts(&all.as_slice().expect("a page")[1]), names);
    });
}

fn texts(reply: &Value) -> BTreeSet<String> {
    let words = reply.as_slice().expect("an array").iter();
    words
        .map(|word| word.as_str().expect("text").to_owned())
        .collect()
}

/// Two keys of different slots, both not of the first node where there are several.
const PAIR: [&str; 2] = ["pair:a", "pair:b"];

#[test]
fn keys_of_several_slots_change_as_one() {
    on_each(&[2, 8], |cluster| {
        let [a, b] = PAIR;
        assert_ne!(key_slot(a.as_bytes()), key_slot(b.as_bytes()));
        let is_over = AtomicBool::new(false);
        let (is_over, nodes) = (&is_over, &cluster.nodes);
        thread::scope(|scope| {
            let writers = (0..2).map(|at| {
                scope.spawn(move || {
                    let mut wire = Wire::open(nodes[at]);
                    for number in 0..500 {
                        assert_eq!(wire.ask(&format!("MSET {a} {number} {b} {number}")), ok());
                    }
                })
            });
            let writers: Vec<_> = writers.collect();
            let readers = (0..2).map(|at| {
                scope.spawn(move || {
                    let mut wire = Wire::open(nodes[at]);
                    while !is_over.load(Ordering::Relaxed) {
                        let reply = wire.ask(&format!("MGET {a} {b}"));
                        let values = reply.as_slice().expect("two values");
                        assert_eq!(values[0], values[1]);
                    }
                })
            });
            let readers: Vec<_> = readers.collect();
            writers
                .into_iter()
                .for_each(|it| it.join().expect("a writer"));
            is_over.store(true, Ordering::Relaxed);
            readers
                .into_iter()
                .for_each(|it| it.join().expect("a reader"));
        });
    });
}

#[test]
fn a_queued_command_of_another_node_spoils_its_transaction() {
    on_each(&[2], |cluster| {
        let key = of_node(&cluster, 1);
        let mut wire = cluster.node(0);
        assert_eq!(wire.ask("MULTI"), ok());
        assert!(moved_to(&wire.ask(&format!("INCR {key}")), key.as_bytes()).is_some());
        let aborted = wire.ask("EXEC");
        assert!(
            aborted
                .as_error()
                .is_some_and(|it| it.to_string().starts_with("EXECABORT"))
        );
        // A script and a watch belong to their keys as well.
        let script = format!("EVAL \"return 1\" 1 {key}");
        assert!(moved_to(&wire.ask(&script), key.as_bytes()).is_some());
        assert!(moved_to(&wire.ask(&format!("WATCH {key}")), key.as_bytes()).is_some());
    });
}

/// A key whose slot a node has.
fn of_node(cluster: &Cluster, index: usize) -> String {
    let map = slots(&mut cluster.main());
    let (first, last, _) = map[index];
    let keys = (0..).map(|number| format!("key:{number}"));
    let mut keys = keys.filter(|key| (first..=last).contains(&key_slot(key.as_bytes())));
    keys.next().expect("there is one for each slot")
}

#[test]
fn shard_channels_belong_to_nodes_and_reach_everybody() {
    on_each(&[2], |cluster| {
        let channel = of_node(&cluster, 1);
        let (mut here, mut there) = (cluster.node(1), cluster.node(0));
        let subscribe = format!("SSUBSCRIBE {channel}");
        assert!(moved_to(&there.ask(&subscribe), channel.as_bytes()).is_some());
        assert!(here.ask(&subscribe).as_error().is_none());
        let mut common = cluster.main();
        common.ask(&subscribe);
        let publish = format!("SPUBLISH {channel} hello");
        assert!(moved_to(&there.ask(&publish), channel.as_bytes()).is_some());
        assert_eq!(cluster.node(1).ask(&publish).as_int(), Some(2));
        assert_eq!(cluster.main().ask(&publish).as_int(), Some(2));
        for wire in [&mut here, &mut common] {
            for _ in 0..2 {
                let message = wire.reply().expect("a message");
                let words = message.as_slice().expect("words");
                assert_eq!(words[0].as_bytes(), Some(&b"smessage"[..]));
                assert_eq!(words[2].as_bytes(), Some(&b"hello"[..]));
            }
        }
        // Channels of all are heard at every port.
        there.ask("SUBSCRIBE news");
        assert_eq!(cluster.node(1).ask("PUBLISH news x").as_int(), Some(1));
        assert!(there.reply().is_some());
    });
}

#[test]
fn a_waiting_client_is_served_from_every_port() {
    on_each(&[1, 2], |cluster| {
        let key = of_node(&cluster, 0);
        let mut waiting = cluster.node(0);
        waiting.send(format!("BLPOP {key} 0\r\n").as_bytes());
        let push = || cluster.main().ask(&format!("RPUSH {key} x"));
        assert_eq!(push().as_int(), Some(1));
        let popped = waiting.reply().expect("an element");
        assert_eq!(popped.as_slice().map(<[Value]>::len), Some(2));
    });
}

#[test]
fn no_connection_leaves_the_thread_of_its_node() {
    on_each(&[2, 8], |cluster| {
        let mut control = cluster.main();
        let mut clients = Vec::new();
        for index in 0..cluster.nodes.len() {
            // Many more than a fair share for the thread of the first node.
            let count = if index == 0 { 20 } else { 2 };
            clients.extend((0..count).map(|_| (index, cluster.node(index))));
        }
        for (index, client) in &mut clients {
            let id = client.id();
            let thread = field(&mut control, id, "io-thread").expect("a client");
            assert_eq!(thread, index.to_string());
        }
    });
}

/// With `threads auto` others sleep until they are needed; nodes never do.
#[test]
fn nodes_are_awake_from_the_start() {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    for io in ["mio", "uring"] {
        let Ok(cluster) = start_crew(io, "auto", threads, &[]) else {
            println!("no server on {io}");
            continue;
        };
        let mut control = cluster.main();
        let shown = |control: &mut Wire, name: &str| {
            let info = control.ask("INFO server");
            let info = String::from_utf8_lossy(info.as_bytes().expect("text")).into_owned();
            let line = info.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.strip_prefix(':'))
                .map(str::to_owned)
        };
        let awake = shown(&mut control, "io_threads_awake");
        assert_eq!(awake, Some(threads.to_string()));
        for index in 0..threads {
            let mut client = cluster.node(index);
            let id = client.id();
            // The governor would have the thread send its clients away.
            thread::sleep(Duration::from_millis(50));
            let thread = field(&mut control, id, "io-thread").expect("a client");
            assert_eq!(thread, index.to_string());
            assert!(client.ask("PING").as_error().is_none());
        }
    }
}

#[test]
fn slots_and_namespaces_go_together() {
    let cluster = start("mio", 2, &["--namespaces", "auto"]).expect("a server");
    let mut main = cluster.main();
    for number in 0..200 {
        let key = format!("ns{}/{{t}}{number}", number % 7);
        assert_eq!(main.ask(&format!("SET {key} x")), ok());
        assert_eq!(main.ask(&format!("SET default/k{number} x")), ok());
    }
    check_counts(&mut main);
    assert_eq!(main.ask("NAMESPACE FLUSH ns3").as_error(), None);
    check_counts(&mut main);
    // The slot is that of the name under which the key is stored.
    let name = of_node(&cluster, 1);
    let mut wires = cluster.wires();
    assert_eq!(wires[1].ask(&format!("SET default/{name} y")), ok());
    assert!(
        moved_to(
            &wires[0].ask(&format!("GET default/{name}")),
            name.as_bytes()
        )
        .is_some()
    );
    let used = wires[0].ask("NAMESPACE USE ns1");
    assert!(
        used.as_error()
            .is_some_and(|it| it.to_string().contains("cluster mode"))
    );
    assert_eq!(main.ask("NAMESPACE USE ns1"), ok());
}

#[test]
fn counts_of_slots_are_those_of_their_keys() {
    on_each(&[1, 8], |cluster| {
        let (mut wire, mut random) = (cluster.main(), Random::new(7));
        for step in 0..4000 {
            let key = |random: &mut Random| match random.bits() % 3 {
                0 => format!("{{tag{}}}:{}", random.bits() % 3, random.bits() % 40),
                _ => format!("k{}", random.bits() % 300),
            };
            let (one, other) = (key(&mut random), key(&mut random));
            let line = match random.bits() % 8 {
                0..3 => format!("SET {one} {step}"),
                3 => format!("DEL {one} {other}"),
                4 => format!("COPY {one} {other} REPLACE"),
                5 => format!("RENAME {one} {other}"),
                6 => format!("SADD set{one} x"),
                _ => format!("PEXPIRE {one} 1"),
            };
            // RENAME of what is not there fails, which is as good.
            wire.ask(&line);
        }
        thread::sleep(Duration::from_millis(20));
        check_counts(&mut wire);
        assert_eq!(wire.ask("SWAPDB 0 1"), ok());
        check_counts(&mut wire);
        assert_eq!(wire.ask("SWAPDB 1 0"), ok());
        check_counts(&mut wire);
        assert_eq!(wire.ask("FLUSHDB"), ok());
        check_counts(&mut wire);
        assert_eq!(wire.ask("SET back again"), ok());
        check_counts(&mut wire);
    });
}

/// The keys of a slot are looked for in slices, and others change keys of its stripe meanwhile.
#[test]
fn keys_of_a_slot_are_found_while_others_change() {
    on_each(&[1], |cluster| {
        let mut wire = cluster.main();
        for key in 0..6000 {
            let tag = if key % 3 == 0 { "own" } else { "other" };
            wire.send(format!("SET {{{tag}}}{key} x\r\n").as_bytes());
        }
        (0..6000).for_each(|_| assert_eq!(wire.reply(), Some(ok())));
        let slot = key_slot(b"own");
        let own = || (0..6000).step_by(3).map(|key| format!("{{own}}{key}"));
        let asked = format!("CLUSTER GETKEYSINSLOT {slot} 100000");
        let (is_done, mut other) = (AtomicBool::new(false), cluster.main());
        thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0_u64.. {
                    if is_done.load(Ordering::Relaxed) {
                        break;
                    }
                    other.ask(&format!("SET {{own}}new{} x", number % 50));
                    other.ask(&format!("DEL {{own}}new{}", (number + 25) % 50));
                }
            });
            for elements in [1, 1_000_000, 1, 1] {
                wire.ask(&format!("CONFIG SET long-command-elements {elements}"));
                let found = texts(&wire.ask(&asked));
                assert!(own().all(|key| found.contains(&key)), "some are missing");
                let few = wire.ask(&format!("CLUSTER GETKEYSINSLOT {slot} 7"));
                assert_eq!(few.as_slice().map(<[Value]>::len), Some(7));
            }
            is_done.store(true, Ordering::Relaxed);
        });
        assert_eq!(wire.ask("CLUSTER GETKEYSINSLOT 1 10"), Value::Array(vec![]));
    });
}

/// Compares COUNTKEYSINSLOT and GETKEYSINSLOT of all slots with KEYS.
fn check_counts(wire: &mut Wire) {
    let mut by_slot: BTreeMap<u16, BTreeSet<String>> = BTreeMap::new();
    for key in texts(&wire.ask("KEYS *")) {
        by_slot
            .entry(key_slot(key.as_bytes()))
            .or_default()
            .insert(key);
    }
    let count = |slot: u16| format!("CLUSTER COUNTKEYSINSLOT {slot}\r\n");
    wire.send((0..16_384).map(count).collect::<String>().as_bytes());
    for slot in 0..16_384 {
        let counted = wire.reply().and_then(|reply| reply.as_int());
        let keys = by_slot.get(&slot).map_or(0, BTreeSet::len);
        assert_eq!(counted, Some(keys as i64), "slot {slot}");
    }
    for (slot, keys) in by_slot {
        assert_eq!(
            texts(&wire.ask(&format!("CLUSTER GETKEYSINSLOT {slot} 1000"))),
            keys
        );
    }
}
