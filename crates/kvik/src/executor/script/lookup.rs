//! From the words of EVAL, EVALSHA or FCALL to the script that they name.

use std::sync::Arc;

use kvik_command::declare::Flags;
use kvik_command::family::script::no_script;
use kvik_command::gate::Closure;
use kvik_command::script::{Program, ScriptFlags, Sha};
use kvik_command::{Error, Session};
use kvik_resp::{Args, parse_i64};

use super::{Call, ScriptCall, Work};
use crate::shared::Shared;

impl Work {
    /// The script that a command names, with what it is given.
    ///
    /// # Errors
    /// If there is none, its arguments are wrong, or the state of the store forbids it.
    pub(in crate::executor) fn find_script<'a>(
        &mut self,
        shared: &Shared,
        session: &Session,
        call: &Call<'a>,
    ) -> Result<ScriptCall<'a>, Error> {
        let script = match call.command.name() {
            "EVAL" | "EVAL_RO" => {
                let keys = count_keys(call.args)?;
                ScriptCall::of(call, self.script_of_source(shared, &call.args[1])?, keys)
            }
            "EVALSHA" | "EVALSHA_RO" => {
                let sha = Sha::parse(&call.args[1]).ok_or_else(no_script)?;
                let keys = count_keys(call.args)?;
                ScriptCall::of(call, self.script_of_sha(shared, &call.args[1], &sha)?, keys)
            }
            _ => {
                let functions = shared.engine.scripts.functions();
                let function = functions.get(&call.args[1]);
                let function = function.ok_or(Error::text("Function not found"))?;
                let keys = count_keys_of_function(call.args)?;
                ScriptCall::of(call, Arc::clone(function), keys)
            }
        };
        let is_ro = call.command.flags().contains(Flags::READONLY);
        admit_declared(shared, session, &script.program, is_ro)?;
        Ok(script)
    }

    fn script_of_source(&mut self, shared: &Shared, source: &[u8]) -> Result<Arc<Program>, Error> {
        let scripts = &shared.engine.scripts;
        let generation = scripts.generation();
        if let Some(known) = self.scripts.known.get(source, generation) {
            return Ok(Arc::clone(known));
        }
        let program = scripts.meet(source)?;
        self.scripts.known.keep(source, &program);
        Ok(program)
    }

    fn script_of_sha(
        &mut self,
        shared: &Shared,
        word: &[u8],
        sha: &Sha,
    ) -> Result<Arc<Program>, Error> {
        let scripts = &shared.engine.scripts;
        let generation = scripts.generation();
        if let Some(known) = self.scripts.known.get(word, generation) {
            return Ok(Arc::clone(known));
        }
        let program = scripts.find(sha).ok_or_else(no_script)?;
        self.scripts.known.keep(word, &program);
        Ok(program)
    }
}

/// How many keys EVAL is given.
fn count_keys(args: Args<'_>) -> Result<usize, Error> {
    let keys = parse_i64(&args[2]).ok_or(Error::NOT_AN_INTEGER)?;
    fitting(keys, args)
}

/// How many keys FCALL is given.
fn count_keys_of_function(args: Args<'_>) -> Result<usize, Error> {
    let keys = parse_i64(&args[2]).ok_or(Error::text("Bad number of keys provided"))?;
    fitting(keys, args)
}

fn fitting(keys: i64, args: Args<'_>) -> Result<usize, Error> {
    if keys < 0 {
        return Err(Error::text("Number of keys can't be negative"));
    }
    let keys = usize::try_from(keys)
        .ok()
        .filter(|&keys| keys <= args.len() - 3);
    keys.ok_or(Error::text(
        "Number of keys can't be greater than number of args",
    ))
}

/// Judges a script by what it declares. One that declares nothing is judged command by command.
fn admit_declared(
    shared: &Shared,
    session: &Session,
    program: &Program,
    is_ro: bool,
) -> Result<(), Error> {
    let flags = program.flags;
    if flags.contains(ScriptFlags::NO_CLUSTER) && session.node().is_some() {
        let text = "Can not run script on cluster, 'no-cluster' flag is set.";
        return Err(Error::text(text));
    }
    if flags.intersects(ScriptFlags::SILENT | ScriptFlags::NO_WRITES) || session.internal {
        return Ok(());
    }
    if shared.is_follower() {
        let text = "Can not run script with write flag on readonly replica";
        return Err(Error::Coded("READONLY", text.into()));
    }
    let gate = &shared.engine.gate;
    if gate.is_closed_by(Closure::SaveFailed) || gate.is_closed_by(Closure::LogFailed) {
        gate.pass_call(true)?;
    }
    if shared.excess(0) > 0 && !flags.contains(ScriptFlags::ALLOW_OOM) {
        let text = "allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'";
        return Err(Error::Coded("OOM", text.into()));
    }
    if is_ro {
        let text = "Can not execute a script with write flag using *_ro command.";
        return Err(Error::text(text));
    }
    Ok(())
}
