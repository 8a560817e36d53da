//! The server: reactor, sessions, configuration.
//!
//! [`run`] is the whole program behind a command line; [`Server`] is a server inside another
//! program, as tests use it.

mod allocator;
pub mod codec;
pub mod config;
mod door;
mod durability;
mod files;
mod front;
mod host;
mod http;
pub mod import;
mod indexing;
mod listening;
mod log;
#[cfg(all(test, feature = "model"))]
mod model;
pub mod net;
mod process;
mod reactor;
mod server;
mod settings;
mod supervisor;
mod sync;
mod warning;

pub use allocator::trim_allocator_by;
pub use listening::ListenError;
pub use server::{Server, StartError, run};
