//! Serving blocked clients in the section that has changed their keys.
//!
//! Keys are taken in the order in which they got ready, and the waiters of each in the order in
//! which they came. A waiter's call is run as if its client had sent it now, as part of the same
//! unit of effects; that may make other keys ready, so it goes on until none is left. It ends,
//! since every round takes a waiter out of a line or finds that it has nothing for it.
//!
//! A waiter that moves its element to another key needs the stripe of that key as well. Commands
//! lock it beforehand (`executor/reaching.rs`). Whoever could not have known leaves such a
//! key to [`Unserved`]: a section of its own that follows at once.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use kvik_command::blocking::{BlockedCall, Ending, leave_line};
use kvik_command::client::Client;
use kvik_command::mail::{Answer, Message};
use kvik_command::{Ctx, Random, Session};
use kvik_log::{Lsn, Unit};
use kvik_resp::{Output, Reply};
use kvik_store::{KeyHash, KeyUse, Kind, ReadyKey, Stripes, Waiter, Wanted};

use super::{Actor, Locks, Section, Terms, Touching};
use crate::shared::Shared;
use crate::stamps::Reach;
use crate::stripes::{HeldMany, Patience, ascend};

/// Replies for clients that were served, until the section has ended.
#[derive(Default)]
pub(super) struct Served {
    replies: Vec<(Arc<Client>, Output)>,
    /// The keys of their calls, some of which the section did not name itself.
    hashes: Vec<KeyHash>,
    /// How far the log has to be on disk before they may be told.
    lsn: Lsn,
}

impl Served {
    /// Notes, while their stripes are held and after the unit has been handed over, that it may
    /// have changed the keys of the calls. `lsn` is behind what the section has read and changed.
    pub(super) fn stamp(&mut self, shared: &Shared, lsn: Lsn) {
        // Effects may be wanted where no log is: there is no place in it that anybody waits for.
        if self.hashes.is_empty() || !shared.is_logged() {
            return;
        }
        let reach = Reach::Keys(&self.hashes);
        let before = shared.latest(reach);
        // It is not, if there was no effect.
        if lsn > before {
            shared.stamp(reach, lsn);
        }
        self.lsn = lsn.max(before);
    }

    /// Leaves the replies in the mailboxes of their clients after the section has failed, with all
    /// effects before this place in the log.
    #[cold]
    pub(super) fn deliver_late(mut self, lsn: Lsn) {
        self.lsn = self.lsn.max(lsn);
        self.deliver();
    }

    /// Leaves the replies in the mailboxes of their clients.
    pub(super) fn deliver(self) {
        let lsn = self.lsn.get();
        for (client, output) in self.replies {
            client.deliver(Message::Reply(Answer { output, lsn }));
        }
    }
}

/// Stripes with ready keys whose waiters the section that held them could not serve.
#[derive(Debug, Default)]
pub(super) struct Unserved {
    stripes: Vec<u16>,
}

/// The outcome of an attempt to serve a waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    /// It was served, or its wait had ended before: it is not in the line any more.
    Gone,
    /// There is nothing for it.
    Nothing,
    /// There is nothing for anybody in its line.
    NothingForAll,
    /// A stripe that it needs is not held.
    Unreachable,
    /// A key that it needs is pinned. It is served when that has ended.
    Pinned,
}

impl Unserved {
    pub(super) fn of_stripes(stripes: &[usize]) -> Self {
        Self {
            stripes: stripes.iter().map(|&index| index as u16).collect(),
        }
    }

    pub(super) fn add_stripes(&mut self, stripes: &[u16]) {
        self.stripes.extend_from_slice(stripes);
    }

    fn add(&mut self, stripe: u16, waiter: &dyn Waiter) {
        self.stripes.push(stripe);
        self.stripes.extend_from_slice(waiter.reaches());
    }

    /// Serves what can be served where all these stripes are held together; and if that reaches
    /// others again, where all are held.
    pub(super) fn serve(mut self, shared: &Shared) {
        if self.stripes.is_empty() {
            return;
        }
        ascend(&mut self.stripes);
        let held = shared.stripes.lock_many(&self.stripes, Patience::Wait);
        let left = Self::serve_held(shared, held.expect("a patient lock succeeds"));
        if !left.stripes.is_empty() {
            let held = shared.stripes.lock_every(Patience::Wait);
            Self::serve_held(shared, held.expect("a patient lock succeeds"));
        }
    }

    fn serve_held(shared: &Shared, held: HeldMany<'_>) -> Self {
        let mut unit = Unit::new();
        let terms = Terms {
            shared,
            unit: &mut unit,
            now_us: shared.clock.now_us(),
            actor: Actor::Client,
        };
        // A section serves when it ends; this one does nothing before.
        let ((), _, departures) = Section::run_locked(terms, held, Reach::Nothing, |_, _| ());
        departures.map_or_else(Self::default, |departures| departures.deliver(shared))
    }
}

/// The reply of a call that could not be run to its end.
fn internal_error(call: &BlockedCall) -> Output {
    let mut output = Output::new();
    Reply::new(&mut output, call.protocol()).error("ERR internal error");
    output
}

impl Section<'_> {
    /// Serves the waiters of all keys that are ready.
    pub(super) fn serve<L: Locks>(&mut self, held: &mut L) {
        // What has expired while the section was at work serves nobody.
        self.now_us = self.now_us.max(self.shared.clock.now_us());
        let mut unserved = Vec::new();
        while let Some(ready) = held.take_ready() {
            let attempt = self.serve_key(held, &ready);
            if matches!(attempt, Attempt::Unreachable | Attempt::Pinned) {
                unserved.push(ready);
            }
        }
        // They stay ready for whoever holds enough, or ends the pin.
        for ready in unserved {
            self.with_guard(held, ready.keyspace, Touching::NONE, |guard| {
                guard.mark_ready(&ready.key);
            });
        }
    }

    fn serve_key<L: Locks>(&mut self, held: &mut L, ready: &ReadyKey) -> Attempt {
        let kind = self.with_guard(held, ready.keyspace, Touching::NONE, |guard| {
            guard.peek(&*ready.key).map(|view| view.kind())
        });
        let wishes: &[Wanted] = match kind {
            Some(Kind::List) => &[Wanted::List, Wanted::Group],
            Some(Kind::Zset) => &[Wanted::Zset, Wanted::Group],
            Some(Kind::Stream) => &[Wanted::Stream, Wanted::Group],
            _ => &[Wanted::Group],
        };
        let mut result = Attempt::Gone;
        for &wanted in wishes {
            let attempt = self.serve_line(held, ready, wanted);
            if matches!(attempt, Attempt::Unreachable | Attempt::Pinned) {
                result = attempt;
            }
        }
        result
    }

    fn serve_line<L: Locks>(&mut self, held: &mut L, ready: &ReadyKey, wanted: Wanted) -> Attempt {
        let mut turn = 0;
        loop {
            let next = self.with_guard(held, ready.keyspace, Touching::NONE, |guard| {
                guard.waiter_after(&ready.key, wanted, turn)
            });
            let Some(waiter) = next else {
                return Attempt::Gone;
            };
            turn = waiter.turn();
            match self.serve_waiter(held, ready, &*waiter) {
                Attempt::Gone | Attempt::Nothing => {}
                end => return end,
            }
        }
    }

    fn serve_waiter<L: Locks>(
        &mut self,
        held: &mut L,
        ready: &ReadyKey,
        waiter: &dyn Waiter,
    ) -> Attempt {
        let Some(call) = BlockedCall::of(waiter) else {
            return Attempt::Nothing;
        };
        if call.ending().is_none() {
            let reaches = call.reaches();
            if !reaches
                .iter()
                .all(|&index| held.is_held(usize::from(index)))
            {
                let layout = &self.shared.stripes.layout;
                let stripe = layout.stripe_of(layout.hash(&ready.key));
                let departures = self.departures.get_or_insert_default();
                departures.unserved.add(stripe as u16, waiter);
                return Attempt::Unreachable;
            }
            if held.has_pins() && self.is_kept_out(held, call, ready) {
                return Attempt::Pinned;
            }
            let mut session = call.session();
            let mut output = Output::new();
            match self.arrival(held, call, ready, &mut session, &mut output) {
                Attempt::Gone => {}
                nothing => return nothing,
            }
            // From here on the element is the client's, who cannot be told anything else.
            if call.claim(Ending::Served) {
                let work = || self.run_for(held, call, &mut session, &mut output);
                if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
                    // Its client would wait for ever, as nobody else can end the wait now.
                    self.keep_reply(held, call, internal_error(call));
                    resume_unwind(panic);
                }
                self.keep_reply(held, call, output);
            }
        }
        let counts = &self.shared.engine.blocked;
        self.with_guard(held, ready.keyspace, Touching::NONE, |guard| {
            leave_line(guard, &ready.key, call, counts);
        });
        Attempt::Gone
    }

    /// Whether another key of a call is pinned. Whoever ends the pin has the call served.
    #[cold]
    fn is_kept_out<L: Locks>(
        &mut self,
        held: &mut L,
        call: &BlockedCall,
        ready: &ReadyKey,
    ) -> bool {
        let words = call.words();
        self.with_guard(held, call.keyspace(), Touching::NONE, |guard| {
            let mut is_pinned = false;
            // A call that waits has keys that can be told from its words.
            let _ = call.command.for_each_key(words, |at, _| {
                let key = &words[at];
                if guard.holds(key) && guard.pinned_against(key, KeyUse::Write, None).is_some() {
                    guard.wait_for_pin(key, &ready.key);
                    is_pinned = true;
                }
            });
            is_pinned
        })
    }

    /// Whether there is something for a call in its keys: [`Attempt::Gone`] if so.
    fn arrival<L: Locks>(
        &mut self,
        held: &mut L,
        call: &BlockedCall,
        ready: &ReadyKey,
        session: &mut Session,
        output: &mut Output,
    ) -> Attempt {
        if let Some(arrival) = call.command.arrival() {
            let has_come = self.with_call(held, call, session, output, arrival);
            return if has_come {
                Attempt::Gone
            } else {
                call.look_at(session.look_ms, self.now_us / 1000);
                Attempt::Nothing
            };
        }
        let kind = self.with_guard(held, ready.keyspace, Touching::NONE, |guard| {
            guard.peek(&*ready.key).map(|view| view.kind())
        });
        match (call.wanted(), kind) {
            (Wanted::List, Some(Kind::List)) | (Wanted::Zset, Some(Kind::Zset)) => Attempt::Gone,
            _ => Attempt::NothingForAll,
        }
    }

    /// Runs a call whose wait has been claimed.
    fn run_for<L: Locks>(
        &mut self,
        held: &mut L,
        call: &BlockedCall,
        session: &mut Session,
        output: &mut Output,
    ) {
        let Some(handler) = call.command.handler() else {
            return;
        };
        let stats = &self.shared.engine.stats;
        self.with_call(held, call, session, output, |ctx| {
            if let Err(error) = handler(ctx) {
                ctx.reply.truncate(0);
                error.write(&mut ctx.reply);
                stats.count_error(error.code());
                stats.count_served_failure(ctx.command.id());
            }
            stats.count_served(ctx.keys.stats().changes);
        });
    }

    fn with_call<L: Locks, R>(
        &mut self,
        held: &mut L,
        call: &BlockedCall,
        session: &mut Session,
        output: &mut Output,
        work: impl FnOnce(&mut Ctx<'_>) -> R,
    ) -> R {
        let (shared, now_us) = (self.shared, self.now_us);
        let touching = Touching {
            touch: !session.no_touch,
            random: shared.random(),
        };
        let mut random = Random::new(touching.random);
        let mut keys = self.guard(held, call.keyspace(), touching);
        keys.call_changes(call.command.event());
        let mut ctx = Ctx {
            args: call.words(),
            reply: Reply::new(output, call.protocol()),
            keys,
            session,
            engine: &shared.engine,
            command: call.command,
            now_us,
            random: &mut random,
            hashed: None,
        };
        let result = work(&mut ctx);
        let aftermath = ctx.keys.take_aftermath();
        self.leave(aftermath);
        result
    }

    fn keep_reply(&mut self, held: &impl Stripes, call: &BlockedCall, output: Output) {
        let layout = &self.shared.stripes.layout;
        let served = &mut self.departures.get_or_insert_default().served;
        served.replies.push((Arc::clone(&call.client), output));
        let words = call.words();
        // Which of its keys it has changed it does not say. One that it has not makes readers wait
        // a little longer, at worst.
        let _ = call.command.for_each_key(words, |at, _| {
            let hash = layout.hash(&words[at]);
            if held.is_held(layout.stripe_of(hash)) {
                served.hashes.push(hash);
            }
        });
    }
}
