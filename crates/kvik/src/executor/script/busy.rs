//! Commands that need what a long script holds.

use std::sync::atomic::Ordering::Relaxed;

use kvik_command::declare::{Command, Flags, Locking};
use kvik_command::script::Busy;
use kvik_command::{Error, Session};
use kvik_resp::Output;
use kvik_store::PinId;

use crate::executor::call::Call;
use crate::executor::work::Work;
use crate::executor::{Executor, Outcome};
use crate::shared::Shared;
use crate::stripes::ascend;

/// When a command is offered again that runs elsewhere, should no message come: milliseconds.
const LOOK_AGAIN_MS: u64 = 1000;

impl Executor {
    /// Puts a command off that could not have a stripe, or refuses it if a script has held the
    /// stripe for long.
    #[cold]
    pub(in crate::executor) fn put_off_busy(
        &mut self,
        session: &mut Session,
        call: &Call<'_>,
        out: &mut Output,
    ) -> Outcome {
        match self.busy_script(session, call) {
            Some(busy) => self.refuse_busy(session, call, busy, out),
            None => self.put_off(Outcome::Busy),
        }
    }

    /// Refuses a command that a script keeps out.
    pub(in crate::executor) fn refuse_busy(
        &mut self,
        session: &mut Session,
        call: &Call<'_>,
        busy: Busy,
        out: &mut Output,
    ) -> Outcome {
        let board = &self.shared.stripes.pins;
        board.leave_line(&mut self.work.place_in_line);
        self.refuse(session, call.args, busy.error(), out)
    }

    /// Puts a command off until it has ended elsewhere.
    #[cold]
    pub(in crate::executor) fn put_off_away(&mut self) -> Outcome {
        self.put_off(Outcome::Paused(self.now_us() / 1000 + LOOK_AGAIN_MS))
    }

    /// The same for a command that one unit of long work keeps out, or all of them do.
    pub(in crate::executor) fn busy_unit(
        &self,
        call: &Call<'_>,
        unit: Option<PinId>,
        threshold_ms: u64,
    ) -> Option<Busy> {
        let scripts = &self.shared.engine.scripts;
        if scripts.is_idle()
            || threshold_ms == 0
            || call.command.flags().contains(Flags::ALLOW_BUSY)
        {
            return None;
        }
        let since_us = self.now_us().saturating_sub(threshold_ms * 1000);
        match unit {
            Some(unit) => scripts.busy_unit(unit, since_us),
            None => scripts.busy(None, since_us),
        }
    }

    /// The script that has been running for so long that a command which needs its keys is refused.
    fn busy_script(&mut self, session: &Session, call: &Call<'_>) -> Option<Busy> {
        let engine = &self.shared.engine;
        let threshold_ms = engine.settings.busy_reply_ms.load(Relaxed);
        if engine.scripts.is_idle()
            || threshold_ms == 0
            || call.command.flags().contains(Flags::ALLOW_BUSY)
        {
            return None;
        }
        let plan = &mut self.work.plan;
        plan.clear();
        let is_planned = match call.command.locking_of(call.args) {
            Locking::Keys => {
                plan.add_call(&self.shared, session.db, call);
                true
            }
            _ => false,
        };
        ascend(&mut plan.stripes);
        let since_us = self.work.clock.now_us().saturating_sub(threshold_ms * 1000);
        let stripes = is_planned.then_some(&plan.stripes[..]);
        engine.scripts.busy(stripes, since_us)
    }
}

impl Work {
    /// Refuses what Redis refuses while a script runs, as some clients expect of a server.
    #[cold]
    pub(in crate::executor) fn refuse_beside_scripts(
        &self,
        shared: &Shared,
        session: &Session,
        command: &Command,
    ) -> Result<(), Error> {
        let engine = &shared.engine;
        let threshold_ms = engine.settings.busy_reply_ms.load(Relaxed);
        if session.internal || threshold_ms == 0 || command.flags().contains(Flags::ALLOW_BUSY) {
            return Ok(());
        }
        let since_us = self.clock.now_us().saturating_sub(threshold_ms * 1000);
        match engine.scripts.busy(None, since_us) {
            Some(busy) => Err(busy.error()),
            None => Ok(()),
        }
    }
}
