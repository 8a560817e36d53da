//! The link between the functions of a Lua state and the interpreter: the script's caller while one
//! runs, and room that is used again.

use std::any::Any;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Arc;

use kvik_command::script::{Caller, Function, Pulse};
use kvik_resp::{ArgsBuf, Output, Protocol};
use parking_lot::Mutex;

use crate::STEPS;
use crate::json::JsonSettings;
use crate::random::ScriptRandom;

/// A handle to what is shared. All that a state's functions change is behind its lock, which only
/// one thread at a time wants.
#[derive(Clone)]
pub(crate) struct Link(Arc<LinkCell>);

/// The state that a link leads to.
pub(crate) struct LinkCell(Mutex<Shared>);

impl LinkCell {
    /// Does `work` with what is shared. A panic is kept until Lua has ended, whose functions it
    /// must not pass through.
    pub(crate) fn catching<R>(&self, work: impl FnOnce(&mut Shared) -> R) -> Option<R> {
        match catch_unwind(AssertUnwindSafe(|| work(&mut self.0.lock()))) {
            Ok(result) => Some(result),
            Err(panic) => {
                let mut shared = self.0.lock();
                shared.panic = Some(panic);
                shared.ending = Some(Ending::Panicked);
                None
            }
        }
    }

    /// The protocol in which the script wants replies.
    pub(crate) fn protocol(&self) -> Protocol {
        self.0.lock().protocol
    }
}

/// The place of the reply to the latest command. It owns nothing.
#[derive(Clone, Copy)]
pub(crate) struct ReplyPlace {
    bytes: *const u8,
    len: usize,
}

impl ReplyPlace {
    /// The reply.
    ///
    /// # Safety
    /// No command has been called since [`Shared::reply_place`] returned it.
    pub(crate) unsafe fn bytes<'a>(self) -> &'a [u8] {
        // SAFETY: only a call of a command changes the reply, by the contract there has been none.
        unsafe { std::slice::from_raw_parts(self.bytes, self.len) }
    }
}

/// All that the functions of one Lua state share.
pub(crate) struct Shared {
    caller: Option<Current>,
    /// The protocol in which the script wants replies.
    pub(crate) protocol: Protocol,
    /// Why the script must end, once it must.
    pub(crate) ending: Option<Ending>,
    pub(crate) random: ScriptRandom,
    pub(crate) json: JsonSettings,
    /// The words of the command that is called.
    pub(crate) args: ArgsBuf,
    /// Its reply, encoded, or the line of the error for which it was refused.
    pub(crate) reply: Vec<u8>,
    /// The panic of a command, which goes on when Lua has ended.
    panic: Option<Box<dyn Any + Send>>,
    /// The functions of the library that is loaded just now.
    pub(crate) loading: Option<Loading>,
    /// Steps since the last look at whether to go on.
    steps: u32,
}

/// A library that is being loaded.
pub(crate) struct Loading {
    pub(crate) functions: Vec<(Function, mlua::Function)>,
    /// Steps that are left to it.
    pub(crate) steps: u64,
}

/// Why a script must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Somebody has killed it.
    Killed,
    /// It is to run elsewhere.
    Left,
    /// It took too long to load.
    TimedOut,
    /// A command that it called has panicked.
    Panicked,
}

/// The caller of the script that runs.
struct Current(NonNull<dyn Caller>);

// SAFETY: the pointer is set and used by the thread that runs the script, between the beginning and
// the end of `Link::with_caller`, and by nobody at any other time.
unsafe impl Send for Current {}

impl Link {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(LinkCell(Mutex::new(Shared {
            caller: None,
            protocol: Protocol::Resp2,
            ending: None,
            random: ScriptRandom::new(seed),
            json: JsonSettings::default(),
            args: ArgsBuf::default(),
            reply: Vec::new(),
            panic: None,
            loading: None,
            steps: 0,
        }))))
    }

    /// Does `work` with what is shared.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut Shared) -> R) -> R {
        work(&mut self.0.0.lock())
    }

    /// Its address, for functions that are not closures of Rust.
    pub(crate) fn address(&self) -> *const c_void {
        (&raw const *self.0).cast()
    }

    /// The link at an address.
    ///
    /// # Safety
    /// The address is that of a link that lives longer than the result is used.
    pub(crate) unsafe fn at<'a>(address: *const c_void) -> &'a LinkCell {
        // SAFETY: by the contract.
        unsafe { &*address.cast() }
    }

    /// The cell that it leads to.
    pub(crate) fn cell(&self) -> &LinkCell {
        &self.0
    }

    /// Lets the functions of the state reach a script's caller while `run` runs it. Returns also
    /// the panic that has ended a command of the script, to go on with.
    pub(crate) fn with_caller<R>(
        &self,
        caller: &mut dyn Caller,
        run: impl FnOnce() -> R,
    ) -> (R, Option<Box<dyn Any + Send>>) {
        /// Takes the caller back, also where a panic unwinds.
        struct TakeBack<'a>(&'a Link);

        impl Drop for TakeBack<'_> {
            fn drop(&mut self) {
                self.0.with(|shared| shared.caller = None);
            }
        }

        let pointer = NonNull::from(caller);
        // SAFETY: only the lifetime in the type changes. The pointer is gone when this function
        // ends, which borrows the caller until then.
        let pointer = unsafe {
            std::mem::transmute::<NonNull<dyn Caller + '_>, NonNull<dyn Caller + 'static>>(pointer)
        };
        self.with(|shared| {
            shared.caller = Some(Current(pointer));
            shared.protocol = Protocol::Resp2;
            shared.ending = None;
            shared.json = JsonSettings::default();
            shared.steps = 0;
        });
        let take_back = TakeBack(self);
        let result = run();
        std::mem::forget(take_back);
        let panic = self.with(|shared| {
            shared.caller = None;
            shared.panic.take()
        });
        (result, panic)
    }
}

impl Shared {
    /// The script's caller, while one runs, and the rest of what is shared.
    pub(crate) fn caller(&mut self) -> Option<&mut dyn Caller> {
        let current = self.caller.as_mut()?;
        // SAFETY: it is set only while `Link::with_caller` borrows the caller for the one script
        // that runs, and what is shared is behind a lock, so that nobody else has it.
        Some(unsafe { current.0.as_mut() })
    }

    /// The place of the reply to the latest command.
    pub(crate) fn reply_place(&self) -> ReplyPlace {
        ReplyPlace {
            bytes: self.reply.as_ptr(),
            len: self.reply.len(),
        }
    }

    /// Counts steps, and looks from time to time whether the script goes on.
    pub(crate) fn step(&mut self, steps: u32) -> Result<(), Ending> {
        self.steps += steps;
        if self.steps >= STEPS || self.ending.is_some() {
            self.steps = 0;
            return self.look();
        }
        Ok(())
    }

    /// Looks whether the script goes on. It has made [`STEPS`] steps since the last time.
    pub(crate) fn look(&mut self) -> Result<(), Ending> {
        if let Some(ending) = self.ending {
            return Err(ending);
        }
        let ending = if let Some(loading) = &mut self.loading {
            loading.steps = loading.steps.saturating_sub(STEPS.into());
            (loading.steps == 0).then_some(Ending::TimedOut)
        } else {
            match self.caller().map(|caller| caller.pulse()) {
                None | Some(Pulse::GoOn) => None,
                Some(Pulse::Killed) => Some(Ending::Killed),
                Some(Pulse::Leave) => Some(Ending::Left),
            }
        };
        self.ending = ending;
        ending.map_or(Ok(()), Err)
    }

    /// Calls a command with the words in [`Self::args`]; its reply is in [`Self::reply`]
    /// afterwards.
    pub(crate) fn call(&mut self) -> Result<(), kvik_command::Error> {
        let args = std::mem::take(&mut self.args);
        // Room is used again.
        let mut out = Output::from(std::mem::take(&mut self.reply));
        out.clear();
        let protocol = self.protocol;
        let result = match self.caller() {
            Some(caller) => caller.call(args.as_args(), protocol, &mut out),
            None => Err(kvik_command::Error::text("no script is running")),
        };
        (self.args, self.reply) = (args, out.into_bytes());
        result
    }
}

impl Ending {
    /// The text of the error that ends the script.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Killed => "ERR Script killed by user with SCRIPT KILL.",
            Self::Left => "ERR the script goes on elsewhere",
            Self::TimedOut => "FUNCTION LOAD timeout",
            Self::Panicked => "ERR a command of the script has failed",
        }
    }
}
