//! A message that is published when the section that it comes from has ended.

use super::subscriptions::Hearing;

/// A message that is to be published later, at the end of a section.
#[derive(Clone, Debug)]
pub struct Publication {
    pub(super) hearing: Hearing,
    pub(super) channel: Box<[u8]>,
    pub(super) payload: Box<[u8]>,
}

impl Publication {
    /// A message for a channel of PUBLISH.
    pub fn new(channel: &[u8], payload: &[u8]) -> Self {
        Self::to(Hearing::Channel, channel, payload)
    }

    /// A message for a channel of either kind.
    pub(crate) fn to(hearing: Hearing, channel: &[u8], payload: &[u8]) -> Self {
        Self {
            hearing,
            channel: channel.into(),
            payload: payload.into(),
        }
    }
}
