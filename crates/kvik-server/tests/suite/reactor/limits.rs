//! What one client may take of the server: a connection, buffers, and nothing before it has named
//! the password.

use std::io::Write;

use kvik_resp::Value;
use kvik_server::Server;

use super::{
    UNREAD, at_once, bulk, clog, field, ok, on_each, open, pong, set_large, until, until_at_least,
};
use crate::target::{Wire, command};

const REFUSED: &str = "ERR max number of clients reached";

#[test]
fn a_client_too_many_is_refused_until_another_leaves() {
    on_each(&[1, 2, 8], &["--maxclients", "6"], |server| {
        let mut control = open(&server);
        let mut others: Vec<Wire> = (0..5).map(|_| open(&server)).collect();
        let ids: Vec<_> = others.iter_mut().map(Wire::id).collect();
        for id in ids {
            let mut refused = open(&server);
            assert_eq!(refused.reply(), Some(Value::Error(REFUSED.into())));
            assert_eq!(refused.reply(), None);
            control.ask(&format!("CLIENT KILL ID {id}"));
            others.push(connect(&server));
        }
        drop(others);
        for _ in 0..5 {
            connect(&server);
        }
    });
}

/// A connection as soon as there is room for one.
fn connect(server: &Server) -> Wire {
    let mut connected = None;
    until("room for a client", || {
        let mut wire = open(server);
        // A refused client may be reset while it writes.
        let sent = wire.stream.write_all(b"PING\r\n").is_ok();
        let served = sent && wire.reply() == Some(pong());
        connected = served.then_some(wire);
        served
    });
    connected.expect("just connected")
}

#[test]
fn replies_left_unread_beyond_the_hard_limit_end_a_client() {
    unread_replies_end_a_client("normal 8mb 0 0");
}

#[test]
fn replies_left_unread_for_too_long_end_a_client() {
    unread_replies_end_a_client("normal 0 1mb 1");
}

fn unread_replies_end_a_client(limit: &str) {
    let settings = ["--client-output-buffer-limit", limit];
    at_once(&settings, |server| {
        let mut control = open(&server);
        set_large(&mut control);
        let mut unread = open(&server);
        let id = unread.id();
        let mget = format!("MGET{}\r\n", " large".repeat(UNREAD));
        unread.send(mget.as_bytes());
        until("the end of the client", || {
            field(&mut control, id, "id").is_none()
        });
        assert_eq!(unread.reply(), None, "no whole reply");
        let info = control.ask("INFO stats");
        let info = String::from_utf8_lossy(info.as_bytes().expect("text")).into_owned();
        assert!(info.contains("client_output_buffer_limit_disconnections:1\r\n"));
        assert_eq!(control.ask("PING"), pong());
    });
}

#[test]
fn a_client_that_reads_late_gets_every_reply_and_takes_little_memory() {
    on_each(&[1, 2], &[], |server| {
        let mut control = open(&server);
        set_large(&mut control);
        let (mut late, id) = clog(&server, &mut control);
        let asked = b"ECHO more\r\n".repeat(1000);
        late.send(&asked);
        until_at_least(&mut control, id, "qbuf", asked.len() as u64);
        let memory = field(&mut control, id, "tot-mem").expect("a client that is there");
        let memory: usize = memory.parse().expect("a number");
        assert!(memory < 4 << 20, "{memory} bytes");
        for number in 0..UNREAD {
            let reply = late.reply().expect("a large reply");
            assert_eq!(reply.as_bytes().map(<[u8]>::len), Some(1 << 20));
            assert_eq!(late.reply(), Some(bulk(number.to_string())));
        }
        for _ in 0..1000 {
            assert_eq!(late.reply(), Some(bulk("more")));
        }
    });
}

#[test]
fn unfinished_input_beyond_the_limit_ends_a_client() {
    let settings = ["--client-query-buffer-limit", "1mb"];
    on_each(&[1, 2], &settings, |server| {
        let mut control = open(&server);
        let mut wire = open(&server);
        wire.send(b"PING\r\n*2\r\n$4\r\nECHO\r\n$4000000\r\n");
        assert_eq!(wire.reply(), Some(pong()));
        // It may be closed before all is sent.
        let _ = wire.stream.write_all(&vec![b'x'; 3_999_999]);
        assert_eq!(wire.reply(), None);
        let info = control.ask("INFO stats");
        let info = String::from_utf8_lossy(info.as_bytes().expect("text")).into_owned();
        assert!(info.contains("client_query_buffer_limit_disconnections:1\r\n"));
    });
}

#[test]
fn the_password_and_what_follows_may_come_at_once() {
    on_each(&[1, 2], &["--requirepass", "secret"], |server| {
        let mut wire = open(&server);
        let value = vec![b'x'; 3 << 20];
        let many = [&b"DEL"[..]].into_iter().chain([&b"other"[..]; 40]);
        let pipeline = [
            command(&[b"GET", b"key"]),
            command(&[b"AUTH", b"wrong"]),
            command(&[b"AUTH", b"secret"]),
            command(&[b"SET", b"key", &value]),
            command(&many.collect::<Vec<_>>()),
            command(&[b"STRLEN", b"key"]),
        ];
        wire.send(&pipeline.concat());
        let refused = [
            "NOAUTH Authentication required.",
            "WRONGPASS invalid username-password pair or user is disabled.",
        ];
        for error in refused {
            assert_eq!(wire.reply(), Some(Value::Error(error.into())));
        }
        assert_eq!(wire.reply(), Some(ok()));
        assert_eq!(wire.reply(), Some(ok()));
        assert_eq!(wire.reply(), Some(Value::Integer(0)));
        assert_eq!(wire.reply(), Some(Value::Integer(3 << 20)));
    });
}

#[test]
fn without_the_password_commands_must_be_small() {
    on_each(&[1], &["--requirepass", "secret"], |server| {
        let large: [(&[u8], &str); 2] = [
            (
                b"*11\r\n",
                "ERR Protocol error: unauthenticated multibulk length",
            ),
            (
                b"*2\r\n$16385\r\n",
                "ERR Protocol error: unauthenticated bulk length",
            ),
        ];
        for (start, error) in large {
            let mut wire = open(&server);
            wire.send(start);
            assert_eq!(wire.reply(), Some(Value::Error(error.into())));
            assert_eq!(wire.reply(), None);
        }
    });
}

#[test]
fn a_unix_socket_is_as_good() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("kvik.sock");
    let settings = ["--unixsocket", path.to_str().expect("a plain path")];
    on_each(&[1, 2], &settings, |server| {
        let mut wire = Wire::open_unix(&path);
        wire.send(&b"INCR counter\r\n".repeat(1000));
        for number in 1..=1000 {
            assert_eq!(wire.reply(), Some(Value::Integer(number)));
        }
        let id = wire.id();
        let address = field(&mut wire, id, "addr");
        assert_eq!(address, Some(format!("{}:0", path.display())));
        assert_eq!(field(&mut wire, id, "flags"), Some("U".into()));
        drop(server);
        assert_eq!(wire.reply(), None);
    });
}
