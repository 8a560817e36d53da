//! Tests that run threads in all orders that the memory model allows: `cargo x model`.
//!
//! They are about what must not be lost between threads: a message for a client that moves, and the
//! news that the log is durable. A thread that waits for ever is a deadlock, which loom reports.

use std::sync::Arc;

use kvik_command::mail::{Mailbox, Message, Push};
use kvik_command::pubsub::Bell;
use loom::sync::{Condvar, Mutex};
use loom::thread;

use crate::durability::{Durability, Holding};
use crate::net::ConnId;
use crate::reactor::mail::{Letterbox, MailQueue};

const PREEMPTIONS: usize = 3;

fn model(run: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.check(run);
}

/// The bell of a modelled I/O thread.
#[derive(Debug, Default, Clone)]
struct Doorbell(Arc<(Mutex<bool>, Condvar)>);

impl Doorbell {
    /// Waits until it has been rung since the last time.
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

fn queue() -> (Arc<MailQueue<Doorbell>>, Doorbell) {
    let bell = Doorbell::default();
    (Arc::new(MailQueue::new(bell.clone())), bell)
}

fn push(number: u64) -> Message {
    Message::Push(Push::new(0, Default::default(), number))
}

fn numbers(messages: impl IntoIterator<Item = Message>) -> impl Iterator<Item = u64> {
    messages.into_iter().map(|message| match message {
        Message::Push(push) => push.lsn(),
        Message::Kill | Message::Retry | Message::Reply(_) => 0,
    })
}

/// Messages of two senders arrive, each once and in its sender's order, while the client moves.
#[test]
fn mail_follows_a_client_to_another_thread() {
    model(|| {
        let (first, _) = queue();
        let (second, bell) = queue();
        let letterbox = Arc::new(Letterbox::new());
        let id = ConnId::of_index(1);
        let mut seen: Vec<u64> = numbers(letterbox.settle(&first, id)).collect();
        let sender = |messages: &'static [u64]| {
            let letterbox = Arc::clone(&letterbox);
            thread::spawn(move || {
                for number in messages {
                    letterbox.deliver(push(*number));
                }
            })
        };
        let senders = [sender(&[1, 2]), sender(&[11])];
        // The former thread may read some before the client leaves.
        for id in first.take() {
            assert_eq!(id, ConnId::of_index(1));
            seen.extend(numbers(letterbox.take()));
        }
        letterbox.leave();
        seen.extend(numbers(letterbox.settle(&second, id)));
        while seen.len() < 3 {
            bell.wait();
            for _ in second.take() {
                seen.extend(numbers(letterbox.take()));
            }
        }
        let place = |number| seen.iter().position(|seen| *seen == number);
        assert!(place(1) < place(2) && place(11).is_some(), "{seen:?}");
        for sender in senders {
            sender.join().unwrap();
        }
    });
}

/// A thread that holds output is woken when the log has come so far, whatever the order.
#[test]
fn held_output_is_released() {
    model(|| {
        let log = Arc::new(Durability::new());
        let (holding, bell) = (Arc::new(Holding::new()), Doorbell::default());
        let writer = {
            let (log, holding, bell) = (Arc::clone(&log), Arc::clone(&holding), bell.clone());
            thread::spawn(move || {
                for lsn in [1, 2] {
                    log.advance(lsn);
                    if holding.take() {
                        bell.ring();
                    }
                }
            })
        };
        while log.must_hold(&holding, 2) {
            bell.wait();
        }
        assert_eq!(log.lsn(), 2);
        writer.join().unwrap();
    });
}
