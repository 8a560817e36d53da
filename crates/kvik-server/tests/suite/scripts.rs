//! Scripts and functions beyond single commands: kills, long scripts, files.

#![expect(clippy::unwrap_used, reason = "only tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kvik::{Db, Options};
use kvik_resp::{ArgsBuf, encode_command};
use kvik_script::LuaEngine;

use crate::target::{Connection, Target, on_both_backends};

const LIBRARY: &str = "#!lua name=lib\nredis.register_function('f', function(keys) return redis.call('GET', keys[1]) end)";

fn open(dir: &std::path::Path) -> Db {
    let options = Options::default().dir(dir).scripts(LuaEngine::shared());
    Db::open(options).expect("a store that opens")
}

/// Functions and what scripts have changed are there after a restart, from the log and from a
/// snapshot.
#[test]
fn functions_and_effects_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path());
    assert_eq!(db.run(&["FUNCTION", "LOAD", LIBRARY]).as_str(), Some("lib"));
    let script =
        "for i = 1, 50 do redis.call('SET', 'k' .. i, i) end return redis.call('DEL', 'k1')";
    assert_eq!(db.run(&["EVAL", script, "0"]).as_int(), Some(1));
    drop(db);
    let db = open(dir.path());
    assert_eq!(db.run(&["FCALL", "f", "1", "k7"]).as_str(), Some("7"));
    assert_eq!(db.run(&["DBSIZE"]).as_int(), Some(49));
    assert!(db.run(&["BGREWRITEAOF"]).as_error().is_none());
    drop(db);
    let db = open(dir.path());
    assert_eq!(db.run(&["FCALL", "f", "1", "k8"]).as_str(), Some("8"));
    assert_eq!(db.run(&["FUNCTION", "DELETE", "lib"]).as_str(), Some("OK"));
    drop(db);
    assert!(
        open(dir.path())
            .run(&["FCALL", "f", "1", "k8"])
            .as_error()
            .is_some()
    );
}

/// Whoever runs no scripts keeps the functions that its files have.
#[test]
fn a_store_without_an_engine_keeps_functions() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).run(&["FUNCTION", "LOAD", LIBRARY]);
    let db = Db::open(Options::default().dir(dir.path())).unwrap();
    assert!(db.run(&["FCALL", "f", "1", "k"]).as_error().is_some());
    assert!(db.run(&["BGREWRITEAOF"]).as_error().is_none());
    drop(db);
    assert!(open(dir.path()).run(&["FCALL", "f", "1", "k"]).is_null());
}

/// Scripts that never end are killed, whatever they catch; others are served meanwhile.
#[test]
fn endless_scripts_keep_nobody_waiting_and_are_killed() {
    on_both_backends(&[1, 2], |server| {
        let bombs = [
            "while true do end",
            "while true do pcall(function() while true do end end) end",
            "local function f() return f() end return f()",
            "return string.find(string.rep('a', 60), string.rep('a?', 60) .. string.rep('a', 60))",
            "local co = coroutine.wrap(function() while true do end end) while true do pcall(co) end",
            "redis.call('GET', 'other') while true do end",
        ];
        for bomb in bombs {
            check_bomb(server, bomb);
        }
    });
}

fn check_bomb(server: &dyn Target, bomb: &str) {
    let mut other = server.connect().unwrap();
    other.ask_words(&["SET", "free", "v"]).unwrap();
    let ended = Arc::new(AtomicBool::new(false));
    std::thread::scope(|scope| {
        let seen = Arc::clone(&ended);
        let runner = scope.spawn(move || {
            let mut connection = server.connect().unwrap();
            let reply = connection.ask_words(&["EVAL", bomb, "1", "held"]).unwrap();
            seen.store(true, Ordering::SeqCst);
            reply
        });
        kill(&mut *other, &ended);
        let reply = runner.join().unwrap();
        let error = reply
            .as_error()
            .expect("an error")
            .to_str_lossy()
            .into_owned();
        let ends_by_itself = bomb.contains("a?");
        assert!(
            error.contains("killed by user") || ends_by_itself,
            "{bomb}: {error}"
        );
        assert_eq!(
            other.ask_words(&["GET", "free"]).unwrap().as_str(),
            Some("v")
        );
    });
}

/// Kills the script as soon as it is seen, and is served all the time.
fn kill(connection: &mut dyn Connection, ended: &AtomicBool) {
    let patience = Instant::now() + Duration::from_secs(20);
    while !ended.load(Ordering::SeqCst) && Instant::now() < patience {
        assert!(
            connection
                .ask_words(&["PING"])
                .unwrap()
                .as_error()
                .is_none()
        );
        connection.ask_words(&["SCRIPT", "KILL"]).unwrap();
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A script that has written is not killed, and who needs its keys learns that it is busy.
#[test]
fn a_script_that_has_written_goes_on() {
    on_both_backends(&[1, 2], |server| {
        let mut other = server.connect().unwrap();
        other
            .ask_words(&["CONFIG", "SET", "busy-reply-threshold", "10"])
            .unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut connection = server.connect().unwrap();
                let script = "redis.call('SET', KEYS[1], 'x') local n = 0 \
                    while n < 3e7 do n = n + 1 end return n";
                let reply = connection
                    .ask_words(&["EVAL", script, "1", "held"])
                    .unwrap();
                assert!(reply.as_error().is_none(), "{reply:?}");
            });
            let patience = Instant::now() + Duration::from_secs(20);
            let mut was_busy = false;
            while Instant::now() < patience && !was_busy {
                let reply = other.ask_words(&["GET", "held"]).unwrap();
                was_busy = reply.as_error().is_some_and(|it| it.starts_with("BUSY"));
                if was_busy {
                    let kill = other.ask_words(&["SCRIPT", "KILL"]).unwrap();
                    let unkillable = kill
                        .as_error()
                        .is_some_and(|it| it.starts_with("UNKILLABLE"));
                    assert!(unkillable, "{kill:?}");
                    assert!(other.ask_words(&["PING"]).unwrap().as_error().is_none());
                }
            }
            assert!(was_busy);
        });
        let reply = other.ask_words(&["GET", "held"]).unwrap();
        assert_eq!(reply.as_str(), Some("x"));
        other
            .ask_words(&["CONFIG", "SET", "busy-reply-threshold", "5000"])
            .unwrap();
    });
}

/// Where `busy-reply-scope` says so, a script that runs for long keeps everybody out, as in Redis.
#[test]
fn a_long_script_keeps_everybody_out_where_that_is_asked_for() {
    on_both_backends(&[1, 2], |server| {
        let mut other = server.connect().unwrap();
        let mut set = |name: &str, value: &str| {
            let reply = other.ask_words(&["CONFIG", "SET", name, value]).unwrap();
            assert!(reply.as_error().is_none(), "{reply:?}");
        };
        set("busy-reply-scope", "all");
        set("busy-reply-threshold", "10");
        let mut busy = server.connect().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut connection = server.connect().unwrap();
                let reply = connection
                    .ask_words(&["EVAL", "while true do end", "0"])
                    .unwrap();
                let error = reply.as_error().map(ToString::to_string);
                let is_killed = error.is_some_and(|it| it.contains("Script killed by user"));
                assert!(is_killed, "{reply:?}");
            });
            let mut ask = |words: &[&str]| {
                let reply = busy.ask_words(words).unwrap();
                let error = reply.as_error().map(ToString::to_string);
                error.unwrap_or_default()
            };
            let patience = Instant::now() + Duration::from_secs(20);
            while ask(&["PING"]).is_empty() && Instant::now() < patience {}
            assert!(ask(&["PING"]).starts_with("BUSY "));
            assert!(ask(&["GET", "anything"]).starts_with("BUSY "));
            assert_eq!(ask(&["MULTI"]), "");
            assert!(ask(&["SET", "k", "v"]).starts_with("BUSY "));
            assert!(ask(&["EXEC"]).starts_with("EXECABORT "));
            assert_eq!(ask(&["SCRIPT", "KILL"]), "");
            while ask(&["PING"]).starts_with("BUSY ") && Instant::now() < patience {}
            assert_eq!(ask(&["PING"]), "");
        });
        let mut set = |name: &str, value: &str| {
            let reply = other.ask_words(&["CONFIG", "SET", name, value]).unwrap();
            assert!(reply.as_error().is_none(), "{reply:?}");
        };
        set("busy-reply-threshold", "5000");
        set("busy-reply-scope", "keys");
    });
}

fn write_old_log(dir: &std::path::Path, commands: &[&[&str]]) {
    let mut log = Vec::new();
    for words in commands {
        let words: ArgsBuf = words.iter().collect();
        encode_command(words.as_args(), &mut log);
    }
    std::fs::write(dir.join("appendonly.aof"), log).unwrap();
}

/// Logs of old versions of Redis have scripts in place of what they did, also of those that failed
/// in the end.
#[test]
fn scripts_in_a_log_run_again() {
    let dir = tempfile::tempdir().unwrap();
    let undeclared = "redis.call('INCRBY', KEYS[1], ARGV[1]) redis.call('SET', 'copy', redis.call('GET', KEYS[1]))";
    let failing = "redis.call('INCR', KEYS[1]) return redis.call('LPUSH', KEYS[1], 'x')";
    write_old_log(
        dir.path(),
        &[
            &["SELECT", "0"],
            &["SET", "a", "1"],
            &["EVAL", undeclared, "1", "a", "5"],
            &["EVAL", failing, "1", "a"],
            &["MULTI"],
            &["EVAL", "return redis.call('INCR', KEYS[1])", "1", "b"],
            &["INCR", "b"],
            &["EXEC"],
        ],
    );
    for _ in 0..2 {
        let db = open(dir.path());
        for (key, value) in [("a", "7"), ("copy", "6"), ("b", "2")] {
            assert_eq!(db.run(&["GET", key]).as_str(), Some(value), "{key}");
        }
        assert!(db.run(&["BGREWRITEAOF"]).as_error().is_none());
    }
}

/// A script that cannot run is not passed over.
#[test]
fn a_log_with_an_unknown_script_does_not_load() {
    let unknown = "f".repeat(40);
    let dir = tempfile::tempdir().unwrap();
    write_old_log(
        dir.path(),
        &[&["SET", "a", "1"], &["EVALSHA", &unknown, "0"]],
    );
    let options = Options::default().dir(dir.path());
    let error = Db::open(options.clone().scripts(LuaEngine::shared())).unwrap_err();
    assert!(error.to_string().contains("NOSCRIPT"), "{error}");
    write_old_log(dir.path(), &[&["EVAL", "return 1", "0"]]);
    assert!(Db::open(options).is_err());
}
