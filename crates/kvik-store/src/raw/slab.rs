//! Things by number, for entries that hold four bytes to say where the rest of them is.
//!
//! Numbers come in parts of 512. Growing moves nothing that is there, and a part that is empty
//! gives its memory back. A number is given out again once it is free.

const PART: usize = 512;

/// Values addressed by small numbers, which are used again.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    parts: Vec<Part<T>>,
    /// The parts with free numbers. The last one is used first.
    open: Vec<u32>,
}

/// Up to [`PART`] things.
#[derive(Debug)]
struct Part<T> {
    things: Vec<T>,
    /// Which of them are free.
    free: Vec<u16>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            parts: Vec::new(),
            open: Vec::new(),
        }
    }
}

impl<T: Default> Slab<T> {
    /// The thing with this number, which is in use.
    pub(crate) fn get(&self, index: u32) -> &T {
        let (part, at) = locate(index);
        &self.parts[part].things[at]
    }

    /// The same, to change it.
    pub(crate) fn get_mut(&mut self, index: u32) -> &mut T {
        let (part, at) = locate(index);
        &mut self.parts[part].things[at]
    }

    /// The thing with this number: a default one, or none, if the number is not in use.
    pub(crate) fn find_mut(&mut self, index: u32) -> Option<&mut T> {
        let (part, at) = locate(index);
        self.parts.get_mut(part)?.things.get_mut(at)
    }

    /// A number that is beyond all that are in use.
    pub(crate) fn end(&self) -> u32 {
        (self.parts.len() * PART) as u32
    }

    pub(crate) fn insert(&mut self, thing: T) -> u32 {
        if self.open.is_empty() {
            let number = u32::try_from(self.parts.len()).expect("fewer than 2^32 in one stripe");
            self.parts.push(Part::new());
            self.open.push(number);
        }
        let number = *self.open.last().expect("pushed above");
        let part = &mut self.parts[number as usize];
        let at = part.insert(thing);
        if part.is_full() {
            self.open.pop();
        }
        number * PART as u32 + at as u32
    }

    pub(crate) fn remove(&mut self, index: u32) -> T {
        let (number, at) = locate(index);
        let part = &mut self.parts[number];
        if part.is_full() {
            self.open.push(number as u32);
        }
        part.remove(at)
    }
}

impl<T: Default> Part<T> {
    fn new() -> Self {
        Self {
            things: Vec::new(),
            free: Vec::new(),
        }
    }

    fn is_full(&self) -> bool {
        self.free.is_empty() && self.things.len() == PART
    }

    fn insert(&mut self, thing: T) -> usize {
        if let Some(at) = self.free.pop() {
            self.things[usize::from(at)] = thing;
            return usize::from(at);
        }
        if self.things.is_empty() {
            self.things.reserve_exact(PART);
        }
        self.things.push(thing);
        self.things.len() - 1
    }

    fn remove(&mut self, at: usize) -> T {
        let thing = std::mem::take(&mut self.things[at]);
        self.free.push(at as u16);
        if self.free.len() == self.things.len() {
            *self = Self::new();
        }
        thing
    }
}

fn locate(index: u32) -> (usize, usize) {
    (index as usize / PART, index as usize % PART)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_lead_to_what_was_put_there(steps in prop::collection::vec((0u8..5, any::<u32>()), 1..3000)) {
            let (mut slab, mut model) = (Slab::default(), HashMap::new());
            let mut numbers: Vec<u32> = Vec::new();
            // Mostly growing first, mostly shrinking then.
            for (n, (kind, random)) in steps.iter().enumerate() {
                let grows = (*kind > 0) == (n < steps.len() / 2);
                if grows || numbers.is_empty() {
                    let number = slab.insert(*random);
                    prop_assert!(number < slab.end());
                    prop_assert!(model.insert(number, *random).is_none(), "{number} was in use");
                    numbers.push(number);
                } else {
                    let number = numbers.swap_remove(*random as usize % numbers.len());
                    prop_assert_eq!(model.remove(&number), Some(slab.remove(number)));
                }
                for (number, thing) in model.iter().take(3) {
                    prop_assert_eq!(slab.get(*number), thing);
                }
            }
            for number in numbers {
                slab.remove(number);
            }
            let room: usize = slab.parts.iter().map(|part| part.things.capacity()).sum();
            prop_assert_eq!(room, 0, "an empty slab has no memory");
        }
    }
}
