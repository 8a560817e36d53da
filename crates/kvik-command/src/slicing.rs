//! Work in slices: a handler that touches many elements does so some at a time, and lets others
//! have the stripes in between.
//!
//! A change in slices is one change all the same: its key is pinned, its effects are one unit, and
//! one event tells of it.

use std::ops::Range;

use kvik_store::EventClasses;

use crate::{Ctx, Error, SLICE};

/// The events of a change in slices that are told with the first slice that changes something. That
/// the key goes is told with the last.
const SAID_ONCE: EventClasses = EventClasses::ALL.without(EventClasses::GENERIC);

/// Elements that are changed while the stripes are held once: each may be looked for in a table and
/// in an order, and a segment be split for it.
pub(crate) const CHANGED_AT_ONCE: usize = SLICE / 4;

impl<'a> Ctx<'a> {
    /// Reads so many parts in slices. `read` is given the parts of each; it looks the key up anew.
    ///
    /// # Errors
    /// As [`Self::weigh`] and [`Self::breathe`], and those of `read`.
    pub(crate) fn read_in_slices(
        &mut self,
        parts: usize,
        mut read: impl FnMut(&mut Self, Range<usize>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.weigh(parts)?;
        for start in (0..parts).step_by(SLICE) {
            if start > 0 {
                self.breathe()?;
            }
            read(self, start..parts.min(start + SLICE))?;
        }
        Ok(())
    }

    /// Changes so many parts in slices. `change` is given the parts of each; it looks the key up
    /// anew. What it refuses, it refuses with the first slice.
    ///
    /// # Errors
    /// As [`Self::weigh`], and those of `change`.
    pub(crate) fn change_in_slices(
        &mut self,
        parts: usize,
        mut change: impl FnMut(&mut Self, Range<usize>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.weigh(parts)?;
        let mut start = 0;
        self.change_while(|ctx| {
            let end = parts.min(start + CHANGED_AT_ONCE);
            if start < end {
                change(ctx, start..end)?;
            }
            start = end;
            Ok(end < parts)
        })
    }

    /// The same where it is not known how many slices there are: `change` says whether there is
    /// another one. The caller has [weighed](Self::weigh) the change.
    ///
    /// # Errors
    /// Those of `change`.
    pub(crate) fn change_while(
        &mut self,
        mut change: impl FnMut(&mut Self) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let (before, mut wanted) = (self.keys.stats().changes, None);
        while change(self)? {
            // It goes on to its end, whether its client is still there or not.
            self.let_go();
            if wanted.is_none() && self.keys.stats().changes > before {
                wanted = Some(self.keys.mute(SAID_ONCE));
            }
        }
        if let Some(wanted) = wanted {
            self.keys.unmute(wanted);
        }
        Ok(())
    }
}
