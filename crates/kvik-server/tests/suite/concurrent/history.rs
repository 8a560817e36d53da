//! Whether a concurrent history could have happened one call at a time.
//!
//! Wing and Gong's search (1993): repeatedly take one of the calls that began before every other
//! unfinished one ended, and see whether the model answers it as the store did; go back when none
//! does. Lowe's addition (2017) remembers which sets of calls in which states have been tried,
//! which keeps short histories cheap.

use std::collections::HashSet;

use kvik_resp::Value;

use crate::model::{Call, Model};

/// A call of one client, with its reply. Times count up across all clients.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) call: Call,
    pub(crate) reply: Value,
    pub(crate) began: u64,
    pub(crate) ended: u64,
}

/// Whether some order of the calls explains all replies and agrees with real time. At most 64
/// calls.
pub(crate) fn is_linearizable(history: &[Operation]) -> bool {
    assert!(history.len() <= 64, "one bit for each call");
    Search {
        history,
        tried: HashSet::new(),
    }
    .completes(0, &Model::default())
}

struct Search<'a> {
    history: &'a [Operation],
    tried: HashSet<(u64, Model)>,
}

impl Search<'_> {
    /// Whether the calls that are not in `done` can follow from `state`.
    fn completes(&mut self, done: u64, state: &Model) -> bool {
        let history = self.history;
        let open = || {
            history
                .iter()
                .enumerate()
                .filter(|(at, _)| done & 1 << at == 0)
        };
        let Some(first_end) = open().map(|(_, operation)| operation.ended).min() else {
            return true;
        };
        if !self.tried.insert((done, state.clone())) {
            return false;
        }
        open()
            .filter(|(_, operation)| operation.began < first_end)
            .any(|(at, operation)| {
                let mut next = state.clone();
                next.apply(0, &operation.call) == operation.reply
                    && self.completes(done | 1 << at, &next)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(value: &str, began: u64, ended: u64) -> Operation {
        let call = Call::set("k", value);
        Operation {
            call,
            reply: Value::Simple("OK".into()),
            began,
            ended,
        }
    }

    fn get(value: &str, began: u64, ended: u64) -> Operation {
        let call = Call::Get(b"k".to_vec());
        Operation {
            call,
            reply: Value::Bulk(value.into()),
            began,
            ended,
        }
    }

    #[test]
    fn calls_that_overlap_may_take_either_order() {
        assert!(is_linearizable(&[
            set("1", 0, 5),
            set("2", 1, 4),
            get("1", 6, 7)
        ]));
        assert!(is_linearizable(&[
            set("1", 0, 5),
            set("2", 1, 4),
            get("2", 6, 7)
        ]));
        assert!(is_linearizable(&[set("1", 0, 9), get("1", 2, 3)]));
    }

    #[test]
    fn a_stale_read_is_found() {
        assert!(!is_linearizable(&[
            set("1", 0, 1),
            set("2", 2, 3),
            get("1", 4, 5)
        ]));
    }

    #[test]
    fn a_value_may_not_come_back() {
        let flicker = [
            set("1", 0, 1),
            set("2", 2, 9),
            get("2", 3, 4),
            get("1", 5, 6),
        ];
        assert!(!is_linearizable(&flicker));
    }

    #[test]
    fn a_half_applied_command_is_found() {
        let pair = |value: &str| vec![(b"a".to_vec(), value.into()), (b"b".to_vec(), value.into())];
        let ok = Value::Simple("OK".into());
        let write = |value, began, ended| Operation {
            call: Call::MSet(pair(value)),
            reply: ok.clone(),
            began,
            ended,
        };
        let mixed = Value::Array(vec![Value::Bulk(b"1".to_vec()), Value::Bulk(b"2".to_vec())]);
        let read = Operation {
            call: Call::MGet(vec![b"a".to_vec(), b"b".to_vec()]),
            reply: mixed,
            began: 3,
            ended: 4,
        };
        assert!(!is_linearizable(&[
            write("1", 0, 1),
            write("2", 2, 5),
            read
        ]));
    }
}
