//! Listening to channels inside this process, without a server.
//!
//! A [`Subscriber`] is a client like any other: CLIENT LIST shows it, PUBLISH counts it, and it
//! sees the messages of a channel in the order in which all others see them. What nobody has taken
//! yet waits in memory, so whoever subscribes must go on taking messages.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use kvik_command::client::Origin;
use kvik_command::mail::{Mailbox, Message, Push};
use kvik_command::pubsub::Hearing;
use kvik_command::{Error, Session};
use kvik_log::Lsn;
use kvik_resp::{Output, Protocol, ReplyDecoder, Value};
use parking_lot::{Condvar, Mutex};

use crate::db::Db;

/// A message of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelMessage {
    /// The pattern that matched the channel, if it was heard through one.
    pub pattern: Option<Vec<u8>>,
    /// The channel it was published to.
    pub channel: Vec<u8>,
    /// The message.
    pub payload: Vec<u8>,
}

/// Listens to channels and patterns, until it is dropped. As an iterator it waits for each next
/// message, and ends never but for CLIENT KILL. In a store without threads it never waits, and
/// gives none while no message is there.
///
/// ```
/// use std::time::Duration;
///
/// let db = kvik::Db::memory();
/// let mut news = db.subscribe(&["news"]);
/// db.run(&["PUBLISH", "news", "hello"]);
/// db.run(&["PUBLISH", "sport", "nobody hears"]);
/// assert_eq!(news.next().unwrap().payload, b"hello");
/// assert!(news.next_within(Duration::ZERO).unwrap().is_none());
/// ```
pub struct Subscriber {
    db: Db,
    session: Session,
    inbox: Arc<SubscriberInbox>,
}

/// Messages that have come and were not taken.
#[derive(Default)]
struct SubscriberInbox {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    pushes: VecDeque<Push>,
    killed: bool,
}

impl Mailbox for SubscriberInbox {
    fn deliver(&self, message: Message) {
        let mut waiting = self.waiting.lock();
        match message {
            Message::Push(push) => waiting.pushes.push_back(push),
            Message::Kill => waiting.killed = true,
            _ => return,
        }
        drop(waiting);
        self.changed.notify_all();
    }
}

impl Db {
    /// Listens to channels by their names. When this returns, every message that is published
    /// arrives.
    pub fn subscribe(&self, channels: &[impl AsRef<[u8]>]) -> Subscriber {
        let mut subscriber = Subscriber::new(self.clone());
        subscriber.subscribe(channels);
        subscriber
    }

    /// Listens to all channels whose names match a pattern.
    ///
    /// ```
    /// let db = kvik::Db::memory();
    /// let mut all = db.psubscribe(&["room:*"]);
    /// db.run(&["PUBLISH", "room:7", "hi"]);
    /// let message = all.next().unwrap();
    /// assert_eq!((message.channel, message.payload), (b"room:7".to_vec(), b"hi".to_vec()));
    /// assert_eq!(message.pattern.as_deref(), Some(&b"room:*"[..]));
    /// ```
    pub fn psubscribe(&self, patterns: &[impl AsRef<[u8]>]) -> Subscriber {
        let mut subscriber = Subscriber::new(self.clone());
        subscriber.psubscribe(patterns);
        subscriber
    }
}

impl Subscriber {
    fn new(db: Db) -> Self {
        let inbox = Arc::new(SubscriberInbox::default());
        let origin = Origin {
            mailbox: Arc::clone(&inbox) as _,
            ..Origin::embedded()
        };
        let mut session = db.session(origin);
        session.speak(Protocol::Resp3);
        Self { db, session, inbox }
    }

    /// Listens to more channels.
    pub fn subscribe(&mut self, channels: &[impl AsRef<[u8]>]) {
        self.listen(Hearing::Channel, channels);
    }

    /// Listens to more patterns.
    pub fn psubscribe(&mut self, patterns: &[impl AsRef<[u8]>]) {
        self.listen(Hearing::Pattern, patterns);
    }

    fn listen(&mut self, hearing: Hearing, names: &[impl AsRef<[u8]>]) {
        let pubsub = &self.db.shared.engine.pubsub;
        for name in names {
            pubsub.subscribe(&mut self.session, hearing, name.as_ref());
        }
    }

    /// Listens to these channels no more. What was published before is still there to be taken.
    pub fn unsubscribe(&mut self, channels: &[impl AsRef<[u8]>]) {
        self.leave(Hearing::Channel, channels);
    }

    /// Listens to these patterns no more.
    pub fn punsubscribe(&mut self, patterns: &[impl AsRef<[u8]>]) {
        self.leave(Hearing::Pattern, patterns);
    }

    fn leave(&mut self, hearing: Hearing, names: &[impl AsRef<[u8]>]) {
        let pubsub = &self.db.shared.engine.pubsub;
        for name in names {
            pubsub.unsubscribe(&mut self.session, hearing, name.as_ref());
        }
    }

    /// The next message, if one comes within this time.
    ///
    /// # Errors
    /// If the log has failed and what the message tells of may be lost, or an operator has
    /// disconnected the subscriber.
    pub fn next_within(&mut self, time: Duration) -> Result<Option<ChannelMessage>, Error> {
        let mut waiting = self.inbox.waiting.lock();
        // Without threads nobody could publish meanwhile.
        if waiting.pushes.is_empty() && !waiting.killed && self.db.shared.has_threads() {
            // A wake-up without a reason only makes the wait shorter where there is nothing.
            let is_idle = |waiting: &mut Waiting| waiting.pushes.is_empty() && !waiting.killed;
            let changed = &self.inbox.changed;
            changed.wait_while_for(&mut waiting, is_idle, time);
        }
        let (push, is_killed) = (waiting.pushes.pop_front(), waiting.killed);
        drop(waiting);
        self.tell(push, is_killed)
    }

    fn tell(&self, push: Option<Push>, is_killed: bool) -> Result<Option<ChannelMessage>, Error> {
        let Some(push) = push else {
            return match is_killed {
                true => Err(Error::text("the subscriber was disconnected")),
                false => Ok(None),
            };
        };
        self.db.shared.wait_for(Lsn::new(push.lsn()))?;
        Ok(decode(&push))
    }
}

impl Iterator for Subscriber {
    type Item = ChannelMessage;

    fn next(&mut self) -> Option<ChannelMessage> {
        /// A wait that is begun again.
        const LONG: Duration = Duration::from_secs(3600);
        loop {
            match self.next_within(LONG) {
                Ok(None) if self.db.shared.has_threads() => {}
                Ok(message) => return message,
                Err(_) => return None,
            }
        }
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let engine = &self.db.shared.engine;
        engine.pubsub.unsubscribe_all(&mut self.session);
        engine.clients.remove(self.session.client.id);
    }
}

impl std::fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscriber").finish_non_exhaustive()
    }
}

/// The message in a push of a channel; none in another push, such as one that another client has
/// redirected here.
fn decode(push: &Push) -> Option<ChannelMessage> {
    let mut out = Output::new();
    push.write(Protocol::Resp3, &mut out);
    let Ok(Some((Value::Push(words), _))) = ReplyDecoder::new().decode(&out.into_bytes()) else {
        return None;
    };
    let mut words = words.into_iter().map(|word| match word {
        Value::Bulk(bytes) => bytes,
        _ => Vec::new(),
    });
    let pattern = match words.next()?.as_slice() {
        b"pmessage" => Some(words.next()?),
        b"message" => None,
        _ => return None,
    };
    Some(ChannelMessage {
        pattern,
        channel: words.next()?,
        payload: words.next()?,
    })
}
