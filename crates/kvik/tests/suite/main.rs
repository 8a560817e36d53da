//! The library through its public API.

mod anything;
mod crash;
mod db;
mod durable;
mod feed;
mod files;
mod images;
mod log;
mod restart;
mod restore;
mod rollback;
mod section;
mod sessions;
mod slow_disk;
mod support;
mod totals;
mod upgrade;
