//! The feed: committed changes in their order, read again by position.
//!
//! | part | room |
//! |---|---|
//! | how units and requests reach it | `hub` |
//! | the thread that moves readers on | `thread` |
//! | the end of the log, read once for all | `tail`, `recent` |
//! | what keys held before | `former` |
//! | a reader's place, and how it moves on | `cursor` |
//! | changes as an iterator | `watch` |
//!
//! The log is the only queue. A reader is a place in it: whoever falls behind what is in memory
//! reads the files, and whoever falls behind these is told so. So nothing grows with a slow reader.

mod cursor;
mod former;
pub(crate) mod hub;
mod recent;
mod tail;
pub(crate) mod thread;
mod watch;

pub use kvik_command::feed::{
    Feed, FeedAnswer, FeedCall, FeedEntry, FeedInfo, FeedPage, FeedPosition, FeedQuery,
    FeedRequest, FeedSink, FeedStart, InvalidPosition, Offer, OldState,
};
pub use watch::PrefixWatch;
