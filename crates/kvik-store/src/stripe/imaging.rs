//! A stripe's part in an image; see [`crate::image`].

use super::Stripe;
use crate::UnixMs;
use crate::clock::AccessPolicy;
use crate::image::{Cut, ImageSink, Imaging};
use crate::keyspace::{Keyspace, KeyspaceMut};
use crate::layout::Layout;
use crate::namespace::TableId;

impl Stripe {
    /// Begins an image of all keys as they are now, at `now`. What is changed from here on goes to
    /// the sink first. All stripes of an image are held from before the first begins it until the
    /// last has begun it. Costs a bit for a dozen keys.
    pub fn begin_image(&mut self, sink: Box<dyn ImageSink>, now: UnixMs, access: AccessPolicy) {
        self.end_image();
        for (number, keyspace) in self.keyspaces.iter_mut().enumerate() {
            // What comes into an empty keyspace is not in the image, and needs no cut to stay out.
            if let Some(keyspace) = keyspace.as_mut().filter(|keyspace| keyspace.len() > 0) {
                let database = keyspace.database(TableId(number as u32));
                let cut = Cut::new(database, keyspace.len());
                keyspace.cut = Some(Box::new(cut));
            }
        }
        self.heap.imaging = Some(Box::new(Imaging::new(sink, now, access)));
    }

    /// Hands over some of what is not in the image yet, about `entries` small ones or as much in
    /// bytes, and says whether there is more. The sink is dropped with the last of it.
    pub fn image_slice(&mut self, layout: &Layout, entries: usize) -> bool {
        let mut budget = entries.max(1);
        let heap = &mut self.heap;
        // Flushed keyspaces first: they hold memory that nobody else needs.
        let kept = self.kept.iter_mut();
        for keyspace in kept.chain(self.keyspaces.iter_mut().flatten()) {
            let mut keyspace = KeyspaceMut {
                keyspace,
                heap,
                layout,
            };
            budget = keyspace.save_slice(budget);
            if budget == 0 {
                break;
            }
        }
        self.release_kept();
        let more = budget == 0 && self.is_imaging();
        if !more {
            self.heap.imaging = None;
        }
        more
    }

    /// Gives an image up, or ends one that is complete.
    pub fn end_image(&mut self) {
        let all = self.kept.iter_mut();
        for keyspace in all.chain(self.keyspaces.iter_mut().flatten()) {
            keyspace.cut = None;
        }
        self.release_kept();
        self.heap.imaging = None;
    }

    /// Whether an image lacks something of this stripe.
    fn is_imaging(&self) -> bool {
        self.kept
            .iter()
            .chain(self.keyspaces.iter().flatten())
            .any(|keyspace| keyspace.cut.is_some())
    }

    /// Keeps the contents of a keyspace that is emptied, if they are not in the image yet; says
    /// whether it does.
    #[expect(clippy::vec_box, reason = "walked together with the boxed keyspaces")]
    pub(super) fn keep_for_image(kept: &mut Vec<Box<Keyspace>>, keyspace: &mut Keyspace) -> bool {
        if keyspace.cut.as_ref().is_none_or(|cut| cut.is_done()) {
            keyspace.cut = None;
            return false;
        }
        let mut contents = Box::<Keyspace>::default();
        contents.swap(keyspace);
        kept.push(contents);
        true
    }

    /// Leaves kept contents that are in the image to be freed.
    fn release_kept(&mut self) {
        let detached = &mut self.detached;
        self.kept.retain_mut(|keyspace| {
            let is_done = keyspace.cut.is_none();
            if is_done {
                detached.push(keyspace.detach());
            }
            !is_done
        });
    }
}
