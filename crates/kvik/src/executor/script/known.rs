//! The scripts of a thread: its interpreter, and those that it has looked up.

use std::collections::HashMap;
use std::sync::Arc;

use kvik_command::script::{MeasuredInterpreter, Program};

/// Scripts that a thread keeps at most, and bytes of their names or sources.
const KEPT: usize = 256;
const KEPT_BYTES: usize = 1 << 18;

/// The scripts of a thread.
#[derive(Default)]
pub(crate) struct ThreadScripts {
    /// Made when the first script runs.
    pub(super) interpreter: Option<MeasuredInterpreter>,
    pub(super) known: KnownScripts,
}

/// The scripts that a thread has looked up, by the word that named them: SHA1 or source. Hashing
/// the source for a table takes a tenth of what its SHA1 takes.
#[derive(Default)]
pub(super) struct KnownScripts {
    scripts: HashMap<Box<[u8]>, Arc<Program>, foldhash::fast::RandomState>,
    bytes: usize,
    /// They are of this generation of the store's scripts.
    generation: u64,
}

impl KnownScripts {
    pub(super) fn get(&mut self, word: &[u8], generation: u64) -> Option<&Arc<Program>> {
        if self.generation != generation {
            *self = Self {
                generation,
                ..Self::default()
            };
        }
        self.scripts.get(word)
    }

    pub(super) fn keep(&mut self, word: &[u8], program: &Arc<Program>) {
        if self.scripts.len() >= KEPT || self.bytes + word.len() > KEPT_BYTES {
            self.scripts.clear();
            self.bytes = 0;
        }
        self.bytes += word.len();
        self.scripts.insert(word.into(), Arc::clone(program));
    }
}
