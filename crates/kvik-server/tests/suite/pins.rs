//! Long work holds its keys and nothing else: a script that is held half-way keeps those waiting
//! who need its keys, and nobody else.
//!
//! Where it is held and when it goes on the test decides: the script looks whether somebody listens
//! to a channel.

#![expect(clippy::unwrap_used, reason = "only tests")]

use std::time::Duration;

use kvik_resp::{ArgsBuf, Value};

use crate::target::{Connection, Received, Target, on_both_backends};

/// Writes half, waits until somebody listens to a channel, and writes the rest.
const HALF: &str = "redis.call('SET', KEYS[1], 'half') redis.call('RPUSH', KEYS[2], 'half') \
    repeat until redis.call('PUBSUB', 'NUMSUB', 'go')[2] > 0 \
    redis.call('SET', KEYS[1], 'whole') redis.call('RPUSH', KEYS[2], 'whole') return 'done'";
/// The same with keys that it does not declare.
const HALF_UNDECLARED: &str = "local name = 'held' redis.call('SET', name, 'half') \
    repeat until redis.call('PUBSUB', 'NUMSUB', 'go')[2] > 0 \
    redis.call('SET', name, 'whole') redis.call('RPUSH', 'held' .. ':list', 'whole') return 'done'";
const KEYS_OF_ALL_STRIPES: usize = 400;

struct Client<'a>(Box<dyn Connection + 'a>);

impl<'a> Client<'a> {
    fn new(server: &'a dyn Target) -> Self {
        Self(server.connect().unwrap())
    }

    fn send(&mut self, words: &[&str]) {
        let words: ArgsBuf = words.iter().collect();
        self.0.send(words.as_args()).unwrap();
    }

    fn ask(&mut self, words: &[&str]) -> Value {
        self.0.ask_words(words).unwrap()
    }

    fn reply(&mut self) -> Value {
        match self.0.receive(Duration::from_secs(30)).unwrap() {
            Received::Reply(reply) => reply.value,
            other => panic!("a reply was to come: {other:?}"),
        }
    }

    /// Whether nothing has come yet. What others do meanwhile takes longer than a command does.
    fn waits(&mut self) -> bool {
        self.0.receive(Duration::from_millis(1)).unwrap() == Received::Nothing
    }
}

fn info(client: &mut Client<'_>, name: &str) -> i64 {
    let info = client.ask(&["INFO", "everything"]);
    let info = String::from_utf8_lossy(info.as_bytes().unwrap()).into_owned();
    let line = info.lines().find_map(|line| {
        let (field, value) = line.split_once(':')?;
        (field == name).then(|| value.trim().parse().unwrap())
    });
    line.unwrap_or_else(|| panic!("no {name} in INFO"))
}

/// Starts the script and waits until it is half-way.
fn hold<'a>(server: &'a dyn Target, words: &[&str], pinned: i64) -> Client<'a> {
    let mut observer = Client::new(server);
    let mut script = Client::new(server);
    script.send(words);
    while info(&mut observer, "pinned_keys") < pinned {}
    script
}

fn release(client: &mut Client<'_>) {
    client.ask(&["SUBSCRIBE", "go"]);
}

fn unrelease(client: &mut Client<'_>) {
    client.ask(&["UNSUBSCRIBE", "go"]);
}

#[test]
fn a_script_half_way_keeps_out_who_needs_its_keys_and_nobody_else() {
    on_both_backends(&[1, 2], |server| {
        for (script, keys) in [
            (HALF, &["2", "held", "held:list"][..]),
            (HALF_UNDECLARED, &["0"]),
        ] {
            let mut other = Client::new(server);
            other.ask(&["FLUSHALL"]);
            let words: Vec<&str> = ["EVAL", script].iter().chain(keys).copied().collect();
            let mut script = hold(server, &words, if keys.len() > 1 { 2 } else { 1 });
            let waited = info(&mut other, "pins_waited");
            other.ask(&["INCR", "free:n"]);
            // Keys of every stripe, by everybody.
            for number in 0..KEYS_OF_ALL_STRIPES {
                let key = format!("free:{number}");
                assert_eq!(other.ask(&["SET", &key, "v"]).as_str(), Some("OK"));
                assert_eq!(other.ask(&["GET", &key]).as_str(), Some("v"));
            }
            assert_eq!(info(&mut other, "pins_waited"), waited);
            let needy: [&[&str]; 5] = [
                &["GET", "held"],
                &["MGET", "free:1", "held"],
                &["DBSIZE"],
                &["KEYS", "held"],
                &["COPY", "free:1", "held"],
            ];
            let mut needy = needy.map(|words| {
                let mut client = Client::new(server);
                client.send(words);
                client
            });
            while info(&mut other, "pins_waited") < waited + 5 {
                assert!(other.ask(&["INCR", "free:n"]).as_error().is_none());
            }
            assert!(needy.iter_mut().all(Client::waits));
            let mut listener = Client::new(server);
            release(&mut listener);
            assert_eq!(script.reply().as_str(), Some("done"));
            assert_eq!(needy[0].reply().as_str(), Some("whole"));
            let both = needy[1].reply();
            assert_eq!(both.as_slice().unwrap()[1].as_str(), Some("whole"));
            let size = needy[2].reply().as_int().unwrap();
            assert_eq!(size, KEYS_OF_ALL_STRIPES as i64 + 3);
            assert_eq!(needy[3].reply().as_slice().unwrap().len(), 1);
            assert_eq!(needy[4].reply().as_int(), Some(0));
            unrelease(&mut listener);
            assert_eq!(info(&mut other, "pinned_keys"), 0);
        }
    });
}

/// Nobody hears of half a script: not who watches, nor who waits for an element, nor who caches.
#[test]
fn what_a_script_does_is_told_when_it_ends() {
    on_both_backends(&[1, 2], |server| {
        let mut other = Client::new(server);
        other.ask(&["FLUSHALL"]);
        let mut waiter = Client::new(server);
        waiter.send(&["BLPOP", "held:list", "0"]);
        let mut mover = Client::new(server);
        mover.send(&["BLMOVE", "source", "held:list", "LEFT", "RIGHT", "0"]);
        while info(&mut other, "blocked_clients") < 2 {}
        let mut watcher = Client::new(server);
        watcher.ask(&["WATCH", "held"]);
        let words = ["EVAL", HALF, "2", "held", "held:list"];
        let mut script = hold(server, &words, 2);
        // An element for somebody who moves it to a key of the script.
        assert_eq!(other.ask(&["RPUSH", "source", "moved"]).as_int(), Some(1));
        assert_eq!(other.ask(&["LLEN", "source"]).as_int(), Some(1));
        assert!(waiter.waits() && mover.waits());
        let mut listener = Client::new(server);
        release(&mut listener);
        assert_eq!(script.reply().as_str(), Some("done"));
        let popped = waiter.reply();
        assert_eq!(popped.as_slice().unwrap()[1].as_str(), Some("half"));
        assert_eq!(mover.reply().as_str(), Some("moved"));
        let list = other.ask(&["LRANGE", "held:list", "0", "-1"]);
        let list: Vec<_> = list.as_slice().unwrap().iter().map(Value::as_str).collect();
        assert_eq!(list, [Some("whole"), Some("moved")]);
        watcher.ask(&["MULTI"]);
        watcher.ask(&["GET", "held"]);
        assert!(watcher.ask(&["EXEC"]).is_null());
        unrelease(&mut listener);
    });
}

/// Neither expiry nor eviction takes a key away from a script.
#[test]
fn keys_of_a_script_do_not_expire_meanwhile() {
    on_both_backends(&[1], |server| {
        let mut other = Client::new(server);
        other.ask(&["FLUSHALL"]);
        other.ask(&["SET", "held", "v", "PX", "30"]);
        let script = "local before = redis.call('GET', KEYS[1]) \
            repeat until redis.call('PUBSUB', 'NUMSUB', 'go')[2] > 0 \
            return { before, redis.call('GET', KEYS[1]) }";
        let mut script = hold(server, &["EVAL", script, "1", "held"], 1);
        // Another key that expires later is seen to go first.
        other.ask(&["SET", "later", "v", "PX", "60"]);
        while other.ask(&["EXISTS", "later"]).as_int() == Some(1) {}
        let mut listener = Client::new(server);
        release(&mut listener);
        let seen = script.reply();
        let seen: Vec<_> = seen.as_slice().unwrap().iter().map(Value::as_str).collect();
        assert_eq!(seen[0], seen[1]);
        assert!(other.ask(&["GET", "held"]).is_null());
        unrelease(&mut listener);
    });
}

/// Who was put off comes before the next script that wants the key.
#[test]
fn scripts_that_queue_for_a_key_starve_nobody() {
    on_both_backends(&[1, 2], |server| {
        let mut other = Client::new(server);
        other.ask(&["FLUSHALL"]);
        let mut first = hold(server, &["EVAL", HALF, "2", "held", "held:list"], 2);
        let mut others: Vec<_> = (0..4).map(|_| Client::new(server)).collect();
        let loops = "for i = 1, 1000 do redis.call('APPEND', KEYS[1], 'x') end \
            return redis.call('STRLEN', KEYS[1])";
        others
            .iter_mut()
            .for_each(|client| client.send(&["EVAL", loops, "1", "held"]));
        let mut reader = Client::new(server);
        let waited = info(&mut other, "pins_waited");
        reader.send(&["GET", "held"]);
        while info(&mut other, "pins_waited") == waited {}
        let mut listener = Client::new(server);
        release(&mut listener);
        assert_eq!(first.reply().as_str(), Some("done"));
        assert_eq!(reader.reply().as_str(), Some("whole"));
        let mut lengths: Vec<_> = others.iter_mut().map(|it| it.reply().as_int()).collect();
        lengths.sort_unstable();
        assert_eq!(lengths, [1005, 2005, 3005, 4005].map(Some));
        unrelease(&mut listener);
    });
}

/// A script that needs all stripes half-way has them until it ends.
#[test]
fn a_script_may_turn_to_the_whole_store() {
    on_both_backends(&[1, 2], |server| {
        let mut other = Client::new(server);
        other.ask(&["FLUSHALL"]);
        let whole = "local name = 'mine' redis.call('SET', name, '1') \
            repeat until redis.call('PUBSUB', 'NUMSUB', 'go')[2] > 0 \
            local size = redis.call('DBSIZE') redis.call('FLUSHALL') redis.call('SET', name, size) \
            return size";
        let mut script = hold(server, &["EVAL", whole, "0"], 1);
        assert_eq!(other.ask(&["SET", "free", "v"]).as_str(), Some("OK"));
        let mut listener = Client::new(server);
        release(&mut listener);
        assert_eq!(script.reply().as_int(), Some(2));
        assert_eq!(other.ask(&["GET", "mine"]).as_str(), Some("2"));
        assert_eq!(other.ask(&["DBSIZE"]).as_int(), Some(1));
        unrelease(&mut listener);
    });
}

/// A script that has used no key keeps nobody from the whole store.
#[test]
fn a_script_without_keys_keeps_nobody_waiting() {
    on_both_backends(&[1, 2], |server| {
        let mut other = Client::new(server);
        let mut script = Client::new(server);
        let endless = "repeat until redis.call('PUBSUB', 'NUMSUB', 'go')[2] > 0 return 'done'";
        script.send(&["EVAL", endless, "0"]);
        while info(&mut other, "running_scripts") == 0 {}
        assert_eq!(other.ask(&["FLUSHALL"]).as_str(), Some("OK"));
        assert_eq!(other.ask(&["DBSIZE"]).as_int(), Some(0));
        assert!(script.waits());
        let mut listener = Client::new(server);
        release(&mut listener);
        assert_eq!(script.reply().as_str(), Some("done"));
        unrelease(&mut listener);
    });
}

/// Commands that touch very many elements.
const LONG: &[&[&str]] = &[
    &["SMEMBERS", "big:set"],
    &["SUNION", "big:set", "big:set2"],
    &["SINTER", "big:set", "big:set2"],
    &["SDIFF", "big:set", "small"],
    &["SUNIONSTORE", "out", "big:set", "big:set2"],
    &["SINTERSTORE", "out", "big:set", "big:set2"],
    &["SDIFFSTORE", "out", "big:set", "small"],
    &["HGETALL", "big:hash"],
    &["HKEYS", "big:hash"],
    &["HVALS", "big:hash"],
    &["LRANGE", "big:list", "0", "-1"],
    &["SORT", "big:list"],
    &["SORT", "big:set", "ALPHA", "DESC", "STORE", "out"],
    &["ZRANGE", "big:zset", "0", "-1", "WITHSCORES"],
    &["ZRANGE", "big:zset", "0", "-1", "REV"],
    &["ZRANGESTORE", "out", "big:zset", "0", "-1"],
    &["ZUNION", "2", "big:zset", "big:zset2", "WITHSCORES"],
    &[
        "ZUNIONSTORE",
        "out",
        "3",
        "big:zset",
        "big:zset2",
        "big:set",
        "WEIGHTS",
        "2",
        "3",
        "1",
    ],
    &[
        "ZINTERSTORE",
        "out",
        "2",
        "big:zset",
        "big:zset2",
        "AGGREGATE",
        "MAX",
    ],
    &["ZDIFFSTORE", "out", "2", "big:zset", "small"],
    &["SINTERCARD", "2", "big:set", "big:set2"],
    &["ZINTERCARD", "2", "big:zset", "big:zset2"],
    &["SUNIONCARD", "2", "big:set", "big:set2"],
    &["SDIFFCARD", "2", "big:set", "small"],
    &["LPOS", "big:list", "1", "COUNT", "0"],
    &["LPOS", "big:list", "nothing", "RANK", "-1"],
    &["DUMP", "big:zset"],
    &["DUMP", "big:list"],
    &["DUMP", "big:stream"],
    &["SORT", "big:list", "LIMIT", "5", "2000", "DESC"],
    &["SORT", "big:list", "STORE", "out"],
    &["SSCAN", "big:set", "0", "COUNT", "100000"],
    &["HSCAN", "big:hash", "0", "COUNT", "100000"],
    &["ZSCAN", "big:zset", "0", "COUNT", "100000"],
    &["XRANGE", "big:stream", "-", "+"],
    &["XREVRANGE", "big:stream", "+", "-", "COUNT", "5000"],
];

fn fill(client: &mut Client<'_>, len: usize) {
    client.ask(&["FLUSHALL"]);
    for start in (0..len).step_by(1000) {
        let mut each = |verb: &str, key: &str, words: &dyn Fn(usize) -> Vec<String>| {
            let mut command = vec![verb.to_owned(), key.to_owned()];
            command.extend((start..(start + 1000).min(len)).flat_map(words));
            let command: Vec<&str> = command.iter().map(String::as_str).collect();
            assert!(client.ask(&command).as_error().is_none());
        };
        each("SADD", "big:set", &|at| vec![format!("member:{at}")]);
        each("SADD", "big:set2", &|at| vec![format!("member:{}", 2 * at)]);
        each("HSET", "big:hash", &|at| {
            vec![format!("field:{at}"), at.to_string()]
        });
        each("RPUSH", "big:list", &|at| vec![(len - at).to_string()]);
        let score = |at: usize| (at % 97).to_string();
        each("ZADD", "big:zset", &|at| {
            vec![score(at), format!("member:{at}")]
        });
        each("ZADD", "big:zset2", &|at| {
            vec![at.to_string(), format!("member:{}", 2 * at)]
        });
    }
    client.ask(&["SADD", "small", "member:1"]);
    let script = "for i = 1, 6000 do redis.call('XADD', KEYS[1], i .. '-1', 'f', i) end return 1";
    assert_eq!(
        client.ask(&["EVAL", script, "1", "big:stream"]).as_int(),
        Some(1)
    );
}

/// Replies in an order of their own, and what was stored.
fn answer(client: &mut Client<'_>, words: &[&str]) -> (Vec<String>, Value) {
    client.ask(&["DEL", "out"]);
    let reply = client.ask(words);
    assert!(reply.as_error().is_none(), "{words:?}: {reply:?}");
    let is_ordered = words[0].starts_with(['Z', 'X', 'L']) || words[0] == "SORT";
    let elements = reply.as_slice().unwrap_or_default().iter();
    let mut elements: Vec<String> = elements.map(|it| format!("{it:?}")).collect();
    if reply.as_slice().is_none() {
        elements.push(format!("{reply:?}"));
    }
    if words[0] == "HGETALL" {
        elements = vec![elements.len().to_string()];
    }
    if !is_ordered {
        elements.sort_unstable();
    }
    let stored = match words.contains(&"out") {
        true => client.ask(&["DEBUG", "DIGEST-VALUE", "out"]),
        false => Value::Null,
    };
    (elements, stored)
}

/// A command gives the same where it is done in slices, elsewhere, as where it is done at once.
#[test]
fn long_commands_do_the_same_in_slices() {
    on_both_backends(&[1, 2], |server| {
        let mut client = Client::new(server);
        fill(&mut client, 6000);
        for words in LONG {
            client.ask(&["CONFIG", "SET", "long-command-elements", "1000000"]);
            let at_once = answer(&mut client, words);
            client.ask(&["CONFIG", "SET", "long-command-elements", "1"]);
            assert_eq!(answer(&mut client, words), at_once, "{words:?}");
        }
        let mut keys = answer(&mut client, &["KEYS", "big:*"]).0;
        keys.sort_unstable();
        assert_eq!(keys.len(), 7);
        client.ask(&["CONFIG", "SET", "long-command-elements", "10000"]);
    });
}

/// Keys of the same stripes are read and written while a long command is half-way.
#[test]
fn long_commands_keep_nobody_from_other_keys() {
    on_both_backends(&[1], |server| {
        let mut client = Client::new(server);
        fill(&mut client, 60_000);
        let mut other = Client::new(server);
        // Most stripes have one of them.
        let free: Vec<String> = (0..32).map(|number| format!("free:{number}")).collect();
        client.ask(&["CONFIG", "SET", "long-command-elements", "1"]);
        for words in LONG.iter().filter(|words| !words.contains(&"big:stream")) {
            let mut left = free.clone();
            // It may have ended before the others have come.
            for _ in 0..500 {
                client.send(words);
                let mut waits = true;
                while waits && let Some(key) = left.last() {
                    let begun = info(&mut other, "pinned_keys") > 0;
                    waits = begun || client.waits();
                    assert_eq!(other.ask(&["SET", key, "v"]).as_str(), Some("OK"));
                    assert_eq!(other.ask(&["GET", key]).as_str(), Some("v"));
                    if begun && info(&mut other, "pinned_keys") > 0 {
                        left.pop();
                    }
                }
                if waits {
                    client.reply();
                }
                if left.is_empty() {
                    break;
                }
            }
            assert!(left.is_empty(), "{words:?} was not seen half-way");
        }
        client.ask(&["CONFIG", "SET", "long-command-elements", "10000"]);
    });
}

/// Commands on very many keys, and transactions of very many commands, pin their keys in slices.
#[test]
fn very_many_keys_are_used_in_slices() {
    on_both_backends(&[1, 2], |server| {
        let (mut client, mut other) = (Client::new(server), Client::new(server));
        client.ask(&["FLUSHALL"]);
        client.ask(&["CONFIG", "SET", "long-command-elements", "1"]);
        let names: Vec<String> = (0..3000).map(|number| format!("many:{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let pairs: Vec<&str> = names.iter().flat_map(|name| [*name, "1"]).collect();
        let set = client.ask(&[&["MSET"], &pairs[..]].concat());
        assert_eq!(set.as_str(), Some("OK"));
        let mut waiter = Client::new(server);
        waiter.send(&["BLPOP", "list", "0"]);
        while info(&mut other, "blocked_clients") == 0 {}
        client.ask(&["WATCH", "many:0"]);
        client.ask(&["MULTI"]);
        for name in &names {
            client.ask(&["INCR", name]);
        }
        client.ask(&["RPUSH", "list", "element"]);
        let replies = client.ask(&["EXEC"]);
        let replies = replies.as_slice().unwrap();
        assert!(
            replies[..3000]
                .iter()
                .all(|reply| reply.as_int() == Some(2))
        );
        assert_eq!(
            waiter.reply().as_slice().unwrap()[1].as_str(),
            Some("element")
        );
        client.ask(&["WATCH", "many:0"]);
        other.ask(&["SET", "many:0", "9"]);
        client.ask(&["MULTI"]);
        client.ask(&["INCR", "many:1"]);
        client.ask(&["INCR", "many:2"]);
        assert!(client.ask(&["EXEC"]).is_null());
        let values = client.ask(&[&["MGET"], &names[..]].concat());
        let values = values.as_slice().unwrap();
        assert_eq!(values[0].as_str(), Some("9"));
        assert!(values[1..].iter().all(|value| value.as_str() == Some("2")));
        let deleted = client.ask(&[&["DEL"], &names[..]].concat());
        assert_eq!(deleted.as_int(), Some(3000));
        assert_eq!(other.ask(&["DBSIZE"]).as_int(), Some(0));
        assert_eq!(info(&mut other, "pinned_keys"), 0);
        client.ask(&["CONFIG", "SET", "long-command-elements", "10000"]);
    });
}

/// A long command ends with its client as long as it has changed nothing.
#[test]
fn a_long_command_ends_with_its_client() {
    on_both_backends(&[1, 2], |server| {
        let mut other = Client::new(server);
        fill(&mut other, 60_000);
        other.ask(&["CONFIG", "SET", "long-command-elements", "1"]);
        // It may have ended before it is killed, but not again and again.
        let was_ended = (0..100).any(|_| {
            other.ask(&["DEL", "out"]);
            let mut victim = Client::new(server);
            let id = victim.ask(&["CLIENT", "ID"]).as_int().unwrap().to_string();
            victim.send(&["SUNIONSTORE", "out", "big:set", "big:set2"]);
            while info(&mut other, "pinned_keys") == 0 {
                if other.ask(&["EXISTS", "out"]).as_int() == Some(1) {
                    return false;
                }
            }
            other.ask(&["CLIENT", "KILL", "ID", &id]);
            while info(&mut other, "pinned_keys") > 0 {}
            other.ask(&["EXISTS", "out"]).as_int() == Some(0)
        });
        assert!(was_ended);
        other.ask(&["CONFIG", "SET", "long-command-elements", "10000"]);
    });
}

/// A command that runs for longer than `command-time-limit` ends before it has changed anything.
#[test]
fn a_long_command_keeps_to_its_time() {
    on_both_backends(&[1, 2], |server| {
        let mut client = Client::new(server);
        fill(&mut client, 60_000);
        client.ask(&["CONFIG", "SET", "long-command-elements", "1"]);
        client.ask(&["CONFIG", "SET", "command-time-limit", "1"]);
        for words in [
            &["SUNIONSTORE", "out", "big:set", "big:set2"][..],
            &["ZUNIONSTORE", "out", "2", "big:zset", "big:zset2"],
            &["SMEMBERS", "big:set"],
            &["SORT", "big:list", "STORE", "out"],
            &["DUMP", "big:hash"],
        ] {
            let reply = client.ask(words);
            let error = "ERR the command ran for longer than command-time-limit and has changed \
                nothing";
            let told = reply.as_error().and_then(|error| error.as_str());
            assert_eq!(told, Some(error), "{words:?}");
            assert_eq!(client.ask(&["EXISTS", "out"]).as_int(), Some(0));
        }
        assert_eq!(info(&mut client, "pinned_keys"), 0);
        client.ask(&["CONFIG", "SET", "command-time-limit", "0"]);
        let words = ["SUNIONSTORE", "out", "big:set", "big:set2"];
        assert_eq!(client.ask(&words).as_int(), Some(90_000));
        client.ask(&["CONFIG", "SET", "long-command-elements", "10000"]);
    });
}

/// Far more than what kernels keep of a reply.
const MEMBERS: usize = 40_000;
const MEMBER_BYTES: usize = 1000;
/// More than a connection and a reply that it gets in parts keep in memory.
const KEPT_BYTES: i64 = 4 << 20;

fn fill_long(client: &mut Client<'_>) {
    client.ask(&["FLUSHALL"]);
    let members: Vec<String> = (0..MEMBERS)
        .map(|number| format!("{number:0>MEMBER_BYTES$}"))
        .collect();
    for chunk in members.chunks(500) {
        let words = ["SADD", "long"].into_iter();
        let words: Vec<&str> = words.chain(chunk.iter().map(String::as_str)).collect();
        assert_eq!(client.ask(&words).as_int(), Some(chunk.len() as i64));
    }
}

/// Asks for all members and reads nothing of the reply; waits until its command waits for that.
fn ask_long<'a>(server: &'a dyn Target, observer: &mut Client<'_>) -> Client<'a> {
    let mut reader = Client::new(server);
    reader.send(&["SMEMBERS", "long"]);
    while info(observer, "long_reply_bytes") < 1 << 20 {}
    assert_eq!(info(observer, "pinned_keys"), 1);
    reader
}

/// A reply takes the memory of what is on the way, however slowly its client reads.
#[test]
fn a_slow_reader_takes_little_memory_and_keeps_out_who_wants_its_key() {
    on_both_backends(&[1, 2], |server| {
        let mut other = Client::new(server);
        fill_long(&mut other);
        let mut reader = ask_long(server, &mut other);
        for number in 0..KEYS_OF_ALL_STRIPES {
            let key = format!("free:{number}");
            assert_eq!(other.ask(&["SET", &key, "v"]).as_str(), Some("OK"));
            assert_eq!(other.ask(&["GET", &key]).as_str(), Some("v"));
            assert!(info(&mut other, "long_reply_bytes") < KEPT_BYTES);
        }
        assert_eq!(other.ask(&["SCARD", "long"]).as_int(), Some(MEMBERS as i64));
        let waited = info(&mut other, "pins_waited");
        let mut writer = Client::new(server);
        writer.send(&["SADD", "long", "new"]);
        while info(&mut other, "pins_waited") == waited {}
        assert!(writer.waits());
        let reply = reader.reply();
        assert_eq!(reply.as_slice().unwrap().len(), MEMBERS);
        assert_eq!(writer.reply().as_int(), Some(1));
        assert_eq!(info(&mut other, "pinned_keys"), 0);
        assert_eq!(info(&mut other, "long_reply_bytes"), 0);
        // What follows in the same connection is answered behind it.
        reader.send(&["SMEMBERS", "long"]);
        reader.send(&["SCARD", "long"]);
        assert_eq!(reader.reply().as_slice().unwrap().len(), MEMBERS + 1);
        assert_eq!(reader.reply().as_int(), Some(MEMBERS as i64 + 1));
    });
}

/// A pin is not held for ever: the rest of the reply goes to memory when others have waited.
#[test]
fn others_do_not_wait_for_ever_for_a_slow_reader() {
    on_both_backends(&[1, 2], |server| {
        let mut other = Client::new(server);
        fill_long(&mut other);
        // Who needs all stripes waits for a moment only.
        let mut reader = ask_long(server, &mut other);
        assert_eq!(other.ask(&["DBSIZE"]).as_int(), Some(1));
        assert_eq!(info(&mut other, "pinned_keys"), 0);
        assert!(info(&mut other, "long_reply_bytes") > KEPT_BYTES);
        assert_eq!(reader.reply().as_slice().unwrap().len(), MEMBERS);
        // Who wants the key waits as long as is configured.
        other.ask(&["CONFIG", "SET", "long-reply-patience", "0"]);
        let mut reader = ask_long(server, &mut other);
        assert_eq!(other.ask(&["SADD", "long", "new"]).as_int(), Some(1));
        assert_eq!(reader.reply().as_slice().unwrap().len(), MEMBERS);
        other.ask(&["CONFIG", "SET", "long-reply-patience", "15000"]);
        // A client that goes away is not waited for.
        let reader = ask_long(server, &mut other);
        drop(reader);
        while info(&mut other, "pinned_keys") > 0 {}
        while info(&mut other, "long_reply_bytes") > 0 {}
    });
}

/// The time for which a command is put off shows apart from the time for which it runs.
#[test]
fn waiting_shows_apart_from_running() {
    on_both_backends(&[1, 2], |server| {
        let mut other = Client::new(server);
        other.ask(&["FLUSHALL"]);
        other.ask(&["SLOWLOG", "RESET"]);
        let mut script = hold(server, &["EVAL", HALF, "2", "held", "held:list"], 2);
        let waited = info(&mut other, "pins_waited");
        let waited_us = info(&mut other, "deferred_usec");
        let mut needy = Client::new(server);
        let id = needy.ask(&["CLIENT", "ID"]).as_int().unwrap().to_string();
        needy.send(&["GET", "held"]);
        while info(&mut other, "pins_waited") == waited {}
        // Longer than the 10 ms from which on the slow log takes a command.
        std::thread::sleep(Duration::from_millis(30));
        let mut listener = Client::new(server);
        release(&mut listener);
        assert_eq!(script.reply().as_str(), Some("done"));
        assert_eq!(needy.reply().as_str(), Some("whole"));
        unrelease(&mut listener);
        assert!(info(&mut other, "deferred_usec") >= waited_us + 30_000);
        let line = other.ask(&["CLIENT", "LIST", "ID", &id]);
        let line = String::from_utf8_lossy(line.as_bytes().unwrap()).into_owned();
        let shown = line
            .split_whitespace()
            .find_map(|it| it.strip_prefix("waited-ms="));
        assert!(shown.unwrap().parse::<u64>().unwrap() >= 30, "{line}");
        let log = other.ask(&["SLOWLOG", "GET", "-1"]);
        let entries = log
            .as_slice()
            .unwrap()
            .iter()
            .map(|it| it.as_slice().unwrap());
        let is_get = |entry: &&[Value]| entry[3].as_slice().unwrap()[0].as_str() == Some("GET");
        let entry = entries.clone().find(is_get).expect("it waited for long");
        let (ran_us, waited_us) = (entry[2].as_int().unwrap(), entry[8].as_int().unwrap());
        assert!(waited_us >= 30_000 && ran_us < waited_us, "{entry:?}");
    });
}
