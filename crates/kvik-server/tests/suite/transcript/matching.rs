//! Whether a reply is what a pattern expects, in the protocol it came in.

use std::collections::HashMap;

use kvik_command::glob::glob_match;
use kvik_resp::Value;

use super::pattern::{Items, Order, Pattern, Text};
use crate::target::{Received, Reply};

/// What `$name` stands for in one case.
pub(crate) type Bindings = HashMap<String, Value>;

/// Compares replies of one protocol, binding variables on the way.
pub(crate) struct Matcher<'a> {
    pub(crate) protocol: u8,
    pub(crate) bindings: &'a mut Bindings,
}

impl Matcher<'_> {
    pub(crate) fn received(&mut self, pattern: &Pattern, received: &Received) -> bool {
        match (pattern, received) {
            (Pattern::Either(options), _) => {
                options.iter().any(|option| self.received(option, received))
            }
            (_, Received::Nothing) => *pattern == Pattern::Nothing,
            (_, Received::Closed) => *pattern == Pattern::Closed,
            (_, Received::Reply(reply)) => self.reply(pattern, reply),
        }
    }

    /// RESP2 has two kinds of nothing, which only the whole reply tells apart.
    fn reply(&mut self, pattern: &Pattern, reply: &Reply) -> bool {
        match pattern {
            Pattern::Nil => reply.value == Value::Null && !reply.null_array,
            Pattern::NilArray => {
                reply.value == Value::Null && (reply.null_array || self.protocol == 3)
            }
            other => self.value(other, &reply.value),
        }
    }

    fn value(&mut self, pattern: &Pattern, value: &Value) -> bool {
        match (pattern, value) {
            (Pattern::Any, _) => true,
            (Pattern::NoError, value) => value.as_error().is_none(),
            (Pattern::Variable(name), value) => self.bind(name, value),
            (Pattern::Either(options), value) => {
                options.iter().any(|option| self.value(option, value))
            }
            (Pattern::Simple(text), Value::Simple(status)) => text.fits(status.as_bytes()),
            (Pattern::Error(text), Value::Error(error)) => text.fits(error.as_bytes()),
            (Pattern::Bulk(text), Value::Bulk(bytes)) => text.fits(bytes),
            (Pattern::Integer(low, high), Value::Integer(value)) => (low..=high).contains(&value),
            (Pattern::Nil | Pattern::NilArray, Value::Null) => true,
            (Pattern::Array(items, order), Value::Array(values)) => {
                self.sequence(items, values, *order)
            }
            (Pattern::Push(items), Value::Push(values)) => {
                self.sequence(items, values, Order::AsWritten)
            }
            _ if self.protocol == 2 => self.in_resp2(pattern, value),
            _ => self.in_resp3(pattern, value),
        }
    }

    /// The types that RESP2 lacks, as what it has instead.
    fn in_resp2(&mut self, pattern: &Pattern, value: &Value) -> bool {
        match (pattern, value) {
            (Pattern::Verbatim(_, text), Value::Bulk(bytes)) => text.fits(bytes),
            (Pattern::Double(expected), value @ Value::Bulk(_)) => {
                value.as_double() == Some(*expected)
            }
            (Pattern::Boolean(expected), Value::Integer(value)) => *value == i64::from(*expected),
            (Pattern::Set(items), Value::Array(values)) => self.sequence(items, values, Order::Any),
            (Pattern::Push(items), Value::Array(values)) => {
                self.sequence(items, values, Order::AsWritten)
            }
            (Pattern::Map(items), Value::Array(values)) => {
                let (pairs, rest) = values.as_chunks();
                let pairs: Vec<_> = pairs.iter().map(|[key, value]| (key, value)).collect();
                rest.is_empty() && self.pairs(items, pairs)
            }
            _ => false,
        }
    }

    fn in_resp3(&mut self, pattern: &Pattern, value: &Value) -> bool {
        match (pattern, value) {
            (
                Pattern::Verbatim(format, text),
                Value::Verbatim {
                    format: actual,
                    text: bytes,
                },
            ) => format == actual && text.fits(bytes),
            (Pattern::Double(expected), Value::Double(value)) => value == expected,
            (Pattern::Boolean(expected), Value::Boolean(value)) => value == expected,
            (Pattern::Set(items), Value::Set(values)) => self.sequence(items, values, Order::Any),
            (Pattern::Map(items), Value::Map(pairs)) => self.pairs(
                items,
                pairs.iter().map(|(key, value)| (key, value)).collect(),
            ),
            _ => false,
        }
    }

    fn bind(&mut self, name: &str, value: &Value) -> bool {
        let bound = self
            .bindings
            .entry(name.to_owned())
            .or_insert_with(|| value.clone());
        bound == value
    }

    fn sequence(&mut self, items: &Items, values: &[Value], order: Order) -> bool {
        if !items.admits(items.list.len(), values.len()) {
            return false;
        }
        match order {
            Order::AsWritten => items
                .list
                .iter()
                .zip(values)
                .all(|(item, value)| self.value(item, value)),
            Order::Any => self.in_any_order(
                items.list.iter(),
                values.iter().collect(),
                |this, item, value| this.value(item, value),
            ),
        }
    }

    fn pairs(&mut self, items: &Items, pairs: Vec<(&Value, &Value)>) -> bool {
        let (expected, rest) = items.list.as_chunks::<2>();
        rest.is_empty()
            && items.admits(expected.len(), pairs.len())
            && self.in_any_order(expected.iter(), pairs, |this, [key, value], pair| {
                this.value(key, pair.0) && this.value(value, pair.1)
            })
    }

    /// Finds for each expected item the first actual one not taken yet.
    fn in_any_order<P, V>(
        &mut self,
        expected: impl Iterator<Item = P>,
        mut actual: Vec<V>,
        fits: impl Fn(&mut Self, &P, &V) -> bool,
    ) -> bool {
        for item in expected {
            let Some(at) = actual.iter().position(|value| fits(self, &item, value)) else {
                return false;
            };
            actual.swap_remove(at);
        }
        true
    }
}

impl Items {
    fn admits(&self, expected: usize, actual: usize) -> bool {
        actual == expected || self.open && actual > expected
    }
}

impl Text {
    fn fits(&self, bytes: &[u8]) -> bool {
        match self {
            Self::Exact(text) => text == bytes,
            // Redis' matcher finds nothing in an empty text, not even by a star.
            Self::Glob(pattern) => pattern == b"*" || glob_match(pattern, bytes, false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pattern::parse_pattern;
    use super::*;

    fn fits(protocol: u8, pattern: &str, value: Value) -> bool {
        let mut bindings = Bindings::new();
        let pattern = parse_pattern(pattern).unwrap();
        let reply = Reply {
            value,
            null_array: false,
        };
        Matcher {
            protocol,
            bindings: &mut bindings,
        }
        .reply(&pattern, &reply)
    }

    fn numbers(list: &[i64]) -> Vec<Value> {
        list.iter().copied().map(Value::Integer).collect()
    }

    #[test]
    fn order_matters_unless_waived() {
        assert!(fits(2, "[1 2]", Value::Array(numbers(&[1, 2]))));
        assert!(!fits(2, "[2 1]", Value::Array(numbers(&[1, 2]))));
        assert!(fits(2, "~[2 1]", Value::Array(numbers(&[1, 2]))));
        assert!(!fits(2, "~[2 2]", Value::Array(numbers(&[1, 2]))));
        assert!(fits(2, "~[2 ...]", Value::Array(numbers(&[1, 2]))));
        assert!(!fits(2, "[1]", Value::Array(numbers(&[1, 2]))));
    }

    #[test]
    fn a_map_is_flat_in_resp2_only() {
        let pairs = numbers(&[1, 2, 3, 4])
            .as_chunks()
            .0
            .iter()
            .map(|[a, b]| (a.clone(), b.clone()))
            .collect();
        assert!(fits(2, "{3 4 1 2}", Value::Array(numbers(&[1, 2, 3, 4]))));
        assert!(!fits(3, "{3 4 1 2}", Value::Array(numbers(&[1, 2, 3, 4]))));
        assert!(fits(3, "{3 4 1 2}", Value::Map(pairs)));
    }

    #[test]
    fn kinds_of_strings_differ() {
        assert!(fits(2, "OK", Value::Simple("OK".into())));
        assert!(!fits(2, "OK", Value::Bulk(b"OK".to_vec())));
        assert!(fits(2, "txt~\"O*\"", Value::Bulk(b"OK".to_vec())));
        assert!(!fits(3, "txt~\"O*\"", Value::Bulk(b"OK".to_vec())));
    }
}
