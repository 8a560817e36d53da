//! How many elements a thread has touched, in builds with debug assertions: what a section holds
//! its stripes for is measured in elements, which does not depend on how fast the machine is.
//!
//! Elements of tables, orders and listpacks are counted where they are looked at, put in, taken out
//! or moved. In other builds nothing is counted and nothing is left of it.

#[cfg(debug_assertions)]
use std::cell::Cell;

#[cfg(debug_assertions)]
thread_local! {
    static TOUCHED: Cell<u64> = const { Cell::new(0) };
}

/// Counts elements that this thread touches.
#[inline(always)]
pub(crate) fn touch(elements: usize) {
    #[cfg(debug_assertions)]
    TOUCHED.with(|touched| touched.set(touched.get() + elements as u64));
    #[cfg(not(debug_assertions))]
    let _ = elements;
}

/// How many elements this thread has touched since it was asked last.
#[cfg(debug_assertions)]
pub fn take_touched() -> u64 {
    TOUCHED.with(Cell::take)
}
