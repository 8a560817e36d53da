//! Every command: declaration and handler.
//!
//! [`declare`] says what a command is, [`family`] holds the rows and the handlers they name,
//! [`Ctx`] is what a handler gets. A handler reads its words, works on keys through the store's
//! guard and writes its reply; who locks stripes, queues transactions and hands effects on is the
//! crate `kvik` above.

#![forbid(unsafe_code)]

pub mod awaiting;
pub mod blocking;
pub mod client;
pub mod cluster;
pub mod command_log;
mod ctx;
pub mod declare;
mod ending;
mod engine;
mod error;
pub mod eviction;
mod expiry;
pub mod exposition;
pub mod family;
pub mod feed;
pub mod gate;
pub mod glob;
pub mod histogram;
pub mod host;
pub mod hot_keys;
pub mod image;
pub mod latency;
pub mod load;
pub mod mail;
pub mod metric;
#[cfg(all(test, feature = "model"))]
mod model;
pub mod namespace_quotas;
pub mod pause;
pub mod persistence;
pub mod prefix_jobs;
pub mod prefix_stats;
pub mod pubsub;
pub mod queued;
mod random;
mod rates;
pub mod save;
pub mod script;
pub mod session;
mod settings;
mod slicing;
pub mod stats;
pub mod streaming;
mod sync;
pub mod tracking;

pub(crate) use ctx::LOOKUPS_AHEAD;
pub use ctx::{Ctx, SLICE};
pub use declare::{Command, table};
pub use engine::{Engine, Upkeep};
pub use error::{Error, ErrorText};
pub use eviction::EvictionPolicy;
pub use expiry::ExpiryLag;
pub use gate::Gate;
pub use host::Host;
pub use kvik_store::EventClasses;
pub use persistence::Persistence;
pub use random::Random;
pub use rates::Rates;
pub use session::Session;
pub use settings::Settings;
pub(crate) use slicing::CHANGED_AT_ONCE;

/// Runs a command: reads its words, changes keys, writes the reply.
pub type Handler = fn(&mut Ctx<'_>) -> Result<(), Error>;

/// The Redis version whose behaviour kvik promises, as INFO and HELLO report it to clients that
/// ask.
pub const REDIS_VERSION: &str = "7.2.4";

/// The version of kvik.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
