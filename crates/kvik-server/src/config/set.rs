//! CONFIG SET: several values at once, all or none.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::load::{as_slices, default_value};
use super::row::{Access, Effect, Row};
use super::table::Key;
use super::value::{self, Value};
use super::{Config, Subscriber};

/// Why CONFIG SET changed nothing; prints Redis' text. Names are as the client sent them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetError {
    /// There is no such directive.
    Unknown(Vec<u8>),
    /// The directive refuses to be set, or to this value.
    Failed {
        /// The directive.
        name: Vec<u8>,
        /// Why.
        reason: String,
    },
}

impl SetError {
    fn failed(name: &[u8], reason: impl Into<String>) -> Self {
        Self::Failed {
            name: name.to_vec(),
            reason: reason.into(),
        }
    }

    /// The text behind the code `ERR`, in parts.
    pub(crate) fn parts(&self) -> Vec<&[u8]> {
        match self {
            Self::Unknown(name) => {
                let text = b"Unknown option or number of arguments for CONFIG SET - '";
                vec![text, name, b"'"]
            }
            Self::Failed { name, reason } => {
                let text = b"CONFIG SET failed (possibly related to argument '";
                vec![text, name, b"') - ", reason.as_bytes()]
            }
        }
    }
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.parts().concat();
        write!(f, "ERR {}", String::from_utf8_lossy(&text))
    }
}

impl std::error::Error for SetError {}

impl Config {
    /// Calls `apply` whenever [`Self::set`] has changed any of `keys`, with those that changed.
    ///
    /// The new values are in force by then. An error undoes the whole change. `apply` must not call
    /// [`Self::set`].
    pub fn on_change(
        &self,
        keys: &[Key],
        apply: impl Fn(&Self, &[Key]) -> Result<(), String> + Send + Sync + 'static,
    ) {
        self.subscribers.write().push(Arc::new(Subscriber {
            keys: keys.to_vec(),
            apply: Box::new(apply),
        }));
    }

    /// Changes all of `pairs` or nothing; `local` tells whether the client is on this machine.
    ///
    /// # Errors
    /// If a name is unknown, given twice or may not be set, a value is not accepted, or a
    /// subscriber refuses.
    pub fn set(&self, pairs: &[(&[u8], &[u8])], local: bool) -> Result<(), SetError> {
        let keys = self.settable_keys(pairs, local)?;
        let _changing = self.changing.lock();
        let old = self.values.read().clone();
        let mut new = old.clone();
        for (key, (name, text)) in keys.iter().zip(pairs) {
            new[*key as usize] = parse_argument(*key, text, &new)
                .map_err(|reason| SetError::failed(&name.to_ascii_lowercase(), reason))?;
        }
        let is_changed = |key: &Key| old[*key as usize] != new[*key as usize];
        let changed: Vec<Key> = Key::ALL.iter().copied().filter(is_changed).collect();
        self.store(new);
        self.apply_or_undo(&changed, old)?;
        for key in keys {
            self.chosen[key as usize].store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The keys of `pairs`, if all of them may be set.
    fn settable_keys(&self, pairs: &[(&[u8], &[u8])], local: bool) -> Result<Vec<Key>, SetError> {
        let mut keys = Vec::with_capacity(pairs.len());
        for (index, (name, _)) in pairs.iter().enumerate() {
            let known = Key::named(name).filter(|key| key.row().access != Access::FileOnly);
            let key = known.ok_or_else(|| SetError::Unknown(name.to_vec()))?;
            let twice = pairs[..index]
                .iter()
                .any(|(earlier, _)| earlier.eq_ignore_ascii_case(name));
            match self
                .immutable(key.row(), local)
                .or(twice.then_some("duplicate parameter"))
            {
                Some(reason) => return Err(SetError::failed(name, reason)),
                None => keys.push(key),
            }
        }
        Ok(keys)
    }

    fn immutable(&self, row: &Row, local: bool) -> Option<&'static str> {
        let allowed = match self.choice(Key::EnableProtectedConfigs) {
            "yes" => true,
            "local" => local,
            _ => false,
        };
        match row.access {
            Access::Fixed => Some("can't set immutable config"),
            Access::Protected if !allowed => Some("can't set protected config"),
            _ => None,
        }
    }

    fn apply_or_undo(&self, changed: &[Key], old: Vec<Value>) -> Result<(), SetError> {
        let subscribers = self.subscribers.read().clone();
        for (index, subscriber) in subscribers.iter().enumerate() {
            let Err((key, reason)) = self.tell(subscriber, changed) else {
                continue;
            };
            self.store(old);
            for told in &subscribers[..=index] {
                if let Err((key, reason)) = self.tell(told, changed) {
                    tracing::warn!("cannot go back to the former {}: {reason}", key.name());
                }
            }
            return Err(SetError::failed(key.name().as_bytes(), reason));
        }
        Ok(())
    }

    /// Tells a subscriber which of its keys changed; the error names the first of them.
    fn tell(&self, subscriber: &Subscriber, changed: &[Key]) -> Result<(), (Key, String)> {
        let keys: Vec<Key> = changed
            .iter()
            .copied()
            .filter(|key| subscriber.keys.contains(key))
            .collect();
        match keys.first() {
            Some(first) => (subscriber.apply)(self, &keys).map_err(|reason| (*first, reason)),
            None => Ok(()),
        }
    }
}

/// A CONFIG SET argument: words are separated by single blanks and not quoted.
fn parse_argument(key: Key, text: &[u8], values: &[Value]) -> Result<Value, String> {
    let row = key.row();
    let words: Vec<Vec<u8>> = match row.kind.takes_words() {
        true => text
            .split(|byte| *byte == b' ')
            .map(<[u8]>::to_vec)
            .collect(),
        false => vec![text.to_vec()],
    };
    let value = value::parse(row, &as_slices(&words), Some(&values[key as usize]))?;
    match row.effect {
        Effect::Unavailable(reason) if !is_default(key, &value) => Err(reason.to_owned()),
        _ => Ok(value),
    }
}

pub(super) fn is_default(key: Key, value: &Value) -> bool {
    default_value(key).is_ok_and(|default| default == *value)
}
