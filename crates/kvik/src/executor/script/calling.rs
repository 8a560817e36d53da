//! The commands that a running script calls: they pass the gate as every command does, and run in
//! the script's section.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use kvik_command::declare::{Command, Flags, Locking};
use kvik_command::script::{Caller, Pulse, Running, ScriptFlags};
use kvik_command::{Error, Session, table};
use kvik_resp::{Args, Output, Protocol};
use kvik_store::Stripes;

use super::{Leaving, ScriptCall, ScriptScope, StripeSource, Work};
use crate::clock::Tick;
use crate::executor::call::Call;
use crate::executor::gate::permit;
use crate::executor::slices::PutOff;
use crate::section::Section;
use crate::stripes::ascend;

/// Nanoseconds after which others can see a script, and kill it.
const SEEN_AFTER_NS: u64 = 1_000_000;
pub(super) const KILLED: Error = Error::text("Script killed by user with SCRIPT KILL.");

/// A running script, as the store sees it.
pub(super) struct Calling<'r, 's, 'a> {
    work: &'r mut Work,
    section: &'r mut Section<'s>,
    scope: ScriptScope<'r, 'a>,
    session: &'r mut Session,
    call: &'r Call<'r>,
    script: &'r ScriptCall<'r>,
    /// It has run a command that may write.
    has_written: bool,
    /// When the command before it ended, or its batch began.
    began: Tick,
    /// It has ended to run elsewhere.
    leaves: bool,
    /// The view of it for others, once it has been running for a while.
    running: Option<Arc<Running>>,
    /// It keeps all commands out.
    closes_gate: bool,
}

impl<'r, 's, 'a> Calling<'r, 's, 'a> {
    pub(super) fn new(
        work: &'r mut Work,
        section: &'r mut Section<'s>,
        scope: ScriptScope<'r, 'a>,
        session: &'r mut Session,
        call: &'r Call<'r>,
        script: &'r ScriptCall<'r>,
    ) -> Self {
        Self {
            began: work.clock.latest(),
            work,
            section,
            scope,
            session,
            call,
            script,
            has_written: false,
            leaves: false,
            running: None,
            closes_gate: false,
        }
    }

    /// The script has ended. Says whether it is to run elsewhere.
    pub(super) fn finish(self) -> bool {
        let program = &self.script.program;
        if !program.is_bounded() {
            let now = self.scope.shared.clock.instant();
            program.note_run(now.nanos_since(self.began) < SEEN_AFTER_NS);
        }
        self.leaves
    }

    /// Whether the script may run a command now.
    fn admit(&mut self, command: &Command, args: Args<'_>) -> Result<(), Error> {
        let flags = command.flags();
        let shared = self.scope.shared;
        if flags.contains(Flags::NOSCRIPT) && !shared.engine.settings.scripts_call_all.load(Relaxed)
        {
            return Err(Error::text("This Redis command is not allowed from script"));
        }
        permit(shared, self.session, command, args)?;
        if self.script.reads_only && flags.intersects(Flags::WRITE | Flags::MAY_REPLICATE) {
            let text = "Write commands are not allowed from read-only scripts.";
            return Err(Error::text(text));
        }
        let grows = flags.contains(Flags::DENYOOM) && !self.has_written;
        if grows && shared.excess(0) > 0 && !self.may_grow() {
            return Err(Error::OutOfMemory);
        }
        // What has begun to write is not stopped half-way.
        if flags.contains(Flags::WRITE) && !self.has_written && !self.session.internal {
            if shared.is_follower() {
                let text = "You can't write against a read only replica.";
                return Err(Error::Coded("READONLY", text.into()));
            }
            if !shared.engine.gate.is_open() {
                shared.engine.gate.pass(self.session, command)?;
            }
        }
        Ok(())
    }

    /// Whether it may grow although memory is used up.
    fn may_grow(&self) -> bool {
        let flags = self.script.program.flags;
        self.session.internal || flags.contains(ScriptFlags::ALLOW_OOM)
    }

    /// Takes the stripes that a command needs and the script does not have yet.
    fn reach(&mut self, call: &mut Call<'_>) -> Result<(), Error> {
        match call.command.locking_of(call.args) {
            Locking::None => Ok(()),
            Locking::Keys => self.reach_keys(call),
            Locking::All | Locking::InTurn => {
                if let StripeSource::Pinned(pins) = &mut self.scope.source {
                    pins.lock_all(self.scope.held)?;
                    self.show_stripes();
                } else {
                    (0..self.scope.shared.stripes.len()).try_for_each(|index| self.take(index))?;
                }
                // The reply may reveal any key, so it waits for the latest change of them all.
                self.section.reach_all();
                Ok(())
            }
            Locking::Queue | Locking::Script => {
                Err(Error::text("This Redis command is not allowed from script"))
            }
        }
    }

    fn reach_keys(&mut self, call: &mut Call<'_>) -> Result<(), Error> {
        let (shared, plan) = (self.scope.shared, &mut self.work.plan);
        plan.clear();
        call.hash = plan.add_call(shared, self.session.db, call);
        // Without growth all keys were named at the beginning, and the section knows them.
        if matches!(self.scope.source, StripeSource::Held)
            && plan
                .stripes
                .iter()
                .all(|&it| self.scope.held.holds(it.into()))
        {
            return Ok(());
        }
        self.section.reach(&self.work.plan.hashes);
        if let StripeSource::Pinned(pins) = &mut self.scope.source {
            ascend(&mut self.work.plan.stripes);
            let mut keys: Vec<&[u8]> = Vec::new();
            let args = call.args;
            // Keys that cannot be told from the words the handler refuses.
            let _ = call
                .command
                .for_each_key(args, |at, _| keys.push(&args[at]));
            if !pins.try_keys(&keys) {
                // It waits, and others may want to end it meanwhile.
                self.show();
            }
            let StripeSource::Pinned(pins) = &mut self.scope.source else {
                unreachable!("it was so above")
            };
            let scripts = &self.scope.shared.engine.scripts;
            let (running, has_written) = (&self.running, self.has_written);
            let is_killed = || running.as_ref().is_some_and(|it| it.is_killed()) && !has_written;
            return pins.lock_keys(self.scope.held, &keys, &self.work.plan.stripes, || {
                is_killed() || scripts.is_stopped()
            });
        }
        for at in 0..self.work.plan.stripes.len() {
            self.take(self.work.plan.stripes[at].into())?;
        }
        Ok(())
    }

    fn take(&mut self, index: usize) -> Result<(), Error> {
        let ScriptScope {
            held,
            source,
            leaving,
            ..
        } = &mut self.scope;
        if held.holds(index) {
            return Ok(());
        }
        let StripeSource::Growing(growth) = source else {
            return Err(Error::text(
                "Script attempted to access a key that it does not declare",
            ));
        };
        growth.extend(held, index);
        if *leaving == Leaving::Undone {
            held.begin_undo(index);
        }
        self.show_stripes();
        Ok(())
    }

    /// Lets others see which stripes it holds.
    fn show_stripes(&self) {
        if let Some(running) = &self.running {
            running.hold(&self.scope.held.indices());
        }
    }

    /// Lets the stripes go that it has for one command only.
    fn let_go(&mut self) {
        if let StripeSource::Pinned(pins) = &self.scope.source {
            pins.let_go(self.scope.held);
        }
    }

    /// Does all that a command needs beforehand: it cannot be put off.
    fn get_ready(&mut self, call: &Call<'_>) -> Result<(), Error> {
        loop {
            let look_ms = self.scope.held.look_at();
            let held: &mut dyn Stripes = self.scope.held;
            let (work, section) = (&mut *self.work, &mut *self.section);
            let ready = work
                .expire_slices(section, held, look_ms, self.session, call)
                .and_then(|()| work.prepare(section, held, self.session, call));
            match ready {
                Ok(()) => return Ok(()),
                Err(PutOff::Pinned(_)) => {
                    // Whoever has pinned the key needs what this script holds: it begins anew where
                    // it holds nothing.
                    self.leaves = true;
                    return Err(Error::text("The key is in use"));
                }
                Err(_) => {}
            }
            // A pause between slices is for others, who get no turn while the script holds its
            // stripes.
            work.left_until_us = 0;
        }
    }

    /// Whether it may end now to run elsewhere.
    fn may_leave(&self) -> bool {
        match self.scope.leaving {
            Leaving::Never => false,
            Leaving::Unchanged => !self.has_written,
            Leaving::Undone => true,
        }
    }

    /// Notes that the script writes. Says whether it has been killed before.
    fn note_write(&mut self) -> bool {
        self.has_written = true;
        self.running
            .as_ref()
            .is_some_and(|running| running.note_write())
    }

    fn show(&mut self) -> &Arc<Running> {
        let shared = self.scope.shared;
        self.running.get_or_insert_with(|| {
            let running = Running::new(
                Arc::clone(&self.script.program),
                self.call.args,
                self.section.now_us,
            );
            if self.has_written {
                running.note_write();
            }
            match &self.scope.source {
                StripeSource::Pinned(pins) if !pins.holds_all() => running.pin(pins.unit.id),
                _ => running.hold(&self.scope.held.indices()),
            }
            let running = Arc::new(running);
            shared.engine.scripts.enter_running(&running);
            if shared.engine.settings.busy_reply_to_all.load(Relaxed) {
                shared.engine.gate.close_for_script();
                self.closes_gate = true;
            }
            running
        })
    }

    fn call_known(
        &mut self,
        command: Option<&'static Command>,
        args: Args<'_>,
        protocol: Protocol,
        out: &mut Output,
    ) -> Result<(), Error> {
        let command = command.ok_or(Error::text("Unknown command called from script"))?;
        if !command.accepts(args.len()) || command.handler().is_none() {
            let text = "Wrong number of args calling command from script";
            return Err(Error::text(text));
        }
        // In this order: a command that is refused takes no stripe, and one that is killed changes
        // nothing.
        self.admit(command, args)?;
        let mut call = Call {
            command,
            args,
            hash: None,
            goes_on: false,
        };
        self.reach(&mut call)?;
        let changes = Flags::WRITE | Flags::MAY_REPLICATE | Flags::ADMIN;
        if command.flags().intersects(changes) && self.note_write() {
            return Err(KILLED);
        }
        self.get_ready(&call)?;
        self.session.protocol = protocol;
        let held: &mut dyn Stripes = self.scope.held;
        self.work.run(self.section, held, self.session, &call, out);
        Ok(())
    }

    /// Counts a command that may not run.
    #[cold]
    fn count_refusal(&self, command: Option<&Command>, error: &Error) {
        let (stats, own) = (&self.scope.shared.engine.stats, &self.work.stats);
        stats.count_error(error.code());
        own.totals.errors.add(1);
        if let Some(command) = command {
            own.commands[usize::from(command.id())].rejected.add(1);
        }
    }
}

impl Drop for Calling<'_, '_, '_> {
    fn drop(&mut self) {
        let engine = &self.scope.shared.engine;
        if let Some(running) = &self.running {
            engine.scripts.leave_running(running);
        }
        if self.closes_gate {
            engine.gate.open_after_script();
        }
    }
}

impl Caller for Calling<'_, '_, '_> {
    fn call(&mut self, args: Args<'_>, protocol: Protocol, out: &mut Output) -> Result<(), Error> {
        let command = table().resolve(args).ok();
        if self.leaves {
            return Err(Error::text("The script begins anew"));
        }
        let called = self.call_known(command, args, protocol, out);
        self.let_go();
        if let Err(error) = &called {
            self.count_refusal(command, error);
        }
        called
    }

    fn count_error(&mut self, line: &[u8]) {
        let code = line.split(|&byte| byte == b' ').next().unwrap_or_default();
        let stats = &self.scope.shared.engine.stats;
        stats.count_made_error(&String::from_utf8_lossy(code));
        self.work.stats.totals.errors.add(1);
    }

    fn may_call(&mut self, args: Args<'_>) -> Option<bool> {
        let command = table().resolve(args).ok()?;
        Some(permit(self.scope.shared, self.session, command, args).is_ok())
    }

    fn log(&mut self, level: u8, text: &[u8]) {
        let host = &self.scope.shared.engine.host;
        host.log_script(level, &String::from_utf8_lossy(text));
    }

    fn clock_s(&mut self) -> f64 {
        self.scope.shared.engine.host.process().user_s
    }

    fn pulse(&mut self) -> Pulse {
        if self.leaves {
            return Pulse::Leave;
        }
        let now = self.scope.shared.clock.instant();
        if now.nanos_since(self.began) < SEEN_AFTER_NS {
            return Pulse::GoOn;
        }
        // Nothing has been seen of it yet, so that it can begin anew where it keeps nobody waiting.
        if self.may_leave() {
            self.leaves = true;
            return Pulse::Leave;
        }
        let is_stopped = self.scope.shared.engine.scripts.is_stopped();
        match self.show().is_killed() || is_stopped {
            true => Pulse::Killed,
            false => Pulse::GoOn,
        }
    }
}
