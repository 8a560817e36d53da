//! Output that must not be seen before the effects it reveals are durable.
//!
//! With a log that acknowledges what is on the disk, a reply waits for a log position: that of its
//! own effects, or of what it has read. Until then its bytes are held here, in front of the driver.
//! They count as unsent output in every respect: the output limits, the mark from which nothing
//! more runs, closing after the last reply, moving to another thread.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use kvik_resp::Output;

use crate::durability::{Durability, Holding};
use crate::net::ConnId;

/// The held output of one connection, in the order in which it is to be sent.
#[derive(Debug, Default)]
pub(super) struct Held {
    outputs: VecDeque<(u64, Output)>,
    bytes: usize,
}

impl Held {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.outputs.is_empty()
    }

    /// How many outputs are held.
    pub(super) fn len(&self) -> usize {
        self.outputs.len()
    }

    /// Bytes of all that is held.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The position that the first output waits for.
    pub(super) fn first_lsn(&self) -> Option<u64> {
        self.outputs.front().map(|(lsn, _)| *lsn)
    }

    pub(super) fn push(&mut self, lsn: u64, output: Output) {
        self.bytes += output.len();
        self.outputs.push_back((lsn, output));
    }

    /// The next output that waits for nothing beyond `durable`.
    pub(super) fn pop(&mut self, durable: u64) -> Option<Output> {
        let (_, output) = self.outputs.pop_front_if(|(lsn, _)| *lsn <= durable)?;
        self.bytes -= output.len();
        Some(output)
    }
}

/// The connections of one thread that hold output, by the position that their first one waits for.
#[derive(Debug, Default)]
pub(super) struct Holders {
    heap: BinaryHeap<Reverse<(u64, ConnId)>>,
    /// How far the log was durable, and how often effects had been lost, when this thread last
    /// looked.
    durable: u64,
    losses: u64,
}

impl Holders {
    /// Whether output that reveals effects up to `lsn` must be held.
    #[inline]
    pub(super) fn must_hold(&mut self, lsn: u64, log: &Durability, holding: &Holding) -> bool {
        lsn > self.durable && self.look(lsn, log, holding)
    }

    #[cold]
    fn look(&mut self, lsn: u64, log: &Durability, holding: &Holding) -> bool {
        let waits = log.must_hold(holding, lsn);
        self.durable = log.lsn();
        waits
    }

    /// The first output of a connection waits for this position.
    pub(super) fn note(&mut self, lsn: u64, id: ConnId) {
        self.heap.push(Reverse((lsn, id)));
    }

    /// How far the log is durable, as far as this thread knows.
    pub(super) fn durable(&self) -> u64 {
        self.durable
    }

    /// Looks how far the log is durable. Says whether effects were lost since the last look.
    pub(super) fn refresh(&mut self, log: &Durability, holding: &Holding) -> bool {
        if let Some(Reverse((lsn, _))) = self.heap.peek() {
            // The thread was woken for what it held; it is to be woken again for the rest.
            log.must_hold(holding, *lsn);
        }
        self.durable = log.lsn();
        let losses = log.losses();
        std::mem::replace(&mut self.losses, losses) != losses
    }

    /// The next connection whose first output need not wait any more. It may have gone.
    pub(super) fn pop(&mut self) -> Option<ConnId> {
        let Reverse((lsn, id)) = *self.heap.peek()?;
        if lsn > self.durable {
            return None;
        }
        self.heap.pop();
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_leave_in_order_and_are_counted() {
        let mut held = Held::default();
        held.push(5, b"first".to_vec().into());
        held.push(3, b"second".to_vec().into());
        assert_eq!((held.bytes(), held.first_lsn()), (11, Some(5)));
        assert!(held.pop(4).is_none(), "nothing overtakes the first");
        assert_eq!(held.pop(5).map(Output::into_bytes), Some(b"first".to_vec()));
        assert_eq!(
            held.pop(5).map(Output::into_bytes),
            Some(b"second".to_vec())
        );
        assert_eq!((held.bytes(), held.is_empty()), (0, true));
    }

    #[test]
    fn holders_come_by_position() {
        let (log, holding, mut holders) = (Durability::new(), Holding::new(), Holders::default());
        for (lsn, slot) in [(9, 1), (4, 2), (6, 3)] {
            assert!(holders.must_hold(lsn, &log, &holding));
            holders.note(lsn, ConnId::of_index(slot));
        }
        log.advance(6);
        assert!(holding.take());
        assert!(!holders.refresh(&log, &holding));
        assert_eq!(holders.pop(), Some(ConnId::of_index(2)));
        assert_eq!(holders.pop(), Some(ConnId::of_index(3)));
        assert_eq!(holders.pop(), None);
        log.lose();
        assert!(holding.take(), "it still holds something");
        assert!(holders.refresh(&log, &holding));
        assert!(!holders.refresh(&log, &holding));
    }
}
