//! The same CONFIG commands to Redis 7.0 and to kvik's table; skipped where Redis 7.0 is not
//! installed.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use kvik_resp::{ArgsBuf, ReplyDecoder, Value, encode_command};

use super::*;

/// Defaults that differ on purpose.
const OTHER_DEFAULTS: &[(&str, &str)] = &[
    ("appendonly", "what was acknowledged is kept"),
    (
        "lazyfree-lazy-eviction",
        "as Valkey: freeing in the background stalls nobody",
    ),
    ("lazyfree-lazy-expire", "as Valkey"),
    ("lazyfree-lazy-server-del", "as Valkey"),
    ("lazyfree-lazy-user-del", "as Valkey"),
    ("lazyfree-lazy-user-flush", "as Valkey"),
    ("replica-lazy-flush", "as Valkey"),
    ("slave-lazy-flush", "as Valkey"),
    (
        "repl-backlog-size",
        "as Valkey: 1 MiB is less than a second of writes",
    ),
    ("syslog-ident", "the name of the server"),
];

/// Directives whose CONFIG SET is not compared, and why.
const NOT_COMPARED: &[(&str, &str)] = &[
    ("bind", "Redis tries to listen; here a subscriber does"),
    ("port", "as bind"),
    ("tls", "Redis reads certificates as they are set"),
    ("maxclients", "Redis changes the limit of open files"),
    ("maxmemory-policy", "here are more policies"),
    ("appendonly", "Redis begins to log"),
    ("oom-score-adj", "Redis asks the kernel"),
    ("hz", "Redis silently moves it into 1 to 500"),
    ("active-defrag", "Redis applies it as a whole"),
    ("activedefrag", "Redis' sentence is about its allocator"),
    ("cluster-announce", "Redis checks host names"),
    ("proc-title-template", "Redis changes its title"),
    ("notify-keyspace-events", "more classes are known here"),
    (
        "latency-tracking-info-percentiles",
        "decimals are compared as text",
    ),
    (
        "masteruser",
        "the name is primaryuser here, which the error names",
    ),
    ("requirepass", "would need to be given from then on"),
    ("repl-diskless-load", "newer versions know one mode more"),
    ("loglevel", "newer versions know one level more"),
    ("syslog-ident", "the name of the server"),
    ("dir", "given on the command line"),
    ("unixsocket", "given on the command line"),
];

/// Values for every directive.
const PROBES: &[&str] = &[
    "",
    " ",
    "x",
    "0",
    "1",
    "-1",
    "-5",
    "-0",
    "+1",
    "007",
    "1.5",
    "2000",
    "1mb",
    "1MB",
    "1Mb ",
    "2k",
    "3g",
    "4B",
    "1kib",
    "yes",
    "YES",
    "no",
    "No",
    "50%",
    "101%",
    "-5%",
    "10 20",
    "10 20 30",
    "10  20",
    "0 1",
    "1 -1",
    "5 5 5 5",
    "KEA",
    "AKEx",
    "g$lshzxetdnm",
    "q",
    "normal 1 2 3",
    "replica 1kb 2mb 60 pubsub 0 0 0",
    "master 1 2 3",
    "normal 1 2",
    "normal x 2 3",
    "a/b",
    "a b",
    "default",
    "save now",
    "save nosave",
    "always",
    "allkeys-lru",
    "ALLKEYS-LFU",
    "9223372036854775807",
    "9223372036854775808",
    "99999999999999999999999",
];

/// Redis takes no digits for 0 bytes, and beyond 64 bits goes on with what is left of the number.
fn refused_here(kind: Kind, probe: &str) -> bool {
    let is_memory = matches!(kind, Kind::Memory(..) | Kind::MemoryOrPercent);
    is_memory && (probe.is_empty() || probe.len() > 18 && probe != "9223372036854775807")
}

struct Redis {
    process: Child,
    socket: UnixStream,
    _directory: tempfile::TempDir,
}

impl Redis {
    fn start() -> Option<Self> {
        let program = std::env::var("KVIK_TEST_REDIS").unwrap_or("redis-server".to_owned());
        let version = Command::new(&program).arg("--version").output().ok()?;
        if !String::from_utf8_lossy(&version.stdout).contains("v=7.0.") {
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let mut process = Command::new(&program)
            .args(["--port", "0", "--unixsocket", "s", "--dir"])
            .arg(directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stdout.take().unwrap()).lines();
        assert!(log.any(|line| line.unwrap().contains("ready to accept connections at")));
        let socket = UnixStream::connect(directory.path().join("s")).unwrap();
        Some(Self {
            process,
            socket,
            _directory: directory,
        })
    }

    fn ask(&mut self, command: &[&str]) -> Value {
        let args: ArgsBuf = command.iter().collect();
        let mut bytes = Vec::new();
        encode_command(args.as_args(), &mut bytes);
        self.socket.write_all(&bytes).unwrap();
        let (mut decoder, mut reply) = (ReplyDecoder::new(), Vec::new());
        loop {
            let mut chunk = [0; 4096];
            let read = self.socket.read(&mut chunk).unwrap();
            assert!(read > 0, "the server closed the connection");
            reply.extend_from_slice(&chunk[..read]);
            if let Some((value, _)) = decoder.decode(&reply).unwrap() {
                return value;
            }
        }
    }

    fn get(&mut self, pattern: &str) -> Vec<(String, String)> {
        let reply = self.ask(&["CONFIG", "GET", pattern]);
        let text = |value: &Value| String::from_utf8_lossy(value.as_bytes().unwrap()).into_owned();
        let pairs = reply.as_slice().unwrap().chunks(2);
        pairs.map(|pair| (text(&pair[0]), text(&pair[1]))).collect()
    }

    fn set(&mut self, pairs: &[(&str, &str)]) -> Result<(), String> {
        let pairs = pairs.iter().flat_map(|(name, value)| [*name, *value]);
        let command: Vec<&str> = ["CONFIG", "SET"].into_iter().chain(pairs).collect();
        match self.ask(&command).as_error() {
            Some(error) => Err(error.to_string()),
            None => Ok(()),
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.process.kill().expect("it is our child");
        self.process.wait().expect("it is our child");
    }
}

#[test]
fn defaults_are_those_of_redis() {
    let Some(mut redis) = Redis::start() else {
        return;
    };
    let config = config_of(&[]);
    let given = ["dir", "port", "unixsocket"];
    for (name, value) in redis
        .get("*")
        .into_iter()
        .filter(|(name, _)| !given.contains(&name.as_str()))
    {
        let is_other = OTHER_DEFAULTS.iter().any(|(other, _)| *other == name);
        assert_eq!(get(&config, &name) != value, is_other, "{name}: {value}");
    }
}

#[test]
fn values_are_accepted_and_refused_as_by_redis() {
    let Some(mut redis) = Redis::start() else {
        return;
    };
    let config = config_of(&[]);
    let mut differences = Vec::new();
    for (name, _) in redis.get("*") {
        let ours = Key::named(name.as_bytes()).unwrap();
        if NOT_COMPARED
            .iter()
            .any(|(prefix, _)| name.starts_with(prefix) || ours.name().starts_with(prefix))
        {
            continue;
        }
        for probe in PROBES {
            if refused_here(ours.row().kind, probe) {
                assert!(set(&config, &[(&name, probe)]).is_err());
                continue;
            }
            let (expected, actual) = (
                redis.set(&[(&name, probe)]),
                set(&config, &[(&name, probe)]),
            );
            if expected != actual {
                differences.push(format!("{name} '{probe}': {expected:?}, here {actual:?}"));
            }
        }
        let (expected, actual) = (redis.get(&name), get(&config, &name));
        if expected[0].1 != actual {
            differences.push(format!(
                "{name} stands at '{}', here at '{actual}'",
                expected[0].1
            ));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn refusals_read_as_those_of_redis() {
    let Some(mut redis) = Redis::start() else {
        return;
    };
    let config = config_of(&[]);
    let cases: &[&[(&str, &str)]] = &[
        &[("foo", "1")],
        &[("databases", "3")],
        &[("DataBases", "3"), ("foo", "1")],
        &[("timeout", "1"), ("Timeout", "2")],
        &[("timeout", "1"), ("foo", "2"), ("timeout", "x")],
        &[("TIMEOUT", "x")],
        &[("slave-priority", "x")],
        &[("replica-priority", "5"), ("slave-priority", "6")],
        &[("timeout", "x"), ("databases", "3")],
        &[("timeout", "5"), ("maxmemory", "x")],
        &[("dir", "x")],
        &[("rename-command", "x")],
    ];
    for case in cases {
        assert_eq!(set(&config, case), redis.set(case), "{case:?}");
    }
    for name in ["timeout", "slave-priority"] {
        assert_eq!(get(&config, name), redis.get(name)[0].1);
    }
}

#[test]
fn names_are_answered_as_by_redis() {
    let Some(mut redis) = Redis::start() else {
        return;
    };
    let config = config_of(&[]);
    for pattern in [
        "PORT",
        "slaveof",
        "*ziplist*",
        "m?xmemory",
        "maxmemory-[ps][oa][lm]*",
        "nonsense",
        "[",
        "*",
    ] {
        let mut expected: Vec<String> = redis
            .get(pattern)
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        let mut actual: Vec<String> = config
            .get(&[pattern.as_bytes()])
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        expected.sort();
        actual.sort();
        if pattern == "*" {
            actual.retain(|name| expected.contains(name));
        }
        assert_eq!(actual, expected, "{pattern}");
    }
}
