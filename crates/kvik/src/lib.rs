//! kvik as a library: a Redis-compatible store in this process.
//!
//! A [`Db`] is a handle that may be cloned and shared by threads. It runs any command ([`Db::run`],
//! or a [`Connection`] where state such as SELECT and MULTI is wanted), typed methods for strings
//! and keys, closures as transactions ([`Db::transaction`]), and batches of writes ([`Db::write`]).
//! `kvik_client::Store::from(db)` has typed methods for all types. Whatever touches several keys
//! locks all their stripes first, in ascending order, so every command and every transaction is
//! strictly serializable on all cores.
//!
//! ```
//! let db = kvik::Db::memory();
//! db.set(b"greeting", b"hello");
//! assert_eq!(db.get(b"greeting").unwrap().as_deref(), Some(&b"hello"[..]));
//! assert_eq!(db.run(&["INCRBY", "n", "5"]).as_int(), Some(5));
//! ```

#![deny(unsafe_code)]

mod alarm;
mod batch;
mod budget;
mod changes;
pub mod clock;
mod connection;
mod db;
pub mod effects;
mod eviction;
mod executor;
pub mod feed;
mod image_queue;
mod keys;
mod load;
mod lookout;
#[cfg(all(test, feature = "model"))]
mod model;
mod options;
mod persist;
mod pins;
mod promise;
mod queue;
mod replay;
mod router;
mod rules;
mod runner;
mod script_threads;
mod section;
mod shared;
mod stamps;
mod statistics;
mod stripes;
mod subscriber;
mod sync;
mod target;
mod transaction;
mod typed;
mod upkeep;

pub use batch::Batch;
pub use changes::{Change, ChangeObserver};
pub use clock::Clock;
pub use connection::Connection;
pub use db::Db;
pub use executor::{Executor, Outcome, Prepared};
pub use keys::key_positions;
pub use kvik_command::blocking::Ending;
pub use kvik_command::load::{LoadFault, LoadPolicy};
pub use kvik_command::mail::{Answer, Message, Post, Push};
pub use kvik_command::persistence::FsyncPolicy;
pub use kvik_command::{Engine, Error, EvictionPolicy, Session};
pub use kvik_log::{Disk, SystemDisk};
pub use kvik_resp::Value;
pub use kvik_store::{DEFAULT_NAMESPACE, key_slot, namespace_name, rest_of};
pub use load::{LoadError, LoadOptions, LoadProgress, LoadReport};
pub use options::Options;
pub use persist::{OpenError, Recovered};
pub use queue::{ListEnd, TakenElement, TakenMember};
pub use replay::Replay;
pub use statistics::Statistics;
pub use stripes::Patience;
pub use subscriber::{ChannelMessage, Subscriber};
pub use transaction::Transaction;
pub use typed::SetOptions;

/// The README's example compiles and holds.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
