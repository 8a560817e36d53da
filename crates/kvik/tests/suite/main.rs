//! The library through its public API.

mod anything;
mod db;
mod log;
mod section;
mod sessions;
mod support;
