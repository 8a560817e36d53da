//! Many clients at once: every command, transaction and watch must happen as if it were alone.
//!
//! Small random histories are searched for an order that explains them; longer runs of single
//! properties find what is too rare for those.

mod history;
mod scripts;

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};

use history::{Operation, is_linearizable};
use kvik::{Clock, Options};
use kvik_command::Random;
use kvik_resp::Value;

use crate::model::{Bytes, Call};
use crate::target::{Connection, MemoryTarget, Product, Target, on_both_backends, real_server};

#[test]
fn in_process() {
    for stripes in [1, 2, 1024] {
        let options = Options::default().stripes(stripes);
        check_all(&MemoryTarget::new(
            options,
            3,
            Clock::System,
            &format!(" with {stripes} stripes"),
        ));
    }
}

#[test]
fn served_on_both_backends() {
    on_both_backends(&[2], |server| check_all(server));
}

#[test]
fn redis() {
    if let Some(server) = real_server(Product::Redis) {
        check_all(&server);
    }
}

fn check_all(target: &dyn Target) {
    histories_are_linearizable(target);
    mset_and_mget_see_no_mixture(target);
    transactions_see_no_mixture(target);
    a_renamed_key_is_always_somewhere(target);
    msetnx_has_one_winner(target);
    flushall_spares_no_part_of_an_mset(target);
    swapdb_swaps_all_at_once(target);
    watch_loses_no_update(target);
    increments_add_up(target);
    scripts::scripts_see_no_mixture(target);
    target.check().expect("an intact target");
}

const CLIENTS: u64 = 4;
const ROUNDS: u64 = 600;

/// Runs a client on a thread of its own for each number below [`CLIENTS`], all starting at once.
fn all_at_once<R: Send>(
    target: &dyn Target,
    client: impl Fn(u64, &mut dyn Connection) -> R + Sync,
) -> Vec<R> {
    let start = Barrier::new(CLIENTS as usize);
    let run = |number| {
        let mut connection = target.connect().expect("a connection");
        start.wait();
        client(number, &mut *connection)
    };
    std::thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = (0..CLIENTS)
            .map(|number| scope.spawn(move || run(number)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a client that does not panic"))
            .collect()
    })
}

fn prepare(target: &dyn Target, calls: &[Call]) {
    let mut connection = target.connect().expect("a connection");
    connection.ask_words(&["FLUSHALL"]).expect("a reply");
    for call in calls {
        run(&mut *connection, call);
    }
}

fn run(connection: &mut dyn Connection, call: &Call) -> Value {
    call.run(connection).expect("a reply")
}

fn histories_are_linearizable(target: &dyn Target) {
    for seed in 0..150 {
        prepare(target, &[]);
        let history = record(target, seed);
        assert!(
            is_linearizable(&history),
            "{}: seed {seed}: no order explains\n{history:#?}",
            target.identity()
        );
    }
}

/// A history of random calls on few keys.
fn record(target: &dyn Target, seed: u64) -> Vec<Operation> {
    let time = AtomicU64::new(0);
    let client = |number, connection: &mut dyn Connection| {
        let mut random = Random::new(seed * CLIENTS + number);
        let mut operation = |_| {
            let call = random_call(&mut random);
            let began = time.fetch_add(1, Ordering::SeqCst);
            let reply = run(connection, &call);
            let ended = time.fetch_add(1, Ordering::SeqCst);
            Operation {
                call,
                reply,
                began,
                ended,
            }
        };
        (0..8).map(&mut operation).collect::<Vec<_>>()
    };
    all_at_once(target, client).concat()
}

fn random_call(random: &mut Random) -> Call {
    match random.below(8) {
        0 => Call::Transaction((0..3).map(|_| simple_call(random)).collect()),
        _ => simple_call(random),
    }
}

fn simple_call(random: &mut Random) -> Call {
    let mut key = || key(random.below(3));
    let (one, other, third) = (key(), key(), key());
    let value = random.below(10).to_string().into_bytes();
    match random.below(12) {
        0 => Call::Get(one),
        1 => Call::set(one, value),
        2 => Call::IncrBy(one, 1),
        3 => Call::Append(one, value),
        4 => Call::GetDel(one),
        5 => Call::MGet(vec![one, other, third]),
        6 => Call::MSet(vec![(one, value.clone()), (other, value)]),
        7 => Call::MSetNx(vec![(one, value.clone()), (other, value)]),
        8 => Call::Rename(one, other),
        9 => Call::RenameNx(one, other),
        10 => Call::Copy {
            from: one,
            to: other,
            replace: true,
        },
        _ => Call::Del(vec![one, other]),
    }
}

fn key(number: u64) -> Bytes {
    format!("key:{number}").into_bytes()
}

fn keys() -> Vec<Bytes> {
    (0..6).map(key).collect()
}

fn all_set_to(value: u64) -> Call {
    let value = value.to_string().into_bytes();
    Call::MSet(keys().into_iter().map(|key| (key, value.clone())).collect())
}

#[track_caller]
fn assert_all_equal(values: &[Value]) {
    assert!(
        values.windows(2).all(|pair| pair[0] == pair[1]),
        "a mixture: {values:?}"
    );
}

fn mset_and_mget_see_no_mixture(target: &dyn Target) {
    prepare(target, &[all_set_to(0)]);
    all_at_once(target, |number, connection| {
        for round in 0..ROUNDS {
            if number % 2 == 0 {
                run(connection, &all_set_to(number * ROUNDS + round));
            } else {
                let values = run(connection, &Call::MGet(keys()));
                assert_all_equal(values.as_slice().expect("an array"));
            }
        }
    });
}

fn transactions_see_no_mixture(target: &dyn Target) {
    prepare(target, &[all_set_to(0)]);
    all_at_once(target, |number, connection| {
        for round in 0..ROUNDS {
            let value = (number * ROUNDS + round).to_string();
            let set = |key| Call::set(key, value.as_bytes());
            if number % 2 == 0 {
                run(
                    connection,
                    &Call::Transaction(keys().into_iter().map(set).collect()),
                );
            } else {
                let values = run(
                    connection,
                    &Call::Transaction(keys().into_iter().map(Call::Get).collect()),
                );
                assert_all_equal(values.as_slice().expect("an array"));
            }
        }
    });
}

fn a_renamed_key_is_always_somewhere(target: &dyn Target) {
    prepare(target, &[Call::set(key(0), "here")]);
    all_at_once(target, |number, connection| {
        for round in 0..ROUNDS {
            if number == 0 {
                run(
                    connection,
                    &Call::Rename(key(round % 2), key((round + 1) % 2)),
                );
            } else {
                let values = run(connection, &Call::MGet(vec![key(0), key(1)]));
                let found = values
                    .as_slice()
                    .expect("an array")
                    .iter()
                    .filter(|value| !value.is_null())
                    .count();
                assert_eq!(found, 1, "{values:?}");
            }
        }
    });
}

fn msetnx_has_one_winner(target: &dyn Target) {
    for _ in 0..ROUNDS / 10 {
        prepare(target, &[]);
        let wins = all_at_once(target, |number, connection| {
            let value = number.to_string().into_bytes();
            let pairs = keys().into_iter().map(|key| (key, value.clone())).collect();
            run(connection, &Call::MSetNx(pairs))
                .as_int()
                .expect("an integer")
        });
        assert_eq!(wins.iter().sum::<i64>(), 1);
    }
}

fn flushall_spares_no_part_of_an_mset(target: &dyn Target) {
    prepare(target, &[]);
    all_at_once(target, |number, connection| {
        for round in 0..ROUNDS {
            match number {
                0 => drop(connection.ask_words(&["FLUSHALL"]).expect("a reply")),
                1 => drop(run(connection, &all_set_to(round))),
                _ => {
                    let values = run(connection, &Call::MGet(keys()));
                    assert_all_equal(values.as_slice().expect("an array"));
                }
            }
        }
    });
}

fn swapdb_swaps_all_at_once(target: &dyn Target) {
    prepare(target, &[all_set_to(0), Call::Select(1), all_set_to(1)]);
    all_at_once(target, |number, connection| {
        let read = |database| [Call::Select(database), Call::MGet(keys())];
        let look = Call::Transaction([read(0), read(1)].concat());
        for _ in 0..ROUNDS {
            if number == 0 {
                run(connection, &Call::SwapDb(0, 1));
                continue;
            }
            let replies = run(connection, &look);
            let [_, Value::Array(zeros), _, Value::Array(ones)] =
                replies.as_slice().expect("an array")
            else {
                panic!("{replies:?}")
            };
            assert_all_equal(zeros);
            assert_all_equal(ones);
            assert_ne!(zeros, ones);
        }
    });
}

fn watch_loses_no_update(target: &dyn Target) {
    prepare(target, &[Call::set(key(0), "0")]);
    let rounds = ROUNDS / 10;
    all_at_once(target, |_, connection| {
        for _ in 0..rounds {
            while !add_one_by_watching(connection) {}
        }
    });
    expect_number(target, CLIENTS * rounds);
}

/// Reads and writes back one more, unless another client comes between. Says whether it did.
fn add_one_by_watching(connection: &mut dyn Connection) -> bool {
    connection.ask_words(&["WATCH", "key:0"]).expect("a reply");
    let number = run(connection, &Call::Get(key(0)))
        .as_int()
        .expect("a number");
    let write = Call::set(key(0), (number + 1).to_string());
    !run(connection, &Call::Transaction(vec![write])).is_null()
}

fn increments_add_up(target: &dyn Target) {
    prepare(target, &[]);
    all_at_once(target, |_, connection| {
        for _ in 0..ROUNDS {
            run(connection, &Call::IncrBy(key(0), 1));
        }
    });
    expect_number(target, CLIENTS * ROUNDS);
}

fn expect_number(target: &dyn Target, expected: u64) {
    let mut connection = target.connect().expect("a connection");
    let number = run(&mut *connection, &Call::Get(key(0)));
    assert_eq!(number.as_int(), Some(expected as i64));
}
