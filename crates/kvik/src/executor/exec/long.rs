//! EXEC of very many commands: a unit of long work, which pins the keys of all of them and runs a
//! few while their stripes are held once.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use kvik_command::Session;
use kvik_command::declare::Locking;
use kvik_command::queued::Queued;
use kvik_resp::{Output, Reply};

use super::end_watch;
use crate::executor::Executor;
use crate::executor::call::Call;
use crate::executor::pinning::claim_of;
use crate::executor::slices::PutOff;
use crate::executor::work::Work;
use crate::section::Section;
use crate::shared::Shared;
use crate::stamps::Reach;
use crate::stripes::{HeldMany, Patience, ascend};

/// Commands that run while their stripes are held once.
const COMMANDS_AT_ONCE: usize = 256;

impl Executor {
    /// Whether a transaction has so many commands that it is done in slices.
    pub(super) fn is_long_queue(&self, session: &Session) -> bool {
        let Some(transaction) = &session.transaction else {
            return false;
        };
        let limit = &self.shared.engine.settings.long_elements;
        let keeps_to_keys =
            |queued: Queued<'_>| queued.command.locking_of(queued.args) == Locking::Keys;
        transaction.queue.len() as u64 > limit.load(Relaxed)
            && !transaction.rolls_back
            && !session.tracking.mode.is_by_key()
            && transaction.queue.iter().all(keeps_to_keys)
    }

    /// Runs a transaction as a unit of long work.
    pub(super) fn exec_in_slices(
        &mut self,
        session: &mut Session,
        call: &Call<'_>,
        out: &mut Output,
    ) -> Result<(), PutOff> {
        let (work, shared) = (&mut self.work, &*self.shared);
        let queue = session.transaction.iter().flat_map(|it| &it.queue);
        let watched = session.watch.iter().flat_map(|watch| &watch.keys);
        let claim = claim_of(queue.map(Call::queued), watched.map(|(_, key)| &**key));
        let mut unit = work.begin_unit(shared, &session.client, &Arc::new(claim), self.patience)?;
        let hashes = unit.hashes();
        let terms = work.terms(shared, &mut self.unit);
        let (none, reach) = (HeldMany::none(), Reach::Keys(&hashes));
        let ((), lsn) = Section::run(terms, none, reach, |section, held| {
            work.exec_slices(shared, section, held, session, out);
            unit.finish(section, held);
            let monitors = &shared.engine.pubsub.monitors;
            if monitors.any() {
                monitors.show(session, call.command, call.args, section.now_us);
            }
        });
        work.pin = None;
        work.note_lsn(lsn);
        unit.release(work, &mut self.unit);
        let work = &mut self.work;
        work.count(&self.shared, session, call, false, true, 0);
        Ok(())
    }
}

impl Work {
    /// Runs a queue whose keys are pinned, some commands while their stripes are held once.
    fn exec_slices<'a>(
        &mut self,
        shared: &'a Shared,
        section: &mut Section<'_>,
        held: &mut HeldMany<'a>,
        session: &mut Session,
        out: &mut Output,
    ) {
        let transaction = session.start_transaction().unwrap_or_default();
        let watch = session.watch.take();
        session.client.show_watch(0, 0, None);
        let is_stale = watch.is_some_and(|watch| {
            self.plan.clear();
            for (keyspace, key) in &watch.keys {
                self.plan.add(shared, keyspace.0, key);
            }
            self.hold_plan(shared, held);
            end_watch(section, held, session, &watch)
        });
        if is_stale {
            Reply::new(out, session.protocol).null_array();
        } else {
            session.publications = Some(Vec::new());
            session.may_block = false;
            Reply::new(out, session.protocol).array(transaction.queue.len());
            let queue = &transaction.queue;
            for start in (0..queue.len()).step_by(COMMANDS_AT_ONCE) {
                let slice = queue.part(start, COMMANDS_AT_ONCE);
                held.let_go();
                shared.stripes.give_way_with(&self.plan.stripes);
                self.plan.clear();
                for queued in slice.clone() {
                    self.plan
                        .add_call(shared, session.db, &Call::queued(queued));
                }
                self.hold_plan(shared, held);
                for queued in slice {
                    self.run_queued(section, held, session, &Call::queued(queued), out);
                }
            }
            for publication in session.publications.take().into_iter().flatten() {
                section.publish(publication);
            }
        }
        session.show_no_transaction();
    }

    /// Holds the stripes of the plan, and no others.
    fn hold_plan<'a>(&mut self, shared: &'a Shared, held: &mut HeldMany<'a>) {
        held.let_go();
        ascend(&mut self.plan.stripes);
        let locked = shared.stripes.lock_many(&self.plan.stripes, Patience::Wait);
        *held = locked.expect("a patient lock succeeds");
    }
}
