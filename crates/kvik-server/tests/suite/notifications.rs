//! Keyspace events of all transcripts: kvik tells of every key what a real server does, in the same
//! order.
//!
//! Each case is played against both while a client listens to all events. The events of each key
//! must be the same, but for what expires: when that is noticed depends on the server.

use std::collections::BTreeMap;
use std::time::Duration;

use kvik_resp::{ArgsBuf, Value};

use crate::target::{
    Connection, Identity, Product, Received, SocketTarget, Target, real_server, served,
};
use crate::transcript::{play_alone, told_cases};

/// Where kvik differs on purpose: the server, the file, the case and why.
const DIFFERENT: &[(Product, &str, &str, &str)] = &[
    (
        Product::Valkey,
        "hash.txt",
        "HEXPIRE with a past time deletes fields",
        AT_ONCE,
    ),
    (
        Product::Valkey,
        "hash.txt",
        "HEXPIRE GT and LT look at when a field expires",
        AT_ONCE,
    ),
    (
        Product::Valkey,
        "hash.txt",
        "fields that expire count in a transaction as elsewhere",
        AT_ONCE,
    ),
    (
        Product::Valkey,
        "hash.txt",
        "HSETEX with a past time deletes fields",
        AT_ONCE,
    ),
    (
        Product::Valkey,
        "hash.txt",
        "HGETEX with a past time deletes what it returns",
        AT_ONCE,
    ),
    (
        Product::Valkey,
        "hash.txt",
        "HGETEX checks options, then the number of fields, then the key, then the time",
        "HGETEX may write, and a command that writes misses no key",
    ),
    (
        Product::Valkey,
        "key.txt",
        "EXPIRE with a time that has passed deletes the key",
        AT_ONCE,
    ),
    (
        Product::Valkey,
        "key.txt",
        "EXPIRE LT only advances, and no time to live is later than any",
        AT_ONCE,
    ),
    (
        Product::Valkey,
        "notification.txt",
        "What happens to whole keys has names of its own",
        AT_ONCE,
    ),
    (
        Product::Valkey,
        "string.txt",
        "SET with a point in time that has passed leaves nothing behind",
        AT_ONCE,
    ),
    (
        Product::Valkey,
        "string.txt",
        "GETEX with a point in time that has passed returns the value a last time",
        AT_ONCE,
    ),
    (
        Product::Valkey,
        "string.txt",
        "MSETEX sets values and times to live under one condition",
        AT_ONCE,
    ),
    (
        Product::Valkey,
        "transaction.txt",
        "time to live inside a transaction",
        AT_ONCE,
    ),
    (
        Product::Redis,
        "string.txt",
        "SET with a point in time that has passed leaves nothing behind",
        "Redis 7.0 sets what has expired already; Valkey deletes it at once, as kvik does",
    ),
    (
        Product::Redis,
        "stream.txt",
        "XREADGROUP does not wait in a transaction",
        CONSUMERS,
    ),
    (
        Product::Redis,
        "stream.txt",
        "XCLAIM hands entries over",
        CONSUMERS,
    ),
    (
        Product::Redis,
        "stream.txt",
        "XAUTOCLAIM goes through what is pending",
        CONSUMERS,
    ),
    (
        Product::Redis,
        "blocking.txt",
        "XREADGROUP serves each entry to one consumer",
        CONSUMERS,
    ),
    (
        Product::Valkey,
        "blocking.txt",
        "XREAD waits for what comes behind an id",
        AGAIN,
    ),
    (
        Product::Valkey,
        "blocking.txt",
        "XREADGROUP hears that its stream is gone, or is another thing",
        AGAIN,
    ),
    (
        Product::Redis,
        "server.txt",
        "Keys are evicted at the memory limit",
        MEMORY,
    ),
    (
        Product::Valkey,
        "server.txt",
        "Keys are evicted at the memory limit",
        MEMORY,
    ),
];

/// Which keys fit.
const MEMORY: &str = "how many keys fit into so much memory is for each server to say";

/// A read that waits.
const AGAIN: &str = "Valkey runs a command that waits again, and misses keys again";

/// A consumer that gets nothing.
const CONSUMERS: &str =
    "Redis 7.0 makes consumers when they first get something, later ones at once";

/// What a past time deletes at once.
const AT_ONCE: &str = "a past time deletes with `del` and `hdel` as in Redis, not with `expired`";

/// All that a case told of, by database and key.
type Told = BTreeMap<String, Vec<String>>;

#[test]
fn events_are_those_of_redis() {
    if let Some(server) = real_server(Product::Redis) {
        compare(&server);
    }
}

#[test]
fn events_are_those_of_valkey() {
    if let Some(server) = real_server(Product::Valkey) {
        compare(&server);
    }
}

fn compare(real: &SocketTarget) {
    let own = served("mio", 2).expect("a server that starts");
    let mut differences = Vec::new();
    let mut compared = 0;
    let identities: [&Identity; 2] = [own.identity(), real.identity()];
    for (file, case) in told_cases(&identities) {
        let product = real.identity().product;
        let is_known = |known: &&(Product, &str, &str, &str)| {
            known.0 == product && known.1 == file && known.2 == case.name
        };
        if let Some((.., why)) = DIFFERENT.iter().find(is_known) {
            println!("not compared: {file}: {}: {why}", case.name);
            continue;
        }
        let told = |target: &SocketTarget| {
            let mut listener = Listener::new(target)?;
            // A reply that is not as written is for other tests.
            let _ = play_alone(&case, target, || listener.begin());
            listener.end()
        };
        // A case that closes the connections of others has nothing to compare.
        let (Ok(here), Ok(there)) = (told(&own), told(real)) else {
            continue;
        };
        compared += usize::from(!there.is_empty());
        if here != there {
            differences.push(difference(&file, &case.name, &here, &there));
        }
    }
    println!(
        "{compared} cases with events compared with {}",
        real.identity()
    );
    assert!(compared > 100 || std::env::var_os("KVIK_TRANSCRIPT").is_some());
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

fn difference(file: &str, case: &str, here: &Told, there: &Told) -> String {
    let mut text = format!("{file}: {case}");
    let keys = here.keys().chain(there.keys());
    let keys: std::collections::BTreeSet<_> = keys.collect();
    for key in keys {
        let (here, there) = (here.get(key), there.get(key));
        if here != there {
            text += &format!("\n    {key}: {here:?} instead of {there:?}");
        }
    }
    text
}

/// A client that hears of all events.
struct Listener {
    connection: Box<dyn Connection>,
    control: Box<dyn Connection>,
}

const PATIENCE: Duration = Duration::from_secs(5);

impl Listener {
    fn new(target: &SocketTarget) -> Result<Self, String> {
        let mut connection = target.connect()?;
        connection.ask_words(&["PSUBSCRIBE", "__keyspace@*"])?;
        Ok(Self {
            connection,
            control: target.connect()?,
        })
    }

    fn begin(&mut self) -> Result<(), String> {
        let set = ["CONFIG", "SET", "notify-keyspace-events", "KAnm"];
        self.control.ask_words(&set).map(drop)
    }

    /// All events since the beginning.
    fn end(mut self) -> Result<Told, String> {
        const LAST: &str = "__keyspace@last";
        self.control.ask_words(&["PUBLISH", LAST, "end"])?;
        let mut told = Told::new();
        loop {
            let (channel, event) = self.next()?;
            if channel == LAST.as_bytes() {
                break;
            }
            if !matches!(&*event, b"expired" | b"hexpired") {
                let events = told.entry(channel.escape_ascii().to_string()).or_default();
                events.push(event.escape_ascii().to_string());
            }
        }
        let off = ["CONFIG", "SET", "notify-keyspace-events", ""];
        self.control.ask_words(&off)?;
        Ok(told)
    }

    fn next(&mut self) -> Result<(Vec<u8>, Vec<u8>), String> {
        let received = self.connection.receive(PATIENCE)?;
        let Received::Reply(reply) = received else {
            return Err(format!("no event: {received:?}"));
        };
        match reply.value {
            Value::Array(words) | Value::Push(words) => match &words[..] {
                [_, _, Value::Bulk(channel), Value::Bulk(event)] => {
                    Ok((channel.clone(), event.clone()))
                }
                other => Err(format!("no message: {other:?}")),
            },
            other => Err(format!("no message: {other:?}")),
        }
    }
}

/// Whatever the threads and the backend, the events of one key come in the order of its changes.
#[test]
fn events_of_a_key_come_in_the_order_of_its_changes() {
    const CHANGES: usize = 400;
    crate::target::on_both_backends(&[1, 2, 8], |target| {
        let mut listener = Listener::new(target).expect("a listener");
        listener.begin().expect("a setting");
        let change = |writer: usize| {
            let mut connection = target.connect().expect("a connection");
            for number in 0..CHANGES {
                // Each string names one change, so that the key's history is known in the end.
                let word = format!("{writer}:{number}");
                let lists: ArgsBuf = ["RPUSH", "history", word.as_str()].into_iter().collect();
                let other = ["SET", word.as_str(), "x"].into_iter().collect::<ArgsBuf>();
                for command in [&lists, &other] {
                    connection.ask(command.as_args()).expect("a reply");
                }
            }
            // The last one deletes the list.
            connection.ask_words(&["DEL", "history"]).expect("a reply");
        };
        std::thread::scope(|scope| {
            (0..3).for_each(|writer| drop(scope.spawn(move || change(writer))));
        });
        let told = listener.end().expect("all events");
        let history = &told["__keyspace@0__:history"];
        let pushes = history.iter().filter(|event| *event == "rpush").count();
        assert_eq!(pushes, 3 * CHANGES, "{}", target.identity());
        // A list that was deleted is new before anything else happens to it.
        let mut is_there = false;
        for event in history {
            match event.as_str() {
                "new" => {
                    assert!(!is_there, "made twice");
                    is_there = true;
                }
                "rpush" => assert!(is_there, "pushed to before it was made"),
                "del" => {
                    assert!(is_there, "deleted twice");
                    is_there = false;
                }
                other => panic!("nobody does that: {other}"),
            }
        }
        assert_eq!(told.len(), 3 * CHANGES + 1);
    });
}
