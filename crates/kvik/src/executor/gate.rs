//! The gate: whether a session may run a command, and whether now.
//!
//! Everything that may run passes [`permit`] with its arguments: a command of a client, each
//! command of a transaction when EXEC runs it, and later those of scripts. What only decides when
//! (a pause, a full log, MULTI) is asked once, for the command that the client sent. Effects of
//! another store or of a log, and typed calls, have their own way in: the former were judged where
//! they happened, the latter by [`Shared::admit`].

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use kvik_command::declare::{Command, Flags, Locking};
use kvik_command::pause::PauseScope;
use kvik_command::queued::Queued;
use kvik_command::script::ScriptFlags;
use kvik_command::{Error, Random, Session, table};
use kvik_log::Unit;
use kvik_resp::{Args, Output, Reply};
use kvik_store::{DEFAULT_NAMESPACE, namespace_name};

use super::call::Call;
use super::lookup::Prepared;
use super::redirect::redirect;
use super::work::Work;
use crate::eviction::{EvictionScope, Room, RoomMaker};
use crate::promise::{KeyGrowth, Promise};
use crate::router::DATABASE;
use crate::rules::Actor;
use crate::shared::Shared;
use crate::stripes::Patience;

/// Sleep that counts as for ever.
const LONGEST_NAP_MS: u64 = 3_600_000;

/// The gate's answer for a command that is allowed.
pub(super) enum Admission {
    Run,
    Queue,
    /// Offer it again when the pause is over, at this time in milliseconds since the epoch.
    Wait(u64),
    /// Offer it again when the log has room.
    WaitForLog,
    /// Memory is limited: it runs, or is queued, once there is room for it.
    FindRoom,
    /// It runs elsewhere, or has run there.
    Fetch,
}

/// A reason for which no write of anybody runs.
enum Obstacle {
    Refusal(Error),
    LogFull,
}

/// Whether a session may run a command with these arguments at all.
#[inline]
pub(super) fn permit(
    shared: &Shared,
    session: &mut Session,
    command: &Command,
    _args: Args<'_>,
) -> Result<(), Error> {
    if session.authenticated || may_do_without_password(shared, session, command) {
        Ok(())
    } else {
        Err(Error::NoAuth)
    }
}

/// Whether a command may change anything, itself or by what it runs.
#[inline]
fn may_change(command: &Command) -> bool {
    command.flags().contains(Flags::WRITE) || command.locking() == Locking::Queue
}

/// Whether a session that has not authenticated may run a command. If the password has been removed
/// since it began, it need not any more.
#[cold]
fn may_do_without_password(shared: &Shared, session: &mut Session, command: &Command) -> bool {
    session.authenticated = !shared.engine.settings.needs_password();
    session.authenticated || command.flags().contains(Flags::NO_AUTH)
}

impl Work {
    #[inline]
    pub(super) fn admit(
        &mut self,
        shared: &Shared,
        session: &mut Session,
        command: &'static Command,
        prepared: Prepared,
        args: Args<'_>,
    ) -> Result<Admission, Error> {
        permit(shared, session, command, args)?;
        if session.restricted && restrict(shared, session, &Call::of(command, args, &prepared))? {
            return Ok(Admission::Fetch);
        }
        let is_queueing = session.transaction.is_some();
        if is_queueing && command.flags().contains(Flags::NO_MULTI) {
            return Err(Error::not_in_transaction(command));
        }
        if shared.is_guarded()
            && !session.internal
            && !shared.is_open_for(may_change(command))
            && let Some(delay) = self.delay(shared, session, command, args)?
        {
            return Ok(delay);
        }
        if is_queueing && !runs_inside_multi(command) {
            return Ok(Admission::Queue);
        }
        Ok(Admission::Run)
    }

    /// Until when a command waits for files, if it does.
    #[cold]
    pub(super) fn wait(
        &self,
        shared: &Shared,
        session: &mut Session,
        call: &Call<'_>,
    ) -> Option<u64> {
        let readiness = call.command.readiness()?;
        // Its waits end by a clock that nobody sets.
        let now_ms = self.clock.steady_ms();
        let until_ms = readiness(session, call.args, &shared.engine, now_ms)?;
        let left_ms = until_ms.saturating_sub(now_ms);
        Some((self.clock.now_us() / 1000).saturating_add(left_ms))
    }

    /// The wait that a command has before it, if any.
    ///
    /// # Errors
    /// If it is refused because of the state of the store.
    #[inline(never)]
    fn delay(
        &mut self,
        shared: &Shared,
        session: &Session,
        command: &'static Command,
        args: Args<'_>,
    ) -> Result<Option<Admission>, Error> {
        let gate = &shared.engine.gate;
        if !gate.is_open() {
            gate.pass(session, command)?;
            if gate.is_closed_by_script() {
                self.refuse_beside_scripts(shared, session, command)?;
            }
        }
        let (pause, now_ms) = (&shared.engine.pause, self.clock.now_us() / 1000);
        let call = &Call {
            command,
            args,
            hash: None,
            goes_on: false,
        };
        if shared.is_importing() {
            self.actor = match () {
                () if session.client.imports.load(Relaxed) => Actor::Importer,
                () if may_change(command) => Actor::Client,
                () => Actor::Reader,
            };
        }
        let mut does = |what| self.runs_any(shared, session, call, what);
        let waits = match pause.scope(now_ms) {
            Some(PauseScope::All) => true,
            // A message is held back like a write, but nothing of the data keeps it out.
            Some(PauseScope::Writes) => does(Flags::WRITE | Flags::MAY_REPLICATE),
            None => false,
        };
        if waits {
            return Ok(Some(Admission::Wait(pause.until_ms())));
        }
        match does(Flags::WRITE).then(|| shared.obstacle()).flatten() {
            None if shared.is_limited() => Ok(Some(Admission::FindRoom)),
            None => Ok(None),
            Some(Obstacle::LogFull) => Ok(Some(Admission::WaitForLog)),
            Some(Obstacle::Refusal(error)) => Err(error),
        }
    }

    /// Whether a call has any of these flags, or for EXEC one of those in the queue.
    fn runs_any(
        &mut self,
        shared: &Shared,
        session: &Session,
        call: &Call<'_>,
        flags: Flags,
    ) -> bool {
        let mut queued = session.transaction.iter().flat_map(|it| &it.queue);
        self.has_any(shared, session, call, flags)
            || call.command.locking() == Locking::Queue
                && queued.any(|it| self.has_any(shared, session, &Call::queued(it), flags))
    }

    /// Whether a call has any of these flags. A script that declares that it does not write has
    /// none of them.
    fn has_any(
        &mut self,
        shared: &Shared,
        session: &Session,
        call: &Call<'_>,
        flags: Flags,
    ) -> bool {
        let command = call.command;
        command.flags().intersects(flags)
            && !(command.locking() == Locking::Script
                && self
                    .find_script(shared, session, call)
                    .is_ok_and(|script| script.program.flags.contains(ScriptFlags::NO_WRITES)))
    }

    /// Answers a command that may not run. It spoils a transaction that is being queued; EXEC ends
    /// it as well.
    pub(super) fn refuse(
        &self,
        shared: &Shared,
        session: &mut Session,
        args: Args<'_>,
        error: Error,
        out: &mut Output,
    ) {
        let command = table().resolve(args).ok();
        let error = if command.is_some_and(|command| command.locking() == Locking::Queue) {
            session.take_transaction();
            session.unwatch();
            match error {
                // The nodes of Redis say it of EXEC as of any command.
                Error::Coded("CROSSSLOT", _) => error,
                error => error.aborting(),
            }
        } else {
            session.abort();
            error
        };
        error.write(&mut Reply::new(out, session.protocol));
        shared.engine.stats.count_error(error.code());
        let stats = &self.stats;
        stats.totals.errors.add(1);
        if let Some(command) = command {
            stats.commands[usize::from(command.id())].rejected.add(1);
        }
    }
}

impl Shared {
    /// Lets a typed call in: blocks while clients are paused, and a write while the log has no
    /// room.
    ///
    /// # Errors
    /// If no write is admitted.
    #[inline]
    pub(crate) fn admit(&self, writes: bool) -> Result<(), Error> {
        match self.is_guarded() {
            false => Ok(()),
            true => self.admit_specially(writes),
        }
    }

    #[cold]
    fn admit_specially(&self, writes: bool) -> Result<(), Error> {
        if !self.engine.gate.is_open() {
            self.engine.gate.pass_call(writes)?;
        }
        loop {
            let pause = &self.engine.pause;
            let scope = pause.scope(self.now_ms());
            if scope.is_some_and(|scope| writes || scope == PauseScope::All) {
                self.wait_for_pause(pause.until_ms());
                continue;
            }
            if !writes {
                return Ok(());
            }
            match self.obstacle() {
                None => return Ok(()),
                Some(Obstacle::Refusal(error)) => return Err(error),
                Some(Obstacle::LogFull) => self.wait_for_room(),
            }
        }
    }

    /// Makes room for a typed call that may make a key grow by so many bytes, if memory is limited;
    /// what it returns is to be kept until the call has ended. Without a key there is nothing to
    /// evict where there are namespaces.
    ///
    /// # Errors
    /// If there is none to be made.
    #[inline]
    pub(crate) fn admit_growth(
        &self,
        key: Option<&[u8]>,
        bytes: usize,
    ) -> Result<Option<Promise>, Error> {
        match self.is_limited() {
            false => Ok(None),
            true => self.find_room(key, bytes as u64),
        }
    }

    #[cold]
    fn find_room(&self, key: Option<&[u8]>, need: u64) -> Result<Option<Promise>, Error> {
        let mut maker = RoomMaker {
            unit: &mut Unit::new(),
            random: &mut Random::new(self.random_seed()),
            stats: &self.typed_stats(),
            patience: Patience::Wait,
            slice_ns: u64::MAX,
        };
        let (room, promise) = match (self.stripes.layout.namespaces(), key) {
            (None, _) => (
                self.make_room(need, EvictionScope::Everywhere, &mut maker),
                None,
            ),
            (Some(_), None) => (
                self.make_room(need, EvictionScope::Within(&[]), &mut maker),
                None,
            ),
            (Some(all), Some(key)) => {
                let growth = [KeyGrowth {
                    database: DATABASE,
                    namespace: namespace_name(key).to_vec(),
                    bytes: need,
                    payload: need + DEFAULT_NAMESPACE.len() as u64,
                }];
                let mut promise = self.promise(all, &growth);
                let room = self.keep(&mut promise, need, &growth, &mut maker);
                (room, Some(promise))
            }
        };
        match room {
            Room::None => Err(Error::OutOfMemory),
            Room::Found | Room::Later => Ok(promise),
        }
    }

    fn obstacle(&self) -> Option<Obstacle> {
        if self.is_follower() {
            let text = "You can't write against a read only replica.";
            return Some(Obstacle::Refusal(Error::Coded("READONLY", text.into())));
        }
        if self.is_image_full() {
            return Some(Obstacle::LogFull);
        }
        let log = self.log()?;
        (!log.has_room()).then_some(Obstacle::LogFull)
    }

    /// Blocks this thread until the log may have room.
    pub(crate) fn wait_for_room(&self) {
        match self.log() {
            Some(log) => log.wait_for_room(),
            None => std::thread::yield_now(),
        }
    }

    /// Blocks this thread until clients are paused no longer, or it is time to look again.
    pub(crate) fn wait_for_pause(&self, until_ms: u64) {
        let left_ms = until_ms.saturating_sub(self.now_ms());
        // The end of the pause may be missed.
        self.engine.pause.wait(self.nap(left_ms.min(10)));
    }

    /// How long to sleep at most for what comes in so many milliseconds.
    pub(crate) fn nap(&self, left_ms: u64) -> Duration {
        // A clock that is moved by hand may get there sooner.
        let at_most_ms = if self.clock.is_system() {
            LONGEST_NAP_MS
        } else {
            1
        };
        Duration::from_millis(left_ms.clamp(1, at_most_ms))
    }
}

/// The commands of a RESP2 client that listens to channels.
fn speaks_to_listeners(command: &Command) -> bool {
    matches!(
        command.name(),
        "SUBSCRIBE"
            | "UNSUBSCRIBE"
            | "PSUBSCRIBE"
            | "PUNSUBSCRIBE"
            | "SSUBSCRIBE"
            | "SUNSUBSCRIBE"
            | "PING"
            | "QUIT"
            | "RESET"
    )
}

/// Refuses what a client may not run that listens in RESP2 or monitors, or that came to the port of
/// a node whose slots do not have its keys. Says whether the command is one that runs elsewhere.
#[inline(never)]
fn restrict(shared: &Shared, session: &Session, call: &Call<'_>) -> Result<bool, Error> {
    if session.away.is_some() {
        return Ok(true);
    }
    if let Some(node) = session.node() {
        redirect(shared, session, node, call)?;
    }
    let command = call.command;
    let on_keys = Flags::WRITE | Flags::READONLY | Flags::MAY_REPLICATE;
    if session.monitors && command.flags().intersects(on_keys) {
        return Err(Error::text("Replica can't interact with the keyspace"));
    }
    if session.is_confined() && !speaks_to_listeners(command) {
        return Err(Error::new(format!(
            "Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
            command.full_name()
        )));
    }
    Ok(false)
}

/// The commands that MULTI does not queue.
pub(super) fn runs_inside_multi(command: &Command) -> bool {
    matches!(
        command.name(),
        "EXEC" | "DISCARD" | "MULTI" | "WATCH" | "QUIT" | "RESET"
    )
}

impl Work {
    /// Queues a command until EXEC.
    pub(super) fn queue(&mut self, session: &mut Session, call: &Call<'_>, out: &mut Output) {
        if let Some(transaction) = &mut session.transaction
            && transaction.queue.is_empty()
        {
            transaction.queue = std::mem::take(&mut self.spare_queue);
        }
        session.queue(Queued {
            command: call.command,
            args: call.args,
            hash: call.hash,
        });
        Reply::new(out, session.protocol).simple("QUEUED");
    }
}
