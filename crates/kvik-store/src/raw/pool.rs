//! Memory from the system, for all stores of the process: chunks of 2 MiB that are mapped once and
//! never unmapped.
//!
//! A chunk serves one purpose for good: entry pages of 64 KiB, or buckets (see [`super::block`]).
//! Because bucket memory is never anything else, it can be read without a lock: what is read may be
//! stale, never foreign.
//!
//! Chunks given back stay resident and are handed out first. [`trim`] returns them to the system in
//! slices; it is the only function that does, and it is meant for a thread on which nobody waits.
//!
//! Beyond [`SMALL_CHUNKS`] the system is asked for huge pages: entries lie anywhere, and most
//! accesses would have to look up where their page of 4 KiB is. Each of them is resident as soon as
//! it is touched, which a small store would notice, and that takes about 1 ms: so [`prepare`]
//! touches the next ones before they are needed. To join small pages once a chunk is full was
//! tried: it takes the system 3 ms, in which nobody can access the chunk.
//!
//! The system fills the gaps of a huge page again by itself, some seconds after part of it was
//! returned. So a chunk of which memory is returned has small pages from then on.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of an entry page; it is also aligned so.
pub(crate) const PAGE_BYTES: usize = 64 << 10;
pub(crate) const CHUNK_BYTES: usize = 2 << 20;
/// Chunks mapped at once; only what is touched becomes resident.
const REGION_CHUNKS: usize = 16;

/// An entry page and the right to use it: initialized bytes that nobody else reads or writes.
pub(crate) struct Page(NonNull<u8>);

// SAFETY: a page is plain memory; whoever has the value owns it.
unsafe impl Send for Page {}
// SAFETY: a reference to it gives its address and nothing else.
unsafe impl Sync for Page {}

#[derive(Default)]
struct Pool {
    /// Pages given back, still resident.
    used: Vec<Page>,
    /// Pages whose content the system holds as zeros.
    fresh: Vec<Page>,
}

static POOL: Mutex<Pool> = Mutex::new(Pool {
    used: Vec::new(),
    fresh: Vec::new(),
});

/// Chunks for which no huge pages are asked: 128 MiB.
const SMALL_CHUNKS: usize = 64;

/// Huge chunks that are touched ahead.
const READY_CHUNKS: usize = 2;
/// Bytes of them.
pub(crate) const READY_BYTES: usize = READY_CHUNKS * CHUNK_BYTES;

/// Pages that hold nothing, while which no chunk need be touched ahead: 4 MiB.
const MANY_FRESH: usize = 64;

struct Chunks {
    mapped: usize,
    /// Whether chunks have been taken since those touched ahead were returned.
    grows: bool,
    /// Those that have no purpose yet.
    unused: Vec<Page>,
    /// The same, and touched.
    ready: Vec<Page>,
}

static CHUNKS: Mutex<Chunks> = Mutex::new(Chunks {
    mapped: 0,
    grows: false,
    unused: Vec::new(),
    ready: Vec::new(),
});

/// Whether there is something to [`prepare`] of which nobody has been told.
static LACKING: AtomicBool = AtomicBool::new(false);

impl Page {
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.0
    }

    /// # Safety
    /// `start` is that of a page whose value was forgotten.
    pub(crate) unsafe fn from_start(start: NonNull<u8>) -> Self {
        Self(start)
    }
}

/// A page, from those given back if there is one.
pub(crate) fn take() -> Page {
    let mut pool = lock(&POOL);
    if let Some(page) = pool.used.pop() {
        return page;
    }
    if let Some(page) = pool.fresh.pop() {
        if pool.fresh.len() == MANY_FRESH {
            lock(&CHUNKS).expect_growth();
        }
        return page;
    }
    let start = chunk();
    for at in (PAGE_BYTES..CHUNK_BYTES).step_by(PAGE_BYTES).rev() {
        // SAFETY: `at` lies inside the chunk, which is ours and is cut here into pages that do not
        // overlap.
        pool.fresh.push(Page(unsafe { start.add(at) }));
    }
    Page(start)
}

pub(crate) fn give(page: Page) {
    lock(&POOL).used.push(page);
}

/// Returns up to `pages` times 64 KiB to the system. Says how many it returned, and whether there
/// are more.
pub(crate) fn trim(pages: usize) -> (usize, bool) {
    let mut pool = lock(&POOL);
    let keep = pool.used.len().saturating_sub(pages);
    let trimmed = pool.used.split_off(keep);
    drop(pool);
    for page in &trimmed {
        // SAFETY: the page is ours until it is put back below.
        unsafe { forget_contents(page.start(), PAGE_BYTES) };
    }
    let count = trimmed.len();
    let mut pool = lock(&POOL);
    pool.fresh.extend(trimmed);
    let has_many = pool.fresh.len() > MANY_FRESH;
    drop(pool);
    if count == 0 && has_many {
        lock(&CHUNKS).return_ready();
    }
    (count, keep > 0)
}

/// A chunk of zeros, aligned to its size, that is the caller's for ever.
pub(crate) fn chunk() -> NonNull<u8> {
    let mut chunks = lock(&CHUNKS);
    let chunk = chunks.ready.pop().unwrap_or_else(|| chunks.take());
    chunks.expect_growth();
    chunk.0
}

/// Says once that there is something to [`prepare`].
#[inline]
pub(crate) fn is_lacking() -> bool {
    LACKING.load(Ordering::Relaxed) && LACKING.swap(false, Ordering::Relaxed)
}

/// Touches a chunk that will be needed soon, if there is one, and says whether there are more.
pub(crate) fn prepare() -> bool {
    let mut chunks = lock(&CHUNKS);
    if !chunks.lacks_ready() {
        return false;
    }
    let chunk = chunks.take();
    drop(chunks);
    // SAFETY: the chunk is ours until it is put into the list below, and is zero already.
    unsafe { chunk.start().write_volatile(0) };
    let mut chunks = lock(&CHUNKS);
    chunks.ready.push(chunk);
    chunks.lacks_ready()
}

impl Chunks {
    /// A chunk that was not touched.
    fn take(&mut self) -> Page {
        if self.unused.is_empty() {
            let region = map(REGION_CHUNKS * CHUNK_BYTES);
            if self.mapped >= SMALL_CHUNKS {
                // SAFETY: the region was mapped with this size.
                unsafe { ask_for_huge_pages(region, REGION_CHUNKS * CHUNK_BYTES) };
            }
            self.mapped += REGION_CHUNKS;
            for index in (0..REGION_CHUNKS).rev() {
                // SAFETY: the region has this many chunks.
                let chunk = unsafe { region.add(index * CHUNK_BYTES) };
                self.unused.push(Page(chunk));
            }
        }
        self.unused.pop().expect("filled above")
    }

    /// Whether the next chunk is a huge page that will be needed soon, and too few of them are
    /// touched.
    fn lacks_ready(&self) -> bool {
        let next_is_huge =
            self.mapped > SMALL_CHUNKS || self.mapped == SMALL_CHUNKS && self.unused.is_empty();
        self.grows && next_is_huge && self.ready.len() < READY_CHUNKS
    }

    /// Says that chunks will be needed soon.
    fn expect_growth(&mut self) {
        self.grows = true;
        if self.lacks_ready() {
            LACKING.store(true, Ordering::Relaxed);
        }
    }

    /// Returns the chunks that were touched ahead to the system.
    fn return_ready(&mut self) {
        self.grows = false;
        for chunk in self.ready.drain(..) {
            // SAFETY: the chunk has no purpose yet.
            unsafe { forget_contents(chunk.start(), CHUNK_BYTES) };
            self.unused.push(chunk);
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The lists here are whole between any two of their calls, also when a holder panicked.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Zeroed memory aligned to a chunk, never unmapped.
#[cfg(all(unix, not(miri)))]
fn map(bytes: usize) -> NonNull<u8> {
    // SAFETY: a fresh anonymous mapping at an address of the system's choice touches no memory of
    // ours.
    let start = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            bytes + CHUNK_BYTES,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if start == libc::MAP_FAILED {
        std::alloc::handle_alloc_error(chunk_layout(bytes));
    }
    let start = start.cast::<u8>();
    // SAFETY: one chunk more than asked for was mapped, so the aligned start is inside and `bytes`
    // follow it.
    let aligned = unsafe { start.add(start.align_offset(CHUNK_BYTES)) };
    NonNull::new(aligned).expect("the system maps nothing at 0")
}

#[cfg(not(all(unix, not(miri))))]
fn map(bytes: usize) -> NonNull<u8> {
    // SAFETY: the layout has a size.
    let start = unsafe { std::alloc::alloc_zeroed(chunk_layout(bytes)) };
    NonNull::new(start).unwrap_or_else(|| std::alloc::handle_alloc_error(chunk_layout(bytes)))
}

fn chunk_layout(bytes: usize) -> std::alloc::Layout {
    std::alloc::Layout::from_size_align(bytes, CHUNK_BYTES).expect("a power of two")
}

/// Tells the system that it may take the memory behind these bytes, which read as zeros afterwards.
/// Where the system has no such call they stay as they are.
///
/// # Safety
/// The range is whole system pages of a chunk, and nobody has a use for the contents.
pub(crate) unsafe fn forget_contents(start: NonNull<u8>, bytes: usize) {
    #[cfg(all(target_os = "linux", not(miri)))]
    // SAFETY: the range is mapped, private and anonymous; its new contents are zeros, which are
    // initialized bytes. Failure leaves it as it was.
    unsafe {
        libc::madvise(start.as_ptr().cast(), bytes, libc::MADV_DONTNEED);
    }
    #[cfg(not(all(target_os = "linux", not(miri))))]
    let _ = (start, bytes);
    if bytes < CHUNK_BYTES {
        // SAFETY: chunks are mapped for ever, and this only says how they are backed.
        unsafe { ask_for_small_pages(start) };
    }
}

/// Asks the system not to back the chunk of this address by a huge page any more.
///
/// # Safety
/// The address lies in a chunk.
unsafe fn ask_for_small_pages(start: NonNull<u8>) {
    /// The chunk that was asked for last: pages are returned one after the other.
    static LATEST: AtomicUsize = AtomicUsize::new(0);

    let chunk = start.addr().get() & !(CHUNK_BYTES - 1);
    if LATEST.swap(chunk, Ordering::Relaxed) == chunk {
        return;
    }
    #[cfg(all(target_os = "linux", not(miri)))]
    // SAFETY: the range is mapped, private and anonymous; what it contains stays the same.
    unsafe {
        let offset = start.addr().get() - chunk;
        let chunk = start.as_ptr().wrapping_sub(offset);
        libc::madvise(chunk.cast(), CHUNK_BYTES, libc::MADV_NOHUGEPAGE);
    }
}

/// Asks the system to back these bytes by huge pages as they are touched. Where it has none to
/// give, nothing changes.
///
/// # Safety
/// The range is mapped.
unsafe fn ask_for_huge_pages(start: NonNull<u8>, bytes: usize) {
    #[cfg(all(target_os = "linux", not(miri)))]
    // SAFETY: the range is mapped, private and anonymous; what it contains stays the same.
    unsafe {
        libc::madvise(start.as_ptr().cast(), bytes, libc::MADV_HUGEPAGE);
    }
    #[cfg(not(all(target_os = "linux", not(miri))))]
    let _ = (start, bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(mapped: usize) -> Chunks {
        Chunks {
            mapped,
            grows: true,
            unused: Vec::new(),
            ready: Vec::new(),
        }
    }

    #[test]
    fn only_huge_chunks_are_wanted_ahead() {
        let mut small = chunks(SMALL_CHUNKS - REGION_CHUNKS);
        for _ in 0..REGION_CHUNKS {
            assert!(!small.lacks_ready());
            small.take();
        }
        assert!(small.lacks_ready(), "the next one is huge");
        for _ in 0..READY_CHUNKS {
            assert!(small.lacks_ready());
            let chunk = small.take();
            small.ready.push(chunk);
        }
        assert!(!small.lacks_ready());
        small.ready.pop();
        assert!(small.lacks_ready());
        small.return_ready();
        assert!(small.ready.is_empty() && !small.lacks_ready());
        small.expect_growth();
        assert!(small.lacks_ready());
    }
}
