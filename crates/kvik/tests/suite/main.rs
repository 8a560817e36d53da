//! The library through its public API.

mod anything;
mod changes;
mod crash;
mod db;
mod durable;
mod eviction;
mod feed;
mod files;
mod images;
mod log;
mod namespaces;
mod restart;
mod restore;
mod rollback;
mod section;
mod sessions;
mod slow_disk;
mod subscriber;
mod support;
mod totals;
mod upgrade;
