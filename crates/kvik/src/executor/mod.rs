//! The executor: runs commands for sessions, one at a time, to completion.
//!
//! The life of a command, and the room in which each part is written:
//!
//! | part | room |
//! |---|---|
//! | look it up and hash its key | `lookup`, `call` |
//! | check that the session may run it now | `gate`, `redirect` |
//! | make room for it below the memory limit | `room`, `growth` |
//! | find and lock the stripes of its keys | `plan`, `route` |
//! | do in slices what has to be done before it | `slices` |
//! | let it make the namespaces of its keys | `namespaces` |
//! | keep it from keys that long work has pinned | `pinning` |
//! | do in slices what takes long | `long` |
//! | send its reply while it writes it | `streaming` |
//! | run its handler in a [section](crate::section) | `run`, `shared_read` |
//! | count and time it | `timing` |
//! | lock what waiters of its keys need | `reaching` |
//! | end the wait of a blocked client | `blocking` |
//!
//! EXEC (`exec`) is all of that for the queue of a transaction, and EVAL (`script`) for what a
//! script calls. The state of the thread is in
//! `work`. Nothing of a command has happened to the store when it is put off ([`Outcome`]): the
//! caller offers it again later.

mod blocking;
mod call;
mod exec;
mod gate;
mod growth;
mod long;
mod lookup;
mod namespaces;
mod pinning;
mod plan;
mod reaching;
mod redirect;
mod room;
mod route;
mod run;
mod script;
mod shared_read;
mod slices;
mod streaming;
mod timing;
mod work;

use std::sync::Arc;

use kvik_command::blocking::Ending;
use kvik_command::declare::{Command, Flags};
use kvik_command::hot_keys::INTERVAL;
use kvik_command::queued::CommandQueue;
use kvik_command::session::Replies;
use kvik_command::stats::ThreadStats;
use kvik_command::{Error, Random, Session, table};
use kvik_log::{Lsn, Unit};
use kvik_resp::{Args, Output};
use kvik_store::lacks_memory;

use crate::clock::BatchClock;
use crate::section::{Actor, Section, Terms, Touching};
use crate::shared::Shared;
use crate::stripes::Patience;
use crate::upkeep;

use call::Call;
use gate::Admission;
pub use lookup::Prepared;
use lookup::{LatestLookup, unknown};
pub(crate) use namespaces::{admit_set, count_call};
use plan::Plan;
use run::{withhold, write_ahead};
use script::known::ThreadScripts;
use work::{Untimed, Work};

/// The outcome of an offer to run a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ran, or was refused; its reply, if the session wants one, is written.
    Done,
    /// A stripe it needs is taken. It has done nothing; offer it again soon.
    Busy,
    /// A part of what it needs has been done, nothing of which is seen. Offer it again when others
    /// have been served.
    Begun,
    /// The log has no room for what it may write. It has done nothing; offer it again when the log
    /// has written some.
    LogFull,
    /// It waits for its keys, until this time in milliseconds since the epoch. It has run, and is
    /// not offered again; the session runs nothing else until [`Executor::end_wait`] or
    /// [`Executor::answer_wait`].
    Blocked(u64),
    /// Clients are paused until this time, in milliseconds since the epoch. Nothing has happened.
    Paused(u64),
}

/// Runs commands on one thread.
pub struct Executor {
    pub(crate) shared: Arc<Shared>,
    patience: Patience,
    /// Scripts run on this thread however long they take.
    stays: bool,
    /// Effects of the section in progress. Empty between sections.
    unit: Unit,
    work: Work,
}

impl Executor {
    pub(crate) fn new(shared: Arc<Shared>, patience: Patience) -> Self {
        let work = Work {
            clock: BatchClock::new(shared.clock.clone()),
            plan: Plan::default(),
            latest: LatestLookup::default(),
            untimed: Untimed::default(),
            stats: shared.engine.stats.thread(table().commands().len()),
            random: Random::new(std::hash::BuildHasher::hash_one(
                &std::hash::RandomState::new(),
                0,
            )),
            sketch: shared.engine.hot_keys.sketch(),
            cpu_us: None,
            until_drawn: INTERVAL,
            actor: Actor::Client,
            left_until_us: 0,
            left_looks: 0,
            lsn: Lsn::ZERO,
            scripts: ThreadScripts::default(),
            spare_queue: CommandQueue::default(),
            keeps_failure: false,
            failure: None,
            promise: None,
            pin: None,
            place_in_line: None,
            looks: 0,
        };
        Self {
            shared,
            patience,
            stays: false,
            unit: Unit::new(),
            work,
        }
    }

    /// The same for the effects of another store or of a log: they skip the gate, and keys stay
    /// until an effect deletes them.
    pub(crate) fn repeating(mut self) -> Self {
        self.work.actor = Actor::Repeater;
        self
    }

    /// Reads the clock. Call it when a batch of commands begins; within the batch, time moves on by
    /// what is measured.
    pub fn refresh(&mut self) {
        self.work.clock.refresh();
        if matches!(self.work.actor, Actor::Reader | Actor::Importer) {
            self.work.actor = Actor::Client;
        }
        if self.shared.engine.hot_keys.is_collecting() {
            self.work.until_drawn = 1;
        }
        if lacks_memory() {
            self.shared.stripes.alarm.prepare();
        }
    }

    /// Ends a pipeline of a session: times what was to be timed together with a command that has
    /// not run.
    #[inline]
    pub fn finish_pipeline(&mut self, session: &Session) {
        self.work.finish_pipeline(session);
    }

    /// Deletes some keys that are overdue, should the thread whose task that is be kept waiting for
    /// a processor. Call it between batches.
    #[inline]
    pub fn help_expire(&mut self) {
        let now_ms = self.now_us() / 1000;
        upkeep::help(&self.shared, &mut self.unit, now_ms, &self.work.stats);
    }

    /// How far the log has to be on disk before the output written since the last call may be told,
    /// should the log be [synchronous](crate::effects::EffectLog::is_synchronous). [`Lsn::ZERO`] if
    /// nothing has to be waited for. A server asks after each batch of a connection, and holds the
    /// output back until then.
    #[inline]
    pub fn take_lsn(&mut self) -> Lsn {
        std::mem::take(&mut self.work.lsn)
    }

    /// Microseconds since the epoch, as commands run next see it.
    pub fn now_us(&self) -> u64 {
        self.work.clock.now_us()
    }

    /// Milliseconds of a clock that never goes back and that nobody sets, the same for all threads.
    pub fn steady_ms(&self) -> u64 {
        self.work.clock.steady_ms()
    }

    /// This thread's counters.
    pub fn stats(&self) -> &ThreadStats {
        &self.work.stats
    }

    /// Looks a command up and hashes its key, for [`Self::execute_prepared`]. It depends on nothing
    /// but the words, so the commands of a pipeline can all be prepared before the first one runs.
    #[inline]
    pub fn prepare(&mut self, args: Args<'_>) -> Prepared {
        let command = self.work.latest.lookup(args);
        Prepared::new(&self.shared.stripes.layout, command, args)
    }

    /// Has the memory fetched that these commands will look up in the session's database, while
    /// others are at work.
    #[inline]
    pub fn prefetch(&self, session: &Session, commands: impl Iterator<Item = Prepared> + Clone) {
        let hashes = commands.filter_map(|command| command.fetched());
        self.shared.stripes.prefetch(session.keyspace(), hashes);
    }

    /// Runs one command of a session and appends its reply to `out`.
    pub fn execute(&mut self, session: &mut Session, args: Args<'_>, out: &mut Output) -> Outcome {
        let prepared = self.prepare(args);
        let outcome = self.execute_prepared(session, prepared, args, out);
        session.rings.ring();
        outcome
    }

    /// Runs one command, which was prepared from the same words, and appends its reply to `out`.
    /// Whoever runs a batch of them rings [`Session::rings`] at its end.
    #[inline]
    pub fn execute_prepared(
        &mut self,
        session: &mut Session,
        prepared: Prepared,
        args: Args<'_>,
        out: &mut Output,
    ) -> Outcome {
        if args.is_empty() {
            return Outcome::Done;
        }
        let start = out.len();
        let outcome = match prepared.command() {
            Some(command) if session.namespace.is_some() => {
                self.answer_within(session, command, prepared, args, out)
            }
            Some(command) => self.answer(session, command, prepared, args, out),
            None => self.refuse(session, args, unknown(args), out),
        };
        if session.replies != Replies::On && outcome == Outcome::Done {
            withhold(session, prepared.command(), start, out);
        }
        if !session.ahead.is_empty() {
            write_ahead(session, start, out);
        }
        if session.released.is_some() {
            self.release(session);
        }
        if session.tracking.is_chosen && outcome == Outcome::Done {
            end_choice(session, prepared.command());
        }
        outcome
    }

    /// Lets the keys of a session live in a namespace, as NAMESPACE USE does; says whether there
    /// was a place for it.
    pub fn enter_namespace(&self, session: &mut Session, name: &[u8]) -> bool {
        let quotas = &self.shared.engine.settings.namespace_quotas;
        session.namespace = quotas.take_seat(name);
        session.namespace.is_some()
    }

    /// Answers a command of a session that chose a namespace, in which its keys live.
    #[cold]
    fn answer_within(
        &mut self,
        session: &mut Session,
        command: &'static Command,
        prepared: Prepared,
        args: Args<'_>,
        out: &mut Output,
    ) -> Outcome {
        match namespaces::with_full_names(session, command, args) {
            None => self.answer(session, command, prepared, args, out),
            Some(words) => {
                let prepared = self.prepare(words.as_args());
                self.answer(session, command, prepared, words.as_args(), out)
            }
        }
    }

    #[inline]
    fn answer(
        &mut self,
        session: &mut Session,
        command: &'static Command,
        prepared: Prepared,
        args: Args<'_>,
        out: &mut Output,
    ) -> Outcome {
        match self
            .work
            .admit(&self.shared, session, command, prepared, args)
        {
            Ok(Admission::Run) => self.run_admitted(session, command, prepared, args, out),
            Ok(Admission::FindRoom) => self.run_in_room(session, command, prepared, args, out),
            Ok(Admission::Queue) => {
                let call = &Call::of(command, args, &prepared);
                self.work.queue(session, call, out);
                Outcome::Done
            }
            Ok(Admission::Wait(until_ms)) => Outcome::Paused(until_ms),
            Ok(Admission::WaitForLog) => self.put_off(Outcome::LogFull),
            Ok(Admission::Fetch) => self.fetch(session, out),
            Err(error) => self.refuse(session, args, error, out),
        }
    }

    #[inline]
    fn run_admitted(
        &mut self,
        session: &mut Session,
        command: &'static Command,
        prepared: Prepared,
        args: Args<'_>,
        out: &mut Output,
    ) -> Outcome {
        let call = Call::of(command, args, &prepared);
        if command.flags().intersects(Flags::WAITS | Flags::BLOCKING) {
            return self.dispatch_patiently(session, &call, out);
        }
        self.dispatch(session, &call, out)
    }

    /// The same for a command that may wait: for files before it runs, or for its keys.
    #[inline(never)]
    fn dispatch_patiently(
        &mut self,
        session: &mut Session,
        call: &Call<'_>,
        out: &mut Output,
    ) -> Outcome {
        if let Some(until_ms) = self.work.wait(&self.shared, session, call) {
            return Outcome::Paused(until_ms);
        }
        let outcome = self.dispatch(session, call, out);
        if outcome == Outcome::Done {
            session.comes_back = false;
        }
        match &session.blocked {
            Some(blocked) if outcome == Outcome::Done => {
                // The call counts as the client's when it ends.
                session.client.count_command(-1);
                Outcome::Blocked(blocked.alarm_ms())
            }
            _ => outcome,
        }
    }

    /// Answers a command that may not run.
    fn refuse(
        &self,
        session: &mut Session,
        args: Args<'_>,
        error: Error,
        out: &mut Output,
    ) -> Outcome {
        self.work.refuse(&self.shared, session, args, error, out);
        Outcome::Done
    }

    /// Ends a session: its client is gone.
    pub fn end(&mut self, session: &mut Session) {
        self.end_wait(session, Ending::Gone, &mut Output::new());
        if let Some(away) = session.away.take() {
            away.abandon();
        }
        session.take_transaction();
        session.unwatch();
        self.release(session);
        session.feed_wait = None;
        let engine = &self.shared.engine;
        if let Some(mut wait) = session.log_wait.take() {
            wait.finish(&session.client, &engine.blocked);
        }
        if session.feed_subscribed {
            engine.feed().unsubscribe(session.client.id);
        }
        engine.tracking.stop(session, &engine.settings);
        engine.pubsub.unsubscribe_all(session);
        session.rings.ring();
        engine.clients.remove(session.client.id);
    }

    /// Tells the keys of a watch that it has ended.
    pub(crate) fn release(&mut self, session: &mut Session) {
        let Some(watch) = session.released.take() else {
            return;
        };
        let terms = Terms {
            actor: Actor::Observer,
            ..self.work.terms(&self.shared, &mut self.unit)
        };
        let keyspace = session.keyspace();
        Section::run_in_turn(terms, |section, held| {
            section.with_guard(held, keyspace, Touching::NONE, |guard| {
                for (keyspace, key) in &watch.keys {
                    guard.select(*keyspace);
                    guard.unwatch(key, &watch.token);
                }
            });
        });
    }
}

/// Ends CLIENT CACHING, which holds for one command, or for a transaction.
#[cold]
fn end_choice(session: &mut Session, command: Option<&Command>) {
    let is_client = command.is_some_and(|command| command.name().starts_with("CLIENT"));
    if !is_client && session.transaction.is_none() {
        session.tracking.is_chosen = false;
    }
}

impl std::fmt::Debug for Executor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executor")
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}
