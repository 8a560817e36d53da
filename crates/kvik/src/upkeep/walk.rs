//! The walk through all keys, for the largest keys and the sizes under prefixes: a few pages each
//! second.

use std::sync::atomic::Ordering::Relaxed;

use kvik_command::hot_keys::KeyVisitor;
use kvik_log::Unit;
use kvik_store::KeyspaceId;

use crate::section::{Actor, Section, Terms, Touching};
use crate::shared::Shared;

/// Keys looked at while a stripe is held once.
const PAGE: usize = 128;
/// Time that the walk takes of each second at most, in nanoseconds: half a percent.
const BUDGET_NS: u64 = 5_000_000;

/// Walks on for as long as it may, or to the end.
pub(super) fn go_on(shared: &Shared) {
    let began = shared.clock.instant();
    let engine = &shared.engine;
    let databases = engine.settings.databases.load(Relaxed) as u32;
    let mut walk = engine.key_walk.take();
    let prefixes = engine.settings.prefix_stats.all();
    walk.measure(prefixes.iter().map(|it| it.prefix.clone()));
    let mut unit = Unit::new();
    while walk.db < databases {
        walk.cursor = page(shared, &mut walk, &mut unit);
        walk.db += u32::from(walk.cursor == 0);
        if shared.clock.instant().nanos_since(began) >= BUDGET_NS {
            break;
        }
    }
    let is_over = walk.db >= databases;
    engine.key_walk.give_back(walk, is_over);
}

/// Looks at some keys and says where to go on, 0 at the end of the database.
fn page(shared: &Shared, walk: &mut KeyVisitor, unit: &mut Unit) -> u64 {
    let keyspace = KeyspaceId(walk.db);
    // Databases without keys take no lock.
    if shared.engine.totals.keyspace(keyspace).keys == 0 {
        return 0;
    }
    let terms = Terms {
        shared,
        unit,
        now_us: shared.clock.now_us(),
        actor: Actor::Observer,
    };
    let cursor = walk.cursor;
    let (page, _) = Section::run_in_turn(terms, |section, held| {
        section.with_guard(held, keyspace, Touching::NONE, |guard| {
            guard.scan(cursor, PAGE, |view| walk.meet(&view))
        })
    });
    page.next
}
