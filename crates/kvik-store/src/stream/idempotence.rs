//! Which entries producers have added already: what lets a producer send an entry again after a
//! failure without adding it twice.
//!
//! A producer gives each entry an id of its own. For a while, and for so many of a producer's
//! latest entries, the stream knows which entry that was. An id is out of date when the entry it
//! belongs to is older than the duration; nobody sees it then, and it is freed when a later entry
//! is recorded: that of its own producer at once, those of others in turn. So no clock runs for
//! them, and what is seen depends on the time alone.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use super::id::StreamId;
use crate::UnixMs;

/// Other producers that are looked at whenever an entry is recorded.
const SWEPT: usize = 2;

/// The memory that a stream has of the entries of its producers.
#[derive(Clone, Debug)]
pub(super) struct Idempotence {
    /// For how long an entry is known, in seconds.
    pub(super) duration_s: u64,
    /// How many entries of one producer are known at most.
    pub(super) max_len: u64,
    /// Entries ever recorded.
    pub(super) added: u64,
    /// Entries that were not added again.
    pub(super) duplicates: u64,
    producers: BTreeMap<Box<[u8]>, Producer>,
    /// The producer that was looked at last for what is out of date.
    swept: Vec<u8>,
    /// Bytes of all producers.
    bytes: usize,
}

/// The entries of one producer that are known, the oldest first.
#[derive(Clone, Debug, Default)]
struct Producer {
    recorded: VecDeque<Recorded>,
    /// The number of the first of them; they are counted on from there.
    first: u64,
    /// The numbers of all in the order of their producer's ids.
    by_text: Vec<u64>,
    text_bytes: usize,
}

/// An entry and what its producer calls it.
#[derive(Clone, Debug)]
struct Recorded {
    text: Box<[u8]>,
    id: StreamId,
}

impl Producer {
    fn bytes(&self) -> usize {
        self.recorded.capacity() * size_of::<Recorded>()
            + self.by_text.capacity() * size_of::<u64>()
            + self.text_bytes
    }

    fn at(&self, number: u64) -> &Recorded {
        &self.recorded[number.wrapping_sub(self.first) as usize]
    }

    fn search(&self, text: &[u8]) -> Result<usize, usize> {
        self.by_text
            .binary_search_by(|number| (*self.at(*number).text).cmp(text))
    }

    fn find(&self, text: &[u8]) -> Option<StreamId> {
        let at = self.search(text).ok()?;
        Some(self.at(self.by_text[at]).id)
    }

    /// Adds an entry as the latest of its text.
    fn add(&mut self, text: &[u8], id: StreamId) {
        let at = match self.search(text) {
            Ok(at) => {
                self.forget(at);
                at
            }
            Err(at) => at,
        };
        let number = self.first.wrapping_add(self.recorded.len() as u64);
        self.by_text.insert(at, number);
        self.text_bytes += text.len();
        let text = text.into();
        self.recorded.push_back(Recorded { text, id });
    }

    /// Forgets the one at a place in the order of texts. Costs a walk over all: it happens only
    /// where the order of ids is not that in which they were recorded.
    fn forget(&mut self, at: usize) {
        let number = self.by_text.remove(at);
        let gone = self
            .recorded
            .remove(number.wrapping_sub(self.first) as usize);
        self.text_bytes -= gone.map_or(0, |it| it.text.len());
        for other in self.by_text.iter_mut().filter(|other| **other > number) {
            *other -= 1;
        }
    }

    /// Forgets the oldest.
    fn pop(&mut self) {
        let Some(oldest) = self.recorded.front() else {
            return;
        };
        if let Ok(at) = self.search(&oldest.text) {
            self.by_text.remove(at);
        }
        self.text_bytes -= oldest.text.len();
        self.recorded.pop_front();
        self.first = self.first.wrapping_add(1);
    }

    /// Forgets what is out of date, and the oldest beyond a number.
    fn prune(&mut self, live_from_ms: UnixMs, max_len: u64) {
        let is_old = |it: &Recorded| it.id.ms < live_from_ms;
        while self.recorded.len() as u64 > max_len || self.recorded.front().is_some_and(is_old) {
            self.pop();
        }
        let room = self.recorded.capacity();
        if self.recorded.len() < room / 4 {
            self.recorded.shrink_to(room / 2);
            self.by_text.shrink_to(room / 2);
        }
    }

    /// How many are not out of date.
    fn live(&self, live_from_ms: UnixMs) -> usize {
        let is_live = |it: &&Recorded| it.id.ms >= live_from_ms;
        self.recorded.iter().filter(is_live).count()
    }
}

impl Idempotence {
    pub(super) fn new(duration_s: u64, max_len: u64) -> Self {
        Self {
            duration_s,
            max_len,
            added: 0,
            duplicates: 0,
            producers: BTreeMap::new(),
            swept: Vec::new(),
            bytes: 0,
        }
    }

    /// Whether this says no more than Redis' defaults do.
    pub(super) fn is_blank(&self) -> bool {
        let terms = (self.duration_s, self.max_len);
        let counts = (self.added, self.duplicates);
        terms == (100, 100) && counts == (0, 0) && self.producers.is_empty()
    }

    /// Bytes allocated, with those of this itself.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.swept.capacity() + self.bytes
    }

    /// The first millisecond whose entries are not out of date.
    fn live_from_ms(&self, now: UnixMs) -> UnixMs {
        now.saturating_sub(self.duration_s * 1000)
            .saturating_add(1)
            .min(now)
    }

    /// The entry that a producer calls this, if it is known.
    pub(super) fn find(&self, producer: &[u8], text: &[u8], now: UnixMs) -> Option<StreamId> {
        let id = self.recorded(producer, text)?;
        (id.ms >= self.live_from_ms(now)).then_some(id)
    }

    /// The same, also if it is out of date.
    pub(super) fn recorded(&self, producer: &[u8], text: &[u8]) -> Option<StreamId> {
        self.producers.get(producer)?.find(text)
    }

    /// Notes an entry of a producer, which is not known.
    pub(super) fn record(&mut self, producer: &[u8], text: &[u8], id: StreamId, now: UnixMs) {
        self.added = self.added.wrapping_add(1);
        let (from, max_len) = (self.live_from_ms(now), self.max_len);
        self.change(producer, |it| {
            it.prune(from, max_len);
            it.add(text, id);
            it.prune(from, max_len);
        });
        self.sweep(from);
    }

    /// Adds an entry of a producer as a file has it; says whether it was new.
    pub(super) fn restore(&mut self, producer: &[u8], text: &[u8], id: StreamId) -> bool {
        if self.recorded(producer, text).is_some() {
            return false;
        }
        self.change(producer, |it| it.add(text, id));
        true
    }

    /// Forgets all producers.
    pub(super) fn clear(&mut self) {
        self.producers.clear();
        self.bytes = 0;
    }

    /// Frees a producer, and says whether there was one.
    pub(super) fn free_some(&mut self) -> bool {
        let Some((name, producer)) = self.producers.pop_first() else {
            return false;
        };
        self.bytes -= overhead(&name) + producer.bytes();
        true
    }

    /// Changes a producer, which is made if it is not there and goes if nothing of it is known.
    fn change(&mut self, name: &[u8], change: impl FnOnce(&mut Producer)) {
        if !self.producers.contains_key(name) {
            self.bytes += overhead(name);
            self.producers.insert(name.into(), Producer::default());
        }
        let producer = self.producers.get_mut(name).expect("made above");
        let before = producer.bytes();
        change(producer);
        self.bytes = self.bytes + producer.bytes() - before;
        if producer.recorded.is_empty() {
            self.bytes -= overhead(name) + producer.bytes();
            self.producers.remove(name);
        }
    }

    /// Forgets what is out of date of a few producers, who may never come back.
    fn sweep(&mut self, live_from_ms: UnixMs) {
        for _ in 0..SWEPT {
            let from = (Bound::Excluded(&self.swept[..]), Bound::Unbounded);
            let next = self.producers.range::<[u8], _>(from).next();
            let Some((name, producer)) = next else {
                self.swept.clear();
                return;
            };
            self.swept.clear();
            self.swept.extend_from_slice(name);
            // Most are up to date, and cost this look.
            let is_old = |it: &Recorded| it.id.ms < live_from_ms;
            if producer.recorded.front().is_some_and(is_old) {
                let (name, max_len) = (name.clone(), self.max_len);
                self.change(&name, |it| it.prune(live_from_ms, max_len));
            }
        }
    }

    /// How many producers and entries are known.
    pub(super) fn tracked(&self, now: UnixMs) -> (usize, usize) {
        let from = self.live_from_ms(now);
        let live = self.producers.values().map(|it| it.live(from));
        live.filter(|live| *live > 0)
            .fold((0, 0), |(producers, entries), live| {
                (producers + 1, entries + live)
            })
    }

    /// The producers in the order of their names, each with how many of its entries are known.
    pub(super) fn producers(&self) -> impl ExactSizeIterator<Item = (&[u8], usize)> {
        let producers = self.producers.iter();
        producers.map(|(name, producer)| (&**name, producer.recorded.len()))
    }

    /// The names that a producer has for its entries, the oldest first.
    pub(super) fn of_producer<'a>(
        &'a self,
        name: &[u8],
    ) -> impl Iterator<Item = (&'a [u8], StreamId)> + use<'a> {
        let producer = self.producers.get(name);
        let recorded = producer.into_iter().flat_map(|it| &it.recorded);
        recorded.map(|it| (&*it.text, it.id))
    }
}

/// Bytes of a producer besides what is known of it.
fn overhead(name: &[u8]) -> usize {
    size_of::<(Box<[u8]>, Producer)>() + name.len()
}

#[cfg(test)]
impl Idempotence {
    /// Bytes as they are allocated now.
    pub(super) fn counted_bytes(&self) -> usize {
        let each = self.producers.iter().map(|(name, it)| {
            let texts: usize = it.recorded.iter().map(|it| it.text.len()).sum();
            let rows = it.recorded.capacity() * size_of::<Recorded>();
            overhead(name) + texts + rows + it.by_text.capacity() * 8
        });
        size_of::<Self>() + self.swept.capacity() + each.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All that was ever recorded, oldest first.
    #[derive(Default)]
    struct Model(Vec<(u8, u8, StreamId)>);

    impl Model {
        fn find(&self, producer: u8, text: u8, now: u64, terms: (u64, u64)) -> Option<StreamId> {
            let own = self.0.iter().rev().filter(|it| it.0 == producer);
            let known = own.take(terms.1 as usize);
            let mut known = known.filter(|it| it.1 == text && it.2.ms + terms.0 * 1000 > now);
            known.next().map(|it| it.2)
        }
    }

    proptest! {
        #[test]
        fn what_is_known_is_what_a_list_of_all_says(
            calls in prop::collection::vec((0u8..6, 0u8..12, 0u64..900), 0..300),
            max_len in 1u64..6,
        ) {
            let terms = (3, max_len);
            let mut it = Idempotence::new(terms.0, terms.1);
            let (mut model, mut now, mut seq) = (Model::default(), 10_000, 0);
            for (producer, text, pass_ms) in calls {
                now += pass_ms;
                let found = it.find(&[producer], &[text], now);
                prop_assert_eq!(found, model.find(producer, text, now, terms));
                if found.is_none() {
                    seq += 1;
                    let id = StreamId::new(now, seq);
                    it.record(&[producer], &[text], id, now);
                    model.0.push((producer, text, id));
                }
                prop_assert_eq!(it.bytes(), it.counted_bytes());
                let known = |producer: u8| {
                    let texts = (0u8..12).filter(|text| it.find(&[producer], &[*text], now).is_some());
                    texts.count()
                };
                let all: Vec<usize> = (0..6).map(known).filter(|count| *count > 0).collect();
                prop_assert_eq!(it.tracked(now), (all.len(), all.iter().sum()));
            }
        }
    }

    #[test]
    fn producers_that_are_gone_are_forgotten() {
        let mut it = Idempotence::new(1, 100);
        for n in 0..100u64 {
            it.record(&n.to_be_bytes(), b"x", StreamId::new(n + 1, 0), n + 1);
        }
        for n in 0..60u64 {
            it.record(
                b"late",
                &n.to_be_bytes(),
                StreamId::new(10_000 + n, 0),
                10_000 + n,
            );
        }
        assert_eq!(it.producers().len(), 1);
        while it.free_some() {}
        assert_eq!(it.bytes(), it.counted_bytes());
    }
}
