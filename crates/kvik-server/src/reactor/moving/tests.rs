//! Connections move all the time while their clients work; no client may notice.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use kvik_resp::Value;

use crate::reactor::tests::client::{Client, start};
use crate::server::Server;

const THREADS: usize = 4;

/// Runs `test` against a server on each backend whose threads wake and go to sleep in turn.
fn while_moving(test: impl Fn(&Server)) {
    for io in ["mio", "uring"] {
        match start(io, THREADS, &[]) {
            Ok(server) => move_during(&server, || test(&server)),
            Err(error) => println!("no server on {io}: {error}"),
        }
    }
}

fn move_during(server: &Server, work: impl FnOnce()) {
    let (over, front) = (AtomicBool::new(false), server.front());
    thread::scope(|scope| {
        scope.spawn(|| {
            for awake in [1, 2, 4, 3, 1, 4, 2, 3].into_iter().cycle() {
                front.set_awake(awake);
                thread::park_timeout(Duration::from_millis(2));
                if over.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        let end = OnDrop(&over);
        work();
        drop(end);
    });
}

/// Ends the moving thread, also when the test fails.
struct OnDrop<'a>(&'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn pipelines_keep_their_order_and_lose_nothing() {
    const ROUNDS: usize = 40;
    const COMMANDS: usize = 150;
    let work = |mut client: Client, name: usize| {
        let mut expected = 1..;
        for round in 0..ROUNDS {
            let line = format!("INCR counter:{name}\r\n");
            let lines = line.repeat(COMMANDS);
            // Cut somewhere inside a command.
            let (first, second) = lines.split_at(round * 37 % lines.len());
            client.send(first);
            client.send(second);
            for number in expected.by_ref().take(COMMANDS) {
                assert_eq!(client.reply(), Some(Value::Integer(number)));
            }
        }
    };
    while_moving(|server| {
        thread::scope(|scope| {
            let workers: Vec<_> = (0..8)
                .map(|name| (Client::of(server), name))
                .map(|(client, name)| scope.spawn(move || work(client, name)))
                .collect();
            workers
                .into_iter()
                .for_each(|worker| worker.join().unwrap());
        });
    });
}

#[test]
fn a_client_is_served_by_one_thread_after_the_other() {
    while_moving(|server| {
        let mut client = Client::of(server);
        let mut seen = [false; THREADS];
        for _ in 0..100_000 {
            seen[client.thread()] = true;
            if seen == [true; THREADS] {
                return;
            }
        }
        panic!("served by {seen:?} only");
    });
}

#[test]
fn transactions_and_watches_move_along() {
    while_moving(|server| {
        let (mut client, mut other) = (Client::of(server), Client::of(server));
        let ok = Value::Simple("OK".into());
        assert_eq!(client.ask("SELECT 3"), ok);
        assert_eq!(other.ask("SELECT 3"), ok);
        for round in 0..200 {
            let disturbed = round % 2 == 1;
            assert_eq!(client.ask("WATCH key"), ok);
            if disturbed {
                assert_eq!(other.ask(&format!("SET key {round}")), ok);
            }
            assert_eq!(client.ask("MULTI"), ok);
            assert_eq!(client.ask("INCR runs"), Value::Simple("QUEUED".into()));
            let runs = match disturbed {
                true => Value::Null,
                false => Value::Array(vec![Value::Integer(round / 2 + 1)]),
            };
            assert_eq!(client.ask("EXEC"), runs, "in round {round}");
        }
    });
}

#[test]
fn a_client_can_be_killed_wherever_it_is() {
    while_moving(|server| {
        let mut killer = Client::of(server);
        for round in 0..100 {
            let mut victim = Client::of(server);
            let id = victim.ask("CLIENT ID").as_int().unwrap();
            if round % 2 == 0 {
                victim.thread();
            }
            assert_eq!(
                killer.ask(&format!("CLIENT KILL ID {id}")),
                Value::Integer(1)
            );
            assert_eq!(victim.reply(), None);
        }
        assert_eq!(killer.ask("PING"), Value::Simple("PONG".into()));
    });
}

#[test]
fn paused_clients_go_on() {
    while_moving(|server| {
        let (mut client, mut other) = (Client::of(server), Client::of(server));
        for round in 1..=50 {
            other.ask("CLIENT PAUSE 60000 WRITE");
            client.send("INCR paused\r\nINCR paused\r\n");
            other.ask("CLIENT UNPAUSE");
            assert_eq!(client.reply(), Some(Value::Integer(2 * round - 1)));
            assert_eq!(client.reply(), Some(Value::Integer(2 * round)));
        }
    });
}

#[test]
fn large_values_come_whole() {
    while_moving(|server| {
        let mut client = Client::of(server);
        let value = "v".repeat(700_000);
        let set = format!(
            "*3\r\n$3\r\nSET\r\n$5\r\nlarge\r\n${}\r\n{value}\r\n",
            value.len()
        );
        for _ in 0..10 {
            let (first, second) = set.split_at(set.len() / 2);
            client.send(first);
            client.send(second);
            assert_eq!(client.reply(), Some(Value::Simple("OK".into())));
            assert_eq!(
                client.ask("GET large"),
                Value::Bulk(value.clone().into_bytes())
            );
        }
    });
}

#[test]
fn a_server_stops_while_connections_move() {
    for io in ["mio", "uring"] {
        let Ok(server) = start(io, THREADS, &[]) else {
            continue;
        };
        let mut clients: Vec<_> = (0..50).map(|_| Client::of(&server)).collect();
        clients.iter_mut().for_each(|client| {
            client.ask("PING");
        });
        let front = server.front();
        (0..20).for_each(|round| front.set_awake(1 + round % THREADS));
        drop(server);
        assert!(clients.iter_mut().all(|client| client.reply().is_none()));
    }
}

#[test]
fn all_connections_end_up_on_the_threads_awake() {
    for io in ["mio", "uring"] {
        let Ok(server) = start(io, THREADS, &[]) else {
            continue;
        };
        let mut clients: Vec<_> = (0..40).map(|_| Client::of(&server)).collect();
        let front = server.front();
        for awake in [4, 1, 2, 4, 3] {
            front.set_awake(awake);
            for client in &mut clients {
                let arrived = (0..100_000).any(|_| client.thread() < awake);
                assert!(arrived, "left behind on a thread that sleeps");
            }
        }
    }
}
