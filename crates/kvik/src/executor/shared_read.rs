//! Commands that only read one key, together with others who read the same stripe.

use kvik_command::Session;
use kvik_log::Unit;
use kvik_resp::Output;
use kvik_store::Key;

use super::call::Call;
use super::namespaces::reading;
use super::run::Ran;
use super::slices::PutOff;
use super::work::Work;
use crate::section::{Actor, Section, Terms, Touching};
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
    ) -> Result<(), PutOff> {
        let Some((_, hash)) = call.hash else {
            return Ok(());
        };
        let (terms, reach) = (self.terms(shared, unit), Reach::Key(hash));
        let (ran, lsn) = Section::run(terms, read, reach, |section, held| {
            self.run(section, held, session, call, out)
        });
        self.note_lsn(lsn);
        if ran == Ran::Untouched {
            self.touch(shared, unit, session, call);
        }
        ran.done()
    }

    /// Sets the access clock of the key of a command that only read, unless somebody else has its
    /// stripe.
    #[cold]
    fn touch(&mut self, shared: &Shared, unit: &mut Unit, session: &Session, call: &Call<'_>) {
        let Some((at, hash)) = call.hash else { return };
        let stripes = &shared.stripes;
        let Ok(held) = stripes.lock(stripes.layout.stripe_of(hash), Patience::Spin) else {
            return;
        };
        // Others may have come in between, but nothing is to be deleted for a clock.
        let terms = Terms {
            actor: Actor::Observer,
            ..self.terms(shared, unit)
        };
        let (key, keyspace) = (&call.args[at], session.keyspace());
        let touching = Touching {
            touch: true,
            random: self.random.bits(),
        };
        Section::run(terms, held, Reach::Nothing, |section, held| {
            let mut guard = section.guard(held, keyspace, touching);
            guard.read_as(reading(call.command));
            guard.touch(Key::hashed(key, hash));
        });
    }
}
