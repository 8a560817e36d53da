//! A client that subscribes to the feed.
//!
//! Its entries are pushes, encoded once for all subscribers. What has been left in its mailbox and
//! not been written, and what its connection has not sent, is bounded together: when that is much,
//! the client gets nothing more until it has read some, and the entries wait in the log.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use kvik_resp::{Output, Protocol, Reply};

use super::{Feed, FeedEntry, FeedSink, Offer};
use crate::client::Client;
use crate::error::Error;
use crate::mail::{Message, Push, Receipt};

/// Bytes on the way to a client from which on it gets nothing more.
const ROOM_BYTES: usize = 256 << 10;

/// The sink of a client.
pub struct Subscriber {
    client: Arc<Client>,
    with_old: bool,
    window: Arc<SendWindow>,
    /// The client has been told of the subscription.
    is_open: AtomicBool,
}

/// The bytes that have been left in a client's mailbox.
struct SendWindow {
    bytes: AtomicUsize,
    feed: Weak<dyn Feed>,
}

impl Subscriber {
    /// The sink of a client of this feed.
    pub fn new(client: Arc<Client>, with_old: bool, feed: Weak<dyn Feed>) -> Self {
        Self {
            client,
            with_old,
            window: Arc::new(SendWindow {
                bytes: AtomicUsize::new(0),
                feed,
            }),
            is_open: AtomicBool::new(false),
        }
    }

    /// Lets entries come: the client has its reply, which they must not overtake.
    pub fn open(&self) {
        self.is_open.store(true, Ordering::Release);
        if let Some(feed) = self.window.feed.upgrade() {
            feed.wake();
        }
    }

    fn deliver(&self, push: Push) {
        let bytes = push.len();
        self.window.bytes.fetch_add(bytes, Ordering::Relaxed);
        let window = Arc::clone(&self.window);
        let receipt = Receipt::new(move || window.give_back(bytes));
        self.client
            .deliver(Message::Push(push.with_receipt(receipt)));
    }
}

impl SendWindow {
    fn give_back(&self, bytes: usize) {
        let before = self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        // Once for a window that has been half emptied, and not for every push.
        let half = ROOM_BYTES / 2;
        if before > half
            && before - bytes <= half
            && let Some(feed) = self.feed.upgrade()
        {
            feed.wake();
        }
    }
}

impl FeedSink for Subscriber {
    fn offer(&self, entry: &Arc<FeedEntry>) -> Offer {
        if self.client.is_killed() {
            return Offer::Gone;
        }
        if !self.is_open.load(Ordering::Acquire) {
            return Offer::Full;
        }
        let unread = self.client.output_bytes.load(Ordering::Relaxed);
        if self.window.bytes.load(Ordering::Relaxed) + unread >= ROOM_BYTES {
            return Offer::Full;
        }
        self.deliver(entry.push(self.with_old));
        Offer::Taken
    }

    fn end(&self, error: &Error) {
        let mut values = Output::new();
        let mut reply = Reply::new(&mut values, Protocol::Resp3);
        reply.bulk(b"feed-end");
        reply.bulk(&error.line());
        self.deliver(Push::new(2, values, 0));
    }
}

impl std::fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscriber")
            .field("client", &self.client.id)
            .finish_non_exhaustive()
    }
}
