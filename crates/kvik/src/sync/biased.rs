//! A lock that readers do without while nobody writes.
//!
//! To take a lock is to write to it. If several cores take the same one, if only to read, its cache
//! line moves between them, and that takes longer than the rest of a read. Here each reader writes
//! the lock's address to a place of its own, and then checks that the lock is *biased* towards
//! readers. A writer takes the lock proper, ends the bias, and waits until no reader's place names
//! the lock. Ending a bias is costly, and a bias is of no use to a thread alone. So a lock becomes
//! biased only when the lock proper has moved from reader to reader [`MOVES`] times without a write
//! in between.
//!
//! Cost: a biased read is two stores and two loads of lines that no other core writes; a write to a
//! lock that is not biased is one load more than the lock proper; a write that ends a bias looks at
//! the places of all threads.
//!
//! After Dice and Kogan, "BRAVO: Biased Locking for Reader-Writer Locks", USENIX ATC 2019; but
//! readers' places belong to threads, and moves are counted where the paper measures time.

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr;
use std::sync::atomic::{self, Ordering};

use crossbeam_utils::CachePadded;

use super::{AtomicU64, Mutex, MutexGuard, pause};

/// How often the lock proper moves from one reader to another before it is biased towards readers.
const MOVES: u32 = 16;

/// Threads of a process that can have a place; others always take the lock proper.
const PLACES: usize = 64;

const NOTHING: u64 = 0;

/// A lock is not biased, and nobody reads without it.
const PLAIN: u64 = 0;
/// Readers need not take it.
const BIASED: u64 = 1;
/// Readers have to take it, but some may still read who did not.
const ENDING: u64 = 2;

/// A value behind a lock that readers may do without.
pub(crate) struct Biased<T> {
    /// The lock proper.
    proper: Mutex<Usage>,
    /// [`PLAIN`], [`BIASED`] or [`ENDING`]. Only who holds the lock proper changes it.
    bias: AtomicU64,
    value: UnsafeCell<T>,
}

// SAFETY: `&T` is handed out to several threads at once only while nobody has `&mut T`, and a `T`
// can be taken out only by who owns the lock.
unsafe impl<T: Send + Sync> Sync for Biased<T> {}

/// Who has read since something was written.
#[derive(Debug, Default)]
struct Usage {
    /// The place of the latest reader.
    reader: Option<u32>,
    /// How often it was another one than before.
    moves: u32,
}

/// The places of those who read under some locks, all of which are used with these places only.
pub(crate) struct Readers {
    /// The address of the lock under which each thread reads just now; 0 for none.
    places: Box<[CachePadded<AtomicU64>]>,
    /// Which of them have been used.
    used: CachePadded<AtomicU64>,
}

/// The value, to read. Others may read it as well.
pub(crate) struct Reading<'a, T> {
    value: &'a T,
    place: &'a AtomicU64,
    /// The place is this thread's.
    stays: PhantomData<*const ()>,
}

/// The value, for nobody else.
pub(crate) struct Writing<'a, T> {
    lock: &'a Biased<T>,
    usage: MutexGuard<'a, Usage>,
}

/// The number of a thread's place, given back when the thread ends.
struct ReaderPlace(Option<u32>);

/// Places that belong to a thread, as bits.
static TAKEN: atomic::AtomicU64 = atomic::AtomicU64::new(0);

thread_local! {
    static PLACE: ReaderPlace = ReaderPlace::take();
}

impl ReaderPlace {
    fn take() -> Self {
        // The lowest bit that is not set; none where all are.
        let add = |taken: u64| {
            let free = taken.trailing_ones();
            (free < u64::BITS).then(|| taken | 1 << free)
        };
        let before = TAKEN.fetch_update(Ordering::AcqRel, Ordering::Acquire, add);
        Self(before.ok().map(u64::trailing_ones))
    }

    /// That of this thread, unless there are too many or it is ending. The threads of a model are
    /// one to the system.
    #[inline]
    fn current() -> Option<u32> {
        if cfg!(all(test, feature = "model")) {
            return None;
        }
        // The place is gone when the destructors of a thread that ends still read.
        PLACE.try_with(|place| place.0).ok().flatten()
    }
}

impl Drop for ReaderPlace {
    fn drop(&mut self) {
        if let Some(number) = self.0 {
            TAKEN.fetch_and(!(1 << number), Ordering::AcqRel);
        }
    }
}

impl Readers {
    pub(crate) fn new() -> Self {
        let place = |_| CachePadded::new(AtomicU64::new(NOTHING));
        Self {
            places: (0..PLACES).map(place).collect(),
            used: CachePadded::new(AtomicU64::new(0)),
        }
    }

    /// A place, which is known to be in use from now on.
    #[inline]
    fn place(&self, number: u32) -> &AtomicU64 {
        // Sequentially consistent, and before the place is written: a writer that does not see the
        // bit comes before the reader, who will see the end of the bias.
        let bit = 1 << number;
        if self.used.load(Ordering::Relaxed) & bit == 0 {
            self.used.fetch_or(bit, Ordering::SeqCst);
        }
        &self.places[number as usize]
    }

    /// The places that have ever been used.
    fn used(&self) -> impl Iterator<Item = &AtomicU64> {
        let used = self.used.load(Ordering::SeqCst);
        let places = self.places.iter().enumerate();
        places.filter_map(move |(number, place)| (used >> number & 1 == 1).then_some(&**place))
    }
}

impl<T> Biased<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            proper: Mutex::default(),
            bias: AtomicU64::new(PLAIN),
            value: UnsafeCell::new(value),
        }
    }

    /// The value to read, if the lock is biased towards readers.
    #[inline]
    pub(crate) fn read<'a>(&'a self, readers: &'a Readers) -> Option<Reading<'a, T>> {
        // A look without order, to save who takes the lock proper anyway the rest; it is repeated
        // below.
        if self.bias.load(Ordering::Relaxed) != BIASED {
            return None;
        }
        self.read_from(readers.place(ReaderPlace::current()?))
    }

    /// The same for who has this place.
    #[inline]
    fn read_from<'a>(&'a self, place: &'a AtomicU64) -> Option<Reading<'a, T>> {
        // This thread reads under another lock, and it has one place only.
        if place.load(Ordering::Relaxed) != NOTHING {
            return None;
        }
        // Store the place, then load the bias; a writer stores the bias, then loads the place. All
        // four are sequentially consistent, so that either the writer sees the place or the reader
        // sees the end of the bias.
        place.store(self.address(), Ordering::SeqCst);
        if self.bias.load(Ordering::SeqCst) != BIASED {
            place.store(NOTHING, Ordering::Release);
            return None;
        }
        Some(Reading {
            // SAFETY: the bias began after the latest write, and whoever writes next ends it and
            // then waits for this place.
            value: unsafe { &*self.value.get() },
            place,
            stays: PhantomData,
        })
    }

    /// The value for the caller alone, if nobody has it. A reader is looked at so many times more
    /// while it has not ended.
    #[inline]
    pub(crate) fn try_write<'a>(&'a self, readers: &Readers, tries: u32) -> Option<Writing<'a, T>> {
        self.end_bias(self.proper.try_lock()?, readers, Some(tries))
    }

    /// The value for the caller alone, as soon as nobody has it.
    pub(crate) fn write<'a>(&'a self, readers: &Readers) -> Writing<'a, T> {
        let writing = self.end_bias(self.proper.lock(), readers, None);
        writing.expect("it waits until readers have ended")
    }

    #[inline]
    fn end_bias<'a>(
        &'a self,
        usage: MutexGuard<'a, Usage>,
        readers: &Readers,
        tries: Option<u32>,
    ) -> Option<Writing<'a, T>> {
        // PLAIN says that the readers of the latest bias have ended. It does not change while the
        // lock proper is held.
        let is_alone =
            self.bias.load(Ordering::Relaxed) == PLAIN || self.await_readers(readers, tries);
        is_alone.then_some(Writing { lock: self, usage })
    }

    /// Ends the bias while the lock proper is held, and says whether all readers have ended. If
    /// not, who comes next waits for them: new ones do not come in.
    #[cold]
    fn await_readers(&self, readers: &Readers, tries: Option<u32>) -> bool {
        self.bias.store(ENDING, Ordering::SeqCst);
        // A place that names this lock belongs to a reader who came before the end of the bias, or
        // to one who is about to see it and to clear the place. Both end soon: a reader does
        // nothing but look a key up.
        let mut looks = 0;
        for place in readers.used() {
            while place.load(Ordering::SeqCst) == self.address() {
                // The bias stays ENDING, so that nobody new comes in and the next try has less to
                // wait for.
                if tries == Some(looks) {
                    return false;
                }
                pause(looks);
                looks = looks.saturating_add(1);
            }
        }
        self.bias.store(PLAIN, Ordering::Relaxed);
        true
    }

    #[inline]
    fn address(&self) -> u64 {
        ptr::from_ref(self).addr() as u64
    }
}

impl<T> Writing<'_, T> {
    /// Tells that this is a write.
    #[inline]
    pub(crate) fn note_write(&mut self) {
        self.usage.moves = 0;
    }

    /// Tells that this is a read. If the lock has moved between readers often enough, it is biased
    /// when this ends; in a debug build it is always, for tests to find what does not only read.
    #[inline]
    pub(crate) fn note_read(&mut self) {
        // The same reader again moves no cache line, and would gain nothing.
        let reader = ReaderPlace::current();
        if self.usage.reader != reader {
            self.usage.reader = reader;
            self.usage.moves += 1;
        }
        if cfg!(debug_assertions) {
            self.usage.moves = MOVES;
        }
    }
}

impl<T> Deref for Reading<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.value
    }
}

impl<T> Drop for Reading<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.place.store(NOTHING, Ordering::Release);
    }
}

impl<T> Deref for Writing<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the lock proper is held, and readers without it have ended.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for Writing<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for Writing<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.usage.moves >= MOVES {
            self.usage.moves = 0;
            // The lock proper is still held, so that no writer is about to end the bias that
            // begins. What has been written is seen by who sees this store.
            self.lock.bias.store(BIASED, Ordering::Release);
        }
    }
}

impl<T> std::fmt::Debug for Biased<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Biased").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Readers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Readers").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
