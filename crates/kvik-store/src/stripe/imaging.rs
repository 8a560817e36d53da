//! A stripe's part in an image; see [`crate::image`].

use super::Stripe;
use crate::UnixMs;
use crate::clock::AccessPolicy;
use crate::image::{Cut, ImageSink, Imaging};
use crate::keyspace::{Keyspace, KeyspaceMut};
use crate::layout::Layout;
use crate::namespace::TableId;

impl Stripe {
    /// Prepares up to `most` keyspaces, from number `from` on, for an image that is begun soon, and
    /// says where to go on. Where there are thousands of them, that keeps the moment short at which
    /// all stripes are held.
    pub fn prepare_image(&mut self, from: usize, most: usize) -> Option<usize> {
        if from == 0 {
            self.end_image();
            self.uncut = Some(Vec::new());
        }
        let end = self.keyspaces.len().min(from + most);
        (from..end).for_each(|number| self.cut_keyspace(number));
        (end < self.keyspaces.len()).then_some(end)
    }

    /// Begins an image of all keys as they are now, at `now`. What is changed from here on goes to
    /// the sink first. All stripes of an image are held from before the first begins it until the
    /// last has begun it. Costs a bit for a dozen keys, and next to no time if it is
    /// [prepared](Self::prepare_image).
    pub fn begin_image(&mut self, sink: Box<dyn ImageSink>, now: UnixMs, access: AccessPolicy) {
        match self.uncut.take() {
            Some(uncut) => {
                let uncut = uncut.into_iter();
                uncut.for_each(|table| self.cut_keyspace(table.index()));
            }
            None => {
                self.end_image();
                (0..self.keyspaces.len()).for_each(|number| self.cut_keyspace(number));
            }
        }
        self.imaged_to = 0;
        self.heap.imaging = Some(Box::new(Imaging::new(sink, now, access)));
    }

    /// Gives a keyspace a cut, unless it has one.
    fn cut_keyspace(&mut self, number: usize) {
        let is_prepared = self.uncut.is_some();
        let keyspace = self.keyspaces.get_mut(number).and_then(Option::as_mut);
        // What comes into an empty keyspace is not in the image, and needs no cut to stay out; but
        // it may come before the image begins.
        if let Some(keyspace) = keyspace
            && keyspace.cut.is_none()
            && (is_prepared || keyspace.len() > 0)
        {
            let database = keyspace.database(TableId(number as u32));
            let cut = Cut::new(database, keyspace.len());
            keyspace.cut = Some(Box::new(cut));
        }
    }

    /// Notes a keyspace that an image which is prepared has to cut when it begins.
    pub(crate) fn note_uncut(&mut self, table: TableId) {
        if let Some(uncut) = &mut self.uncut {
            uncut.push(table);
        }
    }

    /// Hands over some of what is not in the image yet, about `entries` small ones or as much in
    /// bytes, and says whether there is more. The sink is dropped with the last of it.
    pub fn image_slice(&mut self, layout: &Layout, entries: usize) -> bool {
        let heap = &mut self.heap;
        // Who writes the image waits for the collections that have been begun.
        let mut budget = heap.save_members(layout, entries.max(1));
        // Flushed keyspaces first: they hold memory that nobody else needs.
        for keyspace in &mut self.kept {
            let mut keyspace = KeyspaceMut {
                keyspace,
                heap,
                layout,
            };
            budget = keyspace.save_slice(budget);
        }
        while budget > 0
            && let Some(place) = self.keyspaces.get_mut(self.imaged_to)
        {
            if let Some(keyspace) = place {
                let mut keyspace = KeyspaceMut {
                    keyspace,
                    heap,
                    layout,
                };
                budget = keyspace.save_slice(budget);
                if keyspace.keyspace.cut.is_some() {
                    break;
                }
            }
            self.imaged_to += 1;
        }
        self.release_kept();
        let more = self.has_open_images() || budget == 0 && self.is_imaging();
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
        self.uncut = None;
        self.heap.imaging = None;
        self.heap.give_images_up();
    }

    /// Whether the images of large collections lack something.
    pub(crate) fn has_open_images(&self) -> bool {
        !self.heap.journals.images.is_empty()
    }

    /// Whether an image lacks something of this stripe.
    fn is_imaging(&self) -> bool {
        let places = self.keyspaces.iter().skip(self.imaged_to);
        let mut all = self.kept.iter().chain(places.flatten());
        all.any(|keyspace| keyspace.cut.is_some())
    }

    /// Keeps the contents of a keyspace that is emptied, if they are not in the image yet; says
    /// whether it does.
    #[expect(clippy::vec_box, reason = "walked together with the boxed keyspaces")]
    pub(super) fn keep_for_image(
        kept: &mut Vec<Box<Keyspace>>,
        keyspace: &mut Keyspace,
        is_imaging: bool,
    ) -> bool {
        if !is_imaging {
            return false;
        }
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
