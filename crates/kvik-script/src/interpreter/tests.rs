//! Scripts run against a store that answers what it is told to.

use std::panic::{AssertUnwindSafe, catch_unwind};

use kvik_command::Error;
use kvik_command::script::{Program, Pulse, ScriptEngine};
use kvik_resp::{Args, ArgsBuf, Output, Protocol};

use super::*;
use crate::LuaEngine;

/// A store that answers every command with the same bytes.
#[derive(Default)]
struct Fake {
    reply: &'static [u8],
    called: Vec<Vec<Vec<u8>>>,
    counted: Vec<Vec<u8>>,
    panics: bool,
}

impl Caller for Fake {
    fn call(
        &mut self,
        args: Args<'_>,
        _: Protocol,
        out: &mut Output,
    ) -> std::result::Result<(), Error> {
        self.called.push(args.iter().map(<[u8]>::to_vec).collect());
        assert!(!self.panics, "a command that fails");
        if self.reply.is_empty() {
            return Err(Error::text("refused"));
        }
        out.extend_from_slice(self.reply);
        Ok(())
    }

    fn count_error(&mut self, line: &[u8]) {
        self.counted.push(line.to_vec());
    }

    fn may_call(&mut self, _: Args<'_>) -> Option<bool> {
        None
    }

    fn log(&mut self, _: u8, _: &[u8]) {}

    fn clock_s(&mut self) -> f64 {
        0.0
    }

    fn pulse(&mut self) -> Pulse {
        Pulse::GoOn
    }
}

fn run(interpreter: &mut LuaInterpreter, fake: &mut Fake, script: &str) -> String {
    let sha = Sha::of_digest(LuaEngine.digest(script.as_bytes()));
    let program = Program::script(sha, script.as_bytes()).unwrap();
    let (keys, args): (ArgsBuf, ArgsBuf) = (["k"].iter().collect(), ["a", "b"].iter().collect());
    let invocation = Invocation {
        program: &program,
        keys: keys.as_args(),
        args: args.as_args(),
    };
    let mut out = Output::new();
    let result = interpreter.run(
        &invocation,
        fake,
        &mut Reply::new(&mut out, Protocol::Resp3),
    );
    let bytes = match result {
        Ok(()) => out.into_bytes(),
        Err(line) => [b"!", &line[..]].concat(),
    };
    String::from_utf8(bytes).unwrap()
}

#[test]
fn replies_become_values_and_replies_again() {
    let mut lua = LuaInterpreter::new(1);
    for reply in [
        "$3\r\nabc\r\n",
        "$0\r\n\r\n",
        ":-12\r\n",
        "+OK\r\n",
        "-ERR wrong\r\n",
        "*3\r\n:1\r\n*1\r\n$1\r\na\r\n*0\r\n",
        "_\r\n",
        "#t\r\n",
        ",0.5\r\n",
        "(12345678901234567890\r\n",
        "=5\r\ntxt:a\r\n",
        "%1\r\n$1\r\na\r\n*1\r\n:1\r\n",
        "~1\r\n$1\r\na\r\n",
    ] {
        let mut fake = Fake {
            reply: reply.as_bytes(),
            ..Fake::default()
        };
        let script = "redis.setresp(3) return redis.pcall('GET', KEYS[1])";
        assert_eq!(run(&mut lua, &mut fake, script), reply);
        assert!(fake.counted.is_empty(), "a command counts its errors");
    }
}

#[test]
fn words_are_texts_and_numbers() {
    let (mut lua, mut fake) = (LuaInterpreter::new(1), Fake::default());
    fake.reply = b"+OK\r\n";
    let script = "return redis.call('a', 1, -0.5, 2^40, KEYS[1], ARGV[2], '')";
    assert_eq!(run(&mut lua, &mut fake, script), "+OK\r\n");
    let words: &[&[u8]] = &[b"a", b"1", b"-0.5", b"1099511627776", b"k", b"b", b""];
    assert_eq!(fake.called, [words]);
    for script in ["return redis.call()", "return redis.call({})"] {
        assert!(run(&mut lua, &mut fake, script).starts_with("!ERR "));
        assert_eq!(fake.counted.len(), 1, "the script makes this error");
        fake.counted.clear();
    }
}

#[test]
fn errors_are_counted_by_who_makes_them() {
    let (mut lua, mut fake) = (LuaInterpreter::new(1), Fake::default());
    let refused = run(&mut lua, &mut fake, "return redis.call('a')");
    assert!(refused.starts_with("!ERR refused script: "), "{refused}");
    let returned = run(&mut lua, &mut fake, "return redis.pcall('a')");
    assert_eq!(returned, "-ERR refused\r\n");
    assert!(fake.counted.is_empty(), "the store counts what it refuses");
    run(&mut lua, &mut fake, "return {redis.error_reply('MINE x')}");
    run(&mut lua, &mut fake, "error('loud')");
    assert_eq!(fake.counted[0], b"MINE x");
    assert!(fake.counted[1].starts_with(b"ERR user_script:1: loud"));
}

#[test]
fn a_panic_goes_on_when_lua_has_ended() {
    let (mut lua, mut fake) = (LuaInterpreter::new(1), Fake::default());
    fake.panics = true;
    let script = "while true do pcall(redis.call, 'a') end";
    let panic = catch_unwind(AssertUnwindSafe(|| run(&mut lua, &mut fake, script)));
    assert!(panic.is_err());
    assert_eq!(fake.called.len(), 1, "nothing catches it");
    assert_eq!(
        run(&mut lua, &mut Fake::default(), "return #ARGV"),
        ":2\r\n"
    );
}

#[test]
fn nesting_ends() {
    let (mut lua, mut fake) = (LuaInterpreter::new(1), Fake::default());
    let endless = "local t = {} t[1] = t return t";
    let text = run(&mut lua, &mut fake, endless);
    assert!(text.ends_with("-ERR reached lua stack limit\r\n"), "{text}");
    let deep = ["*1\r\n".repeat(100), ":1\r\n".to_owned()].concat();
    fake.reply = Box::leak(deep.into_boxed_str()).as_bytes();
    let text = run(&mut lua, &mut fake, "return redis.call('a')");
    assert!(text.contains("reached lua stack limit"), "{text}");
    assert_eq!(run(&mut lua, &mut fake, "return 1"), ":1\r\n");
}
