//! The gate: whether a session may run a command, and whether now.
//!
//! Everything that may run passes [`permit`] with its arguments: a command of a client, each
//! command of a transaction when EXEC runs it, and later those of scripts. What only decides when
//! (a pause, a full log, MULTI) is asked once, for the command that the client sent. Effects of
//! another store or of a log, and typed calls, have their own way in: the former were judged where
//! they happened, the latter by [`Shared::admit`].

use std::time::Duration;

use kvik_command::declare::{Command, Flags, Locking};
use kvik_command::pause::PauseScope;
use kvik_command::session::Queued;
use kvik_command::{Error, Session, table};
use kvik_resp::{Args, ArgsBuf, Output, Reply};

use super::work::Work;
use crate::shared::Shared;

/// The gate's answer for a command that is allowed.
pub(super) enum Admission {
    Run,
    Queue,
    /// Offer it again when the pause is over, at this time in milliseconds since the epoch.
    Wait(u64),
    /// Offer it again when the log has room.
    WaitForLog,
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
        &self,
        shared: &Shared,
        session: &mut Session,
        command: &'static Command,
        args: Args<'_>,
    ) -> Result<Admission, Error> {
        permit(shared, session, command, args)?;
        if session.is_confined() && !speaks_to_listeners(command) {
            return Err(confined(command));
        }
        let is_queueing = session.transaction.is_some();
        if is_queueing && command.flags().contains(Flags::NO_MULTI) {
            return Err(Error::not_in_transaction(command));
        }
        if shared.is_guarded()
            && !session.internal
            && let Some(delay) = self.delay(shared, session, command)?
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
        command: &'static Command,
        args: Args<'_>,
    ) -> Option<u64> {
        let now_ms = self.clock.now_us() / 1000;
        let readiness = command.readiness()?;
        readiness(session, args, &shared.engine, now_ms)
    }

    /// The wait that a command has before it, if any.
    ///
    /// # Errors
    /// If it is refused because of the state of the store.
    #[inline(never)]
    fn delay(
        &self,
        shared: &Shared,
        session: &Session,
        command: &Command,
    ) -> Result<Option<Admission>, Error> {
        let gate = &shared.engine.gate;
        if !gate.is_open() {
            gate.pass(session, command)?;
        }
        let does = |what| runs_any(session, command, what);
        let pause = &shared.engine.pause;
        let waits = match pause.scope(self.clock.now_us() / 1000) {
            Some(PauseScope::All) => true,
            // A message is held back like a write, but nothing of the data keeps it out.
            Some(PauseScope::Writes) => does(Flags::WRITE | Flags::MAY_REPLICATE),
            None => false,
        };
        if waits {
            return Ok(Some(Admission::Wait(pause.until_ms())));
        }
        match does(Flags::WRITE).then(|| shared.obstacle()).flatten() {
            None => Ok(None),
            Some(Obstacle::LogFull) => Ok(Some(Admission::WaitForLog)),
            Some(Obstacle::Refusal(error)) => Err(error),
        }
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
            error.aborting()
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

    fn obstacle(&self) -> Option<Obstacle> {
        if self.is_follower() {
            let text = "You can't write against a read only replica.";
            return Some(Obstacle::Refusal(Error::Coded("READONLY", text.into())));
        }
        let log = self.log()?;
        (!log.has_room()).then_some(Obstacle::LogFull)
    }

    /// Blocks this thread until the log may have room.
    pub(crate) fn wait_for_room(&self) {
        if let Some(log) = self.log() {
            log.wait_for_room();
        }
    }

    /// Blocks this thread until clients are paused no longer, or it is time to look again.
    pub(crate) fn wait_for_pause(&self, until_ms: u64) {
        let left_ms = until_ms.saturating_sub(self.now_ms());
        // A clock that is moved by hand may get there sooner.
        let at_most = Duration::from_millis(left_ms.min(10));
        self.engine.pause.wait(at_most);
    }
}

/// The commands of a RESP2 client that listens to channels.
#[cold]
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

#[cold]
fn confined(command: &Command) -> Error {
    Error::new(format!(
        "Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
        command.full_name()
    ))
}

/// The commands that MULTI does not queue.
fn runs_inside_multi(command: &Command) -> bool {
    matches!(
        command.name(),
        "EXEC" | "DISCARD" | "MULTI" | "WATCH" | "QUIT" | "RESET"
    )
}

/// Whether a command has any of these flags, or for EXEC one of those in the queue.
fn runs_any(session: &Session, command: &Command, flags: Flags) -> bool {
    let has_any = |command: &Command| command.flags().intersects(flags);
    let queued = || {
        session
            .transaction
            .iter()
            .flat_map(|transaction| &transaction.queue)
    };
    has_any(command)
        || command.locking() == Locking::Queue && queued().any(|queued| has_any(queued.command))
}

pub(super) fn queue(
    session: &mut Session,
    command: &'static Command,
    args: Args<'_>,
    out: &mut Output,
) {
    session.queue(Queued {
        command,
        args: ArgsBuf::from(args),
    });
    Reply::new(out, session.protocol).simple("QUEUED");
}
