//! Changes of keys, told to who keeps something beside the store that follows from its keys: an
//! ordered index, subscriptions of another protocol.
//!
//! An observer hears of every change by whatever way it came, in the order of the changes of each
//! key, because it is told by the same effects that go to the log and while the stripes are held.
//! It is not told values: whoever wants one reads it when it is needed, so that what it keeps never
//! grows with the number of changes. Without an observer nothing is looked at.

use std::collections::HashMap;

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
    /// All keys of a namespace are gone.
    NamespaceGone {
        /// Its database.
        database: u32,
        /// Its name.
        namespace: &'a [u8],
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

/// Tells an observer what has happened in a unit. Of a key that is set again and again it hears
/// once: whoever reads the value meanwhile gets the last one, and is not to be told of it twice.
#[cold]
pub(crate) fn tell(observer: &dyn ChangeObserver, unit: &Unit) {
    let mut still_set = HashMap::new();
    if unit.iter().nth(1).is_some() {
        for effect in unit.iter() {
            each_change(effect, &mut |change| {
                if let Change::Set { database, key } = change {
                    *still_set.entry((database, key.to_vec())).or_insert(0) += 1;
                }
            });
        }
    }
    for effect in unit.iter() {
        each_change(effect, &mut |change| {
            if let Change::Set { database, key } = change
                && let Some(left) = still_set.get_mut(&(database, key.to_vec()))
            {
                *left -= 1;
                if *left > 0 {
                    return;
                }
            }
            observer.observe(change);
        });
    }
}

/// Visits the changes of keys that an effect is.
fn each_change(effect: Effect<'_>, visit: &mut dyn FnMut(Change<'_>)) {
    let Effect {
        database,
        mut words,
    } = effect;
    let Some(verb) = words.next() else { return };
    match &*verb {
        // A time to live is not a value.
        b"PEXPIREAT" | b"PERSIST" => {}
        b"DEL" => words.for_each(|key| {
            visit(Change::Gone {
                database,
                key: &key,
            });
        }),
        b"RENAME" => {
            if let (Some(from), Some(to)) = (words.next(), words.next()) {
                visit(Change::Gone {
                    database,
                    key: &from,
                });
                visit(Change::Set { database, key: &to });
            }
        }
        b"MOVE" | b"COPY" => {
            let (from, second) = (words.next(), words.next());
            let (Some(from), Some(second)) = (from, second) else {
                return;
            };
            if &*verb == b"MOVE" {
                visit(Change::Gone {
                    database,
                    key: &from,
                });
                return visit(Change::Set {
                    database: number(&second).unwrap_or(database),
                    key: &from,
                });
            }
            // COPY source destination DB number
            let target = words.nth(1).and_then(|word| number(&word));
            visit(Change::Set {
                database: target.unwrap_or(database),
                key: &second,
            });
        }
        b"FLUSHDB" => visit(Change::AllGone {
            database: Some(database),
        }),
        b"FLUSHALL" => visit(Change::AllGone { database: None }),
        // NAMESPACE FLUSH name
        b"NAMESPACE" => {
            if let Some(namespace) = words.nth(1) {
                visit(Change::NamespaceGone {
                    database,
                    namespace: &namespace,
                });
            }
        }
        b"SWAPDB" => {
            let databases = (words.next().and_then(|word| number(&word)), words.next());
            if let (Some(one), Some(other)) = databases
                && let Some(other) = number(&other)
            {
                visit(Change::Swapped { one, other });
            }
        }
        // All others name their key first.
        _ => {
            if let Some(key) = words.next() {
                visit(Change::Set {
                    database,
                    key: &key,
                });
            }
        }
    }
}

fn number(word: &[u8]) -> Option<u32> {
    std::str::from_utf8(word).ok()?.parse().ok()
}
