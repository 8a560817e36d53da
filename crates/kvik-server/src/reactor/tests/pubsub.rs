//! Channels: order, nothing lost, and nothing that comes too late, between threads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use kvik_resp::Value;

use super::client::Client;
use super::on_each;
use crate::server::Server;

/// A client that has sent a command and read so many pushes of acknowledgement.
fn listening(server: &Server, command: &str, names: usize) -> Client {
    let mut client = Client::of(server);
    client.ask("HELLO 3");
    client.send(&format!("{command}\r\n"));
    for _ in 0..names {
        assert!(matches!(client.reply(), Some(Value::Push(_))));
    }
    client
}

/// The last word of the next push.
fn heard(client: &mut Client) -> String {
    match client.reply() {
        Some(Value::Push(words)) => {
            let last = words.last().unwrap().as_bytes().unwrap();
            String::from_utf8(last.to_vec()).unwrap()
        }
        other => panic!("{other:?}"),
    }
}

fn publish(client: &mut Client, channel: &str, messages: impl Iterator<Item = String>) -> i64 {
    let batch: Vec<_> = messages.collect();
    let lines: String = batch
        .iter()
        .map(|message| format!("PUBLISH {channel} {message}\r\n"))
        .collect();
    client.send(&lines);
    let replies = batch
        .iter()
        .map(|_| client.reply().unwrap().as_int().unwrap());
    replies.sum()
}

#[test]
fn all_listeners_see_one_order() {
    const MESSAGES: usize = 2000;
    on_each(4, &["--threads", "4"], |server| {
        let mut listeners: Vec<_> = (0..8)
            .map(|number| match number % 2 {
                0 => listening(server, "SUBSCRIBE c", 1),
                _ => listening(server, "PSUBSCRIBE c*", 1),
            })
            .collect();
        let publishers = [(); 3].map(|()| Client::of(server));
        thread::scope(|scope| {
            for (publisher, mut client) in publishers.into_iter().enumerate() {
                scope.spawn(move || {
                    for round in 0..MESSAGES / 100 {
                        let numbers = round * 100..(round + 1) * 100;
                        let messages = numbers.map(|number| format!("{publisher}:{number}"));
                        assert_eq!(publish(&mut client, "c", messages), 8 * 100);
                    }
                });
            }
            let reads: Vec<_> = listeners
                .iter_mut()
                .map(|listener| {
                    scope.spawn(|| -> Vec<_> {
                        (0..3 * MESSAGES).map(|_| heard(listener)).collect()
                    })
                })
                .collect();
            let seen: Vec<Vec<String>> = reads.into_iter().map(|it| it.join().unwrap()).collect();
            assert!(seen.iter().all(|order| *order == seen[0]));
            for publisher in 0..3 {
                let prefix = format!("{publisher}:");
                let own = seen[0].iter().filter_map(|it| it.strip_prefix(&prefix));
                let numbers: Vec<usize> = own.map(|number| number.parse().unwrap()).collect();
                assert!(numbers.iter().copied().eq(0..MESSAGES), "in its order");
            }
        });
    });
}

/// Messages that PUBLISH counts are delivered before the reply to UNSUBSCRIBE, and none comes
/// behind it.
#[test]
fn what_was_counted_arrives_and_nothing_follows_a_farewell() {
    on_each(4, &["--threads", "4"], |server| {
        let (stop, mut listener) = (&AtomicBool::new(false), listening(server, "PING", 0));
        assert!(matches!(listener.reply(), Some(Value::Simple(_))));
        let publishers = [(); 3].map(|()| Client::of(server));
        thread::scope(|scope| {
            let publishers: Vec<_> = publishers
                .into_iter()
                .map(|mut client| {
                    scope.spawn(move || {
                        let mut counted = 0;
                        while !stop.load(Ordering::Relaxed) {
                            let messages = (0..20).map(|number| format!("{number}"));
                            counted += publish(&mut client, "c", messages);
                        }
                        counted
                    })
                })
                .collect();
            let mut received = 0;
            for round in 0..200 {
                listener.send("SUBSCRIBE c d\r\n");
                let mut acknowledged = 0;
                // Now and then it waits for messages first.
                let awaited = received + if round % 4 == 0 { 10 } else { 0 };
                while acknowledged < 2 || received < awaited {
                    match kind(&mut listener).as_str() {
                        "subscribe" => acknowledged += 1,
                        "message" => received += 1,
                        other => panic!("{other}"),
                    }
                }
                listener.send("UNSUBSCRIBE c\r\nUNSUBSCRIBE\r\nPING\r\n");
                let mut left = 2;
                while left > 0 {
                    match kind(&mut listener).as_str() {
                        "unsubscribe" => left -= 1,
                        "message" if left == 2 => received += 1,
                        other => panic!("{other} after the farewell"),
                    }
                }
                assert_eq!(listener.reply(), Some(Value::Simple("PONG".into())));
            }
            stop.store(true, Ordering::Relaxed);
            let counted: i64 = publishers.into_iter().map(|it| it.join().unwrap()).sum();
            assert_eq!(received, counted);
        });
        assert!(!listener.hears());
    });
}

fn kind(client: &mut Client) -> String {
    match client.reply() {
        Some(Value::Push(words)) => {
            String::from_utf8(words[0].as_bytes().unwrap().to_vec()).unwrap()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn messages_find_listeners_that_move() {
    const MESSAGES: usize = 3000;
    on_each(4, &["--threads", "4"], |server| {
        let front = server.front();
        let mut listeners: Vec<_> = (0..6)
            .map(|_| listening(server, "SUBSCRIBE a b c", 3))
            .collect();
        let mut by_pattern = listening(server, "PSUBSCRIBE ?", 1);
        let mut publisher = Client::of(server);
        thread::scope(|scope| {
            scope.spawn(|| {
                for awake in [1, 4, 2, 3].into_iter().cycle().take(60) {
                    front.set_awake(awake);
                    thread::park_timeout(Duration::from_millis(1));
                }
            });
            scope.spawn(|| {
                let client = &mut publisher;
                for number in 0..MESSAGES {
                    // Its messages keep their order over channels as well.
                    let channel = ["a", "b", "c"][number % 3];
                    let sent = publish(client, channel, std::iter::once(number.to_string()));
                    assert_eq!(sent, 7);
                }
            });
            let all = listeners.iter_mut().chain([&mut by_pattern]);
            for listener in all {
                scope.spawn(|| {
                    for number in 0..MESSAGES {
                        assert_eq!(heard(listener), number.to_string());
                    }
                    assert_eq!(listener.ask("PING"), Value::Simple("PONG".into()));
                });
            }
        });
    });
}

#[test]
fn who_is_gone_listens_no_more() {
    on_each(2, &[], |server| {
        let pubsub = &server.db().engine().pubsub;
        let mut control = Client::of(server);
        let mut killed = listening(server, "SUBSCRIBE a b", 2);
        let closed = listening(server, "PSUBSCRIBE a*", 1);
        assert_eq!(pubsub.publish(b"a", b"x"), 2);
        drop(closed);
        let id = killed_id(&mut killed);
        control.ask(&format!("CLIENT KILL ID {id}"));
        while pubsub.publish(b"a", b"y") > 0 {
            thread::yield_now();
        }
        assert_eq!(control.ask("PUBSUB CHANNELS"), Value::Array(Vec::new()));
        assert_eq!(control.ask("PUBSUB NUMPAT"), Value::Integer(0));
    });
}

fn killed_id(client: &mut Client) -> i64 {
    client.send("CLIENT ID\r\n");
    loop {
        match client.reply().unwrap() {
            Value::Integer(id) => return id,
            Value::Push(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_slow_listener_is_cut_off_at_its_own_limit() {
    let limit = ["--client-output-buffer-limit", "pubsub 4mb 0 0"];
    on_each(1, &limit, |server| {
        let mut control = Client::of(server);
        let slow = listening(server, "SUBSCRIBE a", 1);
        let payload = "x".repeat(1 << 20);
        let cut = (0..64).any(|_| {
            control.send(&format!(
                "*3\r\n$7\r\nPUBLISH\r\n$1\r\na\r\n${}\r\n{payload}\r\n",
                payload.len()
            ));
            control.reply() == Some(Value::Integer(0))
        });
        assert!(cut, "64 MiB were left unread");
        drop(slow);
    });
}

#[test]
fn large_messages_and_many_listeners_arrive_whole() {
    on_each(2, &["--threads", "2"], |server| {
        let mut old: Vec<Client> = (0..70)
            .map(|_| {
                let mut client = Client::of(server);
                client.ask("SUBSCRIBE a");
                client
            })
            .collect();
        let mut new: Vec<_> = (0..70)
            .map(|_| listening(server, "SUBSCRIBE a", 1))
            .collect();
        let mut control = Client::of(server);
        for len in [1, 5000, 100_000] {
            let payload = "y".repeat(len);
            for _ in 0..3 {
                control.send(&format!(
                    "*3\r\n$7\r\nPUBLISH\r\n$1\r\na\r\n${len}\r\n{payload}\r\n"
                ));
            }
            for _ in 0..3 {
                assert_eq!(control.reply(), Some(Value::Integer(140)));
            }
            let words = [&b"message"[..], b"a", payload.as_bytes()];
            let words = words.map(|word| Value::Bulk(word.to_vec())).to_vec();
            for _ in 0..3 {
                for client in &mut old {
                    assert_eq!(client.reply(), Some(Value::Array(words.clone())));
                }
                for client in &mut new {
                    assert_eq!(client.reply(), Some(Value::Push(words.clone())));
                }
            }
        }
    });
}
