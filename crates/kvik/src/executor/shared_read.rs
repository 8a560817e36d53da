//! Commands that only read one key, beside others who read the same stripe.

use kvik_command::Session;
use kvik_resp::Output;
use kvik_store::{Guard, Mode};

use super::{Call, Work};
use crate::db::Shared;
use crate::effects::Collector;
use crate::stripes::{Patience, Seen};

impl Work {
    /// Runs a command that only reads, beside others who do.
    #[inline(never)]
    pub(super) fn run_shared(
        &mut self,
        shared: &Shared,
        mut seen: Seen<'_>,
        session: &mut Session,
        call: &Call<'_>,
        out: &mut Output,
    ) {
        let call = &Call {
            shared_lock: true,
            ..*call
        };
        let now_us = self.clock.now_us();
        let untouched = self.run(shared, &mut seen, session, call, now_us, out);
        drop(seen);
        if untouched {
            self.touch(shared, session, call, now_us);
        }
    }

    /// Sets the access clock of the key of a command that only read, unless somebody else has its stripe.
    #[cold]
    fn touch(&mut self, shared: &Shared, session: &Session, call: &Call<'_>, now_us: u64) {
        let Some((at, hash)) = call.hash else { return };
        let stripes = &shared.stripes;
        let Ok(mut held) = stripes.lock(stripes.layout.stripe_of(hash), Patience::Spin) else {
            return;
        };
        let mut effects = Collector {
            unit: &mut self.unit,
            wanted: false,
        };
        let policy = shared.engine.settings.access_policy();
        // Paused, because nothing is to be deleted here: others may have come in between.
        Guard::new(&mut held, &stripes.layout, &mut effects, now_us / 1000)
            .on(session.keyspace())
            .mode(Mode::Paused)
            .access(policy, true, self.random.bits())
            .hashed(&call.args[at], hash)
            .touch(&call.args[at]);
    }
}
