//! One connection of an io_uring: what the kernel is doing for it, and what it has for the layer
//! above.

use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::AsRawFd;

use io_uring::types::Fd;
use io_uring::{opcode, squeue};
use kvik_rope::IncomingRope;
use socket2::Socket;

use super::provided::GROUP;
use super::ring::Ring;
use super::{TAG_RECEIVE, TAG_SEND};
use crate::net::buffers::{Buffers, Foresight, LINE_END, announced_room};
use crate::net::low_water::LowWater;
use crate::net::outgoing::Outgoing;
use crate::net::{ConnId, Event};

/// From this many missing bytes on, a value is received directly.
const DIRECT: usize = 64 << 10;
/// Bytes of a large string that one request asks for at most: their chunks are fewer than the
/// places the kernel takes in a list.
const MOST_AT_ONCE: usize = 4 << 20;
/// The most that one request is asked to send or receive.
const ONE_REQUEST: usize = 1 << 30;

/// A list of slices in the kernel's form.
struct Message {
    header: libc::msghdr,
    slices: Vec<libc::iovec>,
}

impl Default for Message {
    fn default() -> Self {
        Self {
            // SAFETY: numbers and pointers, all of which may be zero.
            header: unsafe { mem::zeroed() },
            slices: Vec::new(),
        }
    }
}

impl Message {
    /// Lists slices to be read and returns the header, which points to the list.
    fn carry<'a>(&mut self, slices: impl Iterator<Item = &'a [u8]>) -> *const libc::msghdr {
        self.list(slices.map(|slice| (slice.as_ptr().cast_mut(), slice.len())))
    }

    /// Lists slices to be written to and returns the header, which points to the list.
    fn gather<'a>(
        &mut self,
        slices: impl Iterator<Item = &'a mut [MaybeUninit<u8>]>,
    ) -> *mut libc::msghdr {
        self.list(slices.map(|slice| (slice.as_mut_ptr().cast(), slice.len())))
    }

    fn list(&mut self, slices: impl Iterator<Item = (*mut u8, usize)>) -> *mut libc::msghdr {
        self.slices.clear();
        self.slices
            .extend(slices.map(|(start, length)| libc::iovec {
                iov_base: start.cast(),
                iov_len: length,
            }));
        self.header.msg_iov = self.slices.as_mut_ptr();
        // An `int` in musl.
        self.header.msg_iovlen = self.slices.len() as _;
        &raw mut self.header
    }
}

/// The kernel's work for the receiving side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receiving {
    Nothing,
    Pooled,
    Direct,
    /// Only word that much of a large string is there to be received directly.
    Gathering,
    /// Nothing, until the starved get their turn.
    Starved,
}

pub(super) struct UringConn {
    socket: Socket,
    pub(super) output: Outgoing,
    /// The slices of a send that is in the kernel and reads more than one.
    message: Option<Box<Message>>,
    /// The input buffer, while the layer above waits for bytes. A direct receive writes to it.
    pub(super) input: Option<Vec<u8>>,
    /// The bytes that the layer above lacks, if it knows.
    pub(super) missing: usize,
    /// A large string to be received before more of the input.
    pub(super) incoming: Option<IncomingRope>,
    /// Where a direct receive of it writes to.
    places: Option<Box<Message>>,
    /// Whether another large string may be expected.
    foresight: Foresight,
    low_water: LowWater,
    /// All bytes that were to be gathered have come.
    gathered: bool,
    /// Bytes that came while the layer above did not wait for any.
    early: Vec<u8>,
    pub(super) failure: Option<io::Error>,
    pub(super) receiving: Receiving,
    /// The receive in the kernel is being cancelled.
    pub(super) cancelling: bool,
    /// A send is in the kernel.
    pub(super) sending: bool,
    /// The peer sends no more.
    ended: bool,
    /// `PeerFinished` was reported.
    finished: bool,
    /// To be closed when the output is sent.
    pub(super) closing: bool,
    /// To be handed back when the output is sent and the kernel has let go of it.
    pub(super) releasing: bool,
    /// Closed for the layer above; stays until the kernel has let go of it.
    pub(super) gone: bool,
    /// A `Drained` is owed.
    pub(super) drain_due: bool,
    /// Stands in the driver's queue of those that can progress.
    pub(super) queued: bool,
}

impl UringConn {
    pub(super) fn new(socket: Socket) -> Self {
        Self {
            socket,
            output: Outgoing::default(),
            message: None,
            input: None,
            missing: 0,
            incoming: None,
            places: None,
            foresight: Foresight::default(),
            low_water: LowWater::default(),
            gathered: false,
            early: Vec::new(),
            failure: None,
            receiving: Receiving::Nothing,
            cancelling: false,
            sending: false,
            ended: false,
            finished: false,
            closing: false,
            releasing: false,
            gone: false,
            drain_due: false,
            queued: false,
        }
    }

    fn fd(&self) -> Fd {
        Fd(self.socket.as_raw_fd())
    }

    /// The receive that should be in the kernel.
    pub(super) fn wanted(&self) -> Receiving {
        let over = self.is_closed() || self.ended || self.failure.is_some();
        match &self.input {
            _ if over => Receiving::Nothing,
            // What is being received directly comes whole; to cancel it might cut it short.
            _ if self.releasing && self.receiving == Receiving::Direct => Receiving::Direct,
            _ if self.releasing => Receiving::Nothing,
            // Paused: bytes may still come once, then the peer has to wait.
            None if self.early.is_empty() => self.receiving,
            None => Receiving::Nothing,
            Some(_) if !self.early.is_empty() => self.receiving,
            Some(_) if self.incoming.is_some() => Receiving::Direct,
            Some(_) if self.missing >= DIRECT => Receiving::Direct,
            Some(_) => Receiving::Pooled,
        }
    }

    /// Whether there is something to report or to do without the kernel.
    pub(super) fn can_progress(&self) -> bool {
        let may_deliver = self.awaits_bytes() && (!self.early.is_empty() || self.ended);
        let is_drained = self.output.is_empty() && (self.closing || self.drain_due);
        let news = may_deliver || is_drained || self.failure.is_some();
        !self.gone && (news || self.can_be_released())
    }

    /// Whether it can be handed back now.
    pub(super) fn can_be_released(&self) -> bool {
        self.releasing && self.output.is_empty() && self.is_free()
    }

    /// Whether the kernel holds nothing of it.
    pub(super) fn is_free(&self) -> bool {
        !self.sending && matches!(self.receiving, Receiving::Nothing | Receiving::Starved)
    }

    /// Whether nothing is to be received or sent that is not sent yet.
    pub(super) fn is_closed(&self) -> bool {
        self.gone || self.closing
    }

    /// Whether the layer above may still ask for bytes.
    pub(super) fn may_receive(&self) -> bool {
        !self.finished && !self.is_closed()
    }

    fn awaits_bytes(&self) -> bool {
        self.input.is_some() && self.may_receive() && !self.releasing
    }

    /// Requests all that comes, each time in a provided buffer; only a little if a large string may
    /// begin in it, so that the rest is there to be received directly.
    pub(super) fn receive_pooled(&mut self, id: ConnId, ring: &mut Ring) {
        self.receiving = Receiving::Pooled;
        self.low_water.lower(&self.socket);
        // A multishot receive would take the large string through the pool, and copy all of it.
        let receive = if let Some(limit) = self.foresight.limit() {
            opcode::Recv::new(self.fd(), std::ptr::null_mut(), limit as u32)
                .buf_group(GROUP)
                .build()
                .flags(squeue::Flags::BUFFER_SELECT)
        } else {
            opcode::RecvMulti::new(self.fd(), GROUP).build()
        };
        // SAFETY: the request points to no memory but the provided buffers, which outlive it.
        unsafe { ring.push(&receive.user_data(id.pack(TAG_RECEIVE))) };
    }

    /// Notes what the layer above waits for.
    pub(super) fn expect(&mut self, missing: usize, incoming: Option<IncomingRope>) {
        self.foresight
            .note(incoming.as_ref().map(IncomingRope::len));
        self.missing = missing;
        self.incoming = incoming;
        self.gathered = false;
    }

    /// Requests what the layer above lacks, in its own buffer, as far as that may grow now.
    pub(super) fn receive_direct(&mut self, id: ConnId, ring: &mut Ring, buffers: &mut Buffers) {
        let fd = self.fd();
        if let Some(incoming) = &self.incoming {
            let lacking = incoming.missing() + LINE_END;
            return self.receive_large(id, ring, lacking);
        }
        self.low_water.lower(&self.socket);
        let Some(input) = &mut self.input else {
            return;
        };
        self.receiving = Receiving::Direct;
        buffers.make_room(input, self.missing);
        let room = input.spare_capacity_mut();
        // No further than what is missing: the bytes behind it may begin a large string.
        let length = room.len().min(self.missing).min(ONE_REQUEST) as u32;
        let receive = opcode::Recv::new(fd, room.as_mut_ptr().cast(), length)
            .flags(libc::MSG_WAITALL)
            .build()
            .user_data(id.pack(TAG_RECEIVE));
        // SAFETY: the room belongs to `input`, which nobody touches while a direct receive is in
        // the kernel, and which the slot keeps until then.
        unsafe { ring.push(&receive) };
    }

    /// Requests what a large string lacks, as far as it may take memory now, and the end of its
    /// line: all of it, or if that is much what has gathered.
    fn receive_large(&mut self, id: ConnId, ring: &mut Ring, lacking: usize) {
        let fd = self.fd();
        if !mem::take(&mut self.gathered) {
            self.low_water.raise(&self.socket, lacking);
            if self.low_water.raised().is_some() {
                return self.gather(id, ring);
            }
        }
        let (Some(incoming), Some(input)) = (&mut self.incoming, &mut self.input) else {
            return;
        };
        self.receiving = Receiving::Direct;
        let gathered = self.low_water.raised();
        // A header may promise more than ever comes: memory grows with what has come, or is known
        // to be there.
        let most = announced_room(incoming.received()).max(gathered.unwrap_or_default());
        let most = most.min(MOST_AT_ONCE);
        // With the last bytes of the string its line end, which would else cost a receive of its
        // own.
        let tail = if incoming.missing() <= most {
            LINE_END
        } else {
            0
        };
        input.reserve(tail);
        let behind = std::iter::once(&mut input.spare_capacity_mut()[..tail]);
        let slices = incoming.room(most).chain(behind);
        let places = self.places.get_or_insert_default().gather(slices);
        let all = if gathered.is_none() {
            libc::MSG_WAITALL
        } else {
            0
        };
        let receive = opcode::RecvMsg::new(fd, places)
            .flags(all as u32)
            .build()
            .user_data(id.pack(TAG_RECEIVE));
        // SAFETY: the places are the incoming rope's, whose chunks stay where they are, and the
        // input's. Nobody touches them while a direct receive is in the kernel; the slot keeps
        // both, and the boxed list.
        unsafe { ring.push(&receive) };
    }

    /// Requests word that as much has come as the low-water mark says.
    fn gather(&mut self, id: ConnId, ring: &mut Ring) {
        self.receiving = Receiving::Gathering;
        let poll = opcode::PollAdd::new(self.fd(), libc::POLLIN as u32).build();
        // SAFETY: the request points to no memory.
        unsafe { ring.push(&poll.user_data(id.pack(TAG_RECEIVE))) };
    }

    /// Notes the word that [`Self::gather`] requested, or why it does not come.
    pub(super) fn note_gathered(&mut self, result: io::Result<u32>) {
        match result {
            Ok(_) => self.gathered = true,
            Err(error) => self.note_receive_failure(error),
        }
    }

    /// Requests to send the next slices of the output.
    pub(super) fn send(&mut self, id: ConnId, ring: &mut Ring) {
        const FLAGS: i32 = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
        self.sending = true;
        let fd = self.fd();
        let send = if let Some(bytes) = self.output.only_slice() {
            let length = bytes.len().min(ONE_REQUEST) as u32;
            let send = opcode::Send::new(fd, bytes.as_ptr(), length);
            send.flags(FLAGS).build()
        } else {
            let message = self.message.get_or_insert_default();
            let header = message.carry(self.output.slices());
            let send = opcode::SendMsg::new(fd, header);
            send.flags(FLAGS as u32).build()
        };
        // SAFETY: the output keeps its first batch in place until `advance` or `clear`, which are
        // called only when the send has completed, and the slot keeps the output until then. So it
        // does the message, which is boxed and changed only for the next send.
        unsafe { ring.push(&send.user_data(id.pack(TAG_SEND))) };
    }

    /// Takes `count` bytes that the kernel wrote behind the input.
    pub(super) fn take_direct(&mut self, id: ConnId, count: usize) -> Option<Event> {
        let mut input = self.input.take()?;
        if let Some(mut incoming) = self.incoming.take() {
            // The places were filled in order: what exceeds the string is its line end.
            let behind = count.saturating_sub(incoming.missing());
            assert!(behind <= LINE_END, "the kernel keeps to its places");
            // SAFETY: the kernel has filled the places it was given in order, up to `count` bytes:
            // first those of the incoming rope, then at most so many that were reserved in the
            // input.
            unsafe {
                incoming.advance(count - behind);
                input.set_len(input.len() + behind);
            }
            return (!self.is_closed()).then_some(Event::ReceivedLarge {
                conn: id,
                incoming,
                input,
            });
        }
        let room = input.capacity() - input.len();
        assert!(count <= room, "the kernel keeps to the room it was given");
        // SAFETY: the kernel has written `count` bytes to the spare capacity, and completed.
        unsafe { input.set_len(input.len() + count) };
        if self.releasing {
            self.input = Some(input);
            return None;
        }
        (!self.is_closed()).then_some(Event::Received { conn: id, input })
    }

    /// Appends bytes to what the layer above waits for: to the large string what belongs to it.
    fn fill(&mut self, id: ConnId, bytes: &[u8], buffers: &mut Buffers) -> Option<Event> {
        let mut input = self.input.take()?;
        let large = self
            .incoming
            .as_mut()
            .map_or(0, |incoming| incoming.take(bytes));
        let behind = &bytes[large..];
        if behind.len() > input.capacity() - input.len() {
            let missing = if self.incoming.is_some() {
                0
            } else {
                self.missing
            };
            buffers.make_room(&mut input, missing);
        }
        input.extend_from_slice(behind);
        Some(match self.incoming.take() {
            None => Event::Received { conn: id, input },
            Some(incoming) => Event::ReceivedLarge {
                conn: id,
                incoming,
                input,
            },
        })
    }

    /// Takes bytes from a provided buffer: as an event if the layer above waits for them.
    pub(super) fn take_pooled(
        &mut self,
        id: ConnId,
        bytes: &[u8],
        buffers: &mut Buffers,
    ) -> Option<Event> {
        if self.is_closed() {
            return None;
        }
        // Behind what came early, so that bytes keep their order.
        if self.input.is_none() || self.releasing || !self.early.is_empty() {
            self.early.extend_from_slice(bytes);
            return None;
        }
        self.fill(id, bytes, buffers)
    }

    /// Hands over what came early, then the end, if the layer above waits for them.
    pub(super) fn deliver(&mut self, id: ConnId, buffers: &mut Buffers) -> Option<Event> {
        if !self.awaits_bytes() || (self.early.is_empty() && !self.ended) {
            return None;
        }
        if self.early.is_empty() {
            self.finished = true;
            self.incoming = None;
            buffers.put(self.input.take()?);
            return Some(Event::PeerFinished { conn: id });
        }
        let early = mem::take(&mut self.early);
        self.fill(id, &early, buffers)
    }

    /// Hands back the socket and all that was received.
    pub(super) fn release(mut self, id: ConnId) -> Event {
        self.low_water.lower(&self.socket);
        let mut input = self.input.unwrap_or_default();
        input.extend_from_slice(&self.early);
        Event::Released {
            conn: id,
            socket: self.socket,
            input,
        }
    }

    /// Notes a receive without data, if it means the end. A kernel may also complete one empty
    /// while the socket still has data, so the socket is asked; the hint in the completion counts
    /// the end as data.
    pub(super) fn note_empty_receive(&mut self) {
        let mut byte = [MaybeUninit::uninit()];
        let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
        self.ended |= self
            .socket
            .recv_with_flags(&mut byte, flags)
            .is_ok_and(|count| count == 0);
    }

    /// Notes why a receive has ended.
    pub(super) fn note_receive_failure(&mut self, error: io::Error) {
        if error.raw_os_error() == Some(libc::ENOBUFS) {
            self.receiving = Receiving::Starved;
        } else if !is_passing(&error) {
            self.failure.get_or_insert(error);
        }
    }
}

/// Whether a request was cancelled or may just be repeated.
pub(super) fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ECANCELED | libc::EINTR | libc::EAGAIN | libc::ECONNABORTED)
    )
}
