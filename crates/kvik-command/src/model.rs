//! Tests that run threads in all orders that the memory model allows: `cargo x model`.
//!
//! They are about the registry of channels: one order for all listeners, every message that was
//! counted arrives, none after a farewell, also while a client moves to another thread.

#![expect(clippy::unwrap_used, reason = "only tests")]

use std::collections::VecDeque;
use std::sync::Arc;

use loom::sync::{Condvar, Mutex};
use loom::thread;

use crate::client::{Clients, Origin};
use crate::mail::{Mailbox, Message, Push};
use crate::pubsub::{Bell, Hearing, Outlet, PubSub, Seat};
use crate::session::Session;

const PREEMPTIONS: usize = 2;

fn model(run: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.check(run);
}

/// The bell of a modelled I/O thread.
#[derive(Debug, Default, Clone)]
struct Doorbell(Arc<(Mutex<bool>, Condvar)>);

impl Doorbell {
    fn wait(&self) {
        let (rung, changed) = &*self.0;
        let mut rung = rung.lock().unwrap();
        while !std::mem::take(&mut *rung) {
            rung = changed.wait(rung).unwrap();
        }
    }
}

impl Bell for Doorbell {
    fn ring(&self) {
        let (rung, changed) = &*self.0;
        *rung.lock().unwrap() = true;
        changed.notify_one();
    }
}

#[derive(Default)]
struct Pigeonhole(Mutex<VecDeque<Push>>);

impl Mailbox for Pigeonhole {
    fn deliver(&self, message: Message) {
        if let Message::Push(push) = message {
            self.0.lock().unwrap().push_back(push);
        }
    }
}

/// A listener and the thread that serves it.
struct Listener {
    session: Session,
    mailbox: Arc<Pigeonhole>,
    seen: Vec<u8>,
}

fn outlet() -> (Arc<Outlet>, Doorbell) {
    let bell = Doorbell::default();
    (Arc::new(Outlet::new(bell.clone())), bell)
}

impl Listener {
    fn new(pubsub: &PubSub, outlet: &Arc<Outlet>, place: u64) -> Self {
        let mailbox = Arc::new(Pigeonhole::default());
        let origin = Origin {
            mailbox: Arc::clone(&mailbox) as _,
            ..Origin::embedded()
        };
        let mut session = Session::new(Clients::default().add(origin, 0), true);
        pubsub.relocate(&mut session, Some(seat(outlet, place)));
        Self {
            session,
            mailbox,
            seen: Vec::new(),
        }
    }

    /// The last byte of a message before its line end is what was published.
    fn note(&mut self, push: &Push) {
        let mut out = kvik_resp::Output::new();
        push.write(self.session.protocol, &mut out);
        let bytes = out.into_bytes();
        self.seen.push(bytes[bytes.len() - 3]);
    }

    /// Takes what has come to its thread, as the thread does.
    fn hear(&mut self, outlet: &Outlet) {
        let mut batch = Vec::new();
        let first = outlet.take(&mut batch);
        for (number, delivery) in (first..).zip(&batch) {
            let place = self.session.client.seat().unwrap().place;
            if delivery.places.contains(&place) && number >= self.session.heard {
                self.note(&delivery.push);
            }
        }
    }

    fn hear_ahead(&mut self) {
        for push in std::mem::take(&mut self.session.ahead) {
            self.note(&push);
        }
    }

    fn hear_mail(&mut self) {
        let pushes = std::mem::take(&mut *self.mailbox.0.lock().unwrap());
        for push in pushes {
            self.note(&push);
        }
    }
}

fn seat(outlet: &Arc<Outlet>, place: u64) -> Seat {
    Seat {
        outlet: Arc::clone(outlet),
        place,
    }
}

/// Two publishers and two listeners at two threads: both listeners see one order, and each thread
/// is woken for what it does not know of.
#[test]
fn all_listeners_see_one_order() {
    model(|| {
        let pubsub = Arc::new(PubSub::default());
        let mut listeners = [(); 2].map(|()| {
            let (outlet, bell) = outlet();
            let mut listener = Listener::new(&pubsub, &outlet, 1);
            pubsub.subscribe(&mut listener.session, Hearing::Channel, b"c");
            (listener, outlet, bell)
        });
        let publisher = |message: &'static [u8]| {
            let pubsub = Arc::clone(&pubsub);
            thread::spawn(move || assert_eq!(pubsub.publish(b"c", message), 2))
        };
        let publishers = [publisher(b"x"), publisher(b"y")];
        for (listener, outlet, bell) in &mut listeners {
            while listener.seen.len() < 2 {
                bell.wait();
                listener.hear(outlet);
            }
        }
        assert_eq!(listeners[0].0.seen, listeners[1].0.seen);
        for publisher in publishers {
            publisher.join().unwrap();
        }
    });
}

/// Messages that PUBLISH counts arrive before the farewell, and nothing behind it.
#[test]
fn a_farewell_comes_behind_what_was_counted() {
    model(|| {
        let pubsub = Arc::new(PubSub::default());
        let (outlet, _) = outlet();
        let mut listener = Listener::new(&pubsub, &outlet, 1);
        pubsub.subscribe(&mut listener.session, Hearing::Channel, b"c");
        let publisher = {
            let pubsub = Arc::clone(&pubsub);
            thread::spawn(move || pubsub.publish(b"c", b"x") + pubsub.publish(b"c", b"y"))
        };
        listener.hear(&outlet);
        pubsub.unsubscribe(&mut listener.session, Hearing::Channel, b"c");
        pubsub.catch_up(&mut listener.session);
        listener.hear_ahead();
        let farewell = listener.seen.len();
        let counted = publisher.join().unwrap();
        listener.hear(&outlet);
        assert_eq!((counted, listener.seen.len()), (farewell, farewell));
    });
}

/// A listener that moves misses nothing, and sees the messages of a publisher in their order over
/// all its channels.
#[test]
fn messages_follow_a_listener_to_another_thread() {
    model(|| {
        let pubsub = Arc::new(PubSub::default());
        let ((first, _), (second, _)) = (outlet(), outlet());
        let mut listener = Listener::new(&pubsub, &first, 1);
        pubsub.subscribe(&mut listener.session, Hearing::Channel, b"a");
        pubsub.subscribe(&mut listener.session, Hearing::Channel, b"b");
        let publisher = {
            let pubsub = Arc::clone(&pubsub);
            thread::spawn(move || {
                for (channel, message) in [(b"a", b"1"), (b"b", b"2"), (b"a", b"3")] {
                    assert_eq!(pubsub.publish(channel, message), 1);
                }
            })
        };
        pubsub.relocate(&mut listener.session, None);
        listener.hear_ahead();
        pubsub.relocate(&mut listener.session, Some(seat(&second, 7)));
        listener.hear_mail();
        publisher.join().unwrap();
        listener.hear(&second);
        assert_eq!(listener.seen, b"123");
    });
}
