//! Replies that wait until the log is durable.
//!
//! The tests play the log: they say which position every reply waits for, and how far it has come.

use std::sync::atomic::Ordering;
use std::thread;

use kvik_resp::Value;

use super::client::Client;
use super::on_each;
use crate::server::Server;

/// Has every reply from here on wait for this position.
fn demand(server: &Server, lsn: u64) {
    let front = server.front();
    front.durability.demanded.store(lsn, Ordering::Relaxed);
}

/// Waits until a command of another client has run.
fn await_key(server: &Server, key: &[u8]) {
    while server.db().get(key).unwrap().is_none() {
        thread::yield_now();
    }
}

#[test]
fn replies_wait_for_their_position_and_keep_their_order() {
    on_each(2, &[], |server| {
        let mut client = Client::of(server);
        assert_eq!(client.ask("PING"), Value::Simple("PONG".into()));
        demand(server, 5);
        client.send("SET first 1\r\n");
        await_key(server, b"first");
        demand(server, 3);
        client.send("ECHO later\r\nSET second 1\r\n");
        await_key(server, b"second");
        server.front().advance(4);
        assert!(!client.hears(), "the first reply waits for more");
        server.front().advance(5);
        assert_eq!(client.reply(), Some(Value::Simple("OK".into())));
        assert_eq!(client.reply(), Some(Value::Bulk(b"later".to_vec())));
        assert_eq!(client.reply(), Some(Value::Simple("OK".into())));
        // What is durable already waits for nothing.
        assert_eq!(client.ask("PING"), Value::Simple("PONG".into()));
    });
}

#[test]
fn a_connection_closes_after_what_is_held() {
    on_each(1, &[], |server| {
        let mut client = Client::of(server);
        client.ask("PING");
        demand(server, 9);
        client.send("SET key 1\r\nQUIT\r\n");
        await_key(server, b"key");
        assert!(!client.hears());
        server.front().advance(9);
        let ok = Some(Value::Simple("OK".into()));
        assert_eq!((client.reply(), client.reply()), (ok.clone(), ok));
        assert_eq!(client.reply(), None);
    });
}

#[test]
fn what_is_lost_is_never_told() {
    on_each(2, &[], |server| {
        let (mut lost, mut idle) = (Client::of(server), Client::of(server));
        idle.ask("PING");
        lost.ask("PING");
        demand(server, 7);
        lost.send("SET key 1\r\n");
        await_key(server, b"key");
        server.front().lose();
        assert_eq!(lost.reply(), None, "closed without a reply");
        server.front().advance(7);
        assert_eq!(idle.ask("PING"), Value::Simple("PONG".into()));
    });
}

#[test]
fn held_replies_count_as_unread() {
    let limit = ["--client-output-buffer-limit", "normal 300kb 0 0"];
    on_each(1, &limit, |server| {
        let mut client = Client::of(server);
        client.ask("PING");
        demand(server, 1 << 40);
        client.send(&format!("SET key 1\r\nECHO {}\r\n", "x".repeat(60_000)).repeat(8));
        assert_eq!(client.reply(), None, "cut off, though it would read");
    });
}

#[test]
fn a_client_goes_on_when_what_was_held_is_sent() {
    on_each(1, &[], |server| {
        let mut client = Client::of(server);
        client.ask("PING");
        demand(server, 2);
        // More than is held for one client before its next commands must wait.
        let value = "v".repeat(60_000);
        client.send(&format!("ECHO {value}\r\n").repeat(40));
        client.send("SET end 1\r\n");
        assert!(!client.hears());
        assert!(server.db().get(b"end").unwrap().is_none(), "it waits");
        server.front().advance(2);
        for _ in 0..40 {
            assert_eq!(
                client.reply(),
                Some(Value::Bulk(value.clone().into_bytes()))
            );
        }
        assert_eq!(client.reply(), Some(Value::Simple("OK".into())));
    });
}

#[test]
fn held_replies_survive_moving() {
    on_each(4, &["--threads", "4"], |server| {
        let mut clients: Vec<_> = (0..12).map(|_| Client::of(server)).collect();
        for client in &mut clients {
            client.ask("PING");
        }
        for round in 1..=20_u64 {
            demand(server, round);
            for client in &mut clients {
                client.send("INCR counter\r\n");
            }
            server.front().set_awake(1 + (round as usize) % 4);
            server.front().advance(round);
            for client in &mut clients {
                assert!(client.reply().unwrap().as_int().is_some());
            }
        }
    });
}
