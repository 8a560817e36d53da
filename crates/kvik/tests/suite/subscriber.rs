//! Subscribers inside the process.

use std::thread;
use std::time::Duration;

use kvik::Db;

const LONG: Duration = Duration::from_secs(30);

#[test]
fn subscribers_of_all_threads_see_one_order() {
    const MESSAGES: usize = 500;
    let db = Db::memory();
    let mut subscribers: Vec<_> = (0..4)
        .map(|number| match number % 2 {
            0 => db.subscribe(&["c"]),
            _ => db.psubscribe(&["?"]),
        })
        .collect();
    thread::scope(|scope| {
        for publisher in 0..3 {
            let db = &db;
            scope.spawn(move || {
                for number in 0..MESSAGES {
                    let message = format!("{publisher}:{number}");
                    assert_eq!(db.run(&["PUBLISH", "c", &message]).as_int(), Some(4));
                }
            });
        }
    });
    let seen: Vec<Vec<_>> = subscribers
        .iter_mut()
        .map(|subscriber| {
            let messages = subscriber.take(3 * MESSAGES);
            messages.map(|message| message.payload).collect()
        })
        .collect();
    assert!(seen.iter().all(|order| *order == seen[0]));
}

#[test]
fn what_is_left_is_heard_no_more() {
    let db = Db::memory();
    let mut subscriber = db.subscribe(&["a", "b"]);
    subscriber.psubscribe(&["c*"]);
    db.run(&["PUBLISH", "a", "before"]);
    subscriber.unsubscribe(&["a"]);
    subscriber.punsubscribe(&["c*"]);
    for channel in ["a", "cc"] {
        assert_eq!(db.run(&["PUBLISH", channel, "behind"]).as_int(), Some(0));
    }
    db.run(&["PUBLISH", "b", "other"]);
    let mut next = || {
        subscriber
            .next_within(LONG)
            .expect("alive")
            .expect("a message")
    };
    assert_eq!(next().payload, b"before");
    assert_eq!(next().payload, b"other");
    drop(subscriber);
    assert_eq!(db.run(&["PUBLISH", "b", "nobody"]).as_int(), Some(0));
}

#[test]
fn a_wait_ends_with_a_message_or_its_time_or_a_kill() {
    let db = Db::memory();
    let mut subscriber = db.subscribe(&["a"]);
    let none = subscriber.next_within(Duration::from_millis(1));
    assert_eq!(none, Ok(None));
    thread::scope(|scope| {
        scope.spawn(|| db.run(&["PUBLISH", "a", "x"]));
        let message = subscriber
            .next_within(LONG)
            .expect("alive")
            .expect("a message");
        assert_eq!((message.pattern, message.payload), (None, b"x".to_vec()));
        scope.spawn(|| db.run(&["CLIENT", "KILL", "TYPE", "pubsub"]));
        assert!(subscriber.next_within(LONG).is_err());
    });
    assert!(subscriber.next().is_none());
}

#[test]
fn messages_of_a_transaction_come_when_it_is_done() {
    let db = Db::memory();
    let mut subscriber = db.subscribe(&["a"]);
    let mut client = db.connect();
    client.run(&["MULTI"]);
    client.run(&["PUBLISH", "a", "one"]);
    client.run(&["SET", "k", "v"]);
    client.run(&["PUBLISH", "a", "two"]);
    assert_eq!(subscriber.next_within(Duration::ZERO), Ok(None));
    client.run(&["EXEC"]);
    let payloads: Vec<_> = (&mut subscriber).take(2).map(|it| it.payload).collect();
    assert_eq!(payloads, [b"one", b"two"]);
}

#[test]
fn a_call_without_a_mailbox_cannot_subscribe() {
    let db = Db::memory();
    let reply = db.run(&["SUBSCRIBE", "a"]);
    assert!(reply.as_error().is_some(), "{reply:?}");
}
