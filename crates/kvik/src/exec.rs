//! EXEC: all queued commands under the locks of all their stripes, as one unit of effects.

use std::sync::Arc;

use kvik_command::Session;
use kvik_command::declare::Locking;
use kvik_command::session::{Transaction, Watch};
use kvik_resp::{Output, Reply};
use kvik_store::{Guard, Stripes};

use crate::db::Shared;
use crate::effects::Collector;
use crate::executor::{Call, Executor, PutOff, ascend, mode, plan_keys};

/// Which stripes a transaction needs.
enum Scope {
    Planned,
    All,
}

impl Executor {
    /// Runs the session's transaction, or says why it cannot.
    pub(crate) fn exec(
        &mut self,
        session: &mut Session,
        call: &Call<'_>,
        out: &mut Output,
    ) -> Result<(), PutOff> {
        let refusal = match &session.transaction {
            None => Some("ERR EXEC without MULTI"),
            Some(transaction) if transaction.aborted => {
                Some("EXECABORT Transaction discarded because of previous errors.")
            }
            Some(_) => None,
        };
        if let Some(message) = refusal {
            if session.take_transaction().is_some() {
                session.unwatch();
            }
            Reply::new(out, session.protocol).error(message);
            self.work.count(&self.shared, session, call, true, true);
            return Ok(());
        }
        // The locks outlive the borrow of the executor that runs the queue.
        let shared = Arc::clone(&self.shared);
        let mut held = match self.plan_queue(session) {
            Scope::All => shared.stripes.lock_all(self.patience)?,
            Scope::Planned => shared
                .stripes
                .lock_many(&self.work.plan.stripes, self.patience)?,
        };
        let due_ms = held.next_due();
        for queued in session.transaction.iter().flat_map(|it| &it.queue) {
            let call = &Call::queued(queued);
            self.work
                .expire_slices(&shared, &mut held, due_ms, session, call)?;
            self.work.prepare(&shared, &mut held, session, call)?;
        }
        self.exec_locked(&mut held, session, out);
        self.work.count(&shared, session, call, false, true);
        Ok(())
    }

    fn exec_locked(&mut self, stripes: &mut dyn Stripes, session: &mut Session, out: &mut Output) {
        let transaction = session.start_transaction().unwrap_or_default();
        let watch = session.watch.take();
        session
            .client
            .watched
            .store(0, std::sync::atomic::Ordering::Relaxed);
        // One time for all, so that no key expires between two of the commands.
        let now_us = self.work.clock.now_us();
        if watch.is_some_and(|watch| self.end_watch(stripes, &watch, now_us / 1000)) {
            Reply::new(out, session.protocol).null_array();
        } else {
            self.run_queue(stripes, session, &transaction, now_us, out);
        }
        session.show_no_transaction();
        self.shared.commit(&mut self.work.unit);
    }

    fn run_queue(
        &mut self,
        stripes: &mut dyn Stripes,
        session: &mut Session,
        transaction: &Transaction,
        now_us: u64,
        out: &mut Output,
    ) {
        Reply::new(out, session.protocol).array(transaction.queue.len());
        for queued in &transaction.queue {
            let call = &Call::queued(queued);
            self.work
                .run(&self.shared, stripes, session, call, now_us, out);
        }
    }

    /// Ends a watch and says whether a watched key has changed. A key whose time has come since counts as changed.
    fn end_watch(&mut self, stripes: &mut dyn Stripes, watch: &Watch, now_ms: u64) -> bool {
        let mut effects = Collector {
            unit: &mut self.work.unit,
            wanted: self.shared.log.is_some(),
        };
        let mut guard = Guard::new(stripes, &self.shared.stripes.layout, &mut effects, now_ms)
            .mode(mode(&self.shared, now_ms));
        let mut hidden = false;
        for (keyspace, key) in &watch.keys {
            guard.select(*keyspace);
            guard.peek(key);
            hidden |= guard.is_hidden(key);
            guard.unwatch(key, &watch.token);
        }
        hidden || watch.token.is_dirty()
    }

    fn plan_queue(&mut self, session: &Session) -> Scope {
        let plan = &mut self.work.plan;
        plan.clear();
        for queued in session
            .transaction
            .iter()
            .flat_map(|transaction| &transaction.queue)
        {
            match queued.command.locking_of(queued.args.as_args()) {
                Locking::All | Locking::InTurn => return Scope::All,
                Locking::None | Locking::Queue => {}
                Locking::Keys => {
                    plan_keys(&self.shared, &Call::queued(queued), plan);
                }
            }
        }
        plan_watch(&self.shared, session.watch.as_ref(), &mut plan.stripes);
        ascend(&mut plan.stripes);
        Scope::Planned
    }
}

fn plan_watch(shared: &Shared, watch: Option<&Watch>, plan: &mut Vec<u16>) {
    let layout = &shared.stripes.layout;
    let keys = watch.into_iter().flat_map(|watch| &watch.keys);
    plan.extend(keys.map(|(_, key)| layout.stripe_of(layout.hash(key)) as u16));
}
