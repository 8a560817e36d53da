//! The flags that a script declares in its first line, or a function when it registers.

use bitflags::bitflags;

bitflags! {
    /// The flags that a script declares.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct ScriptFlags: u8 {
        /// It changes nothing.
        const NO_WRITES = 1;
        /// It may run when memory is used up.
        const ALLOW_OOM = 1 << 1;
        /// It may run on a replica whose data is out of date.
        const ALLOW_STALE = 1 << 2;
        /// It must not run in a cluster.
        const NO_CLUSTER = 1 << 3;
        /// Its keys may lie in several slots.
        const ALLOW_CROSS_SLOT = 1 << 4;
        /// It declares nothing and is judged command by command.
        const SILENT = 1 << 5;
    }
}

const FLAG_NAMES: [(ScriptFlags, &str); 5] = [
    (ScriptFlags::NO_WRITES, "no-writes"),
    (ScriptFlags::ALLOW_OOM, "allow-oom"),
    (ScriptFlags::ALLOW_STALE, "allow-stale"),
    (ScriptFlags::NO_CLUSTER, "no-cluster"),
    (ScriptFlags::ALLOW_CROSS_SLOT, "allow-cross-slot-keys"),
];

impl ScriptFlags {
    /// The flag of this name.
    pub fn named(name: &[u8]) -> Option<Self> {
        let mut all = FLAG_NAMES.into_iter();
        all.find(|(_, known)| known.as_bytes() == name)
            .map(|(flag, _)| flag)
    }

    /// The names of the flags, in the order of FUNCTION LIST.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let all = FLAG_NAMES.into_iter();
        all.filter(move |(flag, _)| self.contains(*flag))
            .map(|(_, name)| name)
    }
}
