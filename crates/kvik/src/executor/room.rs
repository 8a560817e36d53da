//! Commands while memory is limited: each that may grow waits until there is room for it.

use std::sync::Arc;

use kvik_command::declare::{Command, Flags, KeyFlags, Locking};
use kvik_command::tracking::TrackingMode;
use kvik_command::{Error, Session};
use kvik_log::Lsn;
use kvik_resp::{Args, Output};
use kvik_store::namespace_name;

use super::call::Call;
use super::gate::runs_inside_multi;
use super::growth::{ValueSize, copies, growing_keys};
use super::{Executor, Outcome, Prepared, namespaces};
use crate::eviction::{EvictionScope, Room, RoomMaker};
use crate::promise::KeyGrowth;
use crate::section::{Actor, Section, Terms, Touching};
use crate::stamps::Reach;
use crate::stripes::Busy;

/// The memory that a command may need.
enum MemoryNeed {
    Nothing,
    /// About so many bytes.
    Bytes(u64),
}

impl Executor {
    /// Runs or queues a command once there is room for it, or refuses it.
    #[inline(never)]
    pub(super) fn run_in_room(
        &mut self,
        session: &mut Session,
        command: &'static Command,
        prepared: Prepared,
        args: Args<'_>,
        out: &mut Output,
    ) -> Outcome {
        let is_queued = session.transaction.is_some() && !runs_inside_multi(command);
        let need = match growth(session, command, args, is_queued) {
            MemoryNeed::Nothing => None,
            MemoryNeed::Bytes(bytes) => Some(bytes),
        };
        if let Some(need) = need {
            let room = match self.shared.stripes.layout.namespaces() {
                None if self.shared.excess_to_evict(need) == 0 => Room::Found,
                None => self.find_room(session, command, &prepared, args, need),
                Some(_) => self.promise_room(session, command, args, need, is_queued),
            };
            self.hear_of_evictions(session);
            match room {
                Room::Found => {}
                Room::Later => {
                    self.work.promise = None;
                    self.shared.stripes.alarm.prepare();
                    return self.put_off(Outcome::Begun);
                }
                // A script is refused by what it calls, unless it says so itself.
                Room::None if command.locking() == Locking::Script => {}
                Room::None => {
                    self.work.promise = None;
                    return self.refuse(session, args, Error::OutOfMemory, out);
                }
            }
        }
        if is_queued {
            let call = &Call::of(command, args, &prepared);
            self.work.queue(session, call, out);
            return Outcome::Done;
        }
        let outcome = self.run_admitted(session, command, prepared, args, out);
        self.work.promise = None;
        outcome
    }

    /// Has a client that caches told that its copies of evicted keys are stale before the reply of
    /// the command that they made room for.
    #[cold]
    fn hear_of_evictions(&mut self, session: &mut Session) {
        if session.tracking.mode == TrackingMode::Off {
            return;
        }
        for push in session.client.take_pushes() {
            self.work.note_lsn(Lsn::new(push.lsn()));
            session.ahead.push(push);
        }
    }

    #[cold]
    fn find_room(
        &mut self,
        session: &Session,
        command: &'static Command,
        prepared: &Prepared,
        args: Args<'_>,
        need: u64,
    ) -> Room {
        let shared = &*self.shared;
        let slice_ns = shared.eviction_slice_ns();
        let mut maker = RoomMaker {
            unit: &mut self.unit,
            random: &mut self.work.random,
            stats: &self.work.stats,
            patience: self.patience,
            slice_ns,
        };
        let room = shared.make_room(need, EvictionScope::Everywhere, &mut maker);
        // What is written over makes room for what comes in its place.
        if room == Room::None {
            let gone = self.overwritten_bytes(session, command, prepared, args);
            if gone > 0 && self.shared.excess(need.saturating_sub(gone)) == 0 {
                return Room::Found;
            }
        }
        room
    }

    /// Promises room in the namespaces of a command's keys, and makes it there.
    #[inline(never)]
    fn promise_room(
        &mut self,
        session: &Session,
        command: &'static Command,
        args: Args<'_>,
        need: u64,
        is_queued: bool,
    ) -> Room {
        let shared = Arc::clone(&self.shared);
        let Some(all) = shared.stripes.layout.namespaces() else {
            return Room::Found;
        };
        // What is only queued adds nothing to its keys yet.
        let growing = match is_queued {
            true => Vec::new(),
            false => growing_commands(session, command, args),
        };
        let database = session.keyspace();
        let estimate = |growing: &[(&Command, Args<'_>)], size_of: &mut SizeOf<'_>| {
            let mut growth = Vec::new();
            for (command, args) in growing {
                let keys = growing_keys(command, *args, &mut *size_of);
                growth.extend(keys.into_iter().map(|it| KeyGrowth {
                    database,
                    namespace: namespace_name(it.key).to_vec(),
                    bytes: it.bytes,
                    payload: it.payload,
                }));
            }
            growth
        };
        // Without a look at what the keys hold, unless that says what a command adds.
        if !growing.iter().any(|(command, args)| copies(command, *args)) {
            if !shared.makes_promises() && shared.excess_to_evict(need) == 0 {
                return Room::Found;
            }
            let growth = estimate(&growing, &mut |_| None);
            let promise = shared.promise(all, &growth);
            if shared.keeps(&promise, need) {
                self.work.promise = Some(promise);
                return Room::Found;
            }
        }
        let mut is_busy = false;
        let mut size_of = |key: &[u8]| {
            let size = self.size_of(session, key);
            is_busy |= size.is_err();
            size.unwrap_or_default()
        };
        let growth = estimate(&growing, &mut size_of);
        if is_busy {
            return Room::Later;
        }
        // What takes no more than what it writes over makes no key go: that others have filled the
        // memory meanwhile is no reason.
        if !growth.is_empty() && growth.iter().all(|it| (it.bytes, it.payload) == (0, 0)) {
            return Room::Found;
        }
        let exact = growth.iter().map(|it| it.bytes).sum();
        let need = if growth.is_empty() { need } else { exact };
        let mut promise = shared.promise(all, &growth);
        let mut maker = RoomMaker {
            unit: &mut self.unit,
            random: &mut self.work.random,
            stats: &self.work.stats,
            patience: self.patience,
            slice_ns: shared.eviction_slice_ns(),
        };
        let room = shared.keep(&mut promise, need, &growth, &mut maker);
        self.work.promise = Some(promise);
        room
    }

    /// The size of what a key holds.
    fn size_of(&mut self, session: &Session, key: &[u8]) -> Result<Option<ValueSize>, Busy> {
        let shared = &*self.shared;
        let hash = shared.stripes.layout.hash(key);
        let index = shared.stripes.layout.stripe_of(hash);
        let held = shared.stripes.lock(index, self.patience)?;
        let terms = Terms {
            actor: Actor::Observer,
            ..self.work.terms(shared, &mut self.unit)
        };
        let keyspace = session.keyspace();
        let (size, _) = Section::run(terms, held, Reach::Nothing, |section, held| {
            section.with_guard(held, keyspace, Touching::NONE, |guard| {
                namespaces::size_of(guard, key)
            })
        });
        Ok(size)
    }

    /// Bytes of the value that a command writes over whatever it is.
    fn overwritten_bytes(
        &mut self,
        session: &Session,
        command: &Command,
        prepared: &Prepared,
        args: Args<'_>,
    ) -> u64 {
        let Some((at, hash)) = prepared.hash() else {
            return 0;
        };
        let mut overwrites = false;
        let look = |word: usize, flags: KeyFlags| {
            let flags = command.access_in(args, flags);
            overwrites |= word == at && flags.contains(KeyFlags::OW);
        };
        // Keys that cannot be told from the words the handler refuses.
        let _ = command.for_each_key(args, look);
        if !overwrites {
            return 0;
        }
        let shared = &*self.shared;
        let index = shared.stripes.layout.stripe_of(hash);
        let Ok(held) = shared.stripes.lock(index, self.patience) else {
            return 0;
        };
        let terms = Terms {
            actor: Actor::Observer,
            ..self.work.terms(shared, &mut self.unit)
        };
        let keyspace = session.keyspace();
        let (bytes, _) = Section::run(terms, held, Reach::Nothing, |section, held| {
            section.with_guard(held, keyspace, Touching::NONE, |guard| {
                guard.peek(&args[at]).map_or(0, |view| view.bytes())
            })
        });
        bytes as u64
    }
}

/// Says what a key holds, if that is known.
type SizeOf<'s> = dyn FnMut(&[u8]) -> Option<ValueSize> + 's;

/// The commands by which keys may grow: this one, or those of the queue that it runs.
fn growing_commands<'a>(
    session: &'a Session,
    command: &'static Command,
    args: Args<'a>,
) -> Vec<(&'static Command, Args<'a>)> {
    if command.locking() != Locking::Queue {
        return vec![(command, args)];
    }
    let queue = session.transaction.iter().flat_map(|it| &it.queue);
    let growing = queue.filter(|queued| queued.command.flags().contains(Flags::WRITE));
    growing
        .map(|queued| (queued.command, queued.args))
        .collect()
}

/// The memory that a command may need: about as much as its words say. A command that is only
/// queued adds its words to the queue; EXEC adds what the queue says.
fn growth(session: &Session, command: &Command, args: Args<'_>, is_queued: bool) -> MemoryNeed {
    let grows = Flags::DENYOOM | Flags::MAY_REPLICATE;
    let is_script = command.locking() == Locking::Script && command.flags().intersects(grows);
    if is_queued || is_script || command.flags().contains(Flags::DENYOOM) {
        return MemoryNeed::Bytes(args.byte_len() as u64);
    }
    if command.locking() != Locking::Queue {
        return MemoryNeed::Nothing;
    }
    let queue = session.transaction.iter().flat_map(|it| &it.queue);
    let growing = queue.filter(|queued| queued.command.flags().contains(Flags::DENYOOM));
    let bytes = growing.map(|queued| queued.args.byte_len() as u64);
    match bytes.reduce(|sum, bytes| sum + bytes) {
        Some(bytes) => MemoryNeed::Bytes(bytes),
        None => MemoryNeed::Nothing,
    }
}
