//! The governor on a simulated machine.

use std::cell::Cell;
use std::sync::Arc;

use super::*;
use crate::config;
use crate::front::Front;
use crate::net::{self, Backend};
use crate::reactor::Reactor;
use crate::reactor::inbox::Inbox;

const SECOND_US: u64 = 1_000_000;

/// The results of a load with so many threads awake: commands per second, cores used by the server,
/// cores idle.
type Load = fn(usize) -> (f64, f64, f64);

/// A machine that shows the gauges of a load.
struct Machine {
    now_us: Cell<u64>,
    cpu_us: Cell<f64>,
    commands: Cell<f64>,
    idle_us: Cell<f64>,
    tells_idle: bool,
}

impl Gauges for Machine {
    fn now_us(&self) -> u64 {
        self.now_us.get()
    }

    fn cpu_us(&self) -> u64 {
        self.cpu_us.get() as u64
    }

    fn commands(&self) -> u64 {
        self.commands.get() as u64
    }

    fn idle_us(&self) -> Option<u64> {
        self.tells_idle.then_some(self.idle_us.get() as u64)
    }
}

/// A server of some threads on a machine.
struct Simulation {
    machine: Machine,
    governor: Governor,
    awake: usize,
    changes: usize,
}

impl Simulation {
    fn new(threads: usize) -> Self {
        Self {
            machine: Machine {
                now_us: Cell::new(SECOND_US),
                cpu_us: Cell::default(),
                commands: Cell::default(),
                idle_us: Cell::default(),
                tells_idle: true,
            },
            governor: Governor::new(threads),
            awake: 1,
            changes: 0,
        }
    }

    /// Lets the load run for so many seconds, in turns of a millisecond.
    fn run(&mut self, seconds: u64, clients: usize, load: Load) -> &mut Self {
        for _ in 0..seconds * 1000 {
            let (commands, used, idle) = load(self.awake);
            let add = |gauge: &Cell<f64>, per_s: f64| gauge.set(gauge.get() + per_s / 1000.0);
            add(&self.machine.commands, commands);
            add(&self.machine.cpu_us, used * 1e6);
            add(&self.machine.idle_us, idle * 1e6);
            self.machine.now_us.set(self.machine.now_us.get() + 1000);
            let wanted = self.governor.judge(&self.machine, self.awake, clients);
            if let Some(wanted) = wanted {
                assert_ne!(wanted, self.awake);
                self.awake = wanted;
                self.changes += 1;
            }
        }
        self
    }
}

/// Two cores shared with clients that wait for each reply: measured.
fn waiting_clients(awake: usize) -> (f64, f64, f64) {
    match awake {
        1 => (171e3, 0.97, 0.15),
        _ => (144e3, 0.92, 0.30),
    }
}

/// Two cores shared with clients that pipeline: measured.
fn pipelining_clients(awake: usize) -> (f64, f64, f64) {
    match awake {
        1 => (926e3, 0.98, 0.60),
        _ => (1423e3, 1.30, 0.10),
    }
}

/// Sixteen cores and clients elsewhere that want what eleven can do.
fn many_cores(awake: usize) -> (f64, f64, f64) {
    let used = (awake as f64).min(11.0);
    (100e3 * used, used, 16.0 - used)
}

fn nothing(_: usize) -> (f64, f64, f64) {
    (0.0, 0.0, 2.0)
}

#[test]
fn a_thread_is_woken_that_gains() {
    let mut simulation = Simulation::new(2);
    assert_eq!(simulation.run(1, 50, pipelining_clients).awake, 2);
    assert_eq!(simulation.run(60, 50, pipelining_clients).changes, 1);
}

#[test]
fn a_thread_that_cannot_gain_is_not_tried() {
    let mut simulation = Simulation::new(2);
    assert_eq!(simulation.run(60, 50, waiting_clients).changes, 0);
}

#[test]
fn where_idle_time_is_unknown_vain_trials_become_rare() {
    let mut simulation = Simulation::new(2);
    simulation.machine.tells_idle = false;
    simulation.run(60, 50, waiting_clients);
    assert!((6..20).contains(&simulation.changes));
    simulation.changes = 0;
    assert!(simulation.run(60, 50, waiting_clients).changes <= 4);
}

#[test]
fn a_thread_that_has_become_useless_goes_to_sleep() {
    let mut simulation = Simulation::new(2);
    assert_eq!(simulation.run(3, 50, pipelining_clients).awake, 2);
    assert_eq!(simulation.run(10, 50, waiting_clients).awake, 1);
    assert_eq!(simulation.run(10, 50, pipelining_clients).awake, 2);
}

#[test]
fn all_but_one_sleep_when_nothing_happens() {
    let mut simulation = Simulation::new(16);
    assert!((11..=16).contains(&simulation.run(30, 1000, many_cores).awake));
    assert_eq!(simulation.run(30, 1000, nothing).awake, 1);
}

#[test]
fn no_more_threads_wake_than_there_are_clients() {
    let mut simulation = Simulation::new(16);
    assert_eq!(simulation.run(30, 3, many_cores).awake, 3);
    assert_eq!(Simulation::new(16).run(30, 1, many_cores).awake, 1);
}

#[test]
fn what_was_slept_through_is_not_judged() {
    let mut simulation = Simulation::new(2);
    let machine = &simulation.machine;
    for _ in 0..100 {
        // A single command that took two seconds.
        machine.now_us.set(machine.now_us.get() + 2 * SECOND_US);
        machine.cpu_us.set(machine.cpu_us.get() + 2e6);
        assert_eq!(simulation.governor.judge(machine, 1, 50), None);
    }
}

#[test]
fn a_clock_that_is_set_back_does_no_harm() {
    let mut simulation = Simulation::new(2);
    simulation.machine.now_us.set(3600 * SECOND_US);
    simulation.run(1, 50, pipelining_clients);
    simulation.machine.now_us.set(SECOND_US);
    assert_eq!(simulation.run(3, 50, pipelining_clients).awake, 2);
}

/// The reactor of a thread that has nothing to do.
fn idle_reactor(index: u16, inboxes: &[Arc<Inbox>], front: &Arc<Front>, db: &Db) -> Reactor {
    let driver = net::open(Backend::Mio, &net::Options::default()).unwrap();
    let inbox = Arc::clone(&inboxes[usize::from(index)]);
    Reactor::new(index, Arc::clone(front), db.clone(), driver, inbox)
}

#[test]
fn threads_without_work_do_not_wake_by_themselves() {
    let inbox = |_| {
        let driver = net::open(Backend::Mio, &net::Options::default()).unwrap();
        Arc::new(Inbox::new(driver.waker()))
    };
    let inboxes: Vec<_> = (0..4).map(inbox).collect();
    let loaded = config::load(&[], [], &mut std::io::empty()).unwrap();
    let front = Arc::new(Front::new(Arc::new(loaded.config)));
    front.open(inboxes.clone());
    let db = Db::memory();
    let reactors: Vec<_> = (0..4)
        .map(|index| idle_reactor(index, &inboxes, &front, &db))
        .collect();
    assert!(reactors.iter().all(|reactor| reactor.timeout().is_none()));
    front.set_awake(2);
    let by_itself = |reactor: &&Reactor| reactor.timeout().is_some();
    assert_eq!(reactors.iter().filter(by_itself).count(), 1);
    front.set_awake(1);
    assert_eq!(reactors.iter().filter(by_itself).count(), 0);
}
