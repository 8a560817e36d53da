//! Which node of a cluster has which slot, and where a reply sends a client on to.

use kvik_resp::Value;

use crate::DEFAULT_PORT;

/// Host and port of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeAddress {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// The slots from the first one to the last, and the number of their node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SlotOwner {
    first: u16,
    last: u16,
    node: usize,
}

/// The owners of all slots, as a node has told them.
#[derive(Clone, Debug, Default)]
pub(crate) struct SlotMap {
    /// By their slots, which do not overlap.
    owners: Vec<SlotOwner>,
    /// Each once.
    pub(crate) nodes: Vec<NodeAddress>,
}

/// Another node that a command belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Redirection {
    /// For good.
    Moved(NodeAddress),
    /// This time only, and with ASKING before it.
    Ask(NodeAddress),
}

impl SlotMap {
    /// Reads the reply to CLUSTER SLOTS, which names some node. A node without a host is where the
    /// reply comes from.
    pub(crate) fn read(reply: &Value, from: &str) -> Option<Self> {
        let mut map = Self::default();
        for range in reply.as_slice()? {
            let [first, last, primary, ..] = range.as_slice()? else {
                return None;
            };
            let number = |value: &Value| u16::try_from(value.as_int()?).ok();
            let (first, last) = (number(first)?, number(last)?);
            let [host, port, ..] = primary.as_slice()? else {
                return None;
            };
            let host = host.as_str().filter(|host| !matches!(*host, "" | "?"));
            let host = host.unwrap_or(from).to_owned();
            let port = number(port)?;
            let node = map.number_of(NodeAddress { host, port });
            map.owners.push(SlotOwner { first, last, node });
        }
        map.owners.sort_unstable_by_key(|owner| owner.first);
        (!map.nodes.is_empty()).then_some(map)
    }

    /// The number of a node, which is added if it is new.
    pub(crate) fn number_of(&mut self, address: NodeAddress) -> usize {
        let known = self.nodes.iter().position(|node| *node == address);
        known.unwrap_or_else(|| {
            self.nodes.push(address);
            self.nodes.len() - 1
        })
    }

    /// The number of the node that has a slot, if any has it.
    pub(crate) fn owner_of(&self, slot: u16) -> Option<usize> {
        let at = self.owners.partition_point(|owner| owner.last < slot);
        let owner = self.owners.get(at).filter(|owner| owner.first <= slot)?;
        Some(owner.node)
    }
}

impl Redirection {
    /// The node that an error names; `from` is the host that has said it.
    pub(crate) fn of(reply: &Value, from: &str) -> Option<Self> {
        let error = reply.as_error()?.as_str()?;
        let mut words = error.split(' ');
        let (code, _slot, address) = (words.next()?, words.next()?, words.next()?);
        let make = match code {
            "MOVED" => Self::Moved,
            "ASK" => Self::Ask,
            _ => return None,
        };
        let (host, port) = address.rsplit_once(':')?;
        let host = if host.is_empty() { from } else { host };
        Some(make(NodeAddress {
            host: host.to_owned(),
            port: port.parse().unwrap_or(DEFAULT_PORT),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(host: &str, port: u16) -> NodeAddress {
        let host = host.to_owned();
        NodeAddress { host, port }
    }

    fn range(first: i64, last: i64, host: &str, port: i64) -> Value {
        let bulk = |text: &str| Value::Bulk(text.as_bytes().to_vec());
        let primary = Value::Array(vec![bulk(host), Value::Integer(port), bulk("id")]);
        Value::Array(vec![Value::Integer(first), Value::Integer(last), primary])
    }

    #[test]
    fn slots_lead_to_nodes() {
        let reply = Value::Array(vec![
            range(8000, 16_383, "b", 2),
            range(0, 99, "a", 1),
            range(101, 200, "", 3),
            range(300, 400, "b", 2),
        ]);
        let mut map = SlotMap::read(&reply, "here").unwrap();
        let host = |slot| map.owner_of(slot).map(|at| map.nodes[at].clone());
        for (slot, expected) in [
            (0, Some(node("a", 1))),
            (99, Some(node("a", 1))),
            (100, None),
            (101, Some(node("here", 3))),
            (350, Some(node("b", 2))),
            (401, None),
            (16_383, Some(node("b", 2))),
        ] {
            assert_eq!(host(slot), expected, "{slot}");
        }
        assert_eq!(map.nodes.len(), 3);
        assert_eq!(map.number_of(node("b", 2)), 0);
        assert_eq!(map.number_of(node("c", 1)), 3);
    }

    #[test]
    fn what_is_no_map_is_none() {
        for reply in [
            Value::Null,
            Value::Array(Vec::new()),
            Value::Array(vec![Value::Integer(1)]),
            Value::Array(vec![range(-1, 5, "a", 1)]),
            Value::Array(vec![range(0, 5, "a", 70_000)]),
            Value::Array(vec![Value::Array(vec![
                Value::Integer(0),
                Value::Integer(1),
            ])]),
        ] {
            assert!(SlotMap::read(&reply, "h").is_none(), "{reply:?}");
        }
    }

    #[test]
    fn errors_send_on() {
        let of = |text: &str| Redirection::of(&Value::Error(text.into()), "here");
        let moved = |host, port| Some(Redirection::Moved(node(host, port)));
        assert_eq!(of("MOVED 1 10.0.0.1:7001"), moved("10.0.0.1", 7001));
        assert_eq!(of("MOVED 1 ::1:7001"), moved("::1", 7001));
        assert_eq!(of("MOVED 1 :7001"), moved("here", 7001));
        assert_eq!(of("ASK 1 h:1"), Some(Redirection::Ask(node("h", 1))));
        for other in ["ERR no", "MOVED", "MOVED 1", "MOVED 1 h", "MOVEDX 1 h:1"] {
            assert_eq!(of(other), None, "{other}");
        }
        assert_eq!(Redirection::of(&Value::Null, "h"), None);
    }
}
