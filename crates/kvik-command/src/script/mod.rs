//! Scripts and functions as the store knows them: their sources, their names, and who runs.
//!
//! Nothing here interprets anything. An [`Engine`](ScriptEngine) is handed in when a store is
//! opened and makes an [`Interpreter`] for each thread; a script that runs asks the store for
//! commands through [`Caller`]. So the library does not depend on Lua, and an embedded store
//! without an engine refuses scripts.

mod analysis;
mod away;
mod flags;
mod functions;
mod interpreter;
mod measured;
mod naming;
mod program;
mod running;
mod scripts;
mod shebang;

pub use away::{Away, AwayEnd, AwayReply};
pub use flags::ScriptFlags;
pub use functions::{Conflict, Function, FunctionSet, INVALID_NAME, Library, Restoring, is_name};
pub use interpreter::{Caller, Interpreter, Invocation, Pulse, ScriptEngine};
pub use measured::MeasuredInterpreter;
pub use naming::Naming;
pub use program::{Program, ProgramCode, ProgramKind, Sha};
pub use running::{Busy, Running};
pub use scripts::Scripts;
