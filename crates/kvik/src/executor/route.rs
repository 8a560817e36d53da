//! From a command to the stripes that it needs, locked for its section.
//!
//! A key at a fixed place is hashed when the command is prepared, and its stripe is locked at once.
//! Other commands with keys are planned: all their keys are hashed, and the stripes locked in
//! ascending order. The rest takes no stripe, all of them, or one after the other.

use kvik_command::Session;
use kvik_command::declare::{Flags, Locking};
use kvik_resp::Output;

use super::call::Call;
use super::pinning::hold_all;
use super::reaching::lock_reaching;
use super::slices::PutOff;
use super::timing::begin_wait;
use super::{Executor, Outcome};
use crate::section::Section;
use crate::stamps::Reach;
use crate::stripes::{NoStripes, Patience, ascend};

/// Most keys of one command that are fetched ahead; more would push one another out of the cache.
pub(super) const FETCHED_KEYS: usize = 64;

impl Executor {
    #[inline]
    pub(super) fn dispatch(
        &mut self,
        session: &mut Session,
        call: &Call<'_>,
        out: &mut Output,
    ) -> Outcome {
        let done = match call.command.locking_of(call.args) {
            Locking::None => self.run_on_none(session, call, out),
            Locking::Keys => self.run_on_keys(session, call, out),
            Locking::All => self.run_on_all(session, call, out),
            Locking::InTurn => self.run_in_turn(session, call, out),
            Locking::Queue => self.exec(session, call, out),
            Locking::Script => self.run_script(session, call, out),
        };
        let Err(put_off) = done else {
            return Outcome::Done;
        };
        begin_wait(session, self.now_us());
        match put_off {
            PutOff::Busy => self.put_off_busy(session, call, out),
            PutOff::Begun => self.put_off(Outcome::Begun),
            PutOff::Away => self.put_off_away(),
            PutOff::Long => self.run_long(session, call, out),
            PutOff::Pinned(unit) => self.put_off_pinned(session, call, unit, out),
        }
    }

    /// Counts a command that is put off.
    #[cold]
    pub(super) fn put_off(&self, outcome: Outcome) -> Outcome {
        self.work.stats.totals.deferred.add(1);
        outcome
    }

    fn run_on_none(
        &mut self,
        session: &mut Session,
        call: &Call<'_>,
        out: &mut Output,
    ) -> Result<(), PutOff> {
        let terms = self.work.terms(&self.shared, &mut self.unit);
        self.work
            .run_section(terms, NoStripes, session, call, Reach::Nothing, out)
    }

    #[inline]
    fn run_on_keys(
        &mut self,
        session: &mut Session,
        call: &Call<'_>,
        out: &mut Output,
    ) -> Result<(), PutOff> {
        let Some((at, hash)) = call.hash else {
            return self.run_on_planned(session, call, out);
        };
        let (work, shared, unit) = (&mut self.work, &*self.shared, &mut self.unit);
        let stripes = &shared.stripes;
        let index = stripes.layout.stripe_of(hash);
        let held = if call.command.flags().contains(Flags::READONLY) {
            // Who caches what it reads is noted in the stripe.
            if !session.tracking.mode.is_by_key()
                && let Some(read) = stripes.share(index, || work.clock.now_us() / 1000)
            {
                return work.run_shared(shared, unit, read, session, call, out);
            }
            stripes.lock_to_read(index, self.patience)?
        } else {
            let held = stripes.lock(index, self.patience)?;
            if held.is_reaching() && held.needs_others(&call.args[at]) {
                drop(held);
                return self.run_on_planned(session, call, out);
            }
            held
        };
        let terms = work.terms(shared, unit);
        work.run_section(terms, held, session, call, Reach::Key(hash), out)
    }

    fn run_on_planned(
        &mut self,
        session: &mut Session,
        call: &Call<'_>,
        out: &mut Output,
    ) -> Result<(), PutOff> {
        let (work, shared) = (&mut self.work, &*self.shared);
        work.plan.clear();
        let hash = work.plan.add_call(shared, session.db, call);
        let call = &Call { hash, ..*call };
        match *work.plan.stripes {
            [] => self.run_on_none(session, call, out),
            [index] => {
                let held = shared.stripes.lock(usize::from(index), self.patience)?;
                if held.is_reaching() {
                    drop(held);
                    return self.run_on_several(session, call, out);
                }
                let reach = Reach::Key(work.plan.hashes[0]);
                let terms = work.terms(shared, &mut self.unit);
                work.run_section(terms, held, session, call, reach, out)
            }
            _ => self.run_on_several(session, call, out),
        }
    }

    fn run_on_several(
        &mut self,
        session: &mut Session,
        call: &Call<'_>,
        out: &mut Output,
    ) -> Result<(), PutOff> {
        let (work, shared) = (&mut self.work, &*self.shared);
        let fetched = work.plan.hashes.iter().take(FETCHED_KEYS);
        shared
            .stripes
            .prefetch(session.keyspace(), fetched.copied());
        ascend(&mut work.plan.stripes);
        let each_key = |visit: &mut dyn FnMut(&[u8])| call.visit_keys(visit);
        let held = lock_reaching(shared, &mut work.plan.stripes, each_key, self.patience)?;
        // The end of the section needs the hashes while the rest of the work is in use.
        let hashes = std::mem::take(&mut work.plan.hashes);
        let terms = work.terms(shared, &mut self.unit);
        let reach = Reach::Keys(&hashes);
        let done = work.run_section(terms, held, session, call, reach, out);
        work.plan.hashes = hashes;
        done
    }

    fn run_on_all(
        &mut self,
        session: &mut Session,
        call: &Call<'_>,
        out: &mut Output,
    ) -> Result<(), PutOff> {
        let held = hold_all(&self.shared, self.patience)?;
        let terms = self.work.terms(&self.shared, &mut self.unit);
        self.work
            .run_section(terms, held, session, call, Reach::Everything, out)
    }

    fn run_in_turn(
        &mut self,
        session: &mut Session,
        call: &Call<'_>,
        out: &mut Output,
    ) -> Result<(), PutOff> {
        // It cannot be put off half-way, so it makes sure first that no stripe is held for long.
        let stripes = &self.shared.stripes;
        stripes.probe(self.patience)?;
        // What it finds of a key that long work has pinned would be half of something.
        let bar = match self.patience {
            Patience::Wait => Some(stripes.pins.bar(None)),
            Patience::Spin => stripes.pins.try_bar(None),
        };
        let _bar = bar.ok_or(PutOff::Pinned(None))?;
        let work = &mut self.work;
        let terms = work.terms(&self.shared, &mut self.unit);
        let (ran, lsn) = Section::run_in_turn(terms, |section, held| {
            work.run(section, held, session, call, out)
        });
        work.note_lsn(lsn);
        stripes.pins.lift();
        ran.done()
    }
}
