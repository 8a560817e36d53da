//! Every field of CLIENT LIST that the reactor keeps follows what it is about.

use std::thread;
use std::time::Duration;

use super::{clog, field, ok, on_each, open, pong, set_large, until, until_at_least};
use crate::target::command;

/// A field that is a number.
fn number(control: &mut crate::target::Wire, id: i64, name: &str) -> i64 {
    let value = field(control, id, name).expect("a client that is there");
    value.parse().expect("a number")
}

#[test]
fn bytes_and_commands_are_counted() {
    on_each(&[1, 2], &[], |server| {
        let (mut control, mut client) = (open(&server), open(&server));
        let id = client.id();
        let before =
            ["tot-net-in", "tot-net-out", "tot-cmds"].map(|name| number(&mut control, id, name));
        let ask = command(&[b"ECHO", b"0123456789"]);
        client.send(&ask);
        assert!(client.reply().is_some());
        let after =
            ["tot-net-in", "tot-net-out", "tot-cmds"].map(|name| number(&mut control, id, name));
        let expected = [ask.len() as i64, "$10\r\n0123456789\r\n".len() as i64, 1];
        assert_eq!([0, 1, 2].map(|at| after[at] - before[at]), expected);
    });
}

#[test]
fn input_that_has_not_come_whole_is_shown() {
    on_each(&[1, 2], &[], |server| {
        let (mut control, mut client) = (open(&server), open(&server));
        let id = client.id();
        let whole = ["qbuf", "argv-mem"].map(|name| number(&mut control, id, name));
        assert_eq!(whole, [0, 0]);
        client.send(b"*2\r\n$4\r\nECHO\r\n$100\r\nabc");
        until_at_least(&mut control, id, "qbuf", 20);
        assert_eq!(number(&mut control, id, "argv-mem"), 0);
        // One write, so that the header comes with some of the bytes. The server may leave the
        // others in the kernel until the argument is complete.
        let mut rest = vec![b'x'; 97];
        rest.extend_from_slice(b"\r\n*2\r\n$4\r\nECHO\r\n$200000\r\n");
        rest.extend_from_slice(&[b'y'; 150_000]);
        client.send(&rest);
        until_at_least(&mut control, id, "qbuf", 1000);
        assert!(number(&mut control, id, "tot-mem") > 1000);
        client.send(&[b'y'; 50_000]);
        client.send(b"\r\n");
        assert!(client.reply().is_some() && client.reply().is_some());
        // What a client has is told after its replies are sent.
        for name in ["qbuf", "argv-mem"] {
            until("nothing left to parse", || {
                number(&mut control, id, name) == 0
            });
        }
    });
}

#[test]
fn output_that_is_not_read_is_shown() {
    on_each(&[1, 2], &[], |server| {
        let mut control = open(&server);
        set_large(&mut control);
        let (mut clogged, id) = clog(&server, &mut control);
        // The kernel may take more meanwhile.
        for name in ["obl", "rbs", "omem"] {
            assert!(number(&mut control, id, name) > 0, "{name}");
        }
        assert!(number(&mut control, id, "rbp") >= 1 << 20);
        assert!(number(&mut control, id, "oll") > 0);
        assert_eq!(field(&mut control, id, "events"), Some("rw".into()));
        for _ in 0..2 * super::UNREAD {
            assert!(clogged.reply().is_some());
        }
        until("nothing left to read", || {
            number(&mut control, id, "omem") == 0
        });
        for name in ["obl", "oll", "omem"] {
            assert_eq!(number(&mut control, id, name), 0, "{name}");
        }
        assert!(number(&mut control, id, "rbp") >= 1 << 20, "the peak stays");
        assert_eq!(field(&mut control, id, "events"), Some("r".into()));
    });
}

#[test]
fn what_a_session_says_and_does_is_shown() {
    on_each(&[1, 2], &[], |server| {
        let (mut control, mut client) = (open(&server), open(&server));
        let id = client.id();
        let mut after = |line: &str, name: &str, expected: &str| {
            client.ask(line);
            assert_eq!(
                field(&mut control, id, name).as_deref(),
                Some(expected),
                "{line}"
            );
        };
        after("SELECT 3", "db", "3");
        after("CLIENT SETNAME me", "name", "me");
        after("CLIENT SETINFO LIB-NAME lib", "lib-name", "lib");
        after("CLIENT SETINFO LIB-VER 1.2", "lib-ver", "1.2");
        after("WATCH a b", "watch", "2");
        after("UNWATCH", "watch", "0");
        after("MULTI", "multi", "0");
        after("SET key value", "multi", "1");
        after("SET key value", "flags", "x");
        after("DISCARD", "multi", "-1");
        after("PING", "multi-mem", "0");
        after("CLIENT NO-TOUCH on", "flags", "T");
        after("CLIENT NO-EVICT on", "flags", "eT");
        after("HELLO 3", "resp", "3");
        after("RESET", "resp", "2");
        after("PING", "flags", "N");
        after("ECHO x", "cmd", "echo");
        let mut after_multi = |name: &str| number(&mut control, id, name);
        client.ask("MULTI");
        client.ask("SET key value");
        assert!(after_multi("multi-mem") > 0);
        client.ask("EXEC");
        assert_eq!(after_multi("multi-mem"), 0);
    });
}

#[test]
fn silence_and_age_are_shown() {
    on_each(&[1], &[], |server| {
        let (mut control, mut client) = (open(&server), open(&server));
        let id = client.id();
        until("a second of silence", || {
            thread::sleep(Duration::from_millis(50));
            assert_eq!(control.ask("PING"), pong());
            number(&mut control, id, "idle") >= 1
        });
        assert!(number(&mut control, id, "age") >= 1);
        assert_eq!(client.ask("SET key value"), ok());
        assert_eq!(number(&mut control, id, "idle"), 0);
    });
}
