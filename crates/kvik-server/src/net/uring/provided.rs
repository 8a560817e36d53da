//! Buffers that the kernel takes when bytes come, shared by all connections.
//!
//! A connection that waits holds none, so a few serve ten thousand. They are given back as soon
//! as their bytes are copied out, in the same turn.
//!
//! The kernel takes them in turn, so all that it has got become resident. It gets few at first, and
//! more only when a connection finds none.

use std::io;
use std::ptr;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

use super::ring::Ring;

/// The one group of buffers there is.
pub(super) const GROUP: u16 = 0;
/// Bytes of one buffer.
pub(super) const SIZE: usize = 32 << 10;
/// So many buffers the kernel has at first.
const FIRST: u16 = 16;
/// The distance of buffers: the extra line keeps their starts out of the same set of the cache.
const STRIDE: usize = SIZE + 64;

/// One mapping: a ring of `count` entries for the kernel to read, whose tail lies in a spare field
/// of the first entry, then `count` buffers.
///
/// Mapped, not allocated, so that only the pages that were ever received into are resident.
pub(super) struct Provided {
    mapping: *mut u8,
    length: usize,
    count: u16,
    /// How many of them are in use: with the kernel, or named by a completion.
    used: u16,
    tail: u16,
    /// The kernel may still write to it, so it stays when `self` goes.
    abandoned: bool,
}

impl Provided {
    /// Maps `count` buffers, a power of two, and gives some of them to the kernel. To be dropped
    /// when nothing is in flight in `ring` any more.
    pub(super) fn new(ring: &Ring, count: u16) -> io::Result<Self> {
        if !count.is_power_of_two() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let length = usize::from(count) * (size_of::<BufRingEntry>() + STRIDE);
        let mut provided = Self {
            mapping: map(length)?,
            length,
            count,
            used: 0,
            tail: 0,
            abandoned: false,
        };
        provided.give_more();
        // SAFETY: the mapping stays where it is until `provided` is dropped.
        unsafe { ring.provide(provided.mapping as u64, count, GROUP)? };
        Ok(provided)
    }

    /// How many are in use.
    pub(super) fn used(&self) -> usize {
        usize::from(self.used)
    }

    /// Lets the kernel use as many again as are in use, if there are more.
    pub(super) fn give_more(&mut self) {
        let used = self.count.min(FIRST.max(self.used.saturating_mul(2)));
        for number in self.used..used {
            self.give_back(number);
        }
        self.used = used;
    }

    /// The first `length` bytes of a buffer that a completion named.
    pub(super) fn bytes(&self, number: u16, length: u32) -> &[u8] {
        let length = length as usize;
        assert!(
            number < self.count && length <= SIZE,
            "a buffer of this group"
        );
        // SAFETY: the buffer lies within the mapping, which began as zeros, and is not the
        // kernel's to write to until it is given back, which needs `&mut self`.
        unsafe { std::slice::from_raw_parts(self.buffer(number), length) }
    }

    /// Lets the kernel use a buffer that a completion named.
    pub(super) fn give_back(&mut self, number: u16) {
        assert!(number < self.count, "a buffer of this group");
        let position = usize::from(self.tail & (self.count - 1));
        // SAFETY: the position is below `count`, and the kernel does not read entries at or
        // behind the tail. Writing field by field leaves alone the spare one, which holds the tail.
        let entry = unsafe { &mut *self.ring().add(position) };
        entry.set_addr(self.buffer(number) as u64);
        entry.set_len(SIZE as u32);
        entry.set_bid(number);
        self.tail = self.tail.wrapping_add(1);
        self.publish();
    }

    /// Keeps the mapping for ever.
    pub(super) fn abandon(&mut self) {
        self.abandoned = true;
    }

    /// Shows the kernel the entries up to the tail.
    fn publish(&self) {
        // SAFETY: the mapping begins with an initialised entry. The tail in it is aligned, lives
        // as long as `self`, and the kernel too accesses it only atomically.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.ring()).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }

    fn ring(&self) -> *mut BufRingEntry {
        self.mapping.cast()
    }

    fn buffer(&self, number: u16) -> *mut u8 {
        let ring_length = usize::from(self.count) * size_of::<BufRingEntry>();
        // SAFETY: callers pass numbers below `count`, so the result lies within the mapping.
        unsafe { self.mapping.add(ring_length + usize::from(number) * STRIDE) }
    }
}

impl Drop for Provided {
    fn drop(&mut self) {
        if !self.abandoned {
            // SAFETY: the mapping is this one's, and the kernel has no requests left that use it.
            unsafe { libc::munmap(self.mapping.cast(), self.length) };
        }
    }
}

/// Maps zeroed memory.
fn map(length: usize) -> io::Result<*mut u8> {
    let (protection, flags) = (
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
    );
    // SAFETY: asks for new memory, so nothing that exists is touched.
    let mapping = unsafe { libc::mmap(ptr::null_mut(), length, protection, flags, -1, 0) };
    if mapping == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(mapping.cast())
}
