//! Compaction: moving entries out of pages that a mass deletion left sparse, so that the pages can
//! go back.
//!
//! It goes on in slices, first through the tables of all keyspaces, then through the members of all
//! large collections. Pages that are to be emptied get nothing new meanwhile; what was not reached
//! when it ends is used again.

use super::Stripe;

/// Free bytes of entries' memory below which compacting is not worth it, and the part of it they
/// have to be.
const SLACK_BYTES: usize = 1 << 20;
const SLACK_PART: usize = 4;

/// Where compaction goes on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Compacting {
    /// At a part of a keyspace.
    Keys(usize, usize),
    /// At a part of a collection.
    Members(u32, usize),
}

impl Stripe {
    /// Moves entries out of sparse pages, those of `parts` parts of tables at most (up to 192
    /// entries each), and says whether there is more to do. Returns at once when little would be
    /// won.
    pub fn compact(&mut self, parts: usize) -> bool {
        let Some(mut place) = self.compacting.or_else(|| self.begin_compaction()) else {
            return false;
        };
        for _ in 0..parts {
            let Some(next) = self.compact_part(place) else {
                self.heap.cells.arena.end_compaction();
                self.compacting = None;
                return false;
            };
            place = next;
        }
        self.compacting = Some(place);
        true
    }

    fn compact_part(&mut self, place: Compacting) -> Option<Compacting> {
        let heap = &mut self.heap;
        match place {
            Compacting::Keys(index, part) => {
                let Some(keyspace) = self.keyspaces.get_mut(index) else {
                    // All keys have been offered; the members of collections follow.
                    return Some(Compacting::Members(0, 0));
                };
                let more = keyspace.as_mut().is_some_and(|keyspace| {
                    let relocate = |entry| heap.cells.arena.relocate(entry);
                    keyspace.table.replace_in_part(part, relocate)
                });
                Some(if more {
                    Compacting::Keys(index, part + 1)
                } else {
                    Compacting::Keys(index + 1, 0)
                })
            }
            Compacting::Members(object, part) => heap
                .compact(object, part)
                .map(|(object, part)| Compacting::Members(object, part)),
        }
    }

    fn begin_compaction(&mut self) -> Option<Compacting> {
        let heap = &self.heap;
        let waiting = heap.has_doomed()
            || heap.has_shadows()
            || !self.detached.is_empty()
            || !self.kept.is_empty();
        let arena = &mut self.heap.cells.arena;
        // A page kept for the next entry would count as free.
        arena.give_spare();
        let free = arena.touched_bytes() - arena.live_bytes();
        let worth_it = free > SLACK_BYTES && free > arena.touched_bytes() / SLACK_PART;
        // Entries that are only waiting to be freed, or for their collection to be placed, would
        // have to be found as well.
        (worth_it && !waiting && arena.begin_compaction()).then_some(Compacting::Keys(0, 0))
    }
}
