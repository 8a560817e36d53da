//! Long work before a command, in slices: while there is more, the command is put off, so that no
//! stripe stays locked for long.

use kvik_command::Session;
use kvik_command::declare::Preparation;
use kvik_store::{GuardStats, KeyUse, Mode, PinId, Stripes};

use super::call::Call;
use super::work::Work;
use crate::section::{Section, Touching};
use crate::stripes::Busy;

/// Members deleted while a stripe is held once for a command that waits until they are.
const EXPIRE_SLICE: usize = 128;

/// How long stripes are left to those who could not have them while they were held for such slices.
const LEFT_US: u64 = 50;
/// After so many looks they are taken all the same: the clock of a program may stand still.
const LEFT_LOOKS: u32 = 10_000;

/// Why a command is put off.
#[derive(Clone, Copy, Debug)]
pub(super) enum PutOff {
    /// A stripe is taken, or left to others.
    Busy,
    /// There is more to do before it runs.
    Begun,
    /// It runs on another thread.
    Away,
    /// It touches so much that it is done in slices.
    Long,
    /// This unit of long work keeps it from its keys; without a name, all units do.
    Pinned(Option<PinId>),
}

impl From<Busy> for PutOff {
    fn from(_: Busy) -> Self {
        Self::Busy
    }
}

impl Work {
    /// Puts a command off whose keys are pinned. Deletes members of their values whose time has
    /// come, a slice of each, and puts the command off while there are more: they would all be
    /// deleted when it meets them, and their stripes be held until then. `look_ms` is when its
    /// stripes are to be looked at before it runs.
    #[inline]
    pub(super) fn expire_slices(
        &mut self,
        section: &mut Section<'_>,
        stripes: &mut dyn Stripes,
        look_ms: u64,
        session: &Session,
        call: &Call<'_>,
    ) -> Result<(), PutOff> {
        if look_ms != u64::MAX && look_ms <= section.now_ms() {
            return self.look_first(section, stripes, look_ms, session, call);
        }
        Ok(())
    }

    #[cold]
    fn look_first(
        &mut self,
        section: &mut Section<'_>,
        stripes: &mut dyn Stripes,
        look_ms: u64,
        session: &Session,
        call: &Call<'_>,
    ) -> Result<(), PutOff> {
        if look_ms == 0 {
            self.look_at_pins(section, stripes, session, call)?;
        }
        match section.mode {
            Mode::Primary => self.expire_now(section, stripes, session, call),
            _ => Ok(()),
        }
    }

    fn expire_now(
        &mut self,
        section: &mut Section<'_>,
        stripes: &mut dyn Stripes,
        session: &Session,
        call: &Call<'_>,
    ) -> Result<(), PutOff> {
        let keyspace = session.keyspace();
        let (more, seen) = section.with_guard(stripes, keyspace, Touching::NONE, |guard| {
            let mut more = false;
            let slice = |at: usize, _| more |= guard.expire_slice(&call.args[at], EXPIRE_SLICE);
            // Keys that cannot be told from the words the handler refuses.
            let _ = call.command.for_each_key(call.args, slice);
            (more, guard.stats())
        });
        self.count_slice(seen);
        if more { Err(PutOff::Begun) } else { Ok(()) }
    }

    /// Deletes a slice of the members whose time has come of values whose keys long work has pinned
    /// for a client, and says whether there are more. The client has its turn.
    pub(super) fn expire_pinned(
        &mut self,
        section: &mut Section<'_>,
        stripes: &mut dyn Stripes,
        session: &Session,
        keys: &[(Box<[u8]>, KeyUse)],
    ) -> bool {
        let (client, expires) = (session.client.id, section.mode == Mode::Primary);
        let keyspace = session.keyspace();
        let (more, seen) = section.with_guard(stripes, keyspace, Touching::NONE, |guard| {
            let mut more = false;
            for (key, _) in keys {
                guard.settle_debt(key, client);
                more |= expires && guard.expire_slice(&**key, EXPIRE_SLICE);
            }
            (more, guard.stats())
        });
        self.count_slice(seen);
        more
    }

    /// Does a slice of what a command needs beforehand, and puts it off while there is more.
    #[inline]
    pub(super) fn prepare(
        &mut self,
        section: &mut Section<'_>,
        stripes: &mut dyn Stripes,
        session: &Session,
        call: &Call<'_>,
    ) -> Result<(), PutOff> {
        match call.command.preparation() {
            Some(preparation) => self.prepare_now(section, stripes, session, call, preparation),
            None => Ok(()),
        }
    }

    #[cold]
    fn prepare_now(
        &mut self,
        section: &mut Section<'_>,
        stripes: &mut dyn Stripes,
        session: &Session,
        call: &Call<'_>,
        preparation: Preparation,
    ) -> Result<(), PutOff> {
        if section.now_us < self.left_until_us && self.left_looks < LEFT_LOOKS {
            self.left_looks += 1;
            return Err(PutOff::Busy);
        }
        let shared = section.shared;
        let touching = Touching {
            touch: true,
            random: self.random.bits(),
        };
        let keyspace = session.keyspace();
        let (more, seen) = section.with_guard(stripes, keyspace, touching, |guard| {
            let more = preparation(guard, call.args, &shared.engine);
            (more, guard.stats())
        });
        self.count_slice(seen);
        if !more {
            return Ok(());
        }
        // Who could not have a stripe comes back in a moment, and is to find it free then.
        if shared.stripes.take_wanted(&self.plan.stripes) {
            self.clock.refresh();
            self.left_until_us = self.clock.now_us() + LEFT_US;
            self.left_looks = 0;
        }
        Err(PutOff::Begun)
    }

    fn count_slice(&self, seen: GuardStats) {
        self.stats.totals.changes.add(seen.changes);
        self.stats.totals.expired.add(seen.expired);
    }
}
