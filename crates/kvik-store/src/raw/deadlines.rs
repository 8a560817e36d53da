//! When the next key of a table expires, without anything kept per key.
//!
//! Beside each segment with volatile keys lies the earliest deadline of each of its buckets; over
//! the segments lies a tournament tree of minima. A deadline is noted in O(log segments), mostly
//! one comparison; it is never taken back, so what is known is early when a deadline was moved or
//! its key is gone, and never late. Who finds a bucket due looks at its (at most twelve) keys and
//! either finds one that is due or learns the bucket's true minimum: each such look in vain is paid
//! for by a deadline noted before. The cost is 512 bytes for a segment of 300 to 740 keys.

use crate::UnixMs;

/// No deadline.
pub(crate) const NEVER: UnixMs = UnixMs::MAX;

/// The earliest deadlines of a table's segments, and of the buckets in them. One word while nothing
/// has ever expired, as in most of the tables of many small namespaces.
#[derive(Debug, Default)]
pub(crate) struct Deadlines(Option<Box<DeadlineTree>>);

/// The deadlines of a table in which something may expire.
#[derive(Debug, Default)]
struct DeadlineTree {
    buckets: Vec<Option<Box<[UnixMs]>>>,
    /// A complete binary tree: the root at 1, the leaves in its second half.
    minima: Vec<UnixMs>,
    bytes: usize,
}

impl Deadlines {
    /// A time before which nothing expires.
    #[inline]
    pub(crate) fn earliest(&self) -> UnixMs {
        self.0.as_ref().map_or(NEVER, |tree| tree.earliest())
    }

    /// Bytes allocated.
    pub(crate) fn bytes(&self) -> usize {
        let tree = self.0.as_ref();
        tree.map_or(0, |tree| size_of::<DeadlineTree>() + tree.bytes())
    }

    /// Notes that a key in this bucket, of `count` in the segment, expires at `at`.
    pub(crate) fn lower(&mut self, segment: usize, bucket: usize, count: usize, at: UnixMs) {
        let tree = self.0.get_or_insert_default();
        tree.lower(segment, bucket, count, at);
    }

    /// The earliest deadline noted for a bucket.
    pub(crate) fn of_bucket(&self, segment: usize, bucket: usize) -> UnixMs {
        let tree = self.0.as_ref();
        tree.map_or(NEVER, |tree| tree.of_bucket(segment, bucket))
    }

    /// Corrects what is known about a bucket.
    pub(crate) fn set(&mut self, segment: usize, bucket: usize, at: UnixMs) {
        if let Some(tree) = &mut self.0 {
            tree.set(segment, bucket, at);
        }
    }

    /// Forgets a segment.
    pub(crate) fn clear(&mut self, segment: usize) {
        if let Some(tree) = &mut self.0 {
            tree.clear(segment);
        }
    }

    /// Segment and bucket with the earliest deadline.
    pub(crate) fn first(&self) -> Option<(usize, usize)> {
        self.0.as_ref()?.first()
    }

    /// A bucket with a deadline, at random.
    pub(crate) fn sample(&self, random: u64) -> Option<(usize, usize)> {
        self.0.as_ref()?.sample(random)
    }

    /// Segments and buckets whose noted deadline has come by `now`.
    pub(crate) fn due(&self, now: UnixMs) -> impl Iterator<Item = (usize, usize)> {
        let tree = self.0.iter();
        tree.flat_map(move |tree| tree.due(now))
    }
}

impl DeadlineTree {
    #[inline]
    fn earliest(&self) -> UnixMs {
        self.minima.get(1).copied().unwrap_or(NEVER)
    }

    fn bytes(&self) -> usize {
        self.bytes
            + self.minima.capacity() * size_of::<UnixMs>()
            + self.buckets.capacity() * size_of::<Option<Box<[UnixMs]>>>()
    }

    fn lower(&mut self, segment: usize, bucket: usize, count: usize, at: UnixMs) {
        self.reach(segment);
        let bytes = &mut self.bytes;
        let buckets = self.buckets[segment].get_or_insert_with(|| {
            *bytes += count * size_of::<UnixMs>();
            vec![NEVER; count].into()
        });
        if at < buckets[bucket] {
            buckets[bucket] = at;
            if at < self.minima[self.minima.len() / 2 + segment] {
                self.set_minimum(segment, at);
            }
        }
    }

    fn of_bucket(&self, segment: usize, bucket: usize) -> UnixMs {
        let buckets = self.buckets.get(segment).and_then(Option::as_ref);
        buckets.map_or(NEVER, |buckets| buckets[bucket])
    }

    fn set(&mut self, segment: usize, bucket: usize, at: UnixMs) {
        if let Some(Some(buckets)) = self.buckets.get_mut(segment) {
            buckets[bucket] = at;
            let minimum = buckets.iter().copied().min().unwrap_or(NEVER);
            self.set_minimum(segment, minimum);
        }
    }

    fn clear(&mut self, segment: usize) {
        if let Some(buckets) = self.buckets.get_mut(segment).and_then(Option::take) {
            self.bytes -= size_of_val(&*buckets);
            self.set_minimum(segment, NEVER);
        }
    }

    fn first(&self) -> Option<(usize, usize)> {
        let earliest = self.earliest();
        if earliest == NEVER {
            return None;
        }
        let leaves = self.minima.len() / 2;
        let mut node = 1;
        while node < leaves {
            node = node * 2 + usize::from(self.minima[node * 2] != earliest);
        }
        let segment = node - leaves;
        let buckets = self.buckets[segment].as_ref()?;
        let bucket = buckets.iter().position(|&at| at == earliest)?;
        Some((segment, bucket))
    }

    fn sample(&self, random: u64) -> Option<(usize, usize)> {
        if self.earliest() == NEVER {
            return None;
        }
        let (leaves, mut node, mut bits) = (self.minima.len() / 2, 1, random);
        while node < leaves {
            let (left, right) = (node * 2, node * 2 + 1);
            let goes_right = match (self.minima[left], self.minima[right]) {
                (NEVER, _) => true,
                (_, NEVER) => false,
                _ => bits & 1 == 1,
            };
            bits >>= 1;
            node = if goes_right { right } else { left };
        }
        let segment = node - leaves;
        let buckets = self.buckets[segment].as_ref()?;
        let start = (random >> 40) as usize % buckets.len();
        let mut places = (start..buckets.len()).chain(0..start);
        let bucket = places.find(|&bucket| buckets[bucket] != NEVER)?;
        Some((segment, bucket))
    }

    fn due(&self, now: UnixMs) -> impl Iterator<Item = (usize, usize)> {
        let leaves = self.minima.len() / 2;
        let mut nodes = Vec::from_iter((leaves > 0).then_some(1));
        let segments = std::iter::from_fn(move || {
            while let Some(node) = nodes.pop() {
                match self.minima[node] <= now {
                    true if node >= leaves => return Some(node - leaves),
                    true => nodes.extend([node * 2 + 1, node * 2]),
                    false => {}
                }
            }
            None
        });
        segments.flat_map(move |segment| {
            let buckets = self.buckets[segment].iter().flatten().enumerate();
            let due = buckets.filter(move |&(_, &at)| at <= now);
            due.map(move |(bucket, _)| (segment, bucket))
        })
    }

    fn reach(&mut self, segment: usize) {
        if segment >= self.buckets.len() {
            self.buckets.resize_with(segment + 1, || None);
        }
        let leaves = self.minima.len() / 2;
        if segment >= leaves {
            self.grow((segment + 1).next_power_of_two());
        }
    }

    fn grow(&mut self, leaves: usize) {
        let old = std::mem::replace(&mut self.minima, vec![NEVER; leaves * 2]);
        let known = &old[old.len() / 2..];
        self.minima[leaves..leaves + known.len()].copy_from_slice(known);
        for node in (1..leaves).rev() {
            self.minima[node] = self.minima[node * 2].min(self.minima[node * 2 + 1]);
        }
    }

    fn set_minimum(&mut self, segment: usize, at: UnixMs) {
        let mut node = self.minima.len() / 2 + segment;
        self.minima[node] = at;
        while node > 1 {
            node /= 2;
            let minimum = self.minima[node * 2].min(self.minima[node * 2 + 1]);
            if self.minima[node] == minimum {
                return;
            }
            self.minima[node] = minimum;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn knows_the_minimum(ops in prop::collection::vec((0usize..40, 0usize..4, 0u64..100, 0u8..5), 1..200)) {
            let (mut deadlines, mut model) = (Deadlines::default(), BTreeMap::<(usize, usize), u64>::new());
            for (segment, bucket, at, op) in ops {
                match op {
                    0 => {
                        deadlines.clear(segment);
                        model.retain(|&(s, _), _| s != segment);
                    }
                    1 if deadlines.0.as_ref().is_some_and(|tree| tree.buckets.get(segment).is_some_and(Option::is_some)) => {
                        deadlines.set(segment, bucket, at);
                        model.insert((segment, bucket), at);
                    }
                    _ => {
                        deadlines.lower(segment, bucket, 4, at);
                        let known = model.entry((segment, bucket)).or_insert(at);
                        *known = at.min(*known);
                    }
                }
                let least = model.values().min().copied();
                prop_assert_eq!(deadlines.earliest(), least.unwrap_or(NEVER));
                prop_assert_eq!(deadlines.first().and_then(|place| model.get(&place).copied()), least);
                let due: Vec<_> = deadlines.due(at).collect();
                let known = model.iter().filter(|&(_, &noted)| noted <= at);
                prop_assert_eq!(due, known.map(|(&place, _)| place).collect::<Vec<_>>());
            }
        }
    }
}
