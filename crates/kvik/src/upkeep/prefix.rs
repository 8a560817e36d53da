//! The work of DELPREFIX: pages of keys looked at and deleted, a few while a stripe is held once.

use std::time::Duration;

use kvik_command::prefix_jobs::{PrefixPage, PrefixProgress};
use kvik_log::Unit;
use kvik_store::KeyUse;

use super::{LONGEST_MS, SLICE, WHILE_OFF_MS};
use crate::section::{Actor, Section, Terms, Touching};
use crate::shared::Shared;
use crate::stamps::Reach;
use crate::stripes::Patience;

/// Keys looked at in a page.
const PAGE: usize = 512;

/// How long there is nothing to do.
pub(super) fn rest(shared: &Shared) -> Duration {
    let longest = Duration::from_millis(LONGEST_MS);
    let Some(next_us) = shared.engine.prefix_jobs.next_us() else {
        return longest;
    };
    if shared.writes_wait() {
        return Duration::from_millis(WHILE_OFF_MS);
    }
    let now_us = shared.clock.now_us();
    longest.min(Duration::from_micros(next_us.saturating_sub(now_us)))
}

/// Does one page of a job that is due.
pub(super) fn work(shared: &Shared, unit: &mut Unit) {
    let now_us = shared.clock.now_us();
    let Some(page) = shared.engine.prefix_jobs.next_page(now_us) else {
        return;
    };
    let (keys, mut done) = look(shared, &page, now_us / 1000);
    if !page.dry_run {
        let (deleted, is_pinned) = delete(shared, unit, &page, &keys, now_us / 1000);
        done.deleted = deleted;
        if is_pinned {
            // The page comes again, for the keys that long work has pinned.
            done.again = true;
            done.matched = deleted;
        }
    }
    let deleted = &shared.upkeep_stats.totals.changes;
    deleted.add(done.deleted);
    let now_us = shared.clock.now_us();
    shared.engine.prefix_jobs.note(page.id, done, now_us);
}

/// The keys of a page that match.
fn look(shared: &Shared, page: &PrefixPage, now_ms: u64) -> (Vec<Vec<u8>>, PrefixProgress) {
    let (mut keys, mut visited) = (Vec::new(), 0);
    let mut unit = Unit::new();
    let terms = Terms {
        shared,
        unit: &mut unit,
        now_us: now_ms * 1000,
        actor: Actor::Observer,
    };
    let (next, _) = Section::run_in_turn(terms, |section, held| {
        section.with_guard(held, page.keyspace, Touching::NONE, |guard| {
            guard.scan_prefix(&page.prefix, page.cursor, PAGE, |view| {
                visited += 1;
                if view.key().starts_with(&page.prefix) {
                    keys.push(view.key().to_vec());
                }
            })
        })
    });
    let progress = PrefixProgress {
        next: next.next,
        visited,
        matched: keys.len() as u64,
        deleted: 0,
        again: false,
    };
    (keys, progress)
}

/// Deletes keys and says how many were still there, and whether some were pinned.
fn delete(
    shared: &Shared,
    unit: &mut Unit,
    page: &PrefixPage,
    keys: &[Vec<u8>],
    now_ms: u64,
) -> (u64, bool) {
    let layout = &shared.stripes.layout;
    let stripe = |key: &Vec<u8>| layout.stripe_of(layout.hash(key));
    let (mut deleted, mut is_pinned) = (0, false);
    // A page is in the order of the hashes, so the keys of a stripe follow each other.
    for group in keys.chunk_by(|a, b| stripe(a) == stripe(b)) {
        for slice in group.chunks(SLICE) {
            let hashes: Vec<_> = slice.iter().map(|key| layout.hash(key)).collect();
            let held = shared.stripes.lock(stripe(&slice[0]), Patience::Wait);
            let held = held.expect("a patient lock succeeds");
            let terms = Terms {
                shared,
                unit,
                now_us: now_ms * 1000,
                actor: Actor::Client,
            };
            let (count, _) = Section::run(terms, held, Reach::Keys(&hashes), |section, held| {
                section.with_guard(held, page.keyspace, Touching::NONE, |guard| {
                    let mut delete = |key: &&Vec<u8>| {
                        let pin = guard.pinned_against(key, KeyUse::Write, None);
                        is_pinned |= pin.is_some();
                        pin.is_none() && guard.delete(*key)
                    };
                    slice.iter().filter(|key| delete(key)).count()
                })
            });
            deleted += count as u64;
        }
    }
    (deleted, is_pinned)
}
