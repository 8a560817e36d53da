//! A blocking client for a store wherever it is: in this process, in files, or behind a socket.
//!
//! ```
//! use kvik_client::Store;
//!
//! // Or redis://127.0.0.1:6379/1, unix:///run/kvik.sock, file:///var/lib/app, mem://name.
//! let mut client = Store::open("mem://")?;
//! client.set("greeting", "hello")?;
//! assert_eq!(client.get("greeting")?.as_deref(), Some(&b"hello"[..]));
//! let mut pipeline = client.pipeline();
//! let visits = pipeline.incr("visits");
//! let left_ms = pipeline.ttl_ms("visits");
//! let mut replies = pipeline.run()?;
//! assert_eq!((replies.take(visits)?, replies.take(left_ms)?), (1, -1));
//! # Ok::<(), kvik_client::ClientError>(())
//! ```
//!
//! A [`Store`] has typed methods, [pipelines](Pipeline), [transactions](Transaction) and
//! [subscribers](Subscriber), the same for every [URL](Target); a [`Pool`] lends several. At a
//! `redis+cluster://` it sends each command to the node that has its keys. Below it lies the
//! [`Client`]: one socket, RESP2 or RESP3, commands and replies as they are. `rediss://` speaks TLS
//! where the crate is built with the feature `tls`. `examples/` shows a pipeline and a transaction
//! with optimistic locking on a connection.

#![forbid(unsafe_code)]

mod batch;
mod client;
mod cluster;
mod commands;
mod endpoint;
mod from_reply;
mod pool;
mod scan;
mod slots;
mod store;
mod stores;
mod stream;
mod subscriber;
mod target;
#[cfg(feature = "tls")]
mod tls;
mod words;

pub use batch::{Pipeline, Queued, Replies, Transaction};
pub use client::{Client, ClientError, Options};
pub use endpoint::{Address, DEFAULT_PORT, Endpoint, UrlError};
pub use from_reply::{Element, FromReply, Scored, StreamEntry};
pub use kvik::{ChannelMessage, Statistics};
pub use kvik_resp::{ArgsBuf, Protocol, Text, Value};
pub use pool::{Pool, PooledStore};
pub use scan::{Scan, Scanned};
pub use store::Store;
pub use subscriber::Subscriber;
pub use target::Target;
#[cfg(feature = "tls")]
pub use tls::TlsOptions;
pub use words::Words;

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
