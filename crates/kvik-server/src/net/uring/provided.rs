//! Buffers that the kernel takes when bytes come, shared by all connections.
//!
//! A connection that waits holds none, so a few serve ten thousand. They are given back as soon
//! as their bytes are copied out, in the same turn.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

use super::ring::Ring;

/// The one group of buffers there is.
pub(super) const GROUP: u16 = 0;
/// What one buffer takes. Memory that is never written to is never resident.
const SIZE: usize = 16 << 10;
/// The distance of buffers: the extra line keeps their starts out of the same set of the cache.
const STRIDE: usize = SIZE + 64;
/// What the kernel demands of the ring.
const ALIGNMENT: usize = 4096;

pub(super) struct Provided {
    /// `count` entries that the kernel reads; its tail lies in a spare field of the first one.
    ring: *mut BufRingEntry,
    /// `count` buffers, each [`STRIDE`] after the one before.
    memory: *mut u8,
    count: u16,
    tail: u16,
}

fn ring_layout(count: u16) -> Layout {
    Layout::from_size_align(usize::from(count) * size_of::<BufRingEntry>(), ALIGNMENT)
        .expect("65,535 entries of 16 bytes are far below the largest size")
}

fn memory_layout(count: u16) -> Layout {
    Layout::from_size_align(usize::from(count) * STRIDE, ALIGNMENT)
        .expect("65,535 buffers of 16 KiB are far below the largest size")
}

/// Zeroed memory; its pages are not resident before they are written to.
fn allocate<T>(layout: Layout) -> *mut T {
    assert!(layout.size() > 0);
    // SAFETY: the size is not zero.
    let memory = unsafe { alloc_zeroed(layout) };
    if memory.is_null() {
        handle_alloc_error(layout);
    }
    memory.cast()
}

impl Provided {
    /// Allocates `count` buffers, a power of two, and gives them to the kernel. To be dropped
    /// after `ring`.
    pub(super) fn new(ring: &Ring, count: u16) -> io::Result<Self> {
        if !count.is_power_of_two() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut provided = Self {
            ring: allocate(ring_layout(count)),
            memory: allocate(memory_layout(count)),
            count,
            tail: 0,
        };
        for number in 0..count {
            provided.give_back(number);
        }
        // SAFETY: both allocations stay where they are until `provided` is dropped.
        unsafe { ring.provide(provided.ring as u64, count, GROUP)? };
        Ok(provided)
    }

    pub(super) fn count(&self) -> usize {
        usize::from(self.count)
    }

    /// The first `length` bytes of a buffer that a completion named.
    pub(super) fn bytes(&self, number: u16, length: u32) -> &[u8] {
        let length = length as usize;
        assert!(
            number < self.count && length <= SIZE,
            "a buffer of this group"
        );
        // SAFETY: the buffer lies within `memory`, was initialised by the allocation, and is not
        // the kernel's to write to until it is given back, which needs `&mut self`.
        unsafe { std::slice::from_raw_parts(self.start(number), length) }
    }

    /// Lets the kernel use a buffer that a completion named.
    pub(super) fn give_back(&mut self, number: u16) {
        assert!(number < self.count, "a buffer of this group");
        let position = usize::from(self.tail & (self.count - 1));
        // SAFETY: the position is below `count`, and the kernel does not read entries at or
        // behind the tail. Writing field by field leaves alone the spare one, which holds the tail.
        let entry = unsafe { &mut *self.ring.add(position) };
        entry.set_addr(self.start(number) as u64);
        entry.set_len(SIZE as u32);
        entry.set_bid(number);
        self.tail = self.tail.wrapping_add(1);
        self.publish();
    }

    /// Shows the kernel the entries up to the tail.
    fn publish(&self) {
        // SAFETY: the ring begins with an initialised entry. The tail in it is aligned, lives as
        // long as `self`, and the kernel too accesses it only atomically.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.ring).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }

    fn start(&self, number: u16) -> *mut u8 {
        // SAFETY: callers pass numbers below `count`, so the result lies within `memory`.
        unsafe { self.memory.add(usize::from(number) * STRIDE) }
    }
}

impl Drop for Provided {
    fn drop(&mut self) {
        // SAFETY: allocated with these layouts, and the kernel has no requests left that use them.
        unsafe {
            dealloc(self.ring.cast(), ring_layout(self.count));
            dealloc(self.memory, memory_layout(self.count));
        }
    }
}
