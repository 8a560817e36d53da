//! Units of long work: they pin their keys by name, and lock stripes only for a slice of the work.
//!
//! A unit is one section all the same: one time, one unit of effects, which is handed over at the
//! end with the stripes of all its keys held. In between nobody sees what it does, as nobody else
//! may use its keys, and no stripe is held. It never fails to get a key when it has changed
//! something: it begins with all keys that it names, or with none. One unit at a time may want more
//! later, and waits for others, who then never wait for it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use kvik_command::Session;
use kvik_command::client::Client;
use kvik_command::declare::{Flags, Group, KeyFlags};
use kvik_log::Unit;
use kvik_store::{Guard, KeyHash, KeyUse, KeyspaceId, NoEffects, PinConflict, PinId};

use super::call::Call;
use super::reaching::lock_reaching;
use super::slices::PutOff;
use super::work::Work;
use super::{Executor, Outcome};
use crate::pins::Claim;
use crate::section::{Section, Touching};
use crate::shared::Shared;
use crate::stamps::Reach;
use crate::stripes::{HeldMany, Patience, ascend};

/// When a command is offered again that long work keeps out, should no message come: milliseconds.
const LOOK_AGAIN_MS: u64 = 1000;
/// How often a unit looks whether clients that are owed their turn have had it. They come within a
/// few looks, or are gone.
const PATIENT_LOOKS: u32 = 2000;
/// Keys that are pinned or unpinned while their stripes are held once.
pub(super) const KEYS_AT_ONCE: usize = 512;

/// The keys that a unit has pinned.
pub(super) struct PinnedUnit<'a> {
    shared: &'a Shared,
    pub(super) id: PinId,
    /// The client whose command it is.
    client: Arc<Client>,
    keys: Vec<PinnedKey>,
}

struct PinnedKey {
    name: Box<[u8]>,
    hash: KeyHash,
    used: KeyUse,
}

/// The use that a call makes of a key that it names.
pub(super) fn use_of(call: &Call<'_>, flags: KeyFlags) -> KeyUse {
    let command = call.command;
    // To read for a group changes the group, though Redis' table says otherwise.
    let reads_key = || {
        let access = command.access_in(call.args, flags);
        access.contains(KeyFlags::RO) && command.group() != Group::Stream
    };
    match command.flags().contains(Flags::READONLY) || reads_key() {
        true => KeyUse::Read,
        false => KeyUse::Write,
    }
}

/// The keys that calls name, each once, with the most that is done with them, and others that are
/// read.
pub(super) fn claim_of<'c>(
    calls: impl Iterator<Item = Call<'c>>,
    read: impl Iterator<Item = &'c [u8]>,
) -> Claim {
    let mut keys: Vec<(Box<[u8]>, KeyUse)> = read.map(|key| (key.into(), KeyUse::Read)).collect();
    for call in calls {
        // Keys that cannot be told from the words the handler refuses.
        let _ = call.command.for_each_key(call.args, |at, flags| {
            keys.push((call.args[at].into(), use_of(&call, flags)));
        });
    }
    // Of two uses of a key the one that changes it comes first, and stays.
    keys.sort_unstable_by(|(a, of_a), (b, of_b)| {
        let reads = |used: &KeyUse| *used == KeyUse::Read;
        a.cmp(b).then(reads(of_a).cmp(&reads(of_b)))
    });
    keys.dedup_by(|(later, _), (first, _)| later == first);
    Claim { keys }
}

impl Work {
    /// Begins a unit that has these keys.
    pub(super) fn begin_unit<'a>(
        &mut self,
        shared: &'a Shared,
        client: &Arc<Client>,
        claim: &Arc<Claim>,
        patience: Patience,
    ) -> Result<PinnedUnit<'a>, PutOff> {
        let now_ms = self.clock.now_us() / 1000;
        let board = &shared.stripes.pins;
        let place = &mut self.place_in_line;
        let Some(id) = board.enter(claim, place, now_ms, patience) else {
            return Err(PutOff::Busy);
        };
        let mut unit = PinnedUnit {
            shared,
            id,
            client: Arc::clone(client),
            keys: Vec::new(),
        };
        let keys = claim.keys.iter().map(|(key, used)| (&**key, *used));
        match unit.pin(keys) {
            Ok(()) => {}
            Err(PinConflict::Held(other)) => return Err(PutOff::Pinned(Some(other))),
            Err(PinConflict::Owed) => {
                self.looks += 1;
                if self.looks > PATIENT_LOOKS {
                    unit.cancel_debts(claim);
                }
                return Err(PutOff::Busy);
            }
        }
        board.leave_line(&mut self.place_in_line);
        self.looks = 0;
        self.pin = Some(id);
        Ok(unit)
    }

    /// The pins that keep a call out, unless they are those of the unit that makes it. Its client
    /// is owed its turn then; it has it otherwise.
    #[cold]
    pub(super) fn look_at_pins(
        &self,
        section: &mut Section<'_>,
        stripes: &mut dyn kvik_store::Stripes,
        session: &Session,
        call: &Call<'_>,
    ) -> Result<(), PutOff> {
        let (own, client) = (self.pin, session.client.id);
        let against = section.with_guard(stripes, session.keyspace(), Touching::NONE, |guard| {
            let mut against = None;
            // Keys that cannot be told from the words the handler refuses.
            let _ = call.command.for_each_key(call.args, |at, flags| {
                let key = &call.args[at];
                if against.is_none() && guard.has_pins(key) {
                    against = guard.pinned_against(key, use_of(call, flags), own);
                    match against {
                        Some(_) => guard.owe(key, client),
                        None => guard.settle_debt(key, client),
                    }
                }
            });
            against
        });
        match against {
            Some(id) => Err(PutOff::Pinned(Some(id))),
            None => Ok(()),
        }
    }
}

impl<'a> PinnedUnit<'a> {
    /// Pins keys, all of them or none. Many are pinned in slices: the unit has done nothing yet, so
    /// that it does not matter what others do to those that it has not got.
    fn pin<'k>(
        &mut self,
        keys: impl Iterator<Item = (&'k [u8], KeyUse)>,
    ) -> Result<(), PinConflict> {
        let layout = &self.shared.stripes.layout;
        let mut new: Vec<PinnedKey> = keys
            .map(|(name, used)| PinnedKey {
                name: name.into(),
                hash: layout.hash(name),
                used,
            })
            .collect();
        if new.len() > KEYS_AT_ONCE {
            // A slice needs few stripes then.
            new.sort_by_key(|key| layout.stripe_of(key.hash));
        }
        let mut pinned = 0;
        for slice in new.chunks(KEYS_AT_ONCE) {
            if let Err(conflict) = self.pin_slice(slice) {
                new[..pinned].chunks(KEYS_AT_ONCE).for_each(|slice| {
                    self.unpin_unused(slice);
                });
                return Err(conflict);
            }
            pinned += slice.len();
            if pinned < new.len() {
                let stripes = stripes_of(self.shared, slice);
                self.shared.stripes.give_way_with(&stripes);
            }
        }
        let counts = &self.shared.engine.pins;
        counts.keys.fetch_add(new.len(), Relaxed);
        self.keys.extend(new);
        self.client.pinned.store(self.keys.len(), Relaxed);
        Ok(())
    }

    /// Pins some keys, all of them or none.
    fn pin_slice(&self, slice: &[PinnedKey]) -> Result<(), PinConflict> {
        let (shared, id) = (self.shared, self.id);
        let stripes = stripes_of(shared, slice);
        let held = shared.stripes.lock_many(&stripes, Patience::Wait);
        let mut held = held.expect("a patient lock succeeds");
        let (layout, mut effects) = (&shared.stripes.layout, NoEffects);
        let mut guard = Guard::new(&mut held, layout, &mut effects, shared.now_ms());
        for (at, key) in slice.iter().enumerate() {
            // What is overdue is deleted when the unit meets it.
            let used = match guard.has_overdue(&key.name) {
                true => KeyUse::Write,
                false => key.used,
            };
            if let Err(conflict) = guard.pin(&key.name, used, id) {
                for key in &slice[..at] {
                    guard.unpin(&key.name, id);
                }
                return Err(conflict);
            }
        }
        Ok(())
    }

    /// Unpins keys to which the unit has done nothing, or whose changes nobody tells any more.
    fn unpin_unused(&self, slice: &[PinnedKey]) {
        let shared = self.shared;
        let held = shared
            .stripes
            .lock_many(&stripes_of(shared, slice), Patience::Wait);
        let mut held = held.expect("a patient lock succeeds");
        let (layout, mut effects) = (&shared.stripes.layout, NoEffects);
        let mut guard = Guard::new(&mut held, layout, &mut effects, 0);
        for key in slice {
            for news in guard.unpin(&key.name, self.id).news {
                guard.tell_kept(&key.name, news);
            }
        }
    }

    /// Pins the keys among these that it has not pinned yet, to change them, and waits for those
    /// who have. Only for who has the right to grow. Gives up when `is_stopped` says so.
    pub(super) fn grow(&mut self, keys: &[&[u8]], is_stopped: impl Fn() -> bool) -> bool {
        let new: Vec<_> = keys.iter().filter(|key| !self.has(key)).collect();
        if new.is_empty() {
            return true;
        }
        if self.keys.is_empty() {
            self.shared.stripes.pins.begin_growing(self.id);
        }
        let mut looks = 0;
        loop {
            match self.pin(new.iter().map(|key| (**key, KeyUse::Write))) {
                Ok(()) => return true,
                Err(_) if is_stopped() => return false,
                Err(PinConflict::Held(other)) => {
                    self.shared.stripes.pins.wait_unless(other, &is_stopped);
                }
                Err(PinConflict::Owed) if looks > PATIENT_LOOKS => {
                    let keys = new.iter().map(|key| (Box::from(**key), KeyUse::Write));
                    let claim = Claim {
                        keys: keys.collect(),
                    };
                    self.cancel_debts(&claim);
                }
                Err(PinConflict::Owed) => {
                    crate::sync::doze(looks * 4);
                    looks += 1;
                }
            }
        }
    }

    /// Whether it has pinned a key.
    pub(super) fn has(&self, key: &[u8]) -> bool {
        self.keys.iter().any(|pinned| *pinned.name == *key)
    }

    /// The stripes of its keys.
    pub(super) fn stripes(&self) -> Vec<u16> {
        stripes_of(self.shared, &self.keys)
    }

    /// The hashes of its keys.
    pub(super) fn hashes(&self) -> Vec<KeyHash> {
        self.keys.iter().map(|key| key.hash).collect()
    }

    /// Owes nothing any more to clients that did not come.
    fn cancel_debts(&self, claim: &Claim) {
        let (shared, mut effects) = (self.shared, NoEffects);
        for (key, _) in &claim.keys {
            let layout = &shared.stripes.layout;
            let index = layout.stripe_of(layout.hash(key));
            let held = shared.stripes.lock(index, Patience::Wait);
            let mut held = held.expect("a patient lock succeeds");
            let mut guard = Guard::new(&mut held, layout, &mut effects, 0);
            guard.cancel_debts(key);
        }
    }

    /// Locks the stripes of all its keys, with those that are needed to serve the waiters of what
    /// it has changed, and unpins the keys: the end of its section. Of many keys it only locks the
    /// stripes, and leaves the rest to [`Self::release`].
    pub(super) fn finish(&mut self, section: &mut Section<'_>, held: &mut HeldMany<'a>) {
        held.let_go();
        let (shared, id) = (self.shared, self.id);
        let mut stripes = stripes_of(shared, &self.keys);
        if self.keys.len() > KEYS_AT_ONCE {
            let locked = shared.stripes.lock_many(&stripes, Patience::Wait);
            *held = locked.expect("a patient lock succeeds");
            return;
        }
        let keys = std::mem::take(&mut self.keys);
        let each_key = |visit: &mut dyn FnMut(&[u8])| {
            let written = keys.iter().filter(|key| key.used == KeyUse::Write);
            written.for_each(|key| visit(&key.name));
        };
        let locked = lock_reaching(shared, &mut stripes, each_key, Patience::Wait);
        *held = locked.expect("a patient lock succeeds");
        self.unpin(section, held, keys, id);
    }

    /// Unpins what its section has left, in slices: it is in the log by then. Waiters are served in
    /// the section of their slice.
    pub(super) fn release(mut self, work: &Work, unit: &mut Unit) {
        while !self.keys.is_empty() {
            let at = self.keys.len().saturating_sub(KEYS_AT_ONCE);
            let slice = self.keys.split_off(at);
            let mut stripes = stripes_of(self.shared, &slice);
            let each_key = |visit: &mut dyn FnMut(&[u8])| {
                slice.iter().for_each(|key| visit(&key.name));
            };
            let held = lock_reaching(self.shared, &mut stripes, each_key, Patience::Wait);
            let held = held.expect("a patient lock succeeds");
            let terms = work.terms(self.shared, unit);
            Section::run(terms, held, Reach::Nothing, |section, held| {
                self.unpin(section, held, slice, self.id);
            });
            self.shared.stripes.give_way_with(&stripes);
        }
    }

    /// The same where it holds all stripes.
    pub(super) fn finish_held(&mut self, section: &mut Section<'_>, held: &mut HeldMany<'_>) {
        let (keys, id) = (std::mem::take(&mut self.keys), self.id);
        self.unpin(section, held, keys, id);
    }

    fn unpin(
        &self,
        section: &mut Section<'_>,
        held: &mut HeldMany<'_>,
        keys: Vec<PinnedKey>,
        id: PinId,
    ) {
        let waiting = section.with_guard(held, KeyspaceId(0), Touching::NONE, |guard| {
            let (mut waiting, mut news) = (Vec::new(), Vec::new());
            for key in &keys {
                let mut left = guard.unpin(&key.name, id);
                waiting.append(&mut left.waiting);
                news.extend(left.news.into_iter().map(|news| (news, &*key.name)));
            }
            // Others hear of the changes in the order in which they were made.
            news.sort_unstable_by_key(|(news, _)| news.turn);
            for (news, key) in news {
                guard.tell_kept(key, news);
            }
            waiting
        });
        let counts = &self.shared.engine.pins;
        counts.keys.fetch_sub(keys.len(), Relaxed);
        section.serve_later(&waiting);
    }
}

/// The stripes of keys, in the order in which they are locked.
fn stripes_of(shared: &Shared, keys: &[PinnedKey]) -> Vec<u16> {
    let layout = &shared.stripes.layout;
    let stripes = keys.iter().map(|key| layout.stripe_of(key.hash) as u16);
    let mut stripes: Vec<u16> = stripes.collect();
    ascend(&mut stripes);
    stripes
}

impl Drop for PinnedUnit<'_> {
    /// Takes the unit off the board. Its keys are unpinned already, unless a panic has come between
    /// or it never began.
    fn drop(&mut self) {
        let shared = self.shared;
        let slices = self.keys.chunks(KEYS_AT_ONCE);
        slices.for_each(|slice| self.unpin_unused(slice));
        let counts = &shared.engine.pins;
        counts.keys.fetch_sub(self.keys.len(), Relaxed);
        self.client.pinned.store(0, Relaxed);
        shared.stripes.pins.end(self.id);
    }
}

/// Locks every stripe when no unit of long work is under way.
pub(super) fn hold_all(shared: &Shared, patience: Patience) -> Result<HeldMany<'_>, PutOff> {
    let stripes = &shared.stripes;
    stripes.lock_all(patience).map_err(|busy| {
        let is_kept_out = !stripes.pins.is_empty();
        if is_kept_out {
            PutOff::Pinned(None)
        } else {
            busy.into()
        }
    })
}

impl Executor {
    /// Puts a command off that a unit keeps out, or all of them do, or refuses it if that is a
    /// script that has been running for long.
    #[cold]
    pub(super) fn put_off_pinned(
        &mut self,
        session: &mut Session,
        call: &Call<'_>,
        unit: Option<PinId>,
        out: &mut kvik_resp::Output,
    ) -> Outcome {
        if !self.stays {
            self.shared.engine.pins.waited.fetch_add(1, Relaxed);
        }
        let threshold_ms = self.shared.engine.settings.busy_reply_ms.load(Relaxed);
        if let Some(busy) = self.busy_unit(call, unit, threshold_ms) {
            return self.refuse_busy(session, call, busy, out);
        }
        let (board, client) = (&self.shared.stripes.pins, &session.client);
        if self.patience == Patience::Wait {
            // Who waits for all units has done so where it bars them.
            if let Some(id) = unit {
                board.wait_for_end(id);
            }
            return self.put_off(Outcome::Busy);
        }
        let again_ms = match threshold_ms {
            0 => LOOK_AGAIN_MS,
            _ => LOOK_AGAIN_MS.min(threshold_ms),
        };
        let until_ms = self.now_us() / 1000 + again_ms;
        if self.stays {
            // A thread of this kind has nobody else to serve.
            let is_late = || self.shared.now_ms() >= until_ms;
            match unit {
                Some(id) => board.wait_unless(id, || session.is_unwanted() || is_late()),
                None => {
                    board.bar_until(until_ms, client);
                }
            }
            return self.put_off(Outcome::Busy);
        }
        let is_told = match unit {
            Some(id) => board.tell_end(id, client),
            None => board.bar_until(until_ms, client),
        };
        self.put_off(match is_told {
            true => Outcome::Paused(until_ms),
            false => Outcome::Busy,
        })
    }
}

#[cfg(all(test, feature = "model"))]
impl Executor {
    /// Runs commands as one unit of long work, each in a slice of its own.
    pub(crate) fn run_in_slices(&mut self, session: &mut Session, commands: &[kvik_resp::ArgsBuf]) {
        let prepared = commands.iter().map(|args| self.prepare(args.as_args()));
        let prepared: Vec<_> = prepared.collect();
        let calls = commands.iter().zip(&prepared).map(|(args, prepared)| {
            let command = prepared.command().expect("a model's commands are known");
            Call::of(command, args.as_args(), prepared)
        });
        let calls: Vec<Call<'_>> = calls.collect();
        let claim = Arc::new(claim_of(calls.iter().copied(), std::iter::empty()));
        let (work, shared) = (&mut self.work, &*self.shared);
        let mut unit = loop {
            match work.begin_unit(shared, &session.client, &claim, self.patience) {
                Ok(unit) => break unit,
                Err(PutOff::Pinned(Some(id))) => shared.stripes.pins.wait_for_end(id),
                Err(_) => crate::sync::pause(0),
            }
        };
        let terms = work.terms(shared, &mut self.unit);
        let (none, reach) = (HeldMany::none(), Reach::Everything);
        Section::run(terms, none, reach, |section, held| {
            for call in &calls {
                work.plan.clear();
                work.plan.add_call(shared, session.db, call);
                ascend(&mut work.plan.stripes);
                let locked = shared.stripes.lock_many(&work.plan.stripes, Patience::Wait);
                *held = locked.expect("a patient lock succeeds");
                work.run(section, held, session, call, &mut kvik_resp::Output::new());
                held.let_go();
            }
            unit.finish(section, held);
        });
        work.pin = None;
    }
}
