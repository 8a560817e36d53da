//! The nodes of a cluster in one process: each I/O thread has a port of its own, the cluster port,
//! and a run of the 16,384 hash slots.
//!
//! All of them serve one store. A port owns whole stripes, so that the keys of its slots are those
//! that its thread alone uses, as long as clients go where the slots are. Nodes are numbered from 0
//! on, like the threads. Nothing about them changes while the server runs.

use std::ops::Range;

use kvik_store::SLOTS;

/// The address of a client that did not come by TCP.
const LOCAL: &str = "127.0.0.1";

/// Which node has which slots, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    ports: Box<[u16]>,
    stripes: usize,
}

/// The slots from the first one to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotRange {
    /// The first.
    pub first: u16,
    /// The last.
    pub last: u16,
}

/// The node whose port a client came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its number.
    pub index: u16,
    /// The stripes of its slots.
    pub stripes: Range<usize>,
}

impl Topology {
    /// Nodes at these ports of a store with so many stripes, a power of two and at least one for
    /// each node.
    pub fn new(ports: impl Into<Box<[u16]>>, stripes: usize) -> Self {
        let ports = ports.into();
        debug_assert!(!ports.is_empty() && ports.len() <= stripes);
        Self { ports, stripes }
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.ports.len()
    }

    /// Whether there are none, which is never so.
    pub fn is_empty(&self) -> bool {
        self.ports.is_empty()
    }

    /// The port of a node.
    pub fn port_of(&self, index: usize) -> u16 {
        self.ports[index]
    }

    /// The node that a thread serves.
    pub fn node(&self, index: u16) -> Node {
        let stripes = self.stripes_before(index.into())..self.stripes_before(index as usize + 1);
        Node { index, stripes }
    }

    /// The slots of a node.
    pub fn slots_of(&self, index: usize) -> SlotRange {
        let each = usize::from(SLOTS) / self.stripes;
        let first = self.stripes_before(index) * each;
        let last = self.stripes_before(index + 1) * each - 1;
        SlotRange {
            first: first as u16,
            last: last as u16,
        }
    }

    /// The number of the node that has a slot.
    pub fn owner_of(&self, slot: u16) -> usize {
        let stripe = usize::from(slot) * self.stripes / usize::from(SLOTS);
        ((stripe + 1) * self.len() - 1) / self.stripes
    }

    /// The id of a node: 40 hexadecimal digits, the same at every start.
    pub fn id_of(index: usize) -> String {
        format!("{:040x}", index + 1)
    }

    /// The number of the node with this id.
    pub fn named(&self, id: &[u8]) -> Option<usize> {
        (0..self.len()).find(|&index| Self::id_of(index).as_bytes() == id)
    }

    /// Stripes of the nodes before one: each gets the same number, or one more.
    fn stripes_before(&self, index: usize) -> usize {
        index * self.stripes / self.len()
    }
}

/// The mode of the server, as one sees it who is a client of a node or not.
pub(crate) fn mode_seen(by_client_of_node: bool) -> &'static str {
    match by_client_of_node {
        true => "cluster",
        false => "standalone",
    }
}

/// The host of an address with a port.
pub(crate) fn host_of(address: &str) -> &str {
    match address.rsplit_once(':') {
        Some((host, _)) if !host.is_empty() && !host.starts_with('/') => {
            host.trim_start_matches('[').trim_end_matches(']')
        }
        _ => LOCAL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_has_one_owner() {
        for nodes in [1, 2, 3, 5, 8, 16, 17, 64] {
            let stripes = (16 * nodes as usize).next_power_of_two().min(1024);
            let topology = Topology::new(vec![7; nodes as usize], stripes);
            let mut next = 0;
            for index in 0..topology.len() {
                let SlotRange { first, last } = topology.slots_of(index);
                assert_eq!((first, index == 0), (next, first == 0));
                for slot in first..=last {
                    assert_eq!(topology.owner_of(slot), index, "{nodes} nodes, {slot}");
                    let stripe = usize::from(slot) * stripes / usize::from(SLOTS);
                    assert!(topology.node(index as u16).stripes.contains(&stripe));
                }
                next = last + 1;
            }
            assert_eq!(next, SLOTS);
        }
    }

    #[test]
    fn ids_name_nodes() {
        let topology = Topology::new([7001, 7002], 32);
        let id = Topology::id_of(1);
        assert_eq!((id.len(), topology.named(id.as_bytes())), (40, Some(1)));
        assert_eq!(topology.named(b"2"), None);
        assert_eq!(topology.named(Topology::id_of(2).as_bytes()), None);
    }

    #[test]
    fn an_address_without_a_host_is_this_machine() {
        assert_eq!(host_of("10.0.0.1:7001"), "10.0.0.1");
        assert_eq!(host_of("[::1]:7001"), "::1");
        for local in ["", ":0", "/tmp/kvik.sock:0"] {
            assert_eq!(host_of(local), LOCAL);
        }
    }
}
