//! Commands that touch very many elements: they run on a thread of their own kind, in slices, and
//! pin their keys meanwhile.
//!
//! A handler says how many elements it is about to touch before it has changed or answered anything
//! ([`Ctx::weigh`](kvik_command::Ctx::weigh)), and lets others in between two slices. The same
//! handler runs in either place. Where a command cannot leave (in a transaction, in a script, in a
//! process without such threads) it does not let go of what it holds.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use kvik_command::Session;
use kvik_command::declare::{Flags, Locking};
use kvik_log::Lsn;
use kvik_resp::{Args, Output};
use kvik_store::{ChangedKey, ReadyKey, Stripe, Stripes, UnixMs};

use super::call::Call;
use super::pinning::{KEYS_AT_ONCE, claim_of};
use super::slices::PutOff;
use super::streaming::StreamedReply;
use super::{Executor, Outcome};
use crate::section::{Locks, Section};
use crate::shared::Shared;
use crate::stamps::Reach;
use crate::stripes::{HeldMany, Patience};

/// The stripes of pinned keys, which are let go between two slices.
struct SlicedStripes<'a> {
    shared: &'a Shared,
    indices: Vec<u16>,
    held: HeldMany<'a>,
    is_resting: bool,
}

impl SlicedStripes<'_> {
    fn hold(&mut self) {
        if self.is_resting {
            let held = self.shared.stripes.lock_many(&self.indices, Patience::Wait);
            self.held = held.expect("a patient lock succeeds");
            self.is_resting = false;
        }
    }
}

impl Stripes for SlicedStripes<'_> {
    fn stripe(&mut self, index: usize) -> &mut Stripe {
        self.hold();
        self.held.stripe(index)
    }

    fn held(&self, index: usize) -> &Stripe {
        self.held.held(index)
    }

    fn is_held(&self, index: usize) -> bool {
        self.indices.contains(&(index as u16))
    }

    fn rest(&mut self) {
        self.held.let_go();
        self.is_resting = true;
    }

    fn breathe(&mut self) -> UnixMs {
        self.rest();
        self.shared.stripes.give_way_with(&self.indices);
        self.hold();
        self.shared.now_ms()
    }
}

impl Locks for SlicedStripes<'_> {
    const SEVERAL: bool = true;

    fn look_at(&self) -> u64 {
        self.held.look_at()
    }

    fn has_pins(&self) -> bool {
        self.held.has_pins()
    }

    fn has_news(&self) -> bool {
        self.held.has_news()
    }

    fn take_ready(&mut self) -> Option<ReadyKey> {
        self.held.take_ready()
    }

    fn take_changed(&mut self) -> Vec<ChangedKey> {
        self.held.take_changed()
    }

    fn visit(&mut self, visit: &mut dyn FnMut(&mut Stripe)) {
        self.held.visit(visit);
    }
}

impl Executor {
    /// Runs a command that takes long where nobody waits for it, or here if it cannot leave.
    #[cold]
    pub(super) fn run_long(
        &mut self,
        session: &mut Session,
        call: &Call<'_>,
        out: &mut Output,
    ) -> Outcome {
        // Who caches what it reads is to have the reply before it hears of a change.
        if self.may_send_away() && !session.tracking.mode.is_by_key() {
            let _away = self.send_away(session, call);
            return self.put_off_away();
        }
        session.takes_long = true;
        let outcome = self.dispatch(session, call, out);
        session.takes_long = false;
        outcome
    }

    /// Runs a command that was sent here.
    pub(super) fn run_errand(
        &mut self,
        session: &mut Session,
        args: Args<'_>,
        out: &mut Output,
    ) -> Outcome {
        let prepared = self.prepare(args);
        let Some(command) = prepared.command() else {
            return self.execute_prepared(session, prepared, args, out);
        };
        match command.locking_of(args) {
            Locking::Keys => {
                let call = Call::of(command, args, &prepared);
                match self.run_in_slices_pinned(session, &call, out) {
                    Ok(()) => Outcome::Done,
                    Err(PutOff::Pinned(unit)) => self.put_off_pinned(session, &call, unit, out),
                    Err(_) => Outcome::Busy,
                }
            }
            _ => self.execute_prepared(session, prepared, args, out),
        }
    }

    /// Runs a command as a unit of long work.
    fn run_in_slices_pinned(
        &mut self,
        session: &mut Session,
        call: &Call<'_>,
        out: &mut Output,
    ) -> Result<(), PutOff> {
        let (work, home) = (&mut self.work, &self.shared);
        let shared = &**home;
        let claim = Arc::new(claim_of(std::iter::once(*call), std::iter::empty()));
        let mut unit = work.begin_unit(shared, &session.client, &claim, self.patience)?;
        let (hashes, indices) = (unit.hashes(), unit.stripes());
        let terms = work.terms(shared, &mut self.unit);
        let held = SlicedStripes {
            shared,
            indices,
            held: HeldMany::none(),
            is_resting: true,
        };
        let reach = Reach::Keys(&hashes);
        let id = unit.id;
        let ((), lsn) = Section::run(terms, held, reach, |section, held| {
            held.hold();
            // Where its time is limited, the reply is whole or an error.
            let is_limited = shared.engine.settings.time_limit_ms.load(Relaxed) > 0;
            let only_reads = call.command.flags().contains(Flags::READONLY);
            if only_reads && session.takes_parts && !is_limited {
                // Nobody changes the keys from here on.
                let lsn = match shared.is_logged() {
                    true => shared.latest(reach),
                    false => Lsn::ZERO,
                };
                session.sink = StreamedReply::of(home, session, id, lsn);
            }
            for keys in claim.keys.chunks(KEYS_AT_ONCE) {
                while work.expire_pinned(section, held, session, keys) {
                    held.breathe();
                }
                if claim.keys.len() > KEYS_AT_ONCE {
                    held.breathe();
                }
            }
            work.run(section, held, session, call, out);
            unit.finish(section, &mut held.held);
        });
        work.pin = None;
        work.note_lsn(lsn);
        unit.release(work, &mut self.unit);
        Ok(())
    }

    /// Gives up the place in line of a unit that does not begin after all.
    pub(super) fn leave_line(&mut self) {
        let board = &self.shared.stripes.pins;
        board.leave_line(&mut self.work.place_in_line);
        self.work.looks = 0;
    }
}
