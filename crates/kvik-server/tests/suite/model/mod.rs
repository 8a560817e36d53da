//! A naive model of strings and keys: what commands must answer, without any of the means that make
//! them fast.
//!
//! [`Call`] is a command of which the model knows everything, [`Model`] a session on a keyspace. It
//! judges random sequences in [`random`] and concurrent histories in [`crate::concurrent`].

mod call;
mod random;

use std::collections::BTreeMap;

use kvik_resp::Value;

pub(crate) use call::{Bytes, Call, Expiry, TtlCondition, When};

/// How many databases the model has.
pub(crate) const DATABASES: usize = 3;

/// Some databases and the one that is selected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Model {
    databases: [BTreeMap<Bytes, Entry>; DATABASES],
    selected: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Entry {
    value: Bytes,
    /// In milliseconds since the epoch.
    expire_at: Option<i64>,
}

const OVERFLOW: &str = "ERR increment or decrement would overflow";
const NOT_AN_INTEGER: &str = "ERR value is not an integer or out of range";
const NO_SUCH_KEY: &str = "ERR no such key";
const SAME_OBJECT: &str = "ERR source and destination objects are the same";

impl Model {
    /// What `call` answers at the time `now`, in milliseconds since the epoch, and what it leaves
    /// behind.
    pub(crate) fn apply(&mut self, now: i64, call: &Call) -> Value {
        for database in &mut self.databases {
            database.retain(|_, entry| entry.expire_at.is_none_or(|at| at > now));
        }
        match call {
            Call::Get(key) => self.read(key),
            Call::Set {
                key,
                value,
                when,
                get,
                expiry,
            } => self.set(now, key, value, when, *get, expiry),
            Call::GetEx(key, expiry) => self.get_ex(now, key, expiry),
            Call::GetDel(key) => self.take(key),
            Call::MGet(keys) => Value::Array(keys.iter().map(|key| self.read(key)).collect()),
            Call::MSet(pairs) => self.set_all(pairs),
            Call::MSetNx(pairs) => self.set_all_if_missing(pairs),
            Call::Append(key, suffix) => self.append(key, suffix),
            Call::SetRange(key, at, patch) => self.set_range(key, *at, patch),
            Call::GetRange(key, start, end) => self.get_range(key, *start, *end),
            Call::IncrBy(key, by) => self.increment(key, *by),
            Call::Del(keys) => integer(
                keys.iter()
                    .filter(|key| self.here().remove(*key).is_some())
                    .count(),
            ),
            Call::Exists(keys) => integer(
                keys.iter()
                    .filter(|key| self.here().contains_key(*key))
                    .count(),
            ),
            Call::Rename(from, to) => self.rename(from, to),
            Call::RenameNx(from, to) => self.rename_if_missing(from, to),
            Call::Copy { from, to, replace } => self.copy(from, to, *replace),
            Call::Move(key, database) => self.move_to(key, *database),
            Call::ExpireAt(key, at, condition) => self.expire_at(now, key, *at, *condition),
            Call::Persist(key) => self.persist(key),
            Call::ExpireTime(key) => self.expire_time(key),
            Call::Keys => Value::Array(self.here().keys().cloned().map(Value::Bulk).collect()),
            Call::Select(database) => self.select(*database),
            Call::SwapDb(one, other) => self.swap(*one, *other),
            Call::FlushDb => self.flush(),
            Call::Transaction(calls) => {
                Value::Array(calls.iter().map(|call| self.apply(now, call)).collect())
            }
        }
    }

    fn here(&mut self) -> &mut BTreeMap<Bytes, Entry> {
        &mut self.databases[self.selected]
    }

    fn read(&mut self, key: &[u8]) -> Value {
        self.here()
            .get(key)
            .map_or(Value::Null, |entry| Value::Bulk(entry.value.clone()))
    }

    fn take(&mut self, key: &[u8]) -> Value {
        self.here()
            .remove(key)
            .map_or(Value::Null, |entry| Value::Bulk(entry.value))
    }

    fn set(
        &mut self,
        now: i64,
        key: &[u8],
        value: &[u8],
        when: &When,
        get: bool,
        expiry: &Expiry,
    ) -> Value {
        let old = self.read(key);
        let wanted = match when {
            When::Always => true,
            When::Missing => old == Value::Null,
            When::Existing => old != Value::Null,
            When::Equal(to) => old.as_bytes() == Some(to),
        };
        if wanted {
            let expire_at = match expiry {
                Expiry::At(at) => Some(*at),
                Expiry::Clear => None,
                Expiry::Keep => self.here().get(key).and_then(|entry| entry.expire_at),
            };
            self.put(
                now,
                key,
                Entry {
                    value: value.to_vec(),
                    expire_at,
                },
            );
        }
        match (get, wanted) {
            (true, _) => old,
            (false, true) => ok(),
            (false, false) => Value::Null,
        }
    }

    /// An entry whose time has come is deleted at once.
    fn put(&mut self, now: i64, key: &[u8], entry: Entry) {
        if entry.expire_at.is_some_and(|at| at <= now) {
            self.here().remove(key);
        } else {
            self.here().insert(key.to_vec(), entry);
        }
    }

    fn get_ex(&mut self, now: i64, key: &[u8], expiry: &Expiry) -> Value {
        let Some(entry) = self.here().get(key).cloned() else {
            return Value::Null;
        };
        let expire_at = match expiry {
            Expiry::At(at) => Some(*at),
            Expiry::Clear => None,
            Expiry::Keep => entry.expire_at,
        };
        self.put(
            now,
            key,
            Entry {
                expire_at,
                ..entry.clone()
            },
        );
        Value::Bulk(entry.value)
    }

    fn set_all(&mut self, pairs: &[(Bytes, Bytes)]) -> Value {
        for (key, value) in pairs {
            self.here().insert(
                key.clone(),
                Entry {
                    value: value.clone(),
                    expire_at: None,
                },
            );
        }
        ok()
    }

    fn set_all_if_missing(&mut self, pairs: &[(Bytes, Bytes)]) -> Value {
        if pairs.iter().any(|(key, _)| self.here().contains_key(key)) {
            return Value::Integer(0);
        }
        self.set_all(pairs);
        Value::Integer(1)
    }

    /// Changes a value in place, an empty one if there is none, and keeps its expiry.
    fn edit(&mut self, key: &[u8], change: impl FnOnce(&mut Bytes)) -> usize {
        let empty = Entry {
            value: Vec::new(),
            expire_at: None,
        };
        let entry = self.here().entry(key.to_vec()).or_insert(empty);
        change(&mut entry.value);
        entry.value.len()
    }

    fn append(&mut self, key: &[u8], suffix: &[u8]) -> Value {
        integer(self.edit(key, |value| value.extend_from_slice(suffix)))
    }

    fn set_range(&mut self, key: &[u8], at: usize, patch: &[u8]) -> Value {
        if patch.is_empty() {
            return integer(self.here().get(key).map_or(0, |entry| entry.value.len()));
        }
        let end = at + patch.len();
        integer(self.edit(key, |value| {
            value.resize(value.len().max(end), 0);
            value[at..end].copy_from_slice(patch);
        }))
    }

    fn get_range(&mut self, key: &[u8], start: i64, end: i64) -> Value {
        let value = self
            .here()
            .get(key)
            .map(|entry| entry.value.clone())
            .unwrap_or_default();
        let len = value.len() as i64;
        if start < 0 && end < 0 && start > end {
            return Value::Bulk(Vec::new());
        }
        let from_end = |index: i64| {
            if index < 0 {
                (index + len).max(0)
            } else {
                index
            }
        };
        let (start, end) = (from_end(start), from_end(end).min(len - 1));
        let range = if start > end {
            0..0
        } else {
            start as usize..end as usize + 1
        };
        Value::Bulk(value[range].to_vec())
    }

    fn increment(&mut self, key: &[u8], by: i64) -> Value {
        let number = self
            .here()
            .get(key)
            .map_or(Some(0), |entry| canonical_integer(&entry.value));
        let Some(number) = number else {
            return error(NOT_AN_INTEGER);
        };
        let Some(sum) = number.checked_add(by) else {
            return error(OVERFLOW);
        };
        self.edit(key, |value| *value = sum.to_string().into_bytes());
        Value::Integer(sum)
    }

    fn rename(&mut self, from: &[u8], to: &[u8]) -> Value {
        let Some(entry) = self.here().remove(from) else {
            return error(NO_SUCH_KEY);
        };
        self.here().insert(to.to_vec(), entry);
        ok()
    }

    fn rename_if_missing(&mut self, from: &[u8], to: &[u8]) -> Value {
        match (self.here().contains_key(from), self.here().contains_key(to)) {
            (false, _) => error(NO_SUCH_KEY),
            (true, true) => Value::Integer(0),
            (true, false) => {
                self.rename(from, to);
                Value::Integer(1)
            }
        }
    }

    fn copy(&mut self, from: &[u8], to: &[u8], replace: bool) -> Value {
        if from == to {
            return error(SAME_OBJECT);
        }
        let Some(entry) = self.here().get(from).cloned() else {
            return Value::Integer(0);
        };
        if !replace && self.here().contains_key(to) {
            return Value::Integer(0);
        }
        self.here().insert(to.to_vec(), entry);
        Value::Integer(1)
    }

    fn move_to(&mut self, key: &[u8], database: usize) -> Value {
        if database == self.selected {
            return error(SAME_OBJECT);
        }
        if self.databases[database].contains_key(key) {
            return Value::Integer(0);
        }
        let Some(entry) = self.here().remove(key) else {
            return Value::Integer(0);
        };
        self.databases[database].insert(key.to_vec(), entry);
        Value::Integer(1)
    }

    fn expire_at(&mut self, now: i64, key: &[u8], at: i64, condition: TtlCondition) -> Value {
        let Some(entry) = self.here().get(key).cloned() else {
            return Value::Integer(0);
        };
        let met = match (condition, entry.expire_at) {
            (TtlCondition::Always, _) => true,
            (TtlCondition::Missing, old) => old.is_none(),
            (TtlCondition::Existing, old) => old.is_some(),
            (TtlCondition::Later, old) => old.is_some_and(|old| at > old),
            (TtlCondition::Earlier, old) => old.is_none_or(|old| at < old),
        };
        if met {
            self.put(
                now,
                key,
                Entry {
                    expire_at: Some(at),
                    ..entry
                },
            );
        }
        Value::Integer(met.into())
    }

    fn persist(&mut self, key: &[u8]) -> Value {
        let old = self
            .here()
            .get_mut(key)
            .and_then(|entry| entry.expire_at.take());
        Value::Integer(old.is_some().into())
    }

    fn expire_time(&mut self, key: &[u8]) -> Value {
        let entry = self.here().get(key);
        Value::Integer(entry.map_or(-2, |entry| entry.expire_at.unwrap_or(-1)))
    }

    fn select(&mut self, database: usize) -> Value {
        self.selected = database;
        ok()
    }

    fn swap(&mut self, one: usize, other: usize) -> Value {
        self.databases.swap(one, other);
        ok()
    }

    fn flush(&mut self) -> Value {
        self.here().clear();
        ok()
    }
}

/// The number a value is, if it is written the one way Redis writes it.
fn canonical_integer(value: &[u8]) -> Option<i64> {
    let number: i64 = std::str::from_utf8(value).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == value).then_some(number)
}

fn ok() -> Value {
    Value::Simple("OK".into())
}

fn error(text: &str) -> Value {
    Value::Error(text.into())
}

fn integer(count: usize) -> Value {
    Value::Integer(count as i64)
}
