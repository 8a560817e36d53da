//! Keys that eviction leaves alone, as a guard sees them; see [`crate::blessing`].

use super::Guard;
use super::keyspace::ScanPage;
use crate::layout::{Cursor, Key};
use crate::raw::position::Prefix;

impl Guard<'_> {
    /// Whether a key is exempt from eviction.
    pub fn is_blessed<'k>(&mut self, key: impl Into<Key<'k>>) -> bool {
        let place = self.locate(key.into());
        let Some(entry) = self.find(place) else {
            return false;
        };
        // Others may read the stripe at the same time.
        let keyspace = self.stripes.look(place.index).keyspace(place.table);
        keyspace.is_some_and(|it| it.is_blessed(place.position, entry))
    }

    /// Visits the names of about `count` keys that are exempt from eviction, from `cursor` on, as
    /// [`scan`](Self::scan) visits keys.
    pub fn scan_blessed(
        &mut self,
        cursor: Cursor,
        count: usize,
        mut visit: impl FnMut(&[u8]),
    ) -> ScanPage {
        let (layout, database) = (self.layout, self.keyspace);
        let steps = layout.scan_steps();
        let (mut step, mut from) = layout.split(cursor);
        let mut left = count.max(1);
        while step.0 < steps {
            let stripe = self.stripes.stripe(layout.stripe_at(step));
            let table = layout.table_at(database, step);
            let found = stripe.keyspace(table);
            let ours = found.filter(|it| it.keyspace.database(table) == database);
            let blessed = ours.and_then(|it| Some((it, it.keyspace.blessed.as_ref()?)));
            let mut last = None;
            for (position, name) in blessed.into_iter().flat_map(|(_, it)| it.names_from(from)) {
                // Names at one place belong to one page: a cursor cannot part them.
                if left == 0 && last != Some(position.prefix()) {
                    let next = layout.join(step, Some(position.prefix()), steps);
                    return ScanPage { next };
                }
                last = Some(position.prefix());
                left = left.saturating_sub(1);
                let entry = ours.and_then(|it| it.look_up(position, name));
                if entry.is_some_and(|(_, it)| !self.state.hides(&it, layout)) {
                    visit(name);
                }
            }
            (step, from) = (step.next(), Prefix(0));
        }
        ScanPage { next: 0 }
    }
}
