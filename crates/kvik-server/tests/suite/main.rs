//! The suite: everything that must hold through a connection, whatever is behind it.
//!
//! [`transcript`] plays `tests/commands/*.txt` against each [`target`]: kvik in process, kvik over
//! either protocol on every I/O backend and number of threads, and the real servers where there are
//! some.
//!
//! `KVIK_TRANSCRIPT=string` plays only the files with that in their name. `KVIK_TEST_REDIS` and
//! `KVIK_TEST_VALKEY` are paths of servers to compare with; Redis is otherwise looked up in `PATH`.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests read the clock, wait and report"
)]

mod acts;
mod caching;
mod cluster;
mod concurrent;
mod doors;
mod dying;
mod exchange;
mod exporter;
mod model;
mod notifications;
mod pins;
mod reactor;
mod scan;
mod scripts;
mod target;
mod transcript;
mod transcripts;
mod wire;
