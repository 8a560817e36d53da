//! The library through its public API.

mod anything;
mod db;
mod durable;
mod files;
mod images;
mod log;
mod restart;
mod section;
mod sessions;
mod support;
mod totals;
