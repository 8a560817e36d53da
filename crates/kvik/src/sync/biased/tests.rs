use super::*;

/// Has the lock biased towards readers.
fn calm<T>(lock: &Biased<T>, readers: &Readers) {
    lock.write(readers).usage.moves = MOVES;
}

#[cfg(not(feature = "model"))]
mod threads {
    use super::*;
    use std::collections::BTreeSet;
    use std::sync::Barrier;
    use std::thread;

    #[test]
    fn it_is_biased_when_several_have_read() {
        let (lock, readers) = (Biased::new(1), Readers::new());
        let read = || lock.write(&readers).note_read();
        if !cfg!(debug_assertions) {
            (0..2 * MOVES).for_each(|_| read());
            assert!(lock.read(&readers).is_none());
        }
        for _ in 0..MOVES {
            thread::scope(|scope| scope.spawn(read).join().unwrap());
            read();
        }
        assert_eq!(lock.read(&readers).as_deref(), Some(&1));
        lock.write(&readers).note_write();
        assert!(lock.read(&readers).is_none());
        lock.write(&readers).note_write();
        assert!(lock.read(&readers).is_none());
    }

    #[test]
    fn a_writer_does_not_come_in_while_somebody_reads() {
        let (lock, readers) = (Biased::new(1), Readers::new());
        calm(&lock, &readers);
        let reading = lock.read(&readers).unwrap();
        assert!(lock.try_write(&readers, 3).is_none());
        // Who did not get in keeps new readers out, so that they do not keep it out for ever.
        assert!(lock.try_write(&readers, 3).is_none());
        drop(reading);
        assert!(lock.read(&readers).is_none());
        *lock.try_write(&readers, 3).unwrap() = 2;
        assert_eq!(*lock.write(&readers), 2);
    }

    #[test]
    fn who_reads_takes_a_second_lock_proper() {
        let (one, other, readers) = (Biased::new(1), Biased::new(2), Readers::new());
        calm(&one, &readers);
        calm(&other, &readers);
        let reading = one.read(&readers).unwrap();
        assert!(other.read(&readers).is_none());
        assert_eq!(*other.write(&readers), 2);
        drop(reading);
        calm(&other, &readers);
        assert!(other.read(&readers).is_some());
    }

    #[test]
    fn threads_that_live_at_once_have_places_of_their_own() {
        let all_there = Barrier::new(8);
        let number = || {
            let number = ReaderPlace::current();
            all_there.wait();
            number.unwrap()
        };
        for _ in 0..20 {
            let numbers: BTreeSet<u32> = thread::scope(|scope| {
                let threads: Vec<_> = (0..8).map(|_| scope.spawn(number)).collect();
                let numbers = threads.into_iter().map(|thread| thread.join().unwrap());
                numbers.collect()
            });
            assert_eq!(numbers.len(), 8);
        }
    }

    #[test]
    fn readers_see_all_of_a_write_or_nothing() {
        const WRITES: u64 = if cfg!(miri) { 50 } else { 20_000 };
        let (lock, readers) = (Biased::new((0u64, 0u64)), Readers::new());
        let look = |pair: &(u64, u64)| {
            assert_eq!(pair.0, pair.1);
            pair.0
        };
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while {
                        let seen = lock.read(&readers).map(|pair| look(&pair));
                        seen.unwrap_or_else(|| {
                            let mut pair = lock.write(&readers);
                            pair.note_read();
                            look(&pair)
                        }) < WRITES
                    } {}
                });
            }
            for n in 1..=WRITES {
                let mut pair = lock.write(&readers);
                pair.note_write();
                *pair = (n, n);
            }
        });
    }
}

/// All orders of a read without the lock proper and what ends it.
#[cfg(feature = "model")]
mod model {
    use super::*;
    use loom::cell::UnsafeCell;
    use std::sync::Arc;

    /// loom reports who writes it while somebody reads it, and who reads it without having seen the
    /// latest write.
    struct Checked(UnsafeCell<u32>);

    // SAFETY: that is what the lock is to make true, and loom checks.
    unsafe impl Sync for Checked {}

    type Store = (Biased<Checked>, Readers);

    fn add(value: &mut Checked) {
        value.0.with_mut(|value| {
            // SAFETY: loom checks it.
            unsafe { *value += 1 }
        });
    }

    fn get(value: &Checked) -> u32 {
        // SAFETY: loom checks it.
        value.0.with(|value| unsafe { *value })
    }

    fn check(run: impl Fn(&Arc<Store>) + Send + Sync + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(4);
        builder.check(move || {
            let store = Arc::new((Biased::new(Checked(UnsafeCell::new(0))), Readers::new()));
            calm(&store.0, &store.1);
            run(&store);
        });
    }

    fn read(store: &Store, place: u32) -> Option<u32> {
        let reading = store.0.read_from(store.1.place(place))?;
        Some(get(&reading))
    }

    fn write(store: &Store) {
        let mut value = store.0.write(&store.1);
        value.note_write();
        add(&mut value);
    }

    fn start(
        store: &Arc<Store>,
        run: impl FnOnce(&Store) + 'static,
    ) -> loom::thread::JoinHandle<()> {
        let store = Arc::clone(store);
        loom::thread::spawn(move || run(&store))
    }

    #[test]
    fn readers_and_a_writer_keep_out_of_each_others_way() {
        check(|store| {
            let reader = start(store, |store| {
                read(store, 0);
            });
            let other = start(store, |store| {
                read(store, 1);
            });
            write(store);
            reader.join().unwrap();
            other.join().unwrap();
            assert_eq!(get(&store.0.write(&store.1)), 1);
        });
    }

    #[test]
    fn a_lock_that_is_biased_again_shows_what_was_written() {
        check(|store| {
            let writer = start(store, |store| {
                write(store);
                calm(&store.0, &store.1);
            });
            let first = read(store, 0);
            let second = read(store, 0);
            assert!(
                first
                    .zip(second)
                    .is_none_or(|(first, second)| first <= second)
            );
            writer.join().unwrap();
            assert_eq!(read(store, 0), Some(1));
        });
    }

    #[test]
    fn who_gives_up_leaves_the_lock_safe_for_the_next() {
        check(|store| {
            let reader = start(store, |store| {
                read(store, 0);
            });
            let hasty = start(store, |store| {
                if let Some(mut value) = store.0.try_write(&store.1, 0) {
                    value.note_write();
                    add(&mut value);
                }
            });
            write(store);
            reader.join().unwrap();
            hasty.join().unwrap();
        });
    }
}
