//! The executor: runs commands for sessions, one at a time, to completion.
//!
//! The life of a command: look it up, check that the session may run it now, lock the stripes of its keys, run its
//! handler, hand its effects over while the locks are held, unlock, count. Nothing of it has happened to the store when a
//! command is put off ([`Outcome::Busy`], [`Outcome::Begun`], [`Outcome::Paused`]): the caller offers it again later.

mod shared_read;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use kvik_command::command_log::Logged;
use kvik_command::declare::{Command, Flags, Locking, Preparation};
use kvik_command::latency::Sample;
use kvik_command::pause::PauseScope;
use kvik_command::session::{Queued, Replies};
use kvik_command::stats::ThreadStats;
use kvik_command::{Ctx, Error, Random, Session, table};
use kvik_resp::{Args, ArgsBuf, Output, Reply};
use kvik_store::{Garbage, Guard, GuardStats, Mode, Stripes, lacks_memory};

use crate::clock::BatchClock;
use crate::db::Shared;
use crate::effects::{Collector, Unit};
use crate::stripes::{Busy, InTurn, NoStripes, Patience};
use crate::upkeep;

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ran, or was refused; its reply, if the session wants one, is written.
    Done,
    /// A stripe it needs is taken. It has done nothing; offer it again soon.
    Busy,
    /// A part of what it needs has been done, nothing of which is seen. Offer it again when others have been served.
    Begun,
    /// Clients are paused until this time, in milliseconds since the epoch. Nothing has happened.
    Paused(u64),
}

/// Why a command is put off.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PutOff {
    /// A stripe is taken, or left to others.
    Busy,
    /// There is more to do before it runs.
    Begun,
}

impl From<Busy> for PutOff {
    fn from(_: Busy) -> Self {
        Self::Busy
    }
}

/// A command looked up, and position and hash of its key where it has one at a fixed place.
#[derive(Clone, Copy, Debug)]
pub struct Prepared {
    command: Option<&'static Command>,
    hash: u64,
    /// Which word is the key; 0 where there is no such word.
    key: u8,
    /// How many of its kind come right before it and are timed together with it, and whether one comes behind.
    behind: u8,
    goes_on: bool,
}

/// Calls of one quick command in a row that are timed as one. Reading the clock for each of them would take longer than
/// many of them do.
const TIMED_TOGETHER: u8 = 8;

/// Members deleted while a stripe is held once for a command that waits until they are.
const EXPIRE_SLICE: usize = 128;

/// How long stripes are left to those who could not have them while they were held for such slices.
const LEFT_US: u64 = 50;

/// What is timed together with others has no longer reply, and is not among what the slow log asks about.
const QUICK_REPLY_BYTES: usize = 4096;
const QUICK_US: i64 = 1000;

impl Prepared {
    #[inline]
    fn hash(&self) -> Option<(usize, u64)> {
        (self.key > 0).then_some((usize::from(self.key), self.hash))
    }

    /// Whether there is such a command.
    #[inline]
    pub fn is_known(&self) -> bool {
        self.command.is_some()
    }

    /// Has the next command of a pipeline timed together with this one if they are alike and quick.
    #[inline]
    pub fn join(&mut self, next: &mut Self) {
        let same = match (self.command, next.command) {
            (Some(one), Some(other)) => one.id() == other.id() && one.is_quick(),
            _ => false,
        };
        if same && self.behind + 1 < TIMED_TOGETHER {
            self.goes_on = true;
            next.behind = self.behind + 1;
        }
    }
}

/// Runs commands on one thread.
pub struct Executor {
    pub(crate) shared: Arc<Shared>,
    pub(crate) patience: Patience,
    pub(crate) work: Work,
}

/// What an executor uses up while it runs a command.
pub(crate) struct Work {
    pub(crate) clock: BatchClock,
    pub(crate) unit: Unit,
    pub(crate) plan: Plan,
    latest: LatestLookup,
    untimed: Untimed,
    stats: Arc<ThreadStats>,
    random: Random,
    /// Until when nothing is prepared.
    left_until_us: u64,
}

/// A command on its way.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) command: &'static Command,
    pub(crate) args: Args<'a>,
    /// The hash of the single key, when it has one.
    pub(crate) hash: Option<(usize, u64)>,
    /// Another one of its kind follows, which is timed together with it.
    pub(crate) goes_on: bool,
    /// Others may read what it reads, at the same time.
    pub(crate) shared_lock: bool,
}

impl<'a> Call<'a> {
    /// A command of a transaction.
    pub(crate) fn queued(queued: &'a Queued) -> Self {
        Self {
            command: queued.command,
            args: queued.args.as_args(),
            hash: None,
            goes_on: false,
            shared_lock: false,
        }
    }
}

/// Calls that have been counted but not timed yet.
#[derive(Clone, Copy, Default)]
struct Untimed {
    command: u16,
    calls: u16,
}

impl Executor {
    pub(crate) fn new(shared: Arc<Shared>, patience: Patience) -> Self {
        let work = Work {
            clock: BatchClock::new(shared.clock.clone()),
            unit: Unit::default(),
            plan: Plan::default(),
            latest: LatestLookup::default(),
            untimed: Untimed::default(),
            stats: shared.engine.stats.thread(table().commands().len()),
            random: Random::new(std::hash::BuildHasher::hash_one(
                &std::hash::RandomState::new(),
                0,
            )),
            left_until_us: 0,
        };
        Self {
            shared,
            patience,
            work,
        }
    }

    /// Reads the clock. Call it when a batch of commands begins; within the batch, time moves on by what is measured.
    pub fn refresh(&mut self) {
        self.work.clock.refresh();
        if lacks_memory() {
            self.shared.stripes.alarm.prepare();
        }
    }

    /// Ends a pipeline: times what was to be timed together with a command that has not run.
    #[inline]
    pub fn finish_pipeline(&mut self) {
        if self.work.untimed.calls > 0 {
            self.work.time();
        }
    }

    /// Deletes some keys that are overdue, should the thread whose task that is be kept waiting for a processor. Call it
    /// between batches.
    #[inline]
    pub fn help_expire(&mut self) {
        let now_ms = self.now_us() / 1000;
        upkeep::help(&self.shared, &mut self.work.unit, now_ms, &self.work.stats);
    }

    /// Blocks this thread until clients are paused no longer, or it is time to look again.
    pub(crate) fn wait_for_pause(&self, until_ms: u64) {
        let left_ms = until_ms.saturating_sub(self.now_us() / 1000);
        // A clock that is moved by hand may get there sooner.
        let at_most = Duration::from_millis(left_ms.min(10));
        self.shared.engine.pause.wait(at_most);
    }

    /// Microseconds since the epoch, as commands run next see it.
    pub fn now_us(&self) -> u64 {
        self.work.clock.now_us()
    }

    /// This thread's counters.
    pub fn stats(&self) -> &ThreadStats {
        &self.work.stats
    }

    /// Looks a command up and hashes its key, for [`Self::execute_prepared`]. It depends on nothing but the words, so the
    /// commands of a pipeline can all be prepared before the first one runs.
    #[inline]
    pub fn prepare(&mut self, args: Args<'_>) -> Prepared {
        let command = self.work.latest.lookup(args);
        let key = command.and_then(|command| command.only_key(args));
        let key = key.map_or(0, |at| u8::try_from(at).unwrap_or(0));
        let word = args.get(usize::from(key)).filter(|_| key > 0);
        Prepared {
            command,
            hash: word.map_or(0, |word| self.shared.stripes.layout.hash(word)),
            key,
            behind: 0,
            goes_on: false,
        }
    }

    /// Has the memory fetched that these commands will look up in the session's database, while others are at work.
    #[inline]
    pub fn prefetch(&self, session: &Session, commands: impl Iterator<Item = Prepared> + Clone) {
        let hashes = commands
            .filter(|command| command.key > 0)
            .map(|command| command.hash);
        self.shared.stripes.prefetch(session.keyspace(), hashes);
    }

    /// Runs one command of a session and appends its reply to `out`.
    pub fn execute(&mut self, session: &mut Session, args: Args<'_>, out: &mut Output) -> Outcome {
        let prepared = self.prepare(args);
        self.execute_prepared(session, prepared, args, out)
    }

    /// Runs one command, which was prepared from the same words, and appends its reply to `out`.
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
        let outcome = match prepared.command {
            Some(command) => self.answer(session, command, prepared, args, out),
            None => self.refuse(session, args, unknown(args), out),
        };
        if session.replies != Replies::On && outcome == Outcome::Done {
            withhold(session, start, out);
        }
        if session.released.is_some() {
            self.release(session);
        }
        outcome
    }

    /// Ends a session: its client is gone.
    pub fn end(&mut self, session: &mut Session) {
        session.take_transaction();
        session.unwatch();
        self.release(session);
        self.shared.engine.clients.remove(session.client.id);
    }

    /// Tells the keys of a watch that it has ended.
    pub(crate) fn release(&mut self, session: &mut Session) {
        let Some(watch) = session.released.take() else {
            return;
        };
        let mut stripes = InTurn::new(&self.shared.stripes);
        let mut effects = Collector {
            unit: &mut self.work.unit,
            wanted: false,
        };
        let mut guard = Guard::new(&mut stripes, &self.shared.stripes.layout, &mut effects, 0);
        for (keyspace, key) in &watch.keys {
            guard.select(*keyspace);
            guard.unwatch(key, &watch.token);
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
        match self.admit(session, command) {
            Ok(Admission::Run) => {
                if command.flags().contains(Flags::WAITS)
                    && let Some(until_ms) = self.wait(session, command, args)
                {
                    return Outcome::Paused(until_ms);
                }
                let call = Call {
                    command,
                    args,
                    hash: prepared.hash(),
                    goes_on: prepared.goes_on,
                    shared_lock: false,
                };
                self.dispatch(session, &call, out)
            }
            Ok(Admission::Queue) => queue(session, command, args, out),
            Ok(Admission::Wait(until_ms)) => Outcome::Paused(until_ms),
            Err(error) => self.refuse(session, args, error, out),
        }
    }

    #[inline]
    fn admit(&self, session: &mut Session, command: &'static Command) -> Result<Admission, Error> {
        let flags = command.flags();
        if !session.authenticated && !self.may_do_without_password(session, flags) {
            return Err(Error::NoAuth);
        }
        let gate = &self.shared.engine.gate;
        if !gate.is_open() && !session.internal {
            gate.pass(session, command)?;
        }
        let queueing = session.transaction.is_some();
        if queueing && flags.contains(Flags::NO_MULTI) {
            return Err(Error::not_in_transaction(command));
        }
        if let Some(until_ms) = self.paused(session, command) {
            return Ok(Admission::Wait(until_ms));
        }
        if queueing && !runs_inside_multi(command) {
            return Ok(Admission::Queue);
        }
        Ok(Admission::Run)
    }

    /// Until when a command waits for files, if it does.
    #[cold]
    fn wait(
        &self,
        session: &mut Session,
        command: &'static Command,
        args: Args<'_>,
    ) -> Option<u64> {
        let now_ms = self.work.clock.now_us() / 1000;
        let readiness = command.readiness()?;
        readiness(session, args, &self.shared.engine, now_ms)
    }

    /// Whether a session that has not authenticated may run a command. If the password has been removed since it began,
    /// it need not any more.
    #[cold]
    fn may_do_without_password(&self, session: &mut Session, flags: Flags) -> bool {
        session.authenticated = !self.shared.engine.settings.needs_password();
        session.authenticated || flags.contains(Flags::NO_AUTH)
    }

    #[inline]
    fn paused(&self, session: &Session, command: &Command) -> Option<u64> {
        let pause = &self.shared.engine.pause;
        if pause.until_ms() == 0 {
            return None;
        }
        let waits = match pause.scope(self.work.clock.now_us() / 1000)? {
            PauseScope::All => true,
            PauseScope::Writes => may_write(session, command),
        };
        waits.then(|| pause.until_ms())
    }

    #[inline]
    fn dispatch(&mut self, session: &mut Session, call: &Call<'_>, out: &mut Output) -> Outcome {
        let done = match call.command.locking_of(call.args) {
            Locking::None => self.run_on_none(session, call, out),
            Locking::Keys => self.run_on_keys(session, call, out),
            Locking::All => self.run_on_all(session, call, out),
            Locking::InTurn => self.run_in_turn(session, call, out),
            Locking::Queue => self.exec(session, call, out),
        };
        let Err(reason) = done else {
            return Outcome::Done;
        };
        self.work.stats.totals.deferred.add(1);
        match reason {
            PutOff::Busy => Outcome::Busy,
            PutOff::Begun => Outcome::Begun,
        }
    }

    fn run_on_none(
        &mut self,
        session: &mut Session,
        call: &Call<'_>,
        out: &mut Output,
    ) -> Result<(), PutOff> {
        self.work
            .run_unit(&self.shared, &mut NoStripes, session, call, out);
        Ok(())
    }

    fn run_in_turn(
        &mut self,
        session: &mut Session,
        call: &Call<'_>,
        out: &mut Output,
    ) -> Result<(), PutOff> {
        let stripes = &self.shared.stripes;
        stripes.probe(self.patience)?;
        self.work
            .run_unit(&self.shared, &mut InTurn::new(stripes), session, call, out);
        Ok(())
    }

    #[inline]
    fn run_on_keys(
        &mut self,
        session: &mut Session,
        call: &Call<'_>,
        out: &mut Output,
    ) -> Result<(), PutOff> {
        let Some((_, hash)) = call.hash else {
            return self.run_on_planned(session, call, out);
        };
        let (work, stripes) = (&mut self.work, &self.shared.stripes);
        let index = stripes.layout.stripe_of(hash);
        let mut held = if call.command.flags().contains(Flags::READONLY) {
            if let Some(seen) = stripes.look(index, || work.clock.now_us() / 1000) {
                work.run_shared(&self.shared, seen, session, call, out);
                return Ok(());
            }
            stripes.lock_to_read(index, self.patience)?
        } else {
            stripes.lock(index, self.patience)?
        };
        let due_ms = held.next_due();
        work.expire_slices(&self.shared, &mut held, due_ms, session, call)?;
        work.run_unit(&self.shared, &mut held, session, call, out);
        Ok(())
    }

    fn run_on_planned(
        &mut self,
        session: &mut Session,
        call: &Call<'_>,
        out: &mut Output,
    ) -> Result<(), PutOff> {
        let (work, stripes) = (&mut self.work, &self.shared.stripes);
        work.plan.clear();
        let hash = plan_keys(&self.shared, call, &mut work.plan);
        let call = &Call { hash, ..*call };
        match *work.plan.stripes {
            [] => work.run_unit(&self.shared, &mut NoStripes, session, call, out),
            [index] => {
                let mut held = stripes.lock(usize::from(index), self.patience)?;
                let due_ms = held.next_due();
                work.expire_slices(&self.shared, &mut held, due_ms, session, call)?;
                work.run_unit(&self.shared, &mut held, session, call, out);
            }
            _ => {
                let fetched = work.plan.hashes.iter().take(FETCHED_KEYS);
                stripes.prefetch(session.keyspace(), fetched.copied());
                ascend(&mut work.plan.stripes);
                let mut held = stripes.lock_many(&work.plan.stripes, self.patience)?;
                let due_ms = held.next_due();
                work.expire_slices(&self.shared, &mut held, due_ms, session, call)?;
                work.prepare(&self.shared, &mut held, session, call)?;
                work.run_unit(&self.shared, &mut held, session, call, out);
            }
        }
        Ok(())
    }

    fn run_on_all(
        &mut self,
        session: &mut Session,
        call: &Call<'_>,
        out: &mut Output,
    ) -> Result<(), PutOff> {
        let mut held = self.shared.stripes.lock_all(self.patience)?;
        let due_ms = held.next_due();
        self.work
            .expire_slices(&self.shared, &mut held, due_ms, session, call)?;
        self.work
            .run_unit(&self.shared, &mut held, session, call, out);
        Ok(())
    }

    /// Answers a command that may not run. It spoils a transaction that is being queued; EXEC ends it as well.
    fn refuse(
        &self,
        session: &mut Session,
        args: Args<'_>,
        error: Error,
        out: &mut Output,
    ) -> Outcome {
        let command = table().resolve(args).ok();
        let error = if command.is_some_and(|command| command.locking() == Locking::Queue) {
            session.take_transaction();
            session.unwatch();
            error.aborting()
        } else {
            session.abort();
            error
        };
        error.write(&mut Reply::new(out, session.protocol));
        self.shared.engine.stats.count_error(error.code());
        let stats = &self.work.stats;
        stats.totals.errors.add(1);
        if let Some(command) = command {
            stats.commands[usize::from(command.id())].rejected.add(1);
        }
        Outcome::Done
    }
}

/// The command looked up last, by the name as it was spelled: a pipeline mostly repeats one command.
#[derive(Default)]
struct LatestLookup {
    name: Vec<u8>,
    command: Option<&'static Command>,
}

impl LatestLookup {
    #[inline]
    fn lookup(&mut self, args: Args<'_>) -> Option<&'static Command> {
        match self.command {
            Some(command) if args.get(0) == Some(&self.name) && command.accepts(args.len()) => {
                Some(command)
            }
            _ => self.look_again(args),
        }
    }

    fn look_again(&mut self, args: Args<'_>) -> Option<&'static Command> {
        let command = table().lookup(args).ok()?;
        // The first word does not say which subcommand it is.
        if !command.is_container() && command.container_id().is_none() {
            self.name.clear();
            self.name.extend_from_slice(&args[0]);
            self.command = Some(command);
        }
        Some(command)
    }
}

impl Work {
    /// Runs a command on stripes that are locked, as one unit of effects.
    #[inline]
    fn run_unit(
        &mut self,
        shared: &Shared,
        stripes: &mut dyn Stripes,
        session: &mut Session,
        call: &Call<'_>,
        out: &mut Output,
    ) {
        let now_us = self.clock.now_us();
        self.run(shared, stripes, session, call, now_us, out);
        shared.commit(&mut self.unit);
    }

    /// Deletes members of the values of a command's keys whose time has come, a slice of each, and puts the command off
    /// while there are more: they would all be deleted when it meets them, and their stripes be held until then. `due_ms` is
    /// when something in those is due, at the earliest.
    #[inline]
    pub(crate) fn expire_slices(
        &mut self,
        shared: &Shared,
        stripes: &mut dyn Stripes,
        due_ms: u64,
        session: &Session,
        call: &Call<'_>,
    ) -> Result<(), PutOff> {
        if due_ms != u64::MAX {
            let now_ms = self.clock.now_us() / 1000;
            if due_ms <= now_ms && mode(shared, now_ms) == Mode::Primary {
                return self.expire_now(shared, stripes, now_ms, session, call);
            }
        }
        Ok(())
    }

    #[cold]
    fn expire_now(
        &mut self,
        shared: &Shared,
        stripes: &mut dyn Stripes,
        now_ms: u64,
        session: &Session,
        call: &Call<'_>,
    ) -> Result<(), PutOff> {
        let mut effects = Collector {
            unit: &mut self.unit,
            wanted: shared.log.is_some(),
        };
        let guard = Guard::new(stripes, &shared.stripes.layout, &mut effects, now_ms);
        let mut guard = guard.on(session.keyspace());
        let mut more = false;
        let expire_slices = |at: usize, _| more |= guard.expire_slice(&call.args[at], EXPIRE_SLICE);
        // Keys that cannot be told from the words the handler refuses.
        let _ = call.command.for_each_key(call.args, expire_slices);
        let (seen, garbage) = (guard.stats(), guard.take_garbage());
        self.end_slice(shared, seen, garbage);
        if more {
            shared.commit(&mut self.unit);
            return Err(PutOff::Begun);
        }
        Ok(())
    }

    /// Does a slice of what a command needs beforehand, and puts it off while there is more.
    #[inline]
    pub(crate) fn prepare(
        &mut self,
        shared: &Shared,
        stripes: &mut dyn Stripes,
        session: &Session,
        call: &Call<'_>,
    ) -> Result<(), PutOff> {
        match call.command.preparation() {
            Some(preparation) => self.prepare_now(shared, stripes, session, call, preparation),
            None => Ok(()),
        }
    }

    #[cold]
    fn prepare_now(
        &mut self,
        shared: &Shared,
        stripes: &mut dyn Stripes,
        session: &Session,
        call: &Call<'_>,
        preparation: Preparation,
    ) -> Result<(), PutOff> {
        let now_us = self.clock.now_us();
        if now_us < self.left_until_us {
            return Err(PutOff::Busy);
        }
        let mut effects = Collector {
            unit: &mut self.unit,
            wanted: shared.log.is_some(),
        };
        let now_ms = now_us / 1000;
        let guard = Guard::new(stripes, &shared.stripes.layout, &mut effects, now_ms)
            .mode(mode(shared, now_ms));
        let mut guard = guard.on(session.keyspace());
        let more = preparation(&mut guard, call.args, &shared.engine);
        let (seen, garbage) = (guard.stats(), guard.take_garbage());
        self.end_slice(shared, seen, garbage);
        if !more {
            return Ok(());
        }
        shared.commit(&mut self.unit);
        if shared.stripes.take_wanted(&self.plan.stripes) {
            self.clock.refresh();
            self.left_until_us = self.clock.now_us() + LEFT_US;
        }
        Err(PutOff::Begun)
    }

    /// Counts what was met before a command.
    fn end_slice(&self, shared: &Shared, seen: GuardStats, garbage: Option<Vec<Garbage>>) {
        if let Some(garbage) = garbage {
            shared.stripes.alarm.discard(garbage);
        }
        self.stats.totals.changes.add(seen.changes);
        self.stats.totals.expired.add(seen.expired);
    }

    /// Runs a command's handler on stripes that are locked, at the time `now_us`, and counts. Says whether a key was used whose
    /// access clock has still to be set.
    pub(crate) fn run(
        &mut self,
        shared: &Shared,
        stripes: &mut dyn Stripes,
        session: &mut Session,
        call: &Call<'_>,
        now_us: u64,
        out: &mut Output,
    ) -> bool {
        let start = out.len();
        let mut effects = Collector {
            unit: &mut self.unit,
            wanted: shared.log.is_some(),
        };
        let mut ctx = Ctx {
            args: call.args,
            reply: Reply::new(out, session.protocol),
            keys: guard(
                shared,
                stripes,
                &mut effects,
                session,
                &mut self.random,
                call,
                now_us,
            ),
            session,
            engine: &shared.engine,
            command: call.command,
            now_us,
            random: &mut self.random,
        };
        let handler = call.command.handler().unwrap_or(container_alone);
        let result = handler(&mut ctx);
        if let Err(error) = &result {
            ctx.reply.truncate(start);
            error.write(&mut ctx.reply);
            shared.engine.stats.count_error(error.code());
        }
        let (seen, garbage) = (ctx.keys.stats(), ctx.keys.take_garbage());
        if let Some(garbage) = garbage {
            shared.stripes.alarm.discard(garbage);
        }
        let replied = out.len() - start;
        let totals = &self.stats.totals;
        totals.hits.add(seen.hits);
        totals.misses.add(seen.misses);
        totals.expired.add(seen.expired);
        totals.changes.add(seen.changes);
        let settings = &shared.engine.settings;
        // As unsigned numbers the negative ones, which log nothing, are the largest.
        if replied as u64 >= settings.log_replies_from_bytes.load(Relaxed) as u64 {
            let log = (Logged::LargeReply, &settings.large_replies_max_len);
            record_large(shared, session, call, log, (now_us, replied));
        }
        let requested = call.args.byte_len();
        if requested as u64 >= settings.log_requests_from_bytes.load(Relaxed) as u64 {
            let log = (Logged::LargeRequest, &settings.large_requests_max_len);
            record_large(shared, session, call, log, (now_us, requested));
        }
        let timed = !call.goes_on || replied > QUICK_REPLY_BYTES;
        self.count(shared, session, call, result.is_err(), timed);
        seen.untouched
    }

    /// Counts a command that ends now, and times it unless that is left to the next one of its kind.
    #[inline]
    pub(crate) fn count(
        &mut self,
        shared: &Shared,
        session: &Session,
        call: &Call<'_>,
        failed: bool,
        timed: bool,
    ) {
        let id = call.command.id();
        if failed {
            self.stats.commands[usize::from(id)].failed.add(1);
            self.stats.totals.errors.add(1);
        }
        let client = &session.client;
        client.last_command.store(id + 1, Relaxed);
        client
            .commands
            .store(client.commands.load(Relaxed) + 1, Relaxed);
        self.untimed.command = id;
        self.untimed.calls += 1;
        let slow_us = shared.engine.settings.slowlog_slower_than_us.load(Relaxed);
        if timed || (0..QUICK_US).contains(&slow_us) {
            self.count_time(shared, session, call, slow_us);
        }
    }

    /// Times a command, together with those of its kind before it, and notes if that was long.
    fn count_time(&mut self, shared: &Shared, session: &Session, call: &Call<'_>, slow_us: i64) {
        let now_us = self.clock.now_us();
        let (calls, nanos) = self.time();
        if shared.engine.settings.latency_tracking.load(Relaxed) {
            let counters = &self.stats.commands[usize::from(call.command.id())];
            counters.record_times(nanos / calls, calls);
        }
        session.client.active_ms.store(now_us / 1000, Relaxed);
        let took_us = nanos / 1000;
        if slow_us >= 0 && took_us >= slow_us as u64 {
            record_slow(shared, session, call, now_us, took_us);
        }
        let threshold_ms = shared.engine.settings.latency_threshold_ms.load(Relaxed);
        if threshold_ms > 0 && took_us / 1000 >= threshold_ms {
            record_latency(shared, call, now_us, took_us);
        }
    }

    /// Ends the time of the calls that are not timed yet; returns their number and nanoseconds.
    fn time(&mut self) -> (u64, u64) {
        let Untimed { command, calls } = std::mem::take(&mut self.untimed);
        let (calls, nanos) = (u64::from(calls), self.clock.lap());
        let counters = &self.stats.commands[usize::from(command)];
        counters.calls.add(calls);
        counters.nanos.add(nanos);
        self.stats.totals.commands.add(calls);
        (calls, nanos)
    }
}

/// What may be done with a command now.
enum Admission {
    Run,
    Queue,
    Wait(u64),
}

/// Why words name no command that could run.
#[cold]
fn unknown(args: Args<'_>) -> Error {
    match table().lookup(args) {
        Err(error) => error.error(args),
        Ok(command) => Error::arity(command),
    }
}

/// A guard for one command of a session.
fn guard<'a>(
    shared: &'a Shared,
    stripes: &'a mut dyn Stripes,
    effects: &'a mut Collector<'_>,
    session: &Session,
    random: &mut Random,
    call: &'a Call<'a>,
    now_us: u64,
) -> Guard<'a> {
    // All is looked up before the guard is made: it would have to be kept in memory meanwhile.
    let (settings, now_ms) = (&shared.engine.settings, now_us / 1000);
    let (mode, access, random) = (
        mode(shared, now_ms),
        settings.access_policy(),
        random.bits(),
    );
    let touch = !session.no_touch || call.command.last_word() == "TOUCH";
    let hashed = call
        .hash
        .and_then(|(at, hash)| Some((call.args.get(at)?, hash)));
    let guard = Guard::new(stripes, &shared.stripes.layout, effects, now_ms);
    let guard = if call.shared_lock {
        guard.reading()
    } else {
        guard
    };
    guard
        .on(session.keyspace())
        .mode(mode)
        .access(access, touch, random)
        .limits(&settings.limits)
        .hashed_if(hashed)
}

pub(crate) fn mode(shared: &Shared, now_ms: u64) -> Mode {
    if shared.follower {
        Mode::Follower
    } else if shared.engine.pause.until_ms() != 0 && shared.engine.pause.scope(now_ms).is_some() {
        Mode::Paused
    } else {
        Mode::Primary
    }
}

/// Adds the stripes of a call's keys to the plan; returns position and hash of the key when there is one only. Where
/// the keys cannot be told from the words, the handler refuses the call before it touches any.
pub(crate) fn plan_keys(shared: &Shared, call: &Call<'_>, plan: &mut Plan) -> Option<(usize, u64)> {
    let (layout, args) = (&shared.stripes.layout, call.args);
    let before = plan.stripes.len();
    let mut last = None;
    let found = call.command.for_each_key(args, |at, _| {
        let hash = layout.hash(&args[at]);
        plan.stripes.push(layout.stripe_of(hash) as u16);
        plan.hashes.push(hash);
        last = Some((at, hash));
    });
    last.filter(|_| found.is_ok() && plan.stripes.len() == before + 1)
}

/// What a command or a transaction is about to lock and look up.
#[derive(Default)]
pub(crate) struct Plan {
    /// Stripes, once for each key until [`ascend`] puts them in order.
    pub(crate) stripes: Vec<u16>,
    /// Hashes of the keys.
    pub(crate) hashes: Vec<u64>,
}

impl Plan {
    pub(crate) fn clear(&mut self) {
        self.stripes.clear();
        self.hashes.clear();
    }
}

/// Most keys of one command that are fetched ahead; more would push one another out of the cache.
const FETCHED_KEYS: usize = 64;

/// Puts a plan into locking order.
pub(crate) fn ascend(plan: &mut Vec<u16>) {
    plan.sort_unstable();
    plan.dedup();
}

/// The commands that MULTI does not queue.
fn runs_inside_multi(command: &Command) -> bool {
    matches!(
        command.name(),
        "EXEC" | "DISCARD" | "MULTI" | "WATCH" | "QUIT" | "RESET"
    )
}

fn may_write(session: &Session, command: &Command) -> bool {
    let writes = |command: &Command| {
        command
            .flags()
            .intersects(Flags::WRITE | Flags::MAY_REPLICATE)
    };
    let queued = || {
        session
            .transaction
            .iter()
            .flat_map(|transaction| &transaction.queue)
    };
    writes(command)
        || command.locking() == Locking::Queue && queued().any(|queued| writes(queued.command))
}

fn queue(
    session: &mut Session,
    command: &'static Command,
    args: Args<'_>,
    out: &mut Output,
) -> Outcome {
    session.queue(Queued {
        command,
        args: ArgsBuf::from(args),
    });
    Reply::new(out, session.protocol).simple("QUEUED");
    Outcome::Done
}

/// Applies CLIENT REPLY to what a command wrote from `start` on.
#[cold]
fn withhold(session: &mut Session, start: usize, out: &mut Output) {
    out.truncate(start);
    session.replies = match session.replies {
        Replies::SkipNext => Replies::SkipThis,
        Replies::SkipThis => Replies::On,
        other => other,
    };
}

/// A container called without a subcommand; the table's arity check lets none through.
fn container_alone(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    Err(Error::arity(ctx.command))
}

#[cold]
fn record_latency(shared: &Shared, call: &Call<'_>, now_us: u64, took_us: u64) {
    let event = if call.command.flags().contains(Flags::FAST) {
        "fast-command"
    } else {
        "command"
    };
    let sample = Sample {
        at_s: now_us / 1_000_000,
        took_ms: took_us / 1000,
    };
    shared.engine.latency.record(event, sample);
}

#[cold]
fn record_slow(shared: &Shared, session: &Session, call: &Call<'_>, now_us: u64, took_us: u64) {
    if !call.command.flags().contains(Flags::SKIP_SLOWLOG) {
        let max_len = shared.engine.settings.slowlog_max_len.load(Relaxed) as usize;
        shared.engine.command_log.record(
            Logged::Slow,
            call.args,
            &session.client,
            (now_us / 1_000_000, took_us),
            max_len,
        );
    }
}

/// Records a command whose words or whose reply are long.
#[cold]
fn record_large(
    shared: &Shared,
    session: &Session,
    call: &Call<'_>,
    (why, max_len): (Logged, &AtomicU64),
    (now_us, bytes): (u64, usize),
) {
    if !call.command.flags().contains(Flags::SKIP_SLOWLOG) {
        shared.engine.command_log.record(
            why,
            call.args,
            &session.client,
            (now_us / 1_000_000, bytes as u64),
            max_len.load(Relaxed) as usize,
        );
    }
}

impl std::fmt::Debug for Executor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executor")
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}
