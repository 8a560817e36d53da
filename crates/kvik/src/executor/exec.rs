//! EXEC: all queued commands under the locks of all their stripes, as one unit of effects.

mod long;

use kvik_command::declare::Locking;
use kvik_command::queued::Queued;
use kvik_command::session::{Transaction, Watch};
use kvik_command::{Error, Session};
use kvik_resp::{Output, Reply};
use kvik_store::{KeyUse, Stripes};

use super::Executor;
use super::call::Call;
use super::gate::permit;
use super::lookup::TIMED_TOGETHER;
use super::pinning::hold_all;
use super::reaching::lock_reaching;
use super::slices::PutOff;
use super::work::Work;
use crate::section::{Section, Touching};
use crate::stamps::Reach;
use crate::stripes::{HeldMany, ascend};

/// Bytes that a transaction may have to keep so that it can be undone.
const UNDO_BYTES: usize = 64 << 20;
const TOO_LARGE: &str =
    "Transaction rolled back: to undo what it changes takes more than 64 MiB of memory";

/// Which stripes a transaction needs.
enum QueueScope {
    Planned,
    All,
}

impl Executor {
    /// Runs the session's transaction, or says why it cannot.
    pub(super) fn exec(
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
            let code = message.split(' ').next().unwrap_or_default();
            self.shared.engine.stats.count_error(code);
            let monitors = &self.shared.engine.pubsub.monitors;
            if monitors.any() {
                let now_us = self.work.clock.now_us();
                monitors.show(session, call.command, call.args, now_us);
            }
            self.work.count(&self.shared, session, call, true, true, 0);
            return Ok(());
        }
        let is_long = self.is_long_queue(session);
        if self.may_send_away() && (is_long || self.has_long_scripts(session)) {
            return Err(self.send_away(session, call));
        }
        if self.stays && is_long {
            return self.exec_in_slices(session, call, out);
        }
        let scope = self.plan_queue(session);
        let (work, shared) = (&mut self.work, &*self.shared);
        let held = match scope {
            QueueScope::All => hold_all(shared, self.patience)?,
            QueueScope::Planned => {
                let each_key = |visit: &mut dyn FnMut(&[u8])| visit_queued_keys(session, visit);
                lock_reaching(shared, &mut work.plan.stripes, each_key, self.patience)?
            }
        };
        // The end of the section needs the hashes while the rest of the work is in use.
        let hashes = std::mem::take(&mut work.plan.hashes);
        let reach = match scope {
            QueueScope::All => Reach::Everything,
            QueueScope::Planned => Reach::Keys(&hashes),
        };
        // One section has one time, so that no key expires between two of the commands.
        let terms = work.terms(shared, &mut self.unit);
        let (ready, lsn) = Section::run(terms, held, reach, |section, held| {
            let look_ms = held.look_at();
            work.get_queue_ready(section, held, look_ms, session)?;
            work.exec_locked(section, held, session, out);
            let monitors = &shared.engine.pubsub.monitors;
            if monitors.any() {
                monitors.show(session, call.command, call.args, section.now_us);
            }
            Ok::<_, PutOff>(())
        });
        work.plan.hashes = hashes;
        work.note_lsn(lsn);
        ready?;
        work.count(shared, session, call, false, true, 0);
        Ok(())
    }

    /// Whether a transaction runs scripts that are not known to end soon, and nothing that concerns
    /// the connection.
    fn has_long_scripts(&mut self, session: &Session) -> bool {
        let queue = || session.transaction.iter().flat_map(|it| &it.queue);
        let locking = |queued: Queued<'_>| queued.command.locking_of(queued.args);
        let has_scripts = session
            .transaction
            .as_ref()
            .is_some_and(|it| it.queue.has_scripts());
        if !has_scripts || queue().any(|queued| locking(queued) == Locking::None) {
            return false;
        }
        let is_idle = self.shared.script_threads.is_idle();
        queue().any(|queued| {
            locking(queued) == Locking::Script && {
                let script = self
                    .work
                    .find_script(&self.shared, session, &Call::queued(queued));
                script.is_ok_and(|script| !(script.program.is_quick() && is_idle))
            }
        })
    }

    fn plan_queue(&mut self, session: &Session) -> QueueScope {
        self.work.plan.clear();
        for queued in session
            .transaction
            .iter()
            .flat_map(|transaction| &transaction.queue)
        {
            match queued.command.locking_of(queued.args) {
                Locking::All | Locking::InTurn => return QueueScope::All,
                Locking::None | Locking::Queue => {}
                Locking::Keys => {
                    let call = &Call::queued(queued);
                    self.work.plan.add_call(&self.shared, session.db, call);
                }
                Locking::Script => {
                    let call = &Call::queued(queued);
                    match self.work.find_script(&self.shared, session, call) {
                        Ok(script) if script.program.keeps_to_its_keys() => {
                            self.work.plan.add_call(&self.shared, session.db, call);
                        }
                        _ => return QueueScope::All,
                    }
                }
            }
        }
        // The watched keys are looked at as well, whatever their database.
        for (keyspace, key) in session.watch.iter().flat_map(|watch| &watch.keys) {
            self.work.plan.add(&self.shared, keyspace.0, key);
        }
        ascend(&mut self.work.plan.stripes);
        QueueScope::Planned
    }
}

impl Work {
    /// Does a slice of what each queued command needs beforehand.
    fn get_queue_ready(
        &mut self,
        section: &mut Section<'_>,
        stripes: &mut dyn Stripes,
        look_ms: u64,
        session: &Session,
    ) -> Result<(), PutOff> {
        if look_ms == 0 {
            self.look_at_watched(section, stripes, session)?;
        }
        let prepares = session
            .transaction
            .as_ref()
            .is_some_and(|it| it.queue.has_preparations());
        if look_ms > section.now_ms() && !prepares {
            return Ok(());
        }
        for queued in session.transaction.iter().flat_map(|it| &it.queue) {
            let call = &Call::queued(queued);
            self.expire_slices(section, stripes, look_ms, session, call)?;
            self.prepare(section, stripes, session, call)?;
        }
        Ok(())
    }

    /// Puts EXEC off while a watched key is pinned: it may be about to change.
    #[cold]
    fn look_at_watched(
        &self,
        section: &mut Section<'_>,
        stripes: &mut dyn Stripes,
        session: &Session,
    ) -> Result<(), PutOff> {
        let mut keys = session.watch.iter().flat_map(|watch| &watch.keys);
        let own = self.pin;
        let against = section.with_guard(stripes, session.keyspace(), Touching::NONE, |guard| {
            keys.find_map(|(_, key)| guard.pinned_against(key, KeyUse::Read, own))
        });
        against.map_or(Ok(()), |id| Err(PutOff::Pinned(Some(id))))
    }

    fn exec_locked(
        &mut self,
        section: &mut Section<'_>,
        stripes: &mut HeldMany<'_>,
        session: &mut Session,
        out: &mut Output,
    ) {
        let transaction = session.start_transaction().unwrap_or_default();
        let watch = session.watch.take();
        if watch.is_some() {
            session.client.show_watch(0, 0, None);
        }
        if watch.is_some_and(|watch| end_watch(section, stripes, session, &watch)) {
            Reply::new(out, session.protocol).null_array();
        } else {
            session.publications = Some(Vec::new());
            self.run_queue(section, stripes, session, &transaction, out);
            for publication in session.publications.take().into_iter().flatten() {
                section.publish(publication);
            }
        }
        self.spare_queue = transaction.queue.emptied();
        session.show_no_transaction();
    }

    fn run_queue(
        &mut self,
        section: &mut Section<'_>,
        stripes: &mut HeldMany<'_>,
        session: &mut Session,
        transaction: &Transaction,
        out: &mut Output,
    ) {
        let might_block = std::mem::replace(&mut session.may_block, false);
        let took_long = std::mem::replace(&mut session.takes_long, true);
        if transaction.rolls_back {
            self.run_or_undo(section, stripes, session, transaction, out);
        } else {
            // Without an undo no command ends the transaction.
            let _ = self.run_each(section, stripes, session, transaction, out);
        }
        session.may_block = might_block;
        session.takes_long = took_long;
    }

    /// Runs a queue that is undone if a command fails.
    fn run_or_undo(
        &mut self,
        section: &mut Section<'_>,
        stripes: &mut HeldMany<'_>,
        session: &mut Session,
        transaction: &Transaction,
        out: &mut Output,
    ) {
        let (start, database) = (out.len(), session.db);
        self.keeps_failure = true;
        let done = section.attempt(stripes, |section, stripes| {
            self.run_each(section, stripes, session, transaction, out)
        });
        (self.keeps_failure, self.failure) = (false, None);
        if let Err(error) = done {
            session.select(database);
            session.publications.iter_mut().for_each(Vec::clear);
            out.truncate(start);
            error.write(&mut Reply::new(out, session.protocol));
            section.shared.engine.stats.count_error(error.code());
        }
    }

    /// Runs the commands of a transaction. One that rolls back ends with the first that fails.
    fn run_each(
        &mut self,
        section: &mut Section<'_>,
        stripes: &mut HeldMany<'_>,
        session: &mut Session,
        transaction: &Transaction,
        out: &mut Output,
    ) -> Result<(), Error> {
        Reply::new(out, session.protocol).array(transaction.queue.len());
        let (mut queue, mut at, mut timed_together) = (transaction.queue.iter().peekable(), 0, 0);
        while let Some(queued) = queue.next() {
            let next = queue.peek().map(|next| next.command.id());
            let is_alike = next == Some(queued.command.id()) && queued.command.is_quick();
            timed_together = match is_alike && timed_together + 1 < TIMED_TOGETHER {
                true => timed_together + 1,
                false => 0,
            };
            let call = &Call {
                goes_on: timed_together > 0,
                ..Call::queued(queued)
            };
            self.run_queued(section, stripes, session, call, out);
            at += 1;
            if transaction.rolls_back {
                if let Some(error) = self.failure.take() {
                    self.finish_pipeline(session);
                    return Err(error.rolling_back(at, queued.command));
                }
                let mut bytes = 0;
                stripes.visit(&mut |stripe| bytes += stripe.undo_bytes());
                if bytes > UNDO_BYTES {
                    self.finish_pipeline(session);
                    return Err(Error::Coded("EXECABORT", TOO_LARGE.into()));
                }
            }
        }
        Ok(())
    }
}

impl Work {
    /// Runs one command of a transaction.
    fn run_queued(
        &mut self,
        section: &mut Section<'_>,
        stripes: &mut HeldMany<'_>,
        session: &mut Session,
        call: &Call<'_>,
        out: &mut Output,
    ) {
        // What a session may do can have changed since the command was queued.
        match permit(section.shared, session, call.command, call.args) {
            Ok(()) if call.command.locking() == Locking::Script => {
                self.run_queued_script(section, stripes, session, call, out);
            }
            Ok(()) => {
                self.run(section, stripes, session, call, out);
            }
            Err(error) => {
                self.finish_pipeline(session);
                error.write(&mut Reply::new(out, session.protocol));
                section.shared.engine.stats.count_error(error.code());
                self.failure = self.keeps_failure.then_some(error);
            }
        }
    }
}

/// Visits the keys of all queued commands.
fn visit_queued_keys(session: &Session, visit: &mut dyn FnMut(&[u8])) {
    for queued in session.transaction.iter().flat_map(|it| &it.queue) {
        Call::queued(queued).visit_keys(visit);
    }
}

/// Ends a watch and says whether a watched key has changed. A key whose time has come since counts
/// as changed.
fn end_watch(
    section: &mut Section<'_>,
    stripes: &mut dyn Stripes,
    session: &Session,
    watch: &Watch,
) -> bool {
    let is_hidden = section.with_guard(stripes, session.keyspace(), Touching::NONE, |guard| {
        let mut is_hidden = false;
        for (keyspace, key) in &watch.keys {
            guard.select(*keyspace);
            // This deletes the key if its time has come, which turns the token dirty.
            guard.peek(key);
            is_hidden |= guard.is_hidden(key);
            guard.unwatch(key, &watch.token);
        }
        is_hidden
    });
    is_hidden || watch.token.is_dirty()
}
