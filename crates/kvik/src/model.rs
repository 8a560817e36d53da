//! Tests that run threads in all orders that the memory model allows: `cargo x model`.
//!
//! They are about what depends on the order: waking the upkeep thread, taking the locks of several
//! stripes, EXEC with watched keys, long work, and the end of a blocked client's wait.
//! [`crate::sync`] says what loom sees; everything else is the store as it is. A thread that waits
//! for ever is a deadlock, which loom reports. Orders in which threads are interrupted more than
//! [`PREEMPTIONS`] times against their will are left out: there are too many, and bugs rarely need
//! more.

#![expect(clippy::unwrap_used, reason = "only tests use this")]

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use kvik_command::Session;
use kvik_command::blocking::Ending;
use kvik_command::client::Origin;
use kvik_command::mail::{LocalMailbox, Message};
use kvik_log::Unit;
use kvik_resp::{ArgsBuf, Output, Value};
use kvik_store::{Layout, Stripes};
use loom::thread::{self, JoinHandle};

use crate::clock::Clock;
use crate::executor::{Executor, Outcome};
use crate::options::Options;
use crate::runner::Runner;
use crate::section::{Actor, Section, Terms};
use crate::shared::Shared;
use crate::stripes::Patience;

const PREEMPTIONS: usize = 3;
/// Words of a modelled thread's stack; a debug build runs commands on it.
const STACK: usize = 1 << 15;
/// When the upkeep thread would wake by itself, and a deadline before.
const LATEST_MS: u64 = 3000;
const SOON_MS: u64 = 1000;

/// Tries all orders of what `run` does with a store of two stripes.
fn model(run: impl Fn(&Arc<Shared>) + Send + Sync + 'static) {
    kvik_command::table();
    let run = Arc::new(run);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.check(move || {
        let run = Arc::clone(&run);
        start(move || run(&Arc::new(store()))).join().unwrap();
    });
}

fn store() -> Shared {
    let clock = Clock::Manual(Arc::new(AtomicU64::new(0)));
    Shared::new(Options::default().clock(clock).stripes(2).seed(seed()))
}

/// A seed with which key `a` is in the first of two stripes and `b` in the second.
fn seed() -> u64 {
    let stripe = |seed, key| Layout::new(2, seed).stripe_of(Layout::new(2, seed).hash(key));
    let fits = |&seed: &u64| stripe(seed, b"a") == 0 && stripe(seed, b"b") == 1;
    (0..).find(fits).unwrap()
}

fn start<R: Send + 'static>(run: impl FnOnce() -> R + Send + 'static) -> JoinHandle<R> {
    let builder = thread::Builder::new().stack_size(STACK);
    builder.spawn(run).unwrap()
}

/// Starts a client that runs these commands and returns the last reply.
fn client<const N: usize>(shared: &Arc<Shared>, commands: [&'static str; N]) -> JoinHandle<Value> {
    let shared = Arc::clone(shared);
    start(move || run(&mut Runner::new(&shared), &commands))
}

fn run(client: &mut Runner, commands: &[&str]) -> Value {
    let words = |command: &str| command.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let replies = commands.iter().map(|command| client.run(&words(command)));
    replies.last().unwrap()
}

/// A deadline that is published while the upkeep thread plans its sleep, or falls asleep, wakes it.
#[test]
fn the_upkeep_thread_never_sleeps_past_a_deadline() {
    model(|shared| {
        let setter = client(shared, ["SET a 1 PXAT 1000"]);
        sleep_until(shared, SOON_MS);
        setter.join().unwrap();
    });
}

/// Nor does a deadline get lost behind another one, of another stripe, that woke the thread or did
/// not.
#[test]
fn the_upkeep_thread_never_sleeps_past_the_earlier_of_two_deadlines() {
    model(|shared| {
        let later = client(shared, ["SET a 1 PXAT 2000"]);
        let sooner = client(shared, ["SET b 1 PXAT 1000"]);
        sleep_until(shared, SOON_MS);
        later.join().unwrap();
        sooner.join().unwrap();
    });
}

/// The upkeep thread, until it plans to wake by itself at this time.
fn sleep_until(shared: &Shared, at_ms: u64) {
    while shared.stripes.plan(LATEST_MS) > at_ms {
        shared.stripes.alarm.sleep(Duration::ZERO);
    }
}

#[test]
fn the_upkeep_thread_hears_that_it_is_to_stop() {
    model(|shared| {
        let setter = client(shared, ["SET a 1 PXAT 1000"]);
        let store = Arc::clone(shared);
        let stopper = start(move || store.stripes.alarm.stop());
        while {
            shared.stripes.plan(LATEST_MS);
            shared.stripes.alarm.sleep(Duration::ZERO).is_some()
        } {}
        setter.join().unwrap();
        stopper.join().unwrap();
    });
}

/// Whoever takes several stripes, or one after the other in any order, never waits for somebody who
/// waits for it, and nobody sees half of what a command did.
#[test]
fn commands_on_several_stripes_neither_block_each_other_nor_mix() {
    model(|shared| {
        let planned = client(shared, ["MSET b 1 a 1"]);
        let all = client(shared, ["FLUSHALL"]);
        let mut unit = Unit::new();
        let terms = Terms {
            shared,
            unit: &mut unit,
            now_us: 0,
            actor: Actor::Client,
        };
        Section::run_in_turn(terms, |_, in_turn| {
            in_turn.stripe(1);
            in_turn.stripe(0);
        });
        let seen = run(&mut Runner::new(shared), &["EXISTS a b"]);
        assert_ne!(seen.as_int(), Some(1), "the keys come and go together");
        planned.join().unwrap();
        all.join().unwrap();
    });
}

/// Each adds one to what it read. Those that EXEC lets through are all there in the end.
#[test]
fn transactions_that_watch_what_they_read_lose_no_update() {
    model(|shared| {
        let other = start({
            let shared = Arc::clone(shared);
            move || increment(&shared)
        });
        let done = i64::from(increment(shared)) + i64::from(other.join().unwrap());
        assert!(done > 0, "one of two comes first");
        let total = run(&mut Runner::new(shared), &["INCRBY a 0"]);
        assert_eq!(total.as_int(), Some(done));
    });
}

/// Says whether it came to pass.
fn increment(shared: &Arc<Shared>) -> bool {
    let mut client = Runner::new(shared);
    let read = match run(&mut client, &["WATCH a", "GET a"]).as_bytes() {
        Some(b"1") => "SET a 2",
        _ => "SET a 1",
    };
    !run(&mut client, &["MULTI", read, "EXEC"]).is_null()
}

/// Each writes a key, of one stripe, if the key that the other one writes, of another stripe, is
/// missing.
#[test]
fn transactions_that_watch_what_the_other_one_writes_do_not_both_run() {
    model(|shared| {
        let other = start({
            let shared = Arc::clone(shared);
            move || claim(&shared, "a", "b")
        });
        let claimed = claim(shared, "b", "a");
        assert!(claimed != other.join().unwrap(), "exactly one comes first");
    });
}

/// Says whether it came to pass.
fn claim(shared: &Arc<Shared>, own: &str, others: &str) -> bool {
    let mut client = Runner::new(shared);
    let seen = run(
        &mut client,
        &[&format!("WATCH {others}"), &format!("GET {others}")],
    );
    let write = format!("SET {own} 1");
    seen.is_null() && !run(&mut client, &["MULTI", &write, "EXEC"]).is_null()
}

/// Starts a thread that runs commands as one unit of long work, each in a slice of its own.
fn long_work<const N: usize>(shared: &Arc<Shared>, commands: [&'static str; N]) -> JoinHandle<()> {
    let shared = Arc::clone(shared);
    start(move || {
        let mut executor = Executor::new(Arc::clone(&shared), Patience::Wait);
        let mut session = shared.session(Origin::embedded());
        session.authenticated = true;
        let commands = commands.map(|command| command.split(' ').collect::<ArgsBuf>());
        executor.run_in_slices(&mut session, &commands);
        executor.end(&mut session);
    })
}

/// Work on the whole store waits for long work, and has no half of it.
#[test]
fn work_on_the_whole_store_has_no_half_of_long_work() {
    model(|shared| {
        let long = long_work(shared, ["SET a 1", "SET b 1"]);
        let all = client(shared, ["FLUSHALL"]);
        all.join().unwrap();
        long.join().unwrap();
        let left = run(&mut Runner::new(shared), &["EXISTS a b"]).as_int();
        assert_ne!(left, Some(1), "the keys come and go together");
    });
}

/// Nor does a command on its keys see half of it.
#[test]
fn nobody_sees_half_of_long_work() {
    model(|shared| {
        let long = long_work(shared, ["SET a 1", "SET b 1"]);
        let seen = run(&mut Runner::new(shared), &["EXISTS a b"]).as_int();
        assert_ne!(seen, Some(1), "the keys come together");
        long.join().unwrap();
    });
}

/// Units that want each other's keys run one after the other.
#[test]
fn long_work_that_crosses_does_not_wait_in_a_circle() {
    model(|shared| {
        let one = long_work(shared, ["INCR a", "INCR b"]);
        let other = long_work(shared, ["INCR b", "INCR a"]);
        one.join().unwrap();
        other.join().unwrap();
        let sum = run(&mut Runner::new(shared), &["INCRBY a 0"]).as_int();
        assert_eq!(sum, Some(2));
        assert!(shared.stripes.pins.is_empty());
    });
}

/// An element that comes for a client who moves it to a key of long work gets there when that has
/// ended.
#[test]
fn a_waiter_that_moves_to_a_key_of_long_work_is_served_after_it() {
    model(|shared| {
        let blocked = Blocked::on(shared, "BLMOVE a b LEFT LEFT 0");
        let long = long_work(shared, ["SET b 1", "DEL b"]);
        let pusher = client(shared, ["RPUSH a x"]);
        long.join().unwrap();
        pusher.join().unwrap();
        assert!(blocked.is_answered());
    });
}

/// A client that is blocked, with what runs its commands.
struct Blocked {
    executor: Executor,
    session: Session,
    mailbox: Arc<LocalMailbox>,
}

impl Blocked {
    /// A client that has sent a command which waits.
    fn on(shared: &Arc<Shared>, command: &str) -> Self {
        let mailbox = Arc::new(LocalMailbox::default());
        let origin = Origin {
            mailbox: Arc::clone(&mailbox) as _,
            ..Origin::embedded()
        };
        let mut blocked = Self {
            executor: Executor::new(Arc::clone(shared), Patience::Wait),
            session: shared.session(origin),
            mailbox,
        };
        let words: ArgsBuf = command.split(' ').collect();
        let (session, out) = (&mut blocked.session, &mut Output::new());
        let outcome = blocked.executor.execute(session, words.as_args(), out);
        assert!(matches!(outcome, Outcome::Blocked(_)));
        blocked
    }

    /// Ends its wait, unless that has ended, and says whether it did.
    fn time_out(&mut self) -> bool {
        let (session, out) = (&mut self.session, &mut Output::new());
        self.executor.end_wait(session, Ending::TimedOut, out)
    }

    fn is_answered(&self) -> bool {
        matches!(self.mailbox.take(), Some(Message::Reply(_)))
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        self.executor.end(&mut self.session);
    }
}

/// Whoever is served gets the element, and whoever has given up leaves it.
#[test]
fn a_wait_ends_once() {
    model(|shared| {
        let mut blocked = Blocked::on(shared, "BLPOP a 0");
        let pusher = client(shared, ["RPUSH a x"]);
        let has_ended = blocked.time_out();
        pusher.join().unwrap();
        let left = run(&mut Runner::new(shared), &["LLEN a"]).as_int();
        assert_eq!(left, Some(i64::from(has_ended)));
        assert_eq!(blocked.is_answered(), !has_ended);
    });
}

/// One element goes to one client, whichever of two keys it comes to.
#[test]
fn a_client_that_waits_for_two_keys_is_served_once() {
    model(|shared| {
        let blocked = Blocked::on(shared, "BLPOP a b 0");
        let one = client(shared, ["RPUSH a x"]);
        let other = client(shared, ["RPUSH b y"]);
        one.join().unwrap();
        other.join().unwrap();
        let left = run(&mut Runner::new(shared), &["EXISTS a b"]).as_int();
        assert_eq!(left, Some(1));
        assert!(blocked.is_answered() && !blocked.is_answered());
    });
}

/// Each push needs the stripe of the other one's key for its waiter.
#[test]
fn pushes_whose_waiters_reach_each_other_do_not_wait_in_a_circle() {
    model(|shared| {
        let there = Blocked::on(shared, "BLMOVE a b LEFT LEFT 0");
        let back = Blocked::on(shared, "BLMOVE b a LEFT LEFT 0");
        let one = client(shared, ["RPUSH a x"]);
        let other = client(shared, ["RPUSH b y"]);
        one.join().unwrap();
        other.join().unwrap();
        assert!(there.is_answered() && back.is_answered());
        let mut client = Runner::new(shared);
        let len = |client: &mut Runner, command: &str| run(client, &[command]).as_int().unwrap();
        let total = len(&mut client, "LLEN a") + len(&mut client, "LLEN b");
        assert_eq!(total, 2);
    });
}
