//! Messages for clients, from other threads.

use std::thread;
use std::time::Duration;

use kvik::{Db, Message, Post, Push};
use kvik_resp::{Output, Value};

use super::client::Client;
use super::on_each;

/// A push of a text and a number.
fn push(number: u64) -> Message {
    let values = format!("$3\r\nnum\r\n:{number}\r\n").into_bytes();
    Message::Push(Push::new(2, Output::from(values), 0))
}

fn pushed(number: i64) -> [Value; 2] {
    [Value::Bulk(b"num".to_vec()), Value::Integer(number)]
}

fn deliver(db: &Db, client: u64, message: Message) -> bool {
    db.engine().clients.deliver(client, message)
}

fn id_of(client: &mut Client) -> u64 {
    client.ask("CLIENT ID").as_int().unwrap() as u64
}

#[test]
fn a_push_reaches_a_silent_client_in_its_protocol() {
    on_each(2, &[], |server| {
        let db = server.db();
        let (mut old, mut new) = (Client::of(server), Client::of(server));
        new.ask("HELLO 3");
        let (old_id, new_id) = (id_of(&mut old), id_of(&mut new));
        assert!(deliver(db, old_id, push(1)));
        assert!(deliver(db, new_id, push(2)));
        assert_eq!(old.reply(), Some(Value::Array(pushed(1).to_vec())));
        assert_eq!(new.reply(), Some(Value::Push(pushed(2).to_vec())));
        assert!(!deliver(db, 1 << 40, push(3)), "nobody has this number");
    });
}

#[test]
fn pushes_stand_between_replies_in_order() {
    const PUSHES: i64 = 2000;
    on_each(2, &[], |server| {
        let db = server.db();
        let mut client = Client::of(server);
        client.ask("HELLO 3");
        let id = id_of(&mut client);
        thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..PUSHES {
                    assert!(deliver(db, id, push(number as u64)));
                }
            });
            let (mut replies, mut pushes) = (0, 0);
            client.send(&"INCR counter\r\nNOSUCH\r\n".repeat(1000));
            while replies < 2000 || pushes < PUSHES {
                match client.reply().unwrap() {
                    Value::Push(values) => {
                        assert_eq!(values, pushed(pushes));
                        pushes += 1;
                    }
                    Value::Integer(number) => {
                        assert_eq!((number, replies % 2), (replies / 2 + 1, 0));
                        replies += 1;
                    }
                    Value::Error(_) => {
                        assert_eq!(replies % 2, 1);
                        replies += 1;
                    }
                    other => panic!("{other:?}"),
                }
            }
        });
    });
}

#[test]
fn client_reply_off_takes_no_push_back() {
    on_each(1, &[], |server| {
        let db = server.db();
        let mut client = Client::of(server);
        let id = id_of(&mut client);
        client.send("CLIENT REPLY OFF\r\nPING\r\nSET marker 1\r\n");
        while db.get(b"marker").unwrap().is_none() {
            thread::yield_now();
        }
        assert!(deliver(db, id, push(7)));
        assert_eq!(client.reply(), Some(Value::Array(pushed(7).to_vec())));
    });
}

#[test]
fn messages_find_a_client_that_moves() {
    const MESSAGES: i64 = 500;
    on_each(4, &["--threads", "4"], |server| {
        let db = server.db();
        let mut clients: Vec<_> = (0..8).map(|_| Client::of(server)).collect();
        let ids: Vec<_> = clients.iter_mut().map(id_of).collect();
        let front = server.front();
        thread::scope(|scope| {
            scope.spawn(|| {
                for awake in [1, 4, 2, 3].into_iter().cycle().take(50) {
                    front.set_awake(awake);
                    thread::park_timeout(Duration::from_millis(1));
                }
            });
            scope.spawn(|| {
                for number in 0..MESSAGES {
                    for id in &ids {
                        assert!(deliver(db, *id, push(number as u64)));
                    }
                }
            });
        });
        for client in &mut clients {
            for number in 0..MESSAGES {
                let expected = Value::Array(pushed(number).to_vec());
                assert_eq!(client.reply(), Some(expected));
            }
            assert_eq!(client.ask("PING"), Value::Simple("PONG".into()));
        }
    });
}

#[test]
fn unread_pushes_count_against_the_output_limit() {
    let limit = ["--client-output-buffer-limit", "normal 8mb 0 0"];
    on_each(1, &limit, |server| {
        let db = server.db();
        let mut client = Client::of(server);
        let id = id_of(&mut client);
        let large = Output::from(vec![b'x'; 1 << 20]);
        // The kernel takes some of them off.
        let ends = (0..64).any(|_| {
            deliver(db, id, Message::Push(Push::new(1, large.clone(), 0)));
            thread::park_timeout(Duration::from_millis(5));
            db.engine().clients.get(id).is_none()
        });
        assert!(ends, "64 MiB were left unread");
    });
}

#[test]
fn a_retry_runs_what_a_pause_holds_back() {
    on_each(1, &[], |server| {
        let db = server.db();
        let (mut client, mut control) = (Client::of(server), Client::of(server));
        let id = id_of(&mut client);
        control.ask("CLIENT PAUSE 100000 WRITE");
        client.send("INCR paused\r\n");
        // It is offered again, and held back again as the pause goes on.
        deliver(db, id, Message::Retry);
        assert_eq!(control.ask("EXISTS paused"), Value::Integer(0));
        db.engine().pause.end();
        deliver(db, id, Message::Retry);
        assert_eq!(client.reply(), Some(Value::Integer(1)));
    });
}
