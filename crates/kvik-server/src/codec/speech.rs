//! The names of what clients may speak, and where they expect it.

use super::kiba::{Kiba, KibaSettings};
use super::neks::{Neks, NeksLimits};
use super::nkv::{Nkv, NkvSettings};
use super::{Codec, Undecided};

/// The protocol of a door's clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// RESP2 or RESP3.
    Resp,
    /// Frames of Neks.
    Neks,
    /// Lines of Kiba.
    Kiba,
    /// Lines of nkv, of all its eras.
    Nkv,
    /// Any of the others, as the first bytes tell.
    Auto,
}

/// The keys that clients see, where there are namespaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyScope {
    /// Those of all namespaces: a name may begin with that of one.
    #[default]
    All,
    /// Those of the namespace `default`: nothing in a name has a meaning.
    Default,
}

/// Settings of all codecs.
#[derive(Clone, Debug, Default)]
pub struct CodecSettings {
    /// The keys of clients of the door; those of [`Speech::Resp`] see all.
    pub scope: KeyScope,
    /// For [`Speech::Neks`].
    pub neks: NeksLimits,
    /// For [`Speech::Kiba`].
    pub kiba: KibaSettings,
    /// For [`Speech::Nkv`].
    pub nkv: NkvSettings,
}

impl Speech {
    /// The schemes of all of them.
    pub const NAMES: &[&str] = &["resp", "neks", "kiba", "nkv", "auto"];

    const ALL: [Self; 5] = [Self::Resp, Self::Neks, Self::Kiba, Self::Nkv, Self::Auto];

    /// The one with this scheme.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|speech| speech.name() == name)
    }

    /// Its scheme in a URL.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// Host and port where its clients look for a server.
    pub fn usual_address(self) -> (&'static str, u16) {
        match self {
            Self::Resp | Self::Auto => ("127.0.0.1", 6379),
            Self::Neks => ("0.0.0.0", 9999),
            Self::Kiba => ("127.0.0.1", 6464),
            Self::Nkv => ("127.0.0.1", 4222),
        }
    }

    /// The socket where its clients look for a server.
    pub fn usual_socket(self) -> Option<&'static str> {
        match self {
            Self::Nkv => Some("/tmp/nkv/nkv.sock"),
            Self::Resp | Self::Neks | Self::Kiba | Self::Auto => None,
        }
    }

    /// A codec for a new connection, whose keys are those of a database.
    pub fn codec(self, database: u32, settings: &CodecSettings) -> Codec {
        match self {
            Self::Resp => Codec::Resp,
            Self::Neks => Codec::Neks(Box::new(Neks::new(database, settings.neks))),
            Self::Kiba => Codec::Kiba(Box::new(Kiba::new(database, settings.kiba))),
            Self::Nkv => Codec::Nkv(Box::new(Nkv::new(database, settings))),
            Self::Auto => Codec::Undecided(Box::new(Undecided::new(database, settings.clone()))),
        }
    }

    /// The highest database that its clients reach, counted from that of the door.
    pub fn reach(self, settings: &CodecSettings) -> u32 {
        match self {
            Self::Resp | Self::Neks | Self::Nkv => 0,
            Self::Kiba | Self::Auto => settings.kiba.databases.into_iter().max().unwrap_or(0),
        }
    }

    /// Whether its clients need the keys of their database as a tree.
    pub fn has_tree(self) -> bool {
        self == Self::Nkv
    }

    /// Whether some of its clients may.
    pub fn may_need_tree(self) -> bool {
        matches!(self, Self::Nkv | Self::Auto)
    }

    /// How a client is sent off, if there is a form for it.
    pub fn refusal(self, reason: &str) -> Option<String> {
        match self {
            Self::Resp => Some(format!("-{reason}\r\n")),
            Self::Kiba => Some(format!(
                "(error) {}",
                reason.strip_prefix("ERR ").unwrap_or(reason)
            )),
            Self::Neks | Self::Nkv | Self::Auto => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        for speech in Speech::ALL {
            assert_eq!(Speech::named(speech.name()), Some(speech));
        }
        assert_eq!(Speech::NAMES.len(), Speech::ALL.len());
        assert_eq!(Speech::named("http"), None);
    }
}
