//! CLUSTERSCAN: a walk over the keys of all slots, which clients take to the nodes one by one.
//!
//! A cursor is `fingerprint-{tag}-place`. The tag has the slot where the walk goes on, so that
//! clients route the cursor like a key; the place is how far the walk has come in the stripe of
//! that slot, and means something only in the run of the server that has the fingerprint: in
//! another one the walk takes the stripe from its start. A page ends with the last slot of a node at
//! the latest, and its cursor leads to the next node.

use std::sync::OnceLock;

use kvik_resp::{Output, Reply};
use kvik_store::{Cursor, SLOTS, key_slot};

use super::super::key::scan;
use super::{slot, topology};
use crate::engine::Engine;
use crate::{Ctx, Error};

/// Characters of a tag: there is one for every slot.
const TAG_LEN: usize = 3;
const TAG_CHARACTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

type Tag = [u8; TAG_LEN];

/// Where a walk goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ClusterCursor {
    slot: u16,
    place: Cursor,
}

pub(super) fn cluster_scan(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let topology = topology(ctx)?;
    let mut only = None;
    let (filter, count) = scan::options(ctx, |at, value| {
        let is_slot = ctx.is(at, "SLOT");
        only = is_slot
            .then(|| kvik_resp::parse_i64(value).and_then(slot))
            .or(only);
        is_slot
    })?;
    let only = match only {
        Some(None) => return Err(Error::text("Invalid or out of range slot")),
        only => only.flatten(),
    };
    let (text, fingerprint) = (&ctx.args[1], fingerprint(ctx.engine));
    if text == b"0" {
        let slot = only.unwrap_or(0);
        return write_page(
            ctx,
            &ClusterCursor { slot, place: 0 }.text(0),
            0,
            Output::new(),
        );
    }
    let start = ClusterCursor::read(text, fingerprint).ok_or(Error::text("Invalid cursor"))?;
    if only.is_some_and(|only| only != start.slot) {
        return Err(Error::text("Cursor slot mismatch with SLOT argument"));
    }
    let stripes = ctx.keys.layout().stripes();
    let slots_each = SLOTS / stripes as u16;
    let end = match ctx.session.node() {
        Some(_) => {
            topology
                .node(topology.owner_of(start.slot) as u16)
                .stripes
                .end
        }
        None => stripes,
    };
    let (mut encoded, mut found, mut left) = (Output::new(), 0, count);
    let mut keys = Reply::new(&mut encoded, ctx.reply.protocol());
    let mut cursor = start;
    let next = loop {
        let index = usize::from(cursor.slot / slots_each);
        let (from, session) = (cursor.slot, &*ctx.session);
        let place = ctx.keys.scan_stripe(index, cursor.place, left, |view| {
            left = left.saturating_sub(1);
            let its = key_slot(view.key());
            // The slots of the stripe before that of the cursor have been visited.
            let is_wanted = only.map_or(its >= from, |only| its == only);
            if is_wanted && filter.admits(&view, session.rest_of(view.key())) {
                keys.bulk(view.key());
                found += 1;
            }
        });
        if let Some(place) = place {
            break Some(ClusterCursor { place, ..cursor });
        }
        if only.is_some() || index + 1 == stripes {
            break None;
        }
        let slot = (index as u16 + 1) * slots_each;
        cursor = ClusterCursor { slot, place: 0 };
        if left == 0 || index + 1 == end {
            break Some(cursor);
        }
    };
    let next = next.map_or_else(|| b"0".to_vec(), |next| next.text(fingerprint));
    write_page(ctx, &next, found, encoded)
}

fn write_page(ctx: &mut Ctx<'_>, next: &[u8], found: usize, encoded: Output) -> Result<(), Error> {
    ctx.reply.array(2);
    ctx.reply.bulk(next);
    ctx.reply.array(found);
    ctx.reply.append(encoded);
    Ok(())
}

impl ClusterCursor {
    /// Reads a cursor. A place of another run of the server is the start of the stripe.
    fn read(text: &[u8], fingerprint: u32) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let (run, rest) = text.split_once('-')?;
        let (tag, place) = rest.rsplit_once('-')?;
        let place: Cursor = place.parse().ok()?;
        let is_here = run.parse() == Ok(fingerprint);
        Some(Self {
            slot: key_slot(tag.as_bytes()),
            place: if is_here { place } else { 0 },
        })
    }

    fn text(self, fingerprint: u32) -> Vec<u8> {
        let run = if self.place == 0 { 0 } else { fingerprint };
        let tag = String::from_utf8_lossy(&tags()[usize::from(self.slot)]).into_owned();
        format!("{run}-{{{tag}}}-{}", self.place).into_bytes()
    }
}

/// Names this run of the server, in which alone places mean something. It is not 0.
fn fingerprint(engine: &Engine) -> u32 {
    u32::from_str_radix(&engine.run_id[..8], 16).map_or(1, |number| number.max(1))
}

/// A tag for each slot.
fn tags() -> &'static [Tag] {
    static TAGS: OnceLock<Vec<Tag>> = OnceLock::new();
    TAGS.get_or_init(|| {
        let mut tags = vec![[0; TAG_LEN]; usize::from(SLOTS)];
        for a in TAG_CHARACTERS {
            for b in TAG_CHARACTERS {
                for c in TAG_CHARACTERS {
                    let tag = [*a, *b, *c];
                    let of_slot = &mut tags[usize::from(key_slot(&tag))];
                    if *of_slot == [0; TAG_LEN] {
                        *of_slot = tag;
                    }
                }
            }
        }
        tags
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_has_a_tag() {
        for (slot, tag) in tags().iter().enumerate() {
            assert_eq!(usize::from(key_slot(tag)), slot);
            assert!(tag.iter().all(u8::is_ascii_alphanumeric), "{slot}");
        }
    }

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let cursor = ClusterCursor { slot: 77, place: 5 };
        let text = cursor.text(9);
        assert_eq!(key_slot(&text), 77);
        assert_eq!(ClusterCursor::read(&text, 9), Some(cursor));
        let elsewhere = ClusterCursor { place: 0, ..cursor };
        assert_eq!(ClusterCursor::read(&text, 8), Some(elsewhere));
        for invalid in ["", "5", "abc", "0-{a}", "1-{06S}-x"] {
            assert_eq!(
                ClusterCursor::read(invalid.as_bytes(), 1),
                None,
                "{invalid}"
            );
        }
    }
}
