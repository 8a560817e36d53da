//! Logs in memory, clients and a clock for the other modules.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use kvik::effects::{EffectLog, Lsn, Unit};
use kvik::{Clock, Db, Executor, Options, Outcome, Patience, Session, Value};
use kvik_command::client::Origin;
use kvik_resp::{ArgsBuf, Output};

/// When clocks that are moved by hand start.
pub(crate) const START_US: u64 = 1_000_000_000;

/// Plays every unit into a second store as it happens.
pub(crate) struct Mirror(pub(crate) Db);

impl EffectLog for Mirror {
    fn append(&self, unit: &mut Unit, _now_ms: u64) -> Lsn {
        self.0
            .follow(unit)
            .expect("the mirror repeats what happened");
        unit.clear();
        Lsn::ZERO
    }
}

/// Keeps every effect as a line.
#[derive(Default)]
pub(crate) struct Lines(Mutex<Vec<String>>);

impl Lines {
    /// The lines since the last call.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().expect("nobody panics holding it"))
    }
}

impl EffectLog for Lines {
    fn append(&self, unit: &mut Unit, _now_ms: u64) -> Lsn {
        let mut lines = self.0.lock().expect("nobody panics holding it");
        for effect in unit.iter() {
            let words = effect
                .words
                .map(|word| String::from_utf8_lossy(&word).into_owned());
            lines.push(words.collect::<Vec<_>>().join(" "));
        }
        unit.clear();
        Lsn::new(lines.len() as u64)
    }
}

/// Options with a clock that is moved by hand.
pub(crate) fn manual() -> (Options, Arc<AtomicU64>) {
    let now = Arc::new(AtomicU64::new(START_US));
    let clock = Clock::Manual(Arc::clone(&now));
    (Options::default().clock(clock), now)
}

#[track_caller]
pub(crate) fn ok(reply: &Value) {
    assert!(reply.is_ok(), "{reply:?}");
}

/// A client of a server: its commands are put off rather than waited for.
pub(crate) struct Client {
    pub(crate) executor: Executor,
    pub(crate) session: Session,
    pub(crate) out: Output,
}

impl Client {
    pub(crate) fn of(db: &Db) -> Self {
        Self {
            executor: db.executor(Patience::Spin),
            session: db.session(Origin::embedded()),
            out: Output::default(),
        }
    }

    pub(crate) fn offer(&mut self, words: &[&str]) -> Outcome {
        let words: ArgsBuf = words.iter().collect();
        self.executor.refresh();
        let (session, out) = (&mut self.session, &mut self.out);
        self.executor.execute(session, words.as_args(), out)
    }

    /// Offers a command until it has run, doing something in between; says how often it was put
    /// off.
    pub(crate) fn run_between(&mut self, words: &[&str], mut between: impl FnMut(usize)) -> usize {
        let mut put_off = 0;
        while self.offer(words) != Outcome::Done {
            between(put_off);
            put_off += 1;
        }
        put_off
    }
}
