//! The two queues that are shared with the kernel, and the only code that talks to it.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, squeue};

const SUBMISSIONS: u32 = 512;
/// Completions that exceed this are kept by the kernel and come with the next turn.
const COMPLETIONS: u32 = 4096;

pub(super) struct Ring {
    uring: IoUring,
    /// Requests that did not fit into the submission queue; they go first, so order is kept and
    /// none is lost.
    backlog: VecDeque<squeue::Entry>,
    /// Requests whose last completion has not been taken.
    in_flight: usize,
}

/// The end of a request, or one result of a request that goes on.
pub(super) struct Completion {
    /// The word the request was given.
    pub(super) word: u64,
    pub(super) result: io::Result<u32>,
    /// The request goes on: more completions will come.
    pub(super) more: bool,
    /// The provided buffer that holds what was received.
    pub(super) buffer: Option<u16>,
}

impl Ring {
    pub(super) fn new() -> io::Result<Self> {
        let uring = build(|builder| builder.setup_single_issuer().setup_defer_taskrun())
            .or_else(|_| build(|builder| builder.setup_coop_taskrun()))
            .or_else(|_| build(|builder| builder))?;
        let features = uring.params();
        if !features.is_feature_nodrop() || !features.is_feature_ext_arg() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(Self {
            uring,
            backlog: VecDeque::new(),
            in_flight: 0,
        })
    }

    /// Queues a request for the next [`enter`](Self::enter).
    ///
    /// # Safety
    /// Memory that `request` points to must stay where it is, and be left alone as far as the
    /// kernel writes or reads it, until the request's last completion is taken.
    pub(super) unsafe fn push(&mut self, request: &squeue::Entry) {
        self.in_flight += 1;
        if self.backlog.is_empty() {
            // SAFETY: the caller keeps the memory valid for as long as the kernel may use it.
            let pushed = unsafe { self.uring.submission().push(request) };
            if pushed.is_ok() {
                return;
            }
        }
        self.backlog.push_back(request.clone());
    }

    /// Hands all requests to the kernel and waits for a completion, at most `timeout`. The usual
    /// turn makes one system call.
    pub(super) fn enter(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        while self.fill() {
            if tolerate(self.uring.submit())?.is_none() {
                // The kernel wants completions taken first.
                return Ok(());
            }
        }
        let entered = match timeout.map(Timespec::from) {
            Some(timeout) => {
                let arguments = SubmitArgs::new().timespec(&timeout);
                self.uring.submitter().submit_with_args(1, &arguments)
            }
            None => self.uring.submit_and_wait(1),
        };
        tolerate(entered).map(drop)
    }

    /// Moves the backlog into the submission queue; true if some of it is left.
    fn fill(&mut self) -> bool {
        let mut queue = self.uring.submission();
        while let Some(request) = self.backlog.front() {
            // SAFETY: `push` had the caller's promise.
            if unsafe { queue.push(request) }.is_err() {
                return true;
            }
            self.backlog.pop_front();
        }
        false
    }

    /// How many completions can be taken.
    pub(super) fn completed(&mut self) -> usize {
        self.uring.completion().len()
    }

    pub(super) fn pop(&mut self) -> Option<Completion> {
        let entry = self.uring.completion().next()?;
        let more = cqueue::more(entry.flags());
        if !more {
            self.in_flight -= 1;
        }
        Some(Completion {
            word: entry.user_data(),
            result: u32::try_from(entry.result())
                .map_err(|_| io::Error::from_raw_os_error(-entry.result())),
            more,
            buffer: cqueue::buffer_select(entry.flags()),
        })
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Gives the kernel a ring of buffers to receive into, as `group`.
    ///
    /// # Safety
    /// The ring of `entries` entries at `address`, and the buffers in it, must stay valid until
    /// this `Ring` is dropped with nothing in flight.
    pub(super) unsafe fn provide(&self, address: u64, entries: u16, group: u16) -> io::Result<()> {
        // SAFETY: as the caller promises.
        unsafe {
            self.uring
                .submitter()
                .register_buf_ring_with_flags(address, entries, group, 0)
        }
    }
}

fn build(flags: impl Fn(&mut io_uring::Builder) -> &mut io_uring::Builder) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder
        .setup_cqsize(COMPLETIONS)
        .setup_submit_all()
        .setup_clamp();
    flags(&mut builder).build(SUBMISSIONS)
}

/// `None` if the call was merely cut short: by its timeout, a signal, or a kernel that wants
/// completions taken or is short of memory for the moment.
fn tolerate(entered: io::Result<usize>) -> io::Result<Option<usize>> {
    match entered {
        Ok(count) => Ok(Some(count)),
        Err(error) => match error.raw_os_error() {
            Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => Ok(None),
            _ => Err(error),
        },
    }
}
