//! The elements of an array between two indexes, from either end.
//!
//! Costs O(log n) for the first one, and for the rest a step for each element and for each of a
//! slice that the range only begins or ends in. Holes cost nothing.

use super::slice::{Slice, SliceIter};
use crate::packed::Element;
use crate::sequence::{Sequence, SequencePosition};

/// Indexes with their values, in order or from the last on.
#[derive(Clone, Debug)]
pub struct ArrayRange<'a> {
    slices: &'a Sequence<Slice>,
    next: Option<SequencePosition>,
    elements: Option<SliceIter<'a>>,
    first: u64,
    last: u64,
    is_back: bool,
}

impl<'a> ArrayRange<'a> {
    /// The elements from `first` to `last`, both of them included.
    pub(super) fn new(slices: &'a Sequence<Slice>, first: u64, last: u64, is_back: bool) -> Self {
        let next = if is_back {
            slices.up_to(last)
        } else {
            Some(slices.up_to(first).unwrap_or(slices.start()))
        };
        Self {
            slices,
            next,
            elements: None,
            first,
            last,
            is_back,
        }
    }

    /// The next element of any slice, in the range or not.
    fn any(&mut self) -> Option<(u64, Element<'a>)> {
        loop {
            let elements = self.elements.as_mut();
            let element = elements.and_then(|it| match self.is_back {
                true => it.next_back(),
                false => it.next(),
            });
            if element.is_some() {
                return element;
            }
            let at = self.next?;
            self.elements = Some(self.slices.at(at)?.iter());
            self.next = match self.is_back {
                true => self.slices.before(at),
                false => Some(self.slices.after(at)),
            };
        }
    }
}

impl<'a> Iterator for ArrayRange<'a> {
    type Item = (u64, Element<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let element = self.any()?;
            let (is_before, is_behind) = (element.0 < self.first, element.0 > self.last);
            if !is_before && !is_behind {
                return Some(element);
            }
            // Behind the end of the range there is nothing more of it.
            if is_behind != self.is_back {
                return None;
            }
        }
    }
}
