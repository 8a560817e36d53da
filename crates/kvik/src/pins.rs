//! The board of long work: the units that have pinned keys, and who waits for them.
//!
//! A unit enters its name here before it pins its first key and takes it off when the last one is
//! unpinned, so that who needs all stripes can tell whether half a unit is in them. Such work bars
//! new units first and then waits, holding no lock, until none is left. One whose caller must not
//! wait bars them for as long as the caller may take to come back.
//!
//! Units that want the same key get it in the order in which they came ([`Claim`]). A client whose
//! command is put off by a unit is told when the unit has ended; the stripes remember that it is
//! owed its turn.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kvik_command::client::Client;
use kvik_command::mail::Message;
use kvik_store::{Guard, KeyUse, NoEffects, PinId, Stripes};

use crate::router::Home;
use crate::shared::Shared;
use crate::stripes::{Held, HeldMany, Patience};
use crate::sync::{AtomicU64, Condvar, Mutex, MutexGuard};

/// How long to sleep before looking again, should the word of a change not come.
const NAP: Duration = Duration::from_millis(10);
/// Pairs of keys that are compared to tell whether two claims meet; for more, they do.
const MOST_COMPARED: usize = 10_000;

/// The board; see the [module](self).
#[derive(Debug)]
pub(crate) struct PinBoard {
    board: Mutex<Board>,
    changed: Condvar,
    /// Units at work, to be looked at without the lock.
    units: AtomicU64,
    growth: Mutex<()>,
}

#[derive(Debug, Default)]
struct Board {
    latest: u64,
    units: Vec<PinId>,
    /// How much work bars new units just now.
    bars: usize,
    /// New units are barred until this time, in milliseconds since the epoch, or until the work
    /// that has put itself off comes back.
    barred_until_ms: u64,
    /// Clients to be told when a unit has ended, or when all have.
    waiting: Vec<(Option<PinId>, Arc<Client>)>,
    /// Units that wait for their keys, in the order in which they came.
    line: Vec<(u64, Arc<Claim>)>,
}

/// Who waits for a unit to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaited {
    Nobody,
    /// Who wants one of its keys.
    Few,
    /// Who needs all stripes, for which no unit may be at work, and thereby everybody else who
    /// wants to begin one.
    All,
}

/// The keys that a unit wants to begin with.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) keys: Vec<(Box<[u8]>, KeyUse)>,
}

impl Claim {
    fn meets(&self, other: &Self) -> bool {
        if self.keys.len().saturating_mul(other.keys.len()) > MOST_COMPARED {
            return true;
        }
        self.keys.iter().any(|(key, used)| {
            let is_against = |(name, of): &(Box<[u8]>, KeyUse)| {
                name == key && (*used == KeyUse::Write || *of == KeyUse::Write)
            };
            other.keys.iter().any(is_against)
        })
    }
}

impl Default for PinBoard {
    fn default() -> Self {
        Self {
            board: Mutex::new(Board::default()),
            changed: Condvar::new(),
            units: AtomicU64::new(0),
            growth: Mutex::new(()),
        }
    }
}

impl PinBoard {
    /// Whether no unit is at work. It stays so as long as the caller holds the stripes of which it
    /// asks: a unit enters before it pins.
    pub(crate) fn is_empty(&self) -> bool {
        self.units.load(Ordering::SeqCst) == 0
    }

    /// Enters a new unit. While units are barred, or another one waits for the same keys, its claim
    /// stands in line, and `place` says where; who is impatient gets nothing then and comes back.
    pub(crate) fn enter(
        &self,
        claim: &Arc<Claim>,
        place: &mut Option<u64>,
        now_ms: u64,
        patience: Patience,
    ) -> Option<PinId> {
        let mut board = self.board.lock();
        if claim.keys.is_empty() {
            // It keeps nobody away before it pins something.
            board.latest += 1;
            return Some(PinId(board.latest));
        }
        let own = match *place {
            Some(own) => own,
            None => {
                board.latest += 1;
                let own = board.latest;
                board.line.push((own, Arc::clone(claim)));
                *place = Some(own);
                own
            }
        };
        while board.keeps_out(own, claim, now_ms) {
            if patience == Patience::Spin {
                return None;
            }
            self.wait(&mut board);
        }
        board.latest += 1;
        let id = PinId(board.latest);
        self.put_up(&mut board, id);
        Some(id)
    }

    /// Puts a unit up that began without a key and wants its first one. Waits while units are
    /// barred.
    pub(crate) fn begin_growing(&self, id: PinId) {
        let mut board = self.board.lock();
        while board.bars > 0 {
            self.wait(&mut board);
        }
        if !board.units.contains(&id) {
            self.put_up(&mut board, id);
        }
    }

    fn put_up(&self, board: &mut Board, id: PinId) {
        board.units.push(id);
        self.units.store(board.units.len() as u64, Ordering::SeqCst);
    }

    /// Leaves the line: the unit has its keys, or nobody wants it any more.
    pub(crate) fn leave_line(&self, place: &mut Option<u64>) {
        if let Some(own) = place.take() {
            self.board.lock().line.retain(|(at, _)| *at != own);
            self.changed.notify_all();
        }
    }

    /// Who waits for a unit to end.
    pub(crate) fn awaited(&self, id: PinId, now_ms: u64) -> Awaited {
        let board = self.board.lock();
        let is_for_all = |(of, _): &(Option<PinId>, Arc<Client>)| of.is_none();
        let is_barred = board.bars > 0 || now_ms < board.barred_until_ms;
        if is_barred || board.waiting.iter().any(is_for_all) {
            return Awaited::All;
        }
        let is_for_it = |(of, _): &(Option<PinId>, Arc<Client>)| *of == Some(id);
        match board.waiting.iter().any(is_for_it) || !board.line.is_empty() {
            true => Awaited::Few,
            false => Awaited::Nobody,
        }
    }

    /// Takes a unit off that has unpinned its keys, and tells who has waited for that.
    pub(crate) fn end(&self, id: PinId) {
        let mut board = self.board.lock();
        board.units.retain(|other| *other != id);
        self.units.store(board.units.len() as u64, Ordering::SeqCst);
        let is_last = board.units.is_empty();
        let (told, rest) = std::mem::take(&mut board.waiting)
            .into_iter()
            .partition(|(of, _)| of.map_or(is_last, |of| of == id));
        board.waiting = rest;
        drop(board);
        self.changed.notify_all();
        let told: Vec<(Option<PinId>, Arc<Client>)> = told;
        for (_, client) in told {
            client.deliver(Message::Retry);
        }
    }

    /// Has a client told when a unit has ended. Says whether it is still at work.
    pub(crate) fn tell_end(&self, id: PinId, client: &Arc<Client>) -> bool {
        let mut board = self.board.lock();
        let is_there = board.units.contains(&id);
        if is_there {
            board.note_waiting(Some(id), client);
        }
        is_there
    }

    /// Bars new units until a time, in milliseconds since the epoch, for a client whose command
    /// needs all stripes and comes back before; it is told when no unit is left. Says whether there
    /// are any.
    pub(crate) fn bar_until(&self, until_ms: u64, client: &Arc<Client>) -> bool {
        let mut board = self.board.lock();
        let is_at_work = !board.units.is_empty();
        if is_at_work {
            board.barred_until_ms = board.barred_until_ms.max(until_ms);
            board.note_waiting(None, client);
        }
        is_at_work
    }

    /// Bars new units as long as the result lives, if none is at work but this one.
    pub(crate) fn try_bar(&self, own: Option<PinId>) -> Option<Bar<'_>> {
        let mut board = self.board.lock();
        board.is_clear(own).then(|| self.begin_bar(&mut board))
    }

    /// The same, and waits for those that are at work.
    pub(crate) fn bar(&self, own: Option<PinId>) -> Bar<'_> {
        let mut board = self.board.lock();
        let bar = self.begin_bar(&mut board);
        while !board.is_clear(own) {
            self.wait(&mut board);
        }
        bar
    }

    /// The work that has barred units until a time has come back, and is done.
    pub(crate) fn lift(&self) {
        let mut board = self.board.lock();
        if board.barred_until_ms != 0 {
            board.barred_until_ms = 0;
            self.changed.notify_all();
        }
    }

    fn begin_bar(&self, board: &mut Board) -> Bar<'_> {
        board.bars += 1;
        Bar(self)
    }

    /// Waits until a unit has ended.
    pub(crate) fn wait_for_end(&self, id: PinId) {
        self.wait_unless(id, || false);
    }

    /// The same, until `gives_up` says that nobody wants to wait any longer.
    pub(crate) fn wait_unless(&self, id: PinId, gives_up: impl Fn() -> bool) {
        let mut board = self.board.lock();
        while board.units.contains(&id) && !gives_up() {
            self.wait(&mut board);
        }
    }

    fn wait(&self, board: &mut MutexGuard<'_, Board>) {
        self.changed.wait_for(board, NAP);
    }

    /// The right to pin more keys than a unit began with. One unit has it at a time, so that those
    /// it waits for never wait for it. Nothing if another one has it.
    pub(crate) fn try_grow(&self) -> Option<MutexGuard<'_, ()>> {
        self.growth.try_lock()
    }

    /// The same, and waits for it.
    pub(crate) fn grow(&self) -> MutexGuard<'_, ()> {
        self.growth.lock()
    }
}

impl Board {
    /// Whether a unit that stands here in line cannot begin.
    fn keeps_out(&self, place: u64, claim: &Claim, now_ms: u64) -> bool {
        let mut before = self.line.iter().take_while(|(at, _)| *at != place);
        self.bars > 0
            || now_ms < self.barred_until_ms
            || before.any(|(_, other)| other.meets(claim))
    }

    fn is_clear(&self, own: Option<PinId>) -> bool {
        self.units.iter().all(|id| Some(*id) == own)
    }

    fn note_waiting(&mut self, id: Option<PinId>, client: &Arc<Client>) {
        let is_same =
            |(of, other): &(Option<PinId>, Arc<Client>)| *of == id && other.id == client.id;
        if !self.waiting.iter().any(is_same) {
            self.waiting.push((id, Arc::clone(client)));
        }
    }
}

/// Keeps new units out.
#[derive(Debug)]
pub(crate) struct Bar<'a>(&'a PinBoard);

impl Drop for Bar<'_> {
    fn drop(&mut self) {
        self.0.board.lock().bars -= 1;
        self.0.changed.notify_all();
    }
}

impl Shared {
    /// Locks a key's stripe for a typed call, when no long work has pinned the key.
    #[inline]
    pub(crate) fn lock_key(&self, key: &[u8], home: Home, used: KeyUse) -> Held<'_> {
        loop {
            let held = match used {
                KeyUse::Read => self.stripes.lock_to_read(home.stripe, Patience::Wait),
                KeyUse::Write => self.stripes.lock(home.stripe, Patience::Wait),
            };
            let mut held = held.expect("a patient lock succeeds");
            if !held.has_pins() {
                return held;
            }
            match self.pin_of(&mut held, key) {
                None => return held,
                Some(id) => {
                    drop(held);
                    self.stripes.pins.wait_for_end(id);
                }
            }
        }
    }

    /// The same for several keys and their stripes, which ascend.
    pub(crate) fn lock_keys<'k>(
        &self,
        keys: impl Iterator<Item = &'k [u8]> + Clone,
        stripes: &[u16],
    ) -> HeldMany<'_> {
        loop {
            let held = self.stripes.lock_many(stripes, Patience::Wait);
            let mut held = held.expect("a patient lock succeeds");
            if !held.has_pins() {
                return held;
            }
            match keys.clone().find_map(|key| self.pin_of(&mut held, key)) {
                None => return held,
                Some(id) => {
                    drop(held);
                    self.stripes.pins.wait_for_end(id);
                }
            }
        }
    }

    /// The unit that has pinned a key, be it to read.
    #[cold]
    fn pin_of(&self, held: &mut dyn Stripes, key: &[u8]) -> Option<PinId> {
        let mut effects = NoEffects;
        let mut guard = Guard::new(held, &self.stripes.layout, &mut effects, 0);
        guard.pinned_against(key, KeyUse::Write, None)
    }
}
