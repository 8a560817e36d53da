//! Scripts that run longer than a moment: who sees them, who kills them, and whom they keep out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use kvik_resp::{Args, ArgsBuf};
use kvik_store::PinId;
use parking_lot::Mutex;

use super::program::{Program, ProgramKind};
use crate::error::Error;

/// A script that has been running for a while.
#[derive(Debug)]
pub struct Running {
    /// The script.
    pub program: Arc<Program>,
    /// The command that runs it.
    pub command: ArgsBuf,
    /// When it began, in microseconds since the epoch.
    pub began_us: u64,
    killed: AtomicBool,
    has_written: AtomicBool,
    /// The stripes that it holds, in ascending order.
    stripes: Mutex<Vec<u16>>,
    /// The unit of long work that it is, or 0.
    unit: AtomicU64,
}

impl Running {
    /// A script that began at this time.
    pub fn new(program: Arc<Program>, command: Args<'_>, began_us: u64) -> Self {
        Self {
            program,
            command: ArgsBuf::from(command),
            began_us,
            killed: AtomicBool::new(false),
            has_written: AtomicBool::new(false),
            stripes: Mutex::default(),
            unit: AtomicU64::new(0),
        }
    }

    /// Whether it is to end.
    pub fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Relaxed)
    }

    /// Notes that it has run a command that writes, so that it must not be killed any more. Says
    /// whether it has been killed before.
    pub fn note_write(&self) -> bool {
        // Sequentially consistent, as is looking at the other flag behind it: either the killer
        // sees the write or the script sees that it is killed.
        self.has_written.store(true, Ordering::SeqCst);
        self.killed.load(Ordering::SeqCst)
    }

    /// Notes the stripes that it holds.
    pub fn hold(&self, stripes: &[u16]) {
        stripes.clone_into(&mut self.stripes.lock());
    }

    /// Notes that it is this unit of long work.
    pub fn pin(&self, unit: PinId) {
        self.unit.store(unit.0, Ordering::Relaxed);
    }

    fn holds_any(&self, stripes: &[u16]) -> bool {
        let held = self.stripes.lock();
        stripes
            .iter()
            .any(|stripe| held.binary_search(stripe).is_ok())
    }

    /// Ends it, unless it has written.
    fn kill(&self) -> bool {
        if self.has_written.load(Ordering::SeqCst) {
            return false;
        }
        self.killed.store(true, Ordering::SeqCst);
        if self.has_written.load(Ordering::SeqCst) {
            self.killed.store(false, Ordering::SeqCst);
            return false;
        }
        true
    }
}

/// The scripts that have been running for a while.
#[derive(Debug, Default)]
pub(super) struct RunningList {
    list: Mutex<Vec<Arc<Running>>>,
    count: AtomicUsize,
}

/// A script holds a stripe for so long that others are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy(pub ProgramKind);

impl Busy {
    /// The reply to a command that needs the stripe.
    pub fn error(self) -> Error {
        let text = match self.0 {
            ProgramKind::Script => BUSY_SCRIPT,
            ProgramKind::Function => BUSY_FUNCTION,
        };
        Error::Coded("BUSY", text.into())
    }
}

const BUSY_SCRIPT: &str =
    "Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
const BUSY_FUNCTION: &str =
    "Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.";
const UNKILLABLE: &str = "Sorry the script already executed write commands against the dataset. You can either wait the \
     script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.";

impl RunningList {
    pub(super) fn enter(&self, running: &Arc<Running>) {
        let mut list = self.list.lock();
        list.push(Arc::clone(running));
        self.count.store(list.len(), Ordering::Relaxed);
    }

    pub(super) fn leave(&self, running: &Arc<Running>) {
        let mut list = self.list.lock();
        list.retain(|other| !Arc::ptr_eq(other, running));
        self.count.store(list.len(), Ordering::Relaxed);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// The script that began before `since_us` and holds one of these stripes, or any if none are
    /// named.
    pub(super) fn busy(&self, stripes: Option<&[u16]>, since_us: u64) -> Option<Busy> {
        let list = self.list.lock();
        let keeps_out = |running: &&Arc<Running>| {
            running.began_us <= since_us && stripes.is_none_or(|stripes| running.holds_any(stripes))
        };
        let running = list.iter().find(keeps_out)?;
        Some(Busy(running.program.kind()))
    }

    /// The script that began before `since_us` and is this unit of long work.
    pub(super) fn busy_unit(&self, unit: PinId, since_us: u64) -> Option<Busy> {
        let list = self.list.lock();
        let keeps_out = |running: &&Arc<Running>| {
            running.began_us <= since_us && running.unit.load(Ordering::Relaxed) == unit.0
        };
        let running = list.iter().find(keeps_out)?;
        Some(Busy(running.program.kind()))
    }

    /// The script that has been running for longest, of one kind or of both.
    pub(super) fn longest(&self, kind: Option<ProgramKind>) -> Option<Arc<Running>> {
        let list = self.list.lock();
        let of_kind =
            |running: &&Arc<Running>| kind.is_none_or(|kind| running.program.kind() == kind);
        let longest = list.iter().filter(of_kind).min_by_key(|it| it.began_us);
        longest.cloned()
    }

    /// Kills scripts of one kind: all that can be. They end soon after.
    pub(super) fn kill(&self, kind: ProgramKind) -> Result<(), Error> {
        let list = self.list.lock();
        let mut of_kind = list
            .iter()
            .filter(|it| it.program.kind() == kind)
            .peekable();
        if of_kind.peek().is_none() {
            return Err(match list.first() {
                Some(other) => Busy(other.program.kind()).error(),
                None => Error::Coded("NOTBUSY", "No scripts in execution right now.".into()),
            });
        }
        // All are tried: a killed one must not save another.
        let killed = of_kind.filter(|running| running.kill()).count();
        match killed {
            0 => Err(Error::Coded("UNKILLABLE", UNKILLABLE.into())),
            _ => Ok(()),
        }
    }
}
