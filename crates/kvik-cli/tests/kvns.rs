//! What a user of kvns finds: the preset with its variables, its files, and the way of its keys
//! into kvik.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail like the test"
)]

#[allow(dead_code, reason = "each test uses a part")]
mod served;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use kvik_client::{Client, Value};
use served::{KVIK, REDIS, Served, free_port, kvik, text, wait_for};

/// `kvik` under the name of kvns, with variables.
fn kvns(variables: &[(&str, &str)]) -> (Command, tempfile::TempDir, u16) {
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let program = folder.path().join("kvns");
    symlink(KVIK, &program).unwrap();
    let mut command = Command::new(program);
    command
        .env("KVNS_HOST", "127.0.0.1")
        .env("KVNS_PORT", port.to_string())
        .env("KVNS_METRICS_HOST", "127.0.0.1")
        .env("KVNS_METRICS_PORT", free_port().to_string())
        .envs(variables.iter().copied());
    (command, folder, port)
}

fn served(variables: &[(&str, &str)]) -> Served {
    let (command, _folder, port) = kvns(variables);
    Served::run(command, port).unwrap()
}

fn bulk(text: &str) -> Value {
    Value::Bulk(text.into())
}

#[test]
fn the_name_brings_namespaces_and_metrics() {
    let metrics = free_port().to_string();
    let server = served(&[
        ("KVNS_METRICS_PORT", &metrics),
        ("KVNS_SHARDED_MODE", "true"),
    ]);
    server.call(&["SET", "db1/x", "42"]);
    server.call(&["SET", "y", "1"]);
    assert_eq!(server.call(&["GET", "default/y"]), bulk("1"));
    let names = Value::Array(vec![bulk("db1"), bulk("default")]);
    assert_eq!(server.call(&["NAMESPACE", "LIST"]), names);
    let mut page = TcpStream::connect(format!("127.0.0.1:{metrics}")).unwrap();
    page.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut text = String::new();
    page.read_to_string(&mut text).unwrap();
    let line = "kvns_keys_total{namespace=\"db1\"} 1";
    assert!(text.lines().any(|it| it == line), "{text}");
    wait_for("the note", || {
        server.log().contains("KVNS_SHARDED_MODE change")
    });
    assert!(!server.directory.path().join("kvik-data").exists());
}

#[test]
fn a_request_beyond_a_limit_ends_its_connection() {
    let server = served(&[
        ("KVNS_MAX_RESP_ARGS", "4"),
        ("KVNS_MAX_RESP_BULK_LEN", "10"),
    ]);
    for command in [&["DEL", "1", "2", "3", "4"][..], &["GET", "01234567890"]] {
        let mut client = server.client();
        assert_eq!(
            client.call(&["DEL", "1", "2", "3"]).unwrap(),
            Value::Integer(0)
        );
        let refused = client.call(command).unwrap();
        assert!(
            refused.as_error().is_some_and(|error| {
                error.to_string().starts_with("ERR Protocol error: invalid")
            })
        );
        assert!(client.call(&["PING"]).is_err());
    }
}

#[test]
fn keys_stay_where_there_is_a_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/folder/kvns.db");
    let variables = [("KVNS_PERSIST_PATH", path.to_str().unwrap())];
    let server = served(&variables);
    server.call(&["SET", "db1/x", "42"]);
    server.terminate();
    assert!(std::fs::read(&path).unwrap().starts_with(b"REDIS"));
    let server = served(&variables);
    assert_eq!(server.call(&["GET", "db1/x"]), bulk("42"));
    assert_eq!(
        server.call(&["NAMESPACE", "LIST"]),
        Value::Array(vec![bulk("db1")])
    );
}

#[test]
fn an_archive_of_kvns_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kvns.db");
    std::fs::write(&path, [0, 0, 0, 0, 200, 255, 255, 255]).unwrap();
    let (mut command, _folder, _) = kvns(&[("KVNS_PERSIST_PATH", path.to_str().unwrap())]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("kvik import redis://"));
    assert_eq!(std::fs::read(&path).unwrap().len(), 8);
}

/// Keys of all types, some of them larger than what is copied at a time.
fn fill(client: &mut Client) {
    let long = "x".repeat(100_000);
    let commands = [
        &["SET", "db1/s", "a\u{0}b\u{ff}"][..],
        &["SET", "long", &long],
        &["SET", "brief", "v", "PX", "3600000"],
        &["RPUSH", "list", "1", "2", "1"],
        &["HSET", "hash", "f", "1", "g", ""],
        &["SADD", "set", "one", "2"],
        &["SADD", "ints", "1", "2", "3"],
        &["ZADD", "zset", "1.5", "a", "-inf", "b"],
        &["XADD", "stream", "1-1", "f", "v"],
        &["XADD", "stream", "2-5", "f", "v", "g", "w"],
        &["XDEL", "stream", "2-5"],
        &["XGROUP", "CREATE", "stream", "readers", "1-1"],
        &["PEXPIRE", "zset", "7200000"],
    ];
    for command in commands {
        let reply = client.call(command).unwrap();
        assert!(reply.as_error().is_none(), "{command:?}: {reply:?}");
    }
    for number in 0..1234 {
        let (number, score) = (number.to_string(), (number / 7).to_string());
        client.call(&["RPUSH", "long list", &number]).unwrap();
        client
            .call(&["ZADD", "long zset", &score, &number])
            .unwrap();
        client
            .call(&["HSET", "long hash", &number, &score])
            .unwrap();
    }
}

/// All that can be seen of the keys, in the order of their names.
fn contents(client: &mut Client) -> Vec<(String, Value)> {
    let keys = client.call(&["KEYS", "*"]).unwrap();
    let mut keys: Vec<_> = keys
        .as_slice()
        .unwrap()
        .iter()
        .map(|key| key.as_str().unwrap().to_owned())
        .collect();
    keys.sort();
    let mut contents = Vec::new();
    for key in keys {
        let kind = client.call(&["TYPE", &key]).unwrap();
        let read: Vec<&str> = match kind.as_str().unwrap() {
            "string" => vec!["GET", &key],
            "list" => vec!["LRANGE", &key, "0", "-1"],
            "hash" => vec!["HGETALL", &key],
            "set" => vec!["SMEMBERS", &key],
            "zset" => vec!["ZRANGE", &key, "0", "-1", "WITHSCORES"],
            _ => vec!["XRANGE", &key, "-", "+"],
        };
        let mut value = client.call(&read).unwrap();
        if let Value::Array(elements) = &mut value
            && matches!(kind.as_str(), Some("set" | "hash"))
        {
            // Their order means nothing; pairs of a hash are sorted as such.
            let width = if kind.as_str() == Some("hash") { 2 } else { 1 };
            let mut parts: Vec<_> = elements.chunks(width).map(<[_]>::to_vec).collect();
            parts.sort_by_key(|part| format!("{part:?}"));
            *elements = parts.concat();
        }
        contents.push((key.clone(), value));
        let ttl_ms = client.call(&["PTTL", &key]).unwrap().as_int().unwrap();
        let hours = (ttl_ms + 60_000) / 3_600_000;
        contents.push((
            format!("{key} ttl"),
            Value::Integer(if ttl_ms < 0 { -1 } else { hours }),
        ));
    }
    let info = client.call(&["XINFO", "STREAM", "stream"]).unwrap();
    let last = info.get("last-generated-id").unwrap().clone();
    contents.push(("last id".to_owned(), last));
    let groups = client.call(&["XINFO", "GROUPS", "stream"]).unwrap();
    let name = groups.as_slice().unwrap()[0].get("name").unwrap().clone();
    contents.push(("group".to_owned(), name));
    contents
}

fn is_copied(source: &Served, directory: &Path) {
    let target = Served::start(KVIK, &["--namespaces", "auto"]).unwrap();
    target.call(&["RPUSH", "db1/s", "of another type"]);
    target.call(&["SET", "stays", "1"]);
    let output = kvik(&["import", &source.url(), "--to", &target.url()], directory);
    let (printed, errors) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{printed}{errors}");
    let line = format!("imported 12 keys from {}\n", source.url());
    assert_eq!(printed, line, "{errors}");
    target.call(&["DEL", "stays"]);
    assert_eq!(
        contents(&mut target.client()),
        contents(&mut source.client())
    );
}

#[test]
fn a_server_is_copied_to_another() {
    let folder = tempfile::tempdir().unwrap();
    let sources: [(&str, &[&str]); 3] = [
        (KVIK, &["--namespaces", "auto"]),
        (REDIS, &[]),
        // One without payloads is read by the commands of the types.
        (REDIS, &["--rename-command", "DUMP", ""]),
    ];
    for (program, more) in sources {
        if let Some(source) = Served::start(program, more) {
            fill(&mut source.client());
            is_copied(&source, folder.path());
        }
    }
}

#[test]
fn a_server_is_copied_to_a_directory() {
    let source = Served::start(KVIK, &[]).unwrap();
    fill(&mut source.client());
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("new/data");
    let data = data.to_str().unwrap();
    let output = kvik(&["import", &source.url(), "--dir", data], folder.path());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let target = Served::start(KVIK, &["--dir", data, "--appendonly", "yes"]).unwrap();
    wait_for("the data", || target.call(&["DBSIZE"]).as_int() == Some(12));
    assert_eq!(
        contents(&mut target.client()),
        contents(&mut source.client())
    );
    // Its server has it open.
    let output = kvik(&["import", &source.url(), "--dir", data], folder.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("cannot open"));
}

#[test]
fn what_does_not_arrive_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let source = Served::start(KVIK, &[]).unwrap();
    source.call(&["SET", "large", &"x".repeat(100)]);
    source.call(&["SET", "small", "x"]);
    let quota = [
        "--namespaces",
        "auto",
        "--namespace-quotas",
        "default:bytes=200",
    ];
    let target = Served::start(KVIK, &quota).unwrap();
    target.call(&["SET", "taken", &"x".repeat(50)]);
    let output = kvik(
        &["import", &source.url(), "--to", &target.url()],
        folder.path(),
    );
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    let errors = text(&output.stderr);
    assert!(errors.contains("'large': QUOTA"), "{errors}");
    let output = kvik(
        &["import", "redis://127.0.0.1:1", "--to", &target.url()],
        folder.path(),
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("cannot connect to redis://127.0.0.1:1"));
}

#[test]
fn lines_of_json_bring_all_back() {
    let folder = tempfile::tempdir().unwrap();
    let source = Served::start(KVIK, &[]).unwrap();
    let target = Served::start(KVIK, &[]).unwrap();
    fill(&mut source.client());
    source.call(&["XGROUP", "DESTROY", "stream", "readers"]);
    let (from, to) = (source.port.to_string(), target.port.to_string());
    let run = |words: &[&str]| {
        let output = kvik(words, folder.path());
        (
            output.status.code().unwrap(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    let (code, printed, errors) = run(&["export", "-p", &from, "--json", "keys.jsonl"]);
    assert_eq!(
        (code, printed.as_str()),
        (0, "exported 12 keys to keys.jsonl\n"),
        "{errors}"
    );
    let (code, printed, errors) = run(&["import", "-p", &to, "keys.jsonl"]);
    assert_eq!(
        (code, printed.as_str()),
        (0, "imported 12 keys from keys.jsonl\n"),
        "{errors}"
    );
    let diff = || run(&["diff", &source.url(), &target.url()]);
    let alike = (
        0,
        "12 keys are alike, 0 are not\n".to_owned(),
        String::new(),
    );
    assert_eq!(diff(), alike);
    source.call(&["SET", "ours", "1"]);
    target.call(&["SET", "theirs", "1"]);
    target.call(&["RPUSH", "list", "more"]);
    target.call(&["PERSIST", "brief"]);
    target.call(&["SET", "set", "another type"]);
    let (code, printed, _) = diff();
    let mut lines: Vec<_> = printed.lines().collect();
    lines.sort_unstable();
    let expected = [
        "9 keys are alike, 5 are not",
        "expiry\tbrief",
        "only first\tours",
        "only second\ttheirs",
        "type\tset",
        "value\tlist",
    ];
    assert_eq!((code, lines), (1, expected.to_vec()));
    let bad = "{\"key\":\"k\",\"value\":\"v\"}\n{}\n";
    std::fs::write(folder.path().join("bad.jsonl"), bad).unwrap();
    let (code, printed, errors) = run(&["import", "-p", &to, "bad.jsonl"]);
    assert_eq!(
        (code, printed.as_str()),
        (1, "imported 1 keys from bad.jsonl\n")
    );
    assert!(errors.contains("line 2: there is no key"), "{errors}");
}
