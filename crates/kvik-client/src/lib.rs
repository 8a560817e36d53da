//! A small blocking client: RESP2 and RESP3 over TCP and unix sockets.
//!
//! ```no_run
//! use kvik_client::{Client, Options, Value};
//!
//! let mut client = Client::connect("redis://127.0.0.1:6379/1", &Options::default())?;
//! client.call(&["SET", "greeting", "hello"])?;
//! assert_eq!(client.call(&["GET", "greeting"])?, Value::Bulk(b"hello".to_vec()));
//! let replies = client.pipeline(&[vec!["INCR", "visits"], vec!["TTL", "visits"]])?;
//! # Ok::<(), kvik_client::ClientError>(())
//! ```
//!
//! One [`Client`] is one connection, used by one thread at a time. It does not pool, retry or
//! reconnect: whoever lost a reply must decide whether to ask again. An error *reply* is a
//! [`Value`] like any other; a [`ClientError`] means that the connection itself failed. There is no
//! TLS yet. `examples/` shows a pipeline and a transaction with optimistic locking.

#![forbid(unsafe_code)]

mod client;
mod endpoint;
mod stream;

pub use client::{Client, ClientError, Options};
pub use endpoint::{Address, DEFAULT_PORT, Endpoint, UrlError};
pub use kvik_resp::{Protocol, Text, Value};

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
