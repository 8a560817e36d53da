//! The four bytes by which everything names an entry.

use std::num::NonZeroU32;

const CELL_BITS: u32 = 12;

/// Pages that one arena can have.
pub(super) const MAX_PAGES: usize = 1 << (u32::BITS - CELL_BITS);

/// Names a cell of one arena by page and place in the page. It stays good until the cell is freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EntryRef(NonZeroU32);

impl EntryRef {
    pub(crate) fn from_bits(bits: u32) -> Option<Self> {
        NonZeroU32::new(bits).map(Self)
    }

    pub(crate) fn bits(self) -> u32 {
        self.0.get()
    }

    pub(super) fn new(page: usize, cell: usize) -> Self {
        let page = u32::try_from(page).expect("pages are counted in 20 bits");
        Self::from_bits(page << CELL_BITS | cell as u32).expect("pages are counted from 1")
    }

    #[inline]
    pub(super) fn page(self) -> usize {
        (self.0.get() >> CELL_BITS) as usize
    }

    #[inline]
    pub(super) fn cell(self) -> usize {
        (self.0.get() & ((1 << CELL_BITS) - 1)) as usize
    }
}
