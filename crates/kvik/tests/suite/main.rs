//! The library through its public API.

mod anything;
mod batch;
mod changes;
mod crash;
mod db;
mod durable;
mod eviction;
mod feed;
mod files;
mod images;
mod log;
mod long_work;
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
mod without_threads;
