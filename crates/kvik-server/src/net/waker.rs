//! Interrupts a driver's wait from any thread.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Makes a driver's `wait` return and report [`Event::Woken`](super::Event::Woken). Cheap to
/// clone and to use: only the first of many calls makes a system call.
///
/// First hand over the message, then wake: whoever sees `Woken` afterwards sees the message.
#[derive(Clone, Debug)]
pub struct Waker(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Whether a `Woken` is due that has not been reported.
    rung: AtomicBool,
    bell: WakeBell,
}

/// The bell of a thread that waits in the kernel.
#[derive(Debug)]
pub(super) enum WakeBell {
    Mio(::mio::Waker),
    #[cfg(target_os = "linux")]
    Pipe(io::PipeWriter),
}

impl Waker {
    pub(super) fn new(bell: WakeBell) -> Self {
        Self(Arc::new(Shared {
            rung: AtomicBool::new(false),
            bell,
        }))
    }

    /// Wakes the driver.
    pub fn wake(&self) {
        if self.0.rung.swap(true, Ordering::AcqRel) {
            return;
        }
        match self.0.bell.ring() {
            // The thread has ended.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) => tracing::error!("cannot wake an I/O thread: {error}"),
            Ok(()) => {}
        }
    }

    /// To be called before `Woken` is reported: whoever calls [`wake`](Self::wake) from here on
    /// rings again, and what was handed over by those who did not ring is visible.
    pub(super) fn silence(&self) {
        self.0.rung.swap(false, Ordering::AcqRel);
    }
}

impl WakeBell {
    fn ring(&self) -> io::Result<()> {
        match self {
            Self::Mio(waker) => waker.wake(),
            #[cfg(target_os = "linux")]
            Self::Pipe(pipe) => io::Write::write_all(&mut &*pipe, &[1]),
        }
    }
}
