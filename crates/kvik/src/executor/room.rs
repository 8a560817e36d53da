//! Commands while memory is limited: each that may grow waits until there is room for it.

use kvik_command::declare::{Command, Flags, KeyFlags, Locking};
use kvik_command::{Error, Session};
use kvik_resp::{Args, Output};

use super::gate::{queue, runs_inside_multi};
use super::{Executor, Outcome, Prepared};
use crate::eviction::{Room, RoomMaker};
use crate::section::{Actor, Section, Terms, Touching};
use crate::stamps::Reach;

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
        if let Some(need) = need.filter(|&need| self.shared.excess(need) > 0) {
            match self.find_room(session, command, &prepared, args, need) {
                Room::Found => {}
                Room::Later => {
                    self.shared.stripes.alarm.prepare();
                    return self.put_off(Outcome::Begun);
                }
                // A script is refused by what it calls, unless it says so itself.
                Room::None if command.locking() == Locking::Script => {}
                Room::None => return self.refuse(session, args, Error::OutOfMemory, out),
            }
        }
        if is_queued {
            queue(session, command, args, out);
            return Outcome::Done;
        }
        self.run_admitted(session, command, prepared, args, out)
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
            scope: None,
        };
        let room = shared.make_room(need, &mut maker);
        // What is written over makes room for what comes in its place.
        if room == Room::None {
            let gone = self.overwritten_bytes(session, command, prepared, args);
            if gone > 0 && self.shared.excess(need.saturating_sub(gone)) == 0 {
                return Room::Found;
            }
        }
        room
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
    let bytes = growing.map(|queued| queued.args.as_args().byte_len() as u64);
    match bytes.reduce(|sum, bytes| sum + bytes) {
        Some(bytes) => MemoryNeed::Bytes(bytes),
        None => MemoryNeed::Nothing,
    }
}
