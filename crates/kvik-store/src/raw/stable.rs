//! An array that grows without moving, so that it can be read while somebody else grows it.
//!
//! Its parts ("leaves") hold `FIRST` elements, as many again and then twice as many as the one
//! before. They are allocated once and stay until the array is dropped. There is meant to be one
//! writer, who holds a lock that readers do not take; what the elements need in order to be read
//! meanwhile is the elements' affair, which is why they are atomics wherever this is used.

use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

const LEAVES: usize = 22;

/// A vector that grows without moving its elements, read without a lock. `FIRST` is a power of two.
pub(crate) struct StableVec<T, const FIRST: usize> {
    leaves: [AtomicPtr<T>; LEAVES],
    owns: PhantomData<Box<[T]>>,
}

impl<T, const FIRST: usize> Default for StableVec<T, FIRST> {
    fn default() -> Self {
        Self {
            leaves: [const { AtomicPtr::new(ptr::null_mut()) }; LEAVES],
            owns: PhantomData,
        }
    }
}

impl<T, const FIRST: usize> std::fmt::Debug for StableVec<T, FIRST> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StableVec").finish_non_exhaustive()
    }
}

impl<T: Default + Send + Sync, const FIRST: usize> StableVec<T, FIRST> {
    /// The element, if the array has grown that far.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        let (leaf, offset) = locate::<FIRST>(index);
        let start = self.leaves.get(leaf)?.load(Ordering::Acquire);
        if start.is_null() {
            return None;
        }
        // SAFETY: a leaf that is not null holds `leaf_len(leaf)` elements, made before it was
        // published and dropped only with `self`; `locate` gives an offset below that.
        Some(unsafe { &*start.add(offset) })
    }

    /// The element, growing the array to reach it.
    pub(crate) fn reach(&self, index: usize) -> &T {
        for leaf in 0..=locate::<FIRST>(index).0 {
            if self.leaves[leaf].load(Ordering::Acquire).is_null() {
                self.add(leaf);
            }
        }
        self.get(index).expect("its leaf was just added")
    }

    fn add(&self, leaf: usize) {
        let elements: Box<[T]> = (0..leaf_len::<FIRST>(leaf)).map(|_| T::default()).collect();
        let start = Box::into_raw(elements).cast::<T>();
        let published = self.leaves[leaf].compare_exchange(
            ptr::null_mut(),
            start,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        if published.is_err() {
            // SAFETY: the leaf was made just above with this length and nobody else has seen it.
            unsafe { free::<T, FIRST>(start, leaf) };
        }
    }
}

impl<T, const FIRST: usize> Drop for StableVec<T, FIRST> {
    fn drop(&mut self) {
        for (leaf, start) in self.leaves.iter_mut().enumerate() {
            let start = *start.get_mut();
            if !start.is_null() {
                // SAFETY: `add` published this leaf, `self` is going and with it every borrow of an
                // element.
                unsafe { free::<T, FIRST>(start, leaf) };
            }
        }
    }
}

/// # Safety
/// `start` came from `Box::into_raw` of a slice of `leaf_len(leaf)` elements and is not used again.
unsafe fn free<T, const FIRST: usize>(start: *mut T, leaf: usize) {
    let elements = ptr::slice_from_raw_parts_mut(start, leaf_len::<FIRST>(leaf));
    // SAFETY: as promised by the caller.
    drop(unsafe { Box::from_raw(elements) });
}

fn leaf_len<const FIRST: usize>(leaf: usize) -> usize {
    FIRST << leaf.saturating_sub(1)
}

/// Leaf and offset of an element.
#[inline]
fn locate<const FIRST: usize>(index: usize) -> (usize, usize) {
    if index < FIRST {
        return (0, index);
    }
    let leaf = (index / FIRST).ilog2() as usize + 1;
    (leaf, index - leaf_len::<FIRST>(leaf))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn elements_stay_where_they_are() {
        let array = StableVec::<AtomicUsize, 16>::default();
        assert!(array.get(0).is_none());
        let first: *const AtomicUsize = array.reach(0);
        for index in 0..5000 {
            array.reach(index).store(index, Ordering::Relaxed);
        }
        assert!(ptr::eq(first, array.reach(0)));
        for index in 0..5000 {
            let element = array.get(index).map(|n| n.load(Ordering::Relaxed));
            assert_eq!(element, Some(index));
        }
        assert!(array.get(1 << 40).is_none());
    }
}
