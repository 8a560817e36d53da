//! Scripts that hold their keys and no stripe: those that run elsewhere, and take long.

use std::sync::Arc;

use kvik_command::{Error, Session};
use kvik_resp::Output;
use kvik_store::KeyHash;

use super::{Leaving, ScriptCall, ScriptScope, StripeSource};
use crate::executor::Executor;
use crate::executor::call::Call;
use crate::executor::pinning::{PinnedUnit, claim_of};
use crate::executor::slices::PutOff;
use crate::section::Section;
use crate::shared::Shared;
use crate::stamps::Reach;
use crate::stripes::{HeldMany, Patience};
use crate::sync::MutexGuard;

const UNDECLARED: Error = Error::text("Script attempted to access a key that it does not declare");

/// The pins of a script.
pub(in crate::executor) struct PinnedScript<'a> {
    shared: &'a Shared,
    pub(super) unit: PinnedUnit<'a>,
    /// The right to pin keys that it does not declare.
    growth: Option<MutexGuard<'a, ()>>,
    /// It has called a command about the whole store, and holds all stripes since.
    holds_all: bool,
}

impl<'a> PinnedScript<'a> {
    /// Pins those of a command's keys that it has not pinned yet, unless others have. Says whether
    /// it has them, or will not get them.
    pub(super) fn try_keys(&mut self, keys: &[&[u8]]) -> bool {
        self.holds_all || self.growth.is_none() || self.unit.grow(keys, || true)
    }

    /// Locks the stripes of a command's keys, and pins those that it has not pinned yet. Gives up
    /// waiting for others when `is_stopped` says so.
    pub(super) fn lock_keys(
        &mut self,
        held: &mut HeldMany<'a>,
        keys: &[&[u8]],
        stripes: &[u16],
        is_stopped: impl Fn() -> bool,
    ) -> Result<(), Error> {
        if self.holds_all {
            return Ok(());
        }
        if self.growth.is_none() && !keys.iter().all(|key| self.unit.has(key)) {
            return Err(UNDECLARED);
        }
        if !self.unit.grow(keys, is_stopped) {
            return Err(super::calling::KILLED);
        }
        let locked = self.shared.stripes.lock_many(stripes, Patience::Wait);
        *held = locked.expect("a patient lock succeeds");
        Ok(())
    }

    /// Locks all stripes when no other unit is at work, for the rest of the script.
    pub(super) fn lock_all(&mut self, held: &mut HeldMany<'a>) -> Result<(), Error> {
        if self.holds_all {
            return Ok(());
        }
        if self.growth.is_none() {
            return Err(UNDECLARED);
        }
        let stripes = &self.shared.stripes;
        let bar = stripes.pins.bar(Some(self.unit.id));
        let locked = stripes.lock_every(Patience::Wait);
        *held = locked.expect("a patient lock succeeds");
        drop(bar);
        self.holds_all = true;
        Ok(())
    }

    /// A command has run.
    pub(super) fn let_go(&self, held: &mut HeldMany<'a>) {
        if !self.holds_all {
            held.let_go();
        }
    }

    /// Whether no others come between two commands.
    pub(super) fn holds_all(&self) -> bool {
        self.holds_all
    }

    fn finish(&mut self, section: &mut Section<'_>, held: &mut HeldMany<'a>) {
        match self.holds_all {
            true => self.unit.finish_held(section, held),
            false => self.unit.finish(section, held),
        }
    }
}

impl Executor {
    /// Runs a script as a unit of long work.
    pub(super) fn run_pinned_script(
        &mut self,
        session: &mut Session,
        call: &Call<'_>,
        script: &ScriptCall<'_>,
        out: &mut Output,
    ) -> Result<(), PutOff> {
        let (work, shared) = (&mut self.work, &*self.shared);
        let board = &shared.stripes.pins;
        let growth = match (script.program.keeps_to_its_keys(), self.patience) {
            (true, _) => None,
            (false, Patience::Wait) => Some(board.grow()),
            (false, Patience::Spin) => Some(board.try_grow().ok_or(PutOff::Busy)?),
        };
        let claim = Arc::new(claim_of(std::iter::once(*call), std::iter::empty()));
        let mut pins = PinnedScript {
            shared,
            unit: work.begin_unit(shared, &session.client, &claim, self.patience)?,
            growth,
            holds_all: false,
        };
        let hashes: Vec<KeyHash> = pins.unit.hashes();
        let terms = work.terms(shared, &mut self.unit);
        let (none, reach) = (HeldMany::none(), Reach::Keys(&hashes));
        let ((), lsn) = Section::run(terms, none, reach, |section, held| {
            let scope = ScriptScope {
                shared,
                held,
                source: StripeSource::Pinned(&mut pins),
                leaving: Leaving::Never,
            };
            work.run_script(section, scope, session, call, script, out);
            pins.finish(section, held);
        });
        work.pin = None;
        work.note_lsn(lsn);
        pins.unit.release(work, &mut self.unit);
        Ok(())
    }
}
