//! Things by number, for entries that hold four bytes to say where the rest of them is.
//!
//! Growing moves nothing that is there. A number is given out again once it is free.

const PART: usize = 512;

/// Values addressed by small numbers, which are used again.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    /// Parts of a fixed size, so that growing moves nothing.
    parts: Vec<Vec<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            parts: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T: Default> Slab<T> {
    pub(crate) fn get(&self, index: u32) -> &T {
        let (part, at) = locate(index);
        &self.parts[part][at]
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> &mut T {
        let (part, at) = locate(index);
        &mut self.parts[part][at]
    }

    /// How many numbers have ever been given out.
    pub(crate) fn end(&self) -> u32 {
        let full = self.parts.len().saturating_sub(1) * PART;
        (full + self.parts.last().map_or(0, Vec::len)) as u32
    }

    pub(crate) fn insert(&mut self, thing: T) -> u32 {
        let index = self.free.pop().unwrap_or_else(|| self.add());
        *self.get_mut(index) = thing;
        index
    }

    pub(crate) fn remove(&mut self, index: u32) -> T {
        self.free.push(index);
        std::mem::take(self.get_mut(index))
    }

    fn add(&mut self) -> u32 {
        if self.parts.last().is_none_or(|part| part.len() == PART) {
            self.parts.push(Vec::with_capacity(PART));
        }
        let before = (self.parts.len() - 1) * PART;
        let part = self.parts.last_mut().expect("pushed above");
        part.push(T::default());
        u32::try_from(before + part.len() - 1).expect("fewer than 2^32 in one stripe")
    }
}

fn locate(index: u32) -> (usize, usize) {
    (index as usize / PART, index as usize % PART)
}
