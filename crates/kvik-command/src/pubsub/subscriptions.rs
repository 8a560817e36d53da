//! The channels and patterns that one session listens to.

use std::collections::HashSet;
use std::sync::Arc;

/// The three name spaces of subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hearing {
    /// A channel of PUBLISH, by its name.
    Channel,
    /// All channels of PUBLISH whose names match a pattern.
    Pattern,
    /// A channel of SPUBLISH, by its name.
    ShardChannel,
}

impl Hearing {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Channel, Self::Pattern, Self::ShardChannel];
}

/// The names that a session listens to.
#[derive(Debug, Default)]
pub struct Subscriptions {
    channels: HashSet<Arc<[u8]>>,
    patterns: HashSet<Arc<[u8]>>,
    shard_channels: HashSet<Arc<[u8]>>,
}

impl Subscriptions {
    /// The names of one kind.
    pub fn of(&self, hearing: Hearing) -> &HashSet<Arc<[u8]>> {
        match hearing {
            Hearing::Channel => &self.channels,
            Hearing::Pattern => &self.patterns,
            Hearing::ShardChannel => &self.shard_channels,
        }
    }

    pub(super) fn of_mut(&mut self, hearing: Hearing) -> &mut HashSet<Arc<[u8]>> {
        match hearing {
            Hearing::Channel => &mut self.channels,
            Hearing::Pattern => &mut self.patterns,
            Hearing::ShardChannel => &mut self.shard_channels,
        }
    }

    /// The count that Redis tells with a change of this kind: channels and patterns count together.
    pub fn count(&self, hearing: Hearing) -> usize {
        match hearing {
            Hearing::Channel | Hearing::Pattern => self.channels.len() + self.patterns.len(),
            Hearing::ShardChannel => self.shard_channels.len(),
        }
    }

    /// All names.
    pub fn len(&self) -> usize {
        self.channels.len() + self.patterns.len() + self.shard_channels.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
