//! The memory of a stripe's entries: cells in pages of 64 KiB, one size of cell to a page.
//!
//! A reference is the number of a page and of a cell in it. Since the stripe owns the arena, the
//! stripe's lock owns the memory: no atomics, nothing freed by others. Free cells of a page form a
//! list through their first two bytes; cells that were never used lie behind the others and are not
//! touched, so that a page costs no more memory than it holds.
//!
//! The page directory can be read without the lock, to compute where an entry is and fetch it into
//! the cache; reading the entry itself is for the owner. All slices come from `&self` or `&mut
//! self`, and a reference to a page that is gone panics; one to a cell that has another owner by
//! now is a broken invariant of the caller, but stays inside the arena.
//!
//! Pages that a mass deletion left sparse are emptied by [`Arena::begin_compaction`], after which
//! [`Arena::relocate`] moves whatever entry of theirs it is offered, until
//! [`Arena::end_compaction`].

use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::class::{CLASSES, bytes_of, class_for};
use super::entry_ref::{EntryRef, MAX_PAGES};
use super::line::{LINE, fetch};
use super::pool::{self, PAGE_BYTES, Page};
use super::stable::StableVec;

/// Pages up to which the directory is one array; looking one up is quickest there.
const FIRST_PAGES: usize = 512;
const NO_CELL: u16 = u16::MAX;
const NO_PAGE: u32 = 0;
/// A page is sparse when less than this part of its cells is used.
const SPARSE: (usize, usize) = (1, 2);

/// Where pages are, readable without the lock: the address of a page, aligned, plus its cells'
/// size.
#[derive(Default)]
pub(crate) struct PageDirectory(StableVec<AtomicPtr<u8>, FIRST_PAGES>);

/// The memory of a stripe's cells, in pages of one size of cell each.
pub(crate) struct Arena {
    directory: Arc<PageDirectory>,
    /// By number, from 1 on.
    pages: Vec<PageMeta>,
    /// First of the list of pages with free cells, by class.
    open: [u32; CLASSES],
    /// Numbers of pages that were given back.
    unused: Vec<u32>,
    /// The page that was emptied last, for the next one that is needed: to go through the pool each
    /// time an entry comes and goes alone in its size would take longer than all else.
    spare: Option<Page>,
    live_bytes: usize,
    touched_bytes: usize,
}

/// A page as its arena knows it.
#[derive(Clone, Copy, Debug, Default)]
struct PageMeta {
    class: u8,
    state: PageState,
    live: u16,
    /// Cells from here on were never used.
    fresh: u16,
    free: u16,
    before: u32,
    after: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum PageState {
    #[default]
    Gone,
    /// Has free cells and is on its class's list.
    Open,
    Full,
    /// Is being emptied: gets nothing new.
    Closing,
}

impl PageDirectory {
    /// Where an entry is, if its page exists; only an address, since without the lock nobody may
    /// read there.
    #[inline]
    pub(crate) fn address(&self, entry: EntryRef) -> Option<*const u8> {
        let (start, bytes) = self.page(entry.page());
        (bytes != 0).then(|| start.wrapping_add(entry.cell() * bytes).cast_const())
    }

    /// Address of a page and size of its cells, 0 if there is no such page.
    #[inline]
    fn page(&self, number: usize) -> (*mut u8, usize) {
        let word = self
            .0
            .get(number)
            .map_or(ptr::null_mut(), |word| word.load(Ordering::Relaxed));
        let bytes = word.addr() & (PAGE_BYTES - 1);
        (word.wrapping_sub(bytes), bytes)
    }

    fn set(&self, number: usize, page: *mut u8, bytes: usize) {
        self.0
            .reach(number)
            .store(page.wrapping_add(bytes), Ordering::Relaxed);
    }
}

impl Arena {
    pub(crate) fn new() -> Self {
        Self {
            directory: Arc::default(),
            pages: vec![PageMeta::default()],
            open: [NO_PAGE; CLASSES],
            unused: Vec::new(),
            spare: None,
            live_bytes: 0,
            touched_bytes: 0,
        }
    }

    pub(crate) fn directory(&self) -> &Arc<PageDirectory> {
        &self.directory
    }

    /// Bytes of cells in use.
    pub(crate) fn live_bytes(&self) -> usize {
        self.live_bytes
    }

    /// Bytes of cells in use or free: what the arena keeps resident.
    pub(crate) fn touched_bytes(&self) -> usize {
        self.touched_bytes
    }

    /// A cell of at least `bytes`, with whatever contents.
    #[inline]
    pub(crate) fn alloc(&mut self, bytes: usize) -> EntryRef {
        let class = class_for(bytes);
        let number = match self.open[class] {
            NO_PAGE => self.open_page(class),
            open => open as usize,
        };
        self.live_bytes += bytes_of(class);
        let page = &mut self.pages[number];
        page.live += 1;
        let cell = page.free;
        // The free cells of a page are used before those that were never touched: these are not
        // resident yet.
        if cell == NO_CELL {
            let entry = EntryRef::new(number, usize::from(page.fresh));
            page.fresh += 1;
            self.touched_bytes += bytes_of(class);
            self.close_if_full(number);
            return entry;
        }
        let entry = EntryRef::new(number, usize::from(cell));
        // A free cell holds the number of the next free one of its page.
        let next = self.bytes(entry)[..2].try_into().expect("two bytes");
        self.pages[number].free = u16::from_ne_bytes(next);
        self.close_if_full(number);
        entry
    }

    /// Takes a cell back.
    #[inline]
    pub(crate) fn free(&mut self, entry: EntryRef) {
        let number = entry.page();
        // The last cell to be freed is the first to be used again: it is in the cache.
        let next = self.pages[number].free;
        let cell = self.bytes_mut(entry);
        cell[..2].copy_from_slice(&next.to_ne_bytes());
        self.live_bytes -= cell.len();
        let page = &mut self.pages[number];
        page.free = entry.cell() as u16;
        page.live -= 1;
        match page.state {
            _ if page.live == 0 => self.emptied(number),
            PageState::Full => self.link(number),
            PageState::Open | PageState::Closing => {}
            PageState::Gone => unreachable!("an entry's page exists"),
        }
    }

    /// The bytes of a cell.
    #[inline]
    pub(crate) fn bytes(&self, entry: EntryRef) -> &[u8] {
        let (start, bytes) = self.cell(entry);
        // Most cells lie across two lines; the second one is on its way while the first is looked
        // at.
        fetch(start.wrapping_add(bytes.min(LINE) - 1));
        // SAFETY: `cell` gives a range of a page this arena owns, made of initialized bytes;
        // `&self` keeps others from writing there.
        unsafe { std::slice::from_raw_parts(start, bytes) }
    }

    /// The bytes of a cell, to change them.
    #[inline]
    pub(crate) fn bytes_mut(&mut self, entry: EntryRef) -> &mut [u8] {
        let (start, bytes) = self.cell(entry);
        // SAFETY: as in `bytes`; `&mut self` keeps others from reading or writing there.
        unsafe { std::slice::from_raw_parts_mut(start, bytes) }
    }

    /// The bytes of one cell beside those of another one, to change the latter.
    pub(crate) fn pair(&mut self, from: EntryRef, to: EntryRef) -> (&[u8], &mut [u8]) {
        assert_ne!(from, to, "two cells are asked for");
        let ((from, from_bytes), (to, to_bytes)) = (self.cell(from), self.cell(to));
        // SAFETY: as in `bytes` and `bytes_mut`. Cells of one page do not overlap, for they have
        // one size; those of different pages do not either.
        unsafe {
            (
                std::slice::from_raw_parts(from, from_bytes),
                std::slice::from_raw_parts_mut(to, to_bytes),
            )
        }
    }

    /// Start and size of a cell of a page that this arena owns.
    #[inline]
    fn cell(&self, entry: EntryRef) -> (*mut u8, usize) {
        let (start, bytes) = self.directory.page(entry.page());
        let offset = entry.cell() * bytes;
        assert!(
            bytes != 0 && offset + bytes <= PAGE_BYTES,
            "a reference leads to a cell of a page"
        );
        // SAFETY: only `open_page` puts pages into the directory, which it got from the pool, and
        // `give_back` takes them out; the offset was checked to lie inside.
        (unsafe { start.add(offset) }, bytes)
    }

    /// Gives back the page that was kept.
    pub(crate) fn give_spare(&mut self) {
        self.spare.take().into_iter().for_each(pool::give);
    }

    /// Marks sparse pages to be emptied, if that frees any, and says whether it did.
    pub(crate) fn begin_compaction(&mut self) -> bool {
        let mut sparse = [0u32; CLASSES];
        let is_sparse = |page: &PageMeta| page.state == PageState::Open && page.is_sparse();
        // Counted by class first, because entries move to other pages of their class only.
        for page in self.pages.iter().filter(|page| is_sparse(page)) {
            sparse[usize::from(page.class)] += 1;
        }
        let mut begun = false;
        for number in 1..self.pages.len() {
            let page = self.pages[number];
            // One page alone has nowhere to go.
            let left = &mut sparse[usize::from(page.class)];
            if is_sparse(&page) && *left > 1 {
                *left -= 1;
                self.unlink(number);
                self.pages[number].state = PageState::Closing;
                begun = true;
            }
        }
        begun
    }

    /// Moves an entry out of a page that is being emptied and returns where it is now.
    pub(crate) fn relocate(&mut self, entry: EntryRef) -> Option<EntryRef> {
        let page = self.pages[entry.page()];
        if page.state != PageState::Closing {
            return None;
        }
        let to = self.alloc(bytes_of(usize::from(page.class)));
        let (old, new) = self.pair(entry, to);
        new.copy_from_slice(old);
        self.free(entry);
        Some(to)
    }

    /// Uses again what is left of the pages that were to be emptied.
    pub(crate) fn end_compaction(&mut self) {
        for number in 1..self.pages.len() {
            if self.pages[number].state == PageState::Closing {
                self.link(number);
            }
        }
    }

    /// Starts a page of a class and returns its number.
    #[cold]
    fn open_page(&mut self, class: usize) -> usize {
        let number = self.unused.pop().map_or(self.pages.len(), |n| n as usize);
        assert!(number < MAX_PAGES, "64 GiB in one stripe");
        if number == self.pages.len() {
            self.pages.push(PageMeta::default());
        }
        let page = self.spare.take().unwrap_or_else(pool::take);
        let start = page.start().as_ptr();
        self.directory.set(number, start, bytes_of(class));
        self.pages[number] = PageMeta {
            class: class as u8,
            free: NO_CELL,
            ..PageMeta::default()
        };
        self.link(number);
        number
    }

    fn close_if_full(&mut self, number: usize) {
        let page = &self.pages[number];
        if page.free == NO_CELL && usize::from(page.fresh) == page.capacity() {
            self.unlink(number);
            self.pages[number].state = PageState::Full;
        }
    }

    /// Ends a page without entries. No size keeps one: there are many sizes, and a collection that
    /// grows passes through all of them.
    #[cold]
    fn emptied(&mut self, number: usize) {
        if self.pages[number].state == PageState::Open {
            self.unlink(number);
        }
        self.give_back(number);
    }

    fn give_back(&mut self, number: usize) {
        let page = std::mem::take(&mut self.pages[number]);
        self.touched_bytes -= usize::from(page.fresh) * bytes_of(usize::from(page.class));
        let (start, _) = self.directory.page(number);
        self.directory.set(number, ptr::null_mut(), 0);
        self.unused.push(number as u32);
        let start = NonNull::new(start).expect("a page that is not gone is in the directory");
        // SAFETY: the page came from `pool::take` and nothing in this arena leads to it any more.
        let page = unsafe { Page::from_start(start) };
        self.spare.replace(page).into_iter().for_each(pool::give);
    }

    /// Puts a page at the head of its class's list.
    fn link(&mut self, number: usize) {
        let class = usize::from(self.pages[number].class);
        let after = std::mem::replace(&mut self.open[class], number as u32);
        if after != NO_PAGE {
            self.pages[after as usize].before = number as u32;
        }
        let page = &mut self.pages[number];
        (page.before, page.after, page.state) = (NO_PAGE, after, PageState::Open);
    }

    fn unlink(&mut self, number: usize) {
        let PageMeta {
            class,
            before,
            after,
            ..
        } = self.pages[number];
        if before == NO_PAGE {
            self.open[usize::from(class)] = after;
        } else {
            self.pages[before as usize].after = after;
        }
        if after != NO_PAGE {
            self.pages[after as usize].before = before;
        }
    }
}

impl PageMeta {
    fn capacity(&self) -> usize {
        PAGE_BYTES / bytes_of(usize::from(self.class))
    }

    fn is_sparse(&self) -> bool {
        usize::from(self.live) * SPARSE.1 < self.capacity() * SPARSE.0
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        for number in 1..self.pages.len() {
            if self.pages[number].state != PageState::Gone {
                self.give_back(number);
            }
        }
        self.give_spare();
    }
}

impl std::fmt::Debug for Arena {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arena")
            .field("live_bytes", &self.live_bytes)
            .field("touched_bytes", &self.touched_bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn contents(seed: u32, bytes: usize) -> Vec<u8> {
        (0..bytes)
            .map(|at| (seed as usize * 31 + at) as u8)
            .collect()
    }

    fn check(arena: &Arena, model: &BTreeMap<EntryRef, (u32, usize)>) {
        for (&entry, &(seed, bytes)) in model {
            assert_eq!(arena.bytes(entry)[..bytes], contents(seed, bytes));
        }
        let live: usize = model.keys().map(|&entry| arena.bytes(entry).len()).sum();
        assert_eq!(arena.live_bytes(), live);
    }

    proptest! {
        #[test]
        fn slots_keep_their_contents(
            ops in prop::collection::vec((0u8..4, prop_oneof![2usize..200, 2usize..4097], any::<prop::sample::Index>()), 1..600),
        ) {
            let (mut arena, mut model) = (Arena::new(), BTreeMap::new());
            let mut order: Vec<EntryRef> = Vec::new();
            for (seed, (op, bytes, index)) in ops.into_iter().enumerate() {
                if op > 0 || order.is_empty() {
                    let entry = arena.alloc(bytes);
                    arena.bytes_mut(entry)[..bytes].copy_from_slice(&contents(seed as u32, bytes));
                    prop_assert!(model.insert(entry, (seed as u32, bytes)).is_none());
                    order.push(entry);
                } else {
                    let entry = order.swap_remove(index.index(order.len()));
                    model.remove(&entry);
                    arena.free(entry);
                }
            }
            check(&arena, &model);
            for entry in order {
                arena.free(entry);
            }
            prop_assert_eq!(arena.live_bytes(), 0);
        }

        #[test]
        fn compaction_empties_sparse_pages(keep in 2usize..40, bytes in 20usize..300) {
            let (mut arena, mut model) = (Arena::new(), BTreeMap::new());
            let all: Vec<EntryRef> = (0..6000).map(|_| arena.alloc(bytes)).collect();
            for (seed, entry) in all.into_iter().enumerate() {
                if seed % keep == 0 {
                    arena.bytes_mut(entry)[..bytes].copy_from_slice(&contents(seed as u32, bytes));
                    model.insert(entry, (seed as u32, bytes));
                } else {
                    arena.free(entry);
                }
            }
            if arena.begin_compaction() {
                model = model.into_iter().map(|(entry, what)| (arena.relocate(entry).unwrap_or(entry), what)).collect();
                arena.end_compaction();
            }
            check(&arena, &model);
            prop_assert!(arena.touched_bytes() <= arena.live_bytes() * 2 + 2 * PAGE_BYTES);
        }
    }

    #[test]
    #[should_panic(expected = "leads to a cell")]
    fn a_reference_to_no_page_panics() {
        Arena::new().bytes(EntryRef::from_bits(u32::MAX).unwrap());
    }
}
