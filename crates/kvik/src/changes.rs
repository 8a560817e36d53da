//! Changes of keys, told to who keeps something beside the store that follows from its keys: an
//! ordered index, subscriptions of another protocol.
//!
//! An observer hears of every change by whatever way it came, in the order of the changes of each
//! key, because it is told by the same effects that go to the log and while the stripes are held.
//! It is not told values: whoever wants one reads it when it is needed, so that what it keeps never
//! grows with the number of changes. Without an observer nothing is looked at.

use kvik_log::{Effect, Unit};

/// A change of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// The key has another value than before, or one at all.
    Set {
        /// Its database.
        database: u32,
        /// Its name.
        key: &'a [u8],
    },
    /// The key is gone.
    Gone {
        /// Its database.
        database: u32,
        /// Its name.
        key: &'a [u8],
    },
    /// All keys are gone, of one database or of all.
    AllGone {
        /// The database; none for all.
        database: Option<u32>,
    },
    /// Two databases have changed places.
    Swapped {
        /// One.
        one: u32,
        /// The other.
        other: u32,
    },
}

/// Hears of changes.
pub trait ChangeObserver: Send + Sync {
    /// Takes one change. Called while the key's stripe is held, so it must be quick and must not
    /// use the store.
    fn observe(&self, change: Change<'_>);
}

/// Tells an observer what has happened in a unit.
#[cold]
pub(crate) fn tell(observer: &dyn ChangeObserver, unit: &Unit) {
    unit.iter().for_each(|effect| tell_effect(observer, effect));
}

fn tell_effect(observer: &dyn ChangeObserver, effect: Effect<'_>) {
    let Effect {
        database,
        mut words,
    } = effect;
    let Some(verb) = words.next() else { return };
    let set = |database, key: &[u8]| observer.observe(Change::Set { database, key });
    let gone = |database, key: &[u8]| observer.observe(Change::Gone { database, key });
    match &*verb {
        // A time to live is not a value.
        b"PEXPIREAT" | b"PERSIST" => {}
        b"DEL" => words.for_each(|key| gone(database, &key)),
        b"RENAME" => {
            if let (Some(from), Some(to)) = (words.next(), words.next()) {
                gone(database, &from);
                set(database, &to);
            }
        }
        b"MOVE" | b"COPY" => {
            let (from, second) = (words.next(), words.next());
            let (Some(from), Some(second)) = (from, second) else {
                return;
            };
            if &*verb == b"MOVE" {
                gone(database, &from);
                return set(number(&second).unwrap_or(database), &from);
            }
            // COPY source destination DB number
            set(
                words
                    .nth(1)
                    .and_then(|word| number(&word))
                    .unwrap_or(database),
                &second,
            );
        }
        b"FLUSHDB" => observer.observe(Change::AllGone {
            database: Some(database),
        }),
        b"FLUSHALL" => observer.observe(Change::AllGone { database: None }),
        b"SWAPDB" => {
            let databases = (words.next().and_then(|word| number(&word)), words.next());
            if let (Some(one), Some(other)) = databases
                && let Some(other) = number(&other)
            {
                observer.observe(Change::Swapped { one, other });
            }
        }
        // All others name their key first.
        _ => {
            if let Some(key) = words.next() {
                set(database, &key);
            }
        }
    }
}

fn number(word: &[u8]) -> Option<u32> {
    std::str::from_utf8(word).ok()?.parse().ok()
}
