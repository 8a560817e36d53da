//! The memory of a stripe as a large collection sees it.
//!
//! Members of a large collection are entries in the stripe's cells, found by hashing their names.
//! Whatever reads or changes such a collection needs the cells and the layout together; whatever
//! changes one also needs the journals of the copies that are being made of it. Every change of a
//! member passes through [`MemoryMut`].

use crate::cells::Cells;
use crate::journal::Journals;
use crate::layout::Layout;

/// Cells to read, and the layout by which names are found in them.
#[derive(Clone, Copy)]
pub(crate) struct Memory<'a> {
    pub(crate) cells: &'a Cells,
    pub(crate) layout: &'a Layout,
}

/// Cells to change, the journals that are told of the changes, and the layout.
pub(crate) struct MemoryMut<'a> {
    pub(crate) cells: &'a mut Cells,
    pub(crate) journals: &'a mut Journals,
    pub(crate) layout: &'a Layout,
}

impl MemoryMut<'_> {
    /// The same to read.
    #[inline]
    pub(crate) fn read(&self) -> Memory<'_> {
        Memory {
            cells: self.cells,
            layout: self.layout,
        }
    }
}
