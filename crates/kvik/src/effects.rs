//! Effects on their way out: collected while a section runs, handed over before its stripes are let
//! go.

use std::cell::RefCell;

use kvik_command::Error;
use kvik_rope::Rope;
use kvik_store::{EffectSink, FormerKey, KeyspaceId};

pub use kvik_log::{Lsn, Unit};

/// Takes the effects of all units of work, in an order that agrees with the order of the units on
/// each stripe.
///
/// Everything but [`append`](Self::append) is called outside of the stripe locks.
pub trait EffectLog: Send + Sync {
    /// Takes the effects of one unit, which is empty afterwards: all of them happen, or none.
    /// Called inside the locks of the stripes that the unit changed, so it must be quick, must not
    /// fail and must not use the store. `now_ms` is the time at which it happened, in milliseconds
    /// since the epoch. Returns the place behind the unit.
    fn append(&self, unit: &mut Unit, now_ms: u64) -> Lsn;

    /// Whether there is room for the units of commands that start now. Asked before a command that
    /// may write locks anything; without room the command is put off.
    fn has_room(&self) -> bool {
        true
    }

    /// Blocks the calling thread until there may be room again.
    fn wait_for_room(&self) {
        std::thread::yield_now();
    }

    /// Whether nobody may be told of an effect before it is on disk (`appendfsync always`).
    fn is_synchronous(&self) -> bool {
        false
    }

    /// Everything before this place is on disk.
    fn synced(&self) -> Lsn {
        Lsn::new(u64::MAX)
    }

    /// Blocks the calling thread until everything that has been appended is on disk.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    fn wait_for_all(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Blocks the calling thread until everything before `lsn` is on disk.
    ///
    /// # Errors
    /// If that will never be: whether what was appended since [`synced`](Self::synced) survives is
    /// unknown. The error is what the caller gets instead of its result.
    fn wait(&self, lsn: Lsn) -> Result<(), Error> {
        let _ = lsn;
        Ok(())
    }
}

/// The sink of a section.
pub(crate) struct Collector<'a> {
    unit: Pending<'a>,
    wanted: bool,
}

/// The unit that a section fills.
enum Pending<'a> {
    /// It is handed over once, when the section ends.
    Whole(&'a mut Unit),
    /// It is handed over whenever a stripe is let go, by the owner of the stripes.
    InTurn(&'a RefCell<TurnUnit>),
}

impl<'a> Collector<'a> {
    /// A sink whose unit is handed over as a whole.
    #[inline]
    pub(crate) fn whole(unit: &'a mut Unit, wanted: bool) -> Self {
        Self {
            unit: Pending::Whole(unit),
            wanted,
        }
    }

    /// A sink whose unit is handed over stripe by stripe.
    pub(crate) fn in_turn(unit: &'a RefCell<TurnUnit>, wanted: bool) -> Self {
        Self {
            unit: Pending::InTurn(unit),
            wanted,
        }
    }

    #[inline]
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// The unit, if it is handed over once.
    #[inline]
    pub(crate) fn whole_unit(&mut self) -> Option<&mut Unit> {
        match &mut self.unit {
            Pending::Whole(unit) => Some(unit),
            Pending::InTurn(_) => None,
        }
    }

    #[inline]
    pub(crate) fn with_unit<R>(&mut self, work: impl FnOnce(&mut Unit) -> R) -> R {
        match &mut self.unit {
            Pending::Whole(unit) => work(unit),
            Pending::InTurn(turn) => work(&mut turn.borrow_mut().unit),
        }
    }
}

/// The unit of the stripe that is held, where one is held after the other.
#[derive(Default)]
pub(crate) struct TurnUnit {
    pub(crate) unit: Unit,
    /// The former contents of its keys, where somebody asks.
    pub(crate) former: Vec<FormerKey>,
}

impl EffectSink for Collector<'_> {
    fn wanted(&self) -> bool {
        self.wanted
    }

    fn begin(&mut self, keyspace: KeyspaceId) {
        // A keyspace is a database as long as there are no namespaces.
        self.with_unit(|unit| unit.begin(keyspace.0));
    }

    fn word(&mut self, word: &[u8]) {
        self.with_unit(|unit| unit.word(word));
    }

    fn words(&mut self, words: &[&[u8]]) {
        self.with_unit(|unit| unit.words(words));
    }

    fn rope(&mut self, rope: &Rope) {
        self.with_unit(|unit| unit.rope(rope));
    }

    fn end(&mut self) {
        self.with_unit(Unit::end);
    }

    fn emit(&mut self, keyspace: KeyspaceId, command: &[&[u8]]) {
        self.with_unit(|unit| {
            unit.begin(keyspace.0);
            unit.words(command);
            unit.end();
        });
    }

    fn former(&mut self, key: FormerKey) -> Option<FormerKey> {
        match &self.unit {
            Pending::Whole(_) => return Some(key),
            Pending::InTurn(turn) => turn.borrow_mut().former.push(key),
        }
        None
    }
}
