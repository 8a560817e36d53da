//! Stripes locked one at a time.

use std::cell::RefCell;

use kvik_log::Lsn;
use kvik_store::{ChangedKey, Stripe, Stripes, UnixMs};

use super::Locks;
use crate::effects::TurnUnit;
use crate::shared::Shared;
use crate::stamps::Reach;
use crate::stripes::{Held, Patience};

/// Stripes locked one at a time, each let go for the next. What has happened on one is handed to
/// the log before it is let go: who takes it next may undo it, and the log has to see the two in
/// that order.
pub(crate) struct InTurn<'a> {
    shared: &'a Shared,
    /// The unit that the section fills, where anybody wants effects.
    turn: Option<&'a RefCell<TurnUnit>>,
    now_ms: u64,
    held: Option<Held<'a>>,
    passed: Lsn,
    changed: Vec<ChangedKey>,
    /// Stripes that were let go with keys whose waiters are to be served.
    pub(super) with_ready: Vec<usize>,
}

impl<'a> InTurn<'a> {
    pub(super) fn new(
        shared: &'a Shared,
        turn: Option<&'a RefCell<TurnUnit>>,
        now_ms: u64,
    ) -> Self {
        Self {
            shared,
            turn,
            now_ms,
            held: None,
            passed: Lsn::ZERO,
            changed: Vec::new(),
            with_ready: Vec::new(),
        }
    }

    /// Lets the stripe go that is held, if any, and hands over what has happened on it before.
    pub(super) fn let_go(&mut self) {
        let Some(mut held) = self.held.take() else {
            return;
        };
        if held.has_news() {
            self.note_news(&mut held);
        }
        if let Some(turn) = self.turn {
            let TurnUnit { unit, former } = &mut *turn.borrow_mut();
            let reach = Reach::Stripe(held.index());
            let former = std::mem::take(former);
            let lsn = self.shared.append_with(unit, self.now_ms, reach, former);
            assert!(
                unit.is_empty(),
                "no effect is pending when a stripe is let go"
            );
            self.passed = self.passed.max(lsn);
        }
    }

    #[cold]
    fn note_news(&mut self, held: &mut Held<'_>) {
        self.changed.extend(held.stripe_mut().take_changed());
        // Its waiters are served by another section, over this stripe alone.
        if held.has_news() {
            self.with_ready.push(held.index());
        }
    }
}

impl Locks for InTurn<'_> {
    fn passed(&self) -> Lsn {
        self.passed
    }

    fn has_news(&self) -> bool {
        !self.changed.is_empty()
    }

    fn take_changed(&mut self) -> Vec<ChangedKey> {
        std::mem::take(&mut self.changed)
    }
}

impl Stripes for InTurn<'_> {
    fn stripe(&mut self, index: usize) -> &mut Stripe {
        if self.held.as_ref().is_none_or(|held| held.index() != index) {
            // Never two at a time: they come in any order, and somebody might hold the second and
            // wait for the first.
            self.let_go();
            self.held = self.shared.stripes.lock(index, Patience::Wait).ok();
        }
        let held = self.held.as_mut().expect("a patient lock succeeds");
        held.stripe(index)
    }

    fn held(&self, _index: usize) -> &Stripe {
        unreachable!("stripes taken in turn are not seen together")
    }

    fn rest(&mut self) {
        self.let_go();
    }

    fn breathe(&mut self) -> UnixMs {
        let index = self.held.as_ref().map(Held::index);
        self.let_go();
        if let Some(index) = index {
            self.shared.stripes.give_way(index);
        }
        self.shared.now_ms()
    }
}
