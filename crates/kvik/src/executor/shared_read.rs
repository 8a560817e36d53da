//! Commands that only read one key, together with others who read the same stripe.

use kvik_command::Session;
use kvik_log::Unit;
use kvik_resp::Output;
use kvik_store::Mode;

use super::Work;
use super::run::Call;
use crate::section::{Section, Touching};
use crate::shared::Shared;
use crate::stamps::Reach;
use crate::stripes::{Patience, SharedRead};

impl Work {
    /// Runs a command that only reads its one key, in a stripe that others may read meanwhile.
    #[inline(never)]
    pub(super) fn run_shared(
        &mut self,
        shared: &Shared,
        unit: &mut Unit,
        read: SharedRead<'_>,
        session: &mut Session,
        call: &Call<'_>,
        out: &mut Output,
    ) {
        let Some((_, hash)) = call.hash else { return };
        let mut section = self.begin(shared, unit, read);
        let (core, held) = section.parts();
        let untouched = self.run(core, held, session, call, out);
        let lsn = section.finish(Reach::Key(hash));
        self.note_lsn(lsn);
        if untouched {
            self.touch(shared, unit, session, call);
        }
    }

    /// Sets the access clock of the key of a command that only read, unless somebody else has its stripe.
    #[cold]
    fn touch(&mut self, shared: &Shared, unit: &mut Unit, session: &Session, call: &Call<'_>) {
        let Some((at, hash)) = call.hash else { return };
        let stripes = &shared.stripes;
        let Ok(held) = stripes.lock(stripes.layout.stripe_of(hash), Patience::Spin) else {
            return;
        };
        // Paused, because nothing is to be deleted here: others may have come in between.
        let now_us = self.clock.now_us();
        let mut section = Section::begin(shared, held, unit, now_us, Mode::Paused);
        let touching = Touching {
            touch: true,
            random: self.random.bits(),
        };
        let key = &call.args[at];
        section
            .guard(session.keyspace(), touching)
            .hashed(key, hash)
            .touch(key);
        section.finish(Reach::Nothing);
    }
}
