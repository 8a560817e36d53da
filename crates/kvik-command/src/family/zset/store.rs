//! Members that are to be stored under another key.

use std::ops::Range;

use kvik_store::{Guard, IntText, StringRef};

use crate::Error;

/// Members with their scores, copied from where they were.
#[derive(Debug, Default)]
pub(in crate::family) struct Results {
    names: Vec<u8>,
    items: Vec<(Range<usize>, f64)>,
    longest: usize,
}

impl Results {
    pub(in crate::family) fn len(&self) -> usize {
        self.items.len()
    }

    pub(in crate::family) fn push(&mut self, name: StringRef<'_>, score: f64) {
        let start = self.names.len();
        let mut room = IntText::default();
        self.names.extend_from_slice(name.text(&mut room));
        let end = self.names.len();
        self.longest = self.longest.max(end - start);
        self.items.push((start..end, score));
    }

    /// Puts the members in the place of whatever a key holds. Without members the key is gone.
    pub(in crate::family) fn store(&self, keys: &mut Guard<'_>, key: &[u8]) -> Result<(), Error> {
        keys.delete(key);
        if self.items.is_empty() {
            return Ok(());
        }
        let mut zset = keys.entry(key).zset_mut()?;
        zset.expect(self.len(), self.longest);
        for (name, score) in &self.items {
            zset.update(&self.names[name.clone()], |_| Some(*score));
        }
        Ok(())
    }
}
