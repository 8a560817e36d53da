//! The stripes and hashes of the keys that a command or a transaction names.

use kvik_store::KeyHash;

use super::call::Call;
use crate::shared::Shared;

/// The stripes and keys that a command or a transaction is about to lock and look up.
#[derive(Default)]
pub(super) struct Plan {
    /// Stripes, once for each key until [`ascend`](crate::stripes::ascend) puts them in order.
    pub(super) stripes: Vec<u16>,
    /// Hashes of the keys.
    pub(super) hashes: Vec<KeyHash>,
}

impl Plan {
    pub(super) fn clear(&mut self) {
        self.stripes.clear();
        self.hashes.clear();
    }

    /// Adds a key of a database; returns its hash.
    pub(super) fn add(&mut self, shared: &Shared, database: u32, key: &[u8]) -> KeyHash {
        let home = shared.router().place(database, key);
        self.stripes.push(home.stripe as u16);
        self.hashes.push(home.hash);
        home.hash
    }

    /// Adds a call's keys; returns position and hash of the key when there is one only. Where the
    /// keys cannot be told from the words, the handler refuses the call before it touches any.
    pub(super) fn add_call(
        &mut self,
        shared: &Shared,
        database: u32,
        call: &Call<'_>,
    ) -> Option<(usize, KeyHash)> {
        if let Some((at, hash)) = call.hash {
            // It was hashed when it was prepared.
            self.stripes
                .push(shared.stripes.layout.stripe_of(hash) as u16);
            self.hashes.push(hash);
            return Some((at, hash));
        }
        let before = self.stripes.len();
        let mut last = None;
        let found = call.command.for_each_key(call.args, |at, _| {
            last = Some((at, self.add(shared, database, &call.args[at])));
        });
        last.filter(|_| found.is_ok() && self.stripes.len() == before + 1)
    }
}
