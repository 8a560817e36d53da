//! The heap's part in images of large collections, which stay where they are until their images
//! are complete; see [`crate::table_image`].

use super::Heap;
use crate::layout::Layout;
use crate::raw::entry_ref::EntryRef;
use crate::raw::ranges::Ranges;
use crate::source::Source;
use crate::table_image::{MemberOutlet, TableImage};

impl Heap {
    /// Begins the image of an entry's large collection, as it is now.
    pub(crate) fn open_image(
        &mut self,
        entry: EntryRef,
        source: Source,
        outlet: Box<dyn MemberOutlet>,
    ) {
        let number = self.entry(entry).record.object();
        let number = number.expect("what has a source has a number");
        let len = self.objects.get(number).object.len();
        self.journals.images.open(TableImage {
            source,
            number,
            is_orphan: false,
            saved: Ranges::new(len),
            outlet,
        });
    }

    /// Hands over members of collections whose images are open, the first one first, until about
    /// `budget` are handed over. Returns what is left of the budget.
    pub(crate) fn save_members(&mut self, layout: &Layout, mut budget: usize) -> usize {
        while budget > 0
            && let Some(mut image) = self.journals.images.take_first()
        {
            let table = self.objects.get(image.number).object.table();
            let members = table.map(|table| table.members());
            let members = members.filter(|it| it.source() == Some(image.source));
            debug_assert!(members.is_some(), "it keeps its number until it is saved");
            let memory = self.memory(layout);
            let left = members.map_or(Some(budget), |members| {
                members.save_slice(memory, &mut image, budget)
            });
            let Some(left) = left else {
                self.journals.images.put_first(image);
                return 0;
            };
            budget = left;
            self.close_image(image, true);
        }
        budget
    }

    /// Gives up the images that are open.
    pub(crate) fn give_images_up(&mut self) {
        while let Some(image) = self.journals.images.take_first() {
            self.close_image(image, false);
        }
    }

    fn close_image(&mut self, mut image: TableImage, is_complete: bool) {
        if is_complete {
            image.outlet.end();
        }
        if image.is_orphan {
            self.discard_placed(image.number);
        }
    }
}
