//! A script or a function that can run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use super::analysis::{self, Proofs};
use super::flags::ScriptFlags;
use super::functions::{Function, Library};
use super::naming::Naming;
use super::shebang;
use crate::error::Error;

/// The SHA1 of a script's source, in hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha([u8; 40]);

impl Sha {
    /// The one of this digest.
    pub fn of_digest(digest: [u8; 20]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 40];
        for (pair, byte) in text.chunks_exact_mut(2).zip(digest) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        Self(text)
    }

    /// The one that a client names, in any case.
    pub fn parse(word: &[u8]) -> Option<Self> {
        let mut text: [u8; 40] = word.try_into().ok()?;
        text.make_ascii_lowercase();
        Some(Self(text))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        // Parsed names may hold any bytes, which match no script.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl std::fmt::Debug for Sha {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a program was named by who runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramKind {
    /// EVAL and EVALSHA.
    Script,
    /// FCALL.
    Function,
}

/// The code of a program.
#[derive(Clone, Debug)]
pub enum ProgramCode {
    /// A script.
    Script {
        /// Its name.
        sha: Sha,
        /// The whole source.
        source: Arc<[u8]>,
        /// Where the code begins: at the end of the line that names the engine.
        body: usize,
    },
    /// A function of a library.
    Function {
        /// The library.
        library: Arc<Library>,
        /// The function's name.
        name: Arc<str>,
    },
}

/// How often a script has to end quickly before it is known to be quick.
const QUICK_RUNS: u32 = 8;

/// A script or a function, and what is known about it.
#[derive(Debug)]
pub struct Program {
    /// Its code.
    pub origin: ProgramCode,
    /// The flags that it declares.
    pub flags: ScriptFlags,
    proofs: Proofs,
    /// When it was last used, for scripts that may be dropped; [`u64::MAX`] for others.
    pub(super) used: AtomicU64,
    quick_runs: AtomicU32,
}

impl Program {
    /// A script from its source.
    ///
    /// # Errors
    /// If its first line is wrong.
    pub fn script(sha: Sha, source: &[u8]) -> Result<Self, Error> {
        let header = shebang::of_script(source)?;
        let origin = ProgramCode::Script {
            sha,
            source: source.into(),
            body: header.length,
        };
        let proofs = analysis::analyse(&source[header.length..]);
        Ok(Self::new(origin, header.flags, proofs))
    }

    /// A function of a library.
    pub(super) fn function(library: Arc<Library>, function: &Function) -> Self {
        let origin = ProgramCode::Function {
            name: function.name.as_str().into(),
            library,
        };
        Self::new(origin, function.flags, Proofs::default())
    }

    fn new(origin: ProgramCode, flags: ScriptFlags, proofs: Proofs) -> Self {
        Self {
            origin,
            flags,
            proofs,
            used: AtomicU64::new(u64::MAX),
            quick_runs: AtomicU32::new(0),
        }
    }

    /// Whether it is a script or a function.
    pub fn kind(&self) -> ProgramKind {
        match self.origin {
            ProgramCode::Script { .. } => ProgramKind::Script,
            ProgramCode::Function { .. } => ProgramKind::Function,
        }
    }

    /// The name in errors and in FUNCTION STATS.
    pub fn name(&self) -> &str {
        match &self.origin {
            ProgramCode::Script { sha, .. } => sha.as_str(),
            ProgramCode::Function { name, .. } => name,
        }
    }

    /// Whether its text shows that it uses no keys but those that it is given as KEYS.
    pub fn keeps_to_its_keys(&self) -> bool {
        self.proofs.keeps_to_its_keys
    }

    /// Whether its text shows that it ends soon.
    pub fn is_bounded(&self) -> bool {
        self.proofs.is_bounded
    }

    /// How its text uses the names that every script finds. Nothing is known of functions.
    pub fn naming(&self) -> Naming {
        self.proofs.naming
    }

    /// Whether it will end soon: its text shows that it does not loop, or it has ended soon often
    /// enough.
    pub fn is_quick(&self) -> bool {
        self.proofs.is_bounded || self.quick_runs.load(Relaxed) >= QUICK_RUNS
    }

    /// Notes how a run went.
    pub fn note_run(&self, was_quick: bool) {
        let runs = self.quick_runs.load(Relaxed);
        match was_quick {
            true if runs < QUICK_RUNS => self.quick_runs.store(runs + 1, Relaxed),
            true => {}
            false => self.quick_runs.store(0, Relaxed),
        }
    }
}
