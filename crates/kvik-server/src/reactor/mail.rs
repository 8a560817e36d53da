//! How messages reach a client, whichever thread serves it.
//!
//! A client has one [`Letterbox`] for its life; each I/O thread has one [`MailQueue`] with the
//! connections whose letterboxes have something in them. A sender puts the message into the
//! letterbox, and the connection's id into the queue of its thread if it does not stand there yet:
//! a wake-up is about those connections and no others, and a thousand messages for one client cost
//! one entry and at most one system call; a thread that leaves it for its own clients makes none.
//!
//! ```text
//!   deliver ──▶ letterbox of the client ──(first message)──▶ queue of its thread
//!                      ▲                                       │        │
//!                      │                                       │   (first id)──▶ bell
//!                      └──────── take, between two commands ───┘
//! ```
//!
//! **Moving.** A connection on its way has no address: what is delivered stays in the letterbox,
//! and the thread that takes it over reads it as it [settles](Letterbox::settle). An id that is
//! left in the queue of the former thread is stale there and finds nothing.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, ThreadId};

use kvik_command::mail::{Mailbox, Message, Push};
use kvik_command::pubsub::Bell;

use crate::net::{ConnId, Waker};
use crate::sync::Mutex;

/// Letterboxes read before others have their turn.
const READ_AT_ONCE: usize = 64;

/// The connections of one thread that have mail.
#[derive(Debug)]
pub(crate) struct MailQueue<B = Waker> {
    waiting: Mutex<Vec<ConnId>>,
    bell: B,
    /// The thread, which looks by itself before it waits.
    owner: OnceLock<ThreadId>,
    /// There is mail for which the owner is not woken. Nobody else writes or reads this.
    has_own: AtomicBool,
}

impl<B: Bell> MailQueue<B> {
    pub(crate) fn new(bell: B) -> Self {
        Self {
            waiting: Mutex::new(Vec::new()),
            bell,
            owner: OnceLock::new(),
            has_own: AtomicBool::new(false),
        }
    }

    /// Names the calling thread as the one that reads the mail. It is not woken for what it leaves
    /// itself: it looks whether there is [some](Self::has_own) before it goes to sleep.
    pub(crate) fn own(&self) {
        // A second call would be of the same thread.
        let _ = self.owner.set(thread::current().id());
    }

    /// Whether there is mail for which the owner is not woken: what it has left for its own
    /// clients, and the rest of what it has not read yet.
    #[inline]
    pub(crate) fn has_own(&self) -> bool {
        self.has_own.load(Ordering::Relaxed)
    }

    /// Has the thread look into the letterbox of a connection.
    fn note(&self, conn: ConnId) {
        let was_empty = {
            let mut waiting = self.waiting.lock();
            waiting.push(conn);
            waiting.len() == 1
        };
        // Whoever put the first id in has rung for all; the owner looks in any case.
        if self.owner.get() == Some(&thread::current().id()) {
            self.has_own.store(true, Ordering::Relaxed);
        } else if was_empty {
            self.bell.ring();
        }
    }

    /// The connections whose letterboxes are to be read now: the first of those that wait. Where
    /// there are more, the owner looks again when it has served others: what comes meanwhile is
    /// told along with the rest, and the first are sent what they are told without waiting for the
    /// last.
    pub(crate) fn take(&self) -> Vec<ConnId> {
        let mut waiting = self.waiting.lock();
        let now = waiting.len().min(READ_AT_ONCE);
        let rest = waiting.split_off(now);
        self.has_own.store(!rest.is_empty(), Ordering::Relaxed);
        std::mem::replace(&mut *waiting, rest)
    }
}

/// The mailbox of one client.
#[derive(Debug)]
pub(crate) struct Letterbox<B = Waker> {
    mail: Mutex<Mail<B>>,
}

#[derive(Debug)]
struct Mail<B> {
    messages: VecDeque<Message>,
    /// The thread that serves the client; none while the connection moves.
    address: Option<(Arc<MailQueue<B>>, ConnId)>,
    /// The connection stands in that thread's queue.
    noted: bool,
}

impl<B: Bell> Letterbox<B> {
    /// The mailbox of a client whose connection has not settled yet.
    pub(crate) fn new() -> Self {
        Self {
            mail: Mutex::new(Mail {
                messages: VecDeque::new(),
                address: None,
                noted: false,
            }),
        }
    }

    /// Has messages reported to this thread from here on; returns those that are there.
    pub(crate) fn settle(&self, queue: &Arc<MailQueue<B>>, conn: ConnId) -> VecDeque<Message> {
        let mut mail = self.mail.lock();
        mail.address = Some((Arc::clone(queue), conn));
        mail.take()
    }

    /// The connection leaves its thread: messages wait until it settles again.
    pub(crate) fn leave(&self) {
        self.mail.lock().address = None;
    }

    /// Takes the messages out, in the order in which they came.
    pub(crate) fn take(&self) -> VecDeque<Message> {
        self.mail.lock().take()
    }
}

impl<B> Mail<B> {
    /// The next message is reported anew.
    fn take(&mut self) -> VecDeque<Message> {
        self.noted = false;
        std::mem::take(&mut self.messages)
    }
}

impl<B: Bell> Mailbox for Letterbox<B> {
    fn deliver(&self, message: Message) {
        let mut mail = self.mail.lock();
        mail.messages.push_back(message);
        if mail.noted {
            return;
        }
        if let Some((queue, conn)) = mail.address.clone() {
            mail.noted = true;
            // The thread may be reading other letterboxes; it must not wait for this one as well.
            drop(mail);
            queue.note(conn);
        }
    }

    fn take_pushes(&self) -> Vec<Push> {
        let (mut mail, mut pushes) = (self.mail.lock(), Vec::new());
        while let Some(Message::Push(push)) = mail.messages.front() {
            pushes.push(push.clone());
            mail.messages.pop_front();
        }
        pushes
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Debug, Default)]
    struct Counted(AtomicUsize);

    impl Bell for Counted {
        fn ring(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn rings(queue: &MailQueue<Counted>) -> usize {
        queue.bell.0.load(Ordering::Relaxed)
    }

    #[test]
    fn many_messages_ring_once_and_name_their_connections_only() {
        let queue = Arc::new(MailQueue::new(Counted::default()));
        let boxes: Vec<_> = (0..4).map(|_| Letterbox::new()).collect();
        for (slot, letterbox) in boxes.iter().enumerate() {
            letterbox.settle(&queue, ConnId::of_index(slot as u32));
        }
        for _ in 0..1000 {
            boxes[2].deliver(Message::Retry);
            boxes[0].deliver(Message::Kill);
        }
        assert_eq!(rings(&queue), 1);
        assert_eq!(queue.take(), [ConnId::of_index(2), ConnId::of_index(0)]);
        assert_eq!((boxes[2].take().len(), boxes[1].take().len()), (1000, 0));
        boxes[2].deliver(Message::Retry);
        assert_eq!((rings(&queue), queue.take().len()), (2, 1));
    }

    #[test]
    fn of_many_letterboxes_some_are_read_at_a_time_in_their_order() {
        const COUNT: usize = 2 * READ_AT_ONCE + 1;
        let queue = Arc::new(MailQueue::new(Counted::default()));
        let ids: Vec<_> = (0..COUNT)
            .map(|slot| ConnId::of_index(slot as u32))
            .collect();
        ids.iter().for_each(|&id| queue.note(id));
        let mut taken = Vec::new();
        for left in [true, true, false] {
            taken.extend(queue.take());
            assert_eq!(queue.has_own(), left);
        }
        assert_eq!(taken, ids);
        // Who puts the first id in rings.
        queue.note(ids[0]);
        assert_eq!(rings(&queue), 2);
    }

    #[test]
    fn the_owner_is_not_woken_for_what_it_leaves_itself() {
        let queue = Arc::new(MailQueue::new(Counted::default()));
        queue.own();
        let letterbox = Arc::new(Letterbox::new());
        letterbox.settle(&queue, ConnId::of_index(1));
        letterbox.deliver(Message::Retry);
        assert_eq!((rings(&queue), queue.has_own()), (0, true));
        assert_eq!(queue.take(), [ConnId::of_index(1)]);
        assert!(!queue.has_own());
        letterbox.take();
        let other = Arc::clone(&letterbox);
        let thread = std::thread::spawn(move || other.deliver(Message::Retry));
        thread.join().unwrap();
        assert_eq!((rings(&queue), queue.has_own()), (1, false));
    }

    #[test]
    fn what_comes_on_the_way_is_read_on_arrival() {
        let (one, other) = (
            Arc::new(MailQueue::new(Counted::default())),
            Arc::new(MailQueue::new(Counted::default())),
        );
        let letterbox = Letterbox::new();
        assert!(letterbox.settle(&one, ConnId::of_index(1)).is_empty());
        letterbox.leave();
        letterbox.deliver(Message::Retry);
        assert_eq!((rings(&one), rings(&other)), (0, 0));
        assert_eq!(letterbox.settle(&other, ConnId::of_index(5)).len(), 1);
        letterbox.deliver(Message::Retry);
        assert_eq!((rings(&one), rings(&other)), (0, 1));
        assert_eq!(other.take(), [ConnId::of_index(5)]);
    }
}
