//! Scripts: EVAL and its kin, SCRIPT.
//!
//! Running a script belongs to the executor in the crate above, which alone can lock the stripes of
//! the keys that the script turns out to use.

use crate::declare::{Command, Group, KeyFlags, Locking, Row};
use crate::family::command::help;
use crate::script::{ProgramCode, ProgramKind, Sha};
use crate::{Ctx, Error, Handler};

/// The rows of this family.
pub(super) fn rows() -> Vec<Row> {
    let script = |name, syntax| {
        Command::new(name, syntax, elsewhere)
            .group(Group::Scripting)
            .locks(Locking::Script)
            .noscript()
            .stale()
            .skip_monitor()
            .no_mandatory_keys()
            .complexity("Depends on the script that is executed.")
    };
    let writing = |name, syntax| {
        script(name, syntax)
            .may_replicate()
            .access(&[KeyFlags::RW_ACCESS_UPDATE])
    };
    let reading = |name, syntax| script(name, syntax).readonly();
    let mut rows = vec![
        writing("EVAL", "script numkeys [key [key ...]] [arg [arg ...]]")
            .since("2.6.0")
            .about("Runs a script."),
        writing("EVALSHA", "sha1 numkeys [key [key ...]] [arg [arg ...]]")
            .since("2.6.0")
            .about("Runs a script that is known by its SHA1."),
        reading("EVAL_RO", "script numkeys [key [key ...]] [arg [arg ...]]")
            .since("7.0.0")
            .about("Runs a script that changes nothing."),
        reading("EVALSHA_RO", "sha1 numkeys [key [key ...]] [arg [arg ...]]")
            .since("7.0.0")
            .about("Runs a script that is known by its SHA1 and changes nothing."),
        writing("FCALL", "function numkeys [key [key ...]] [arg [arg ...]]")
            .since("7.0.0")
            .complexity("Depends on the function that is executed.")
            .about("Runs a function."),
        reading(
            "FCALL_RO",
            "function numkeys [key [key ...]] [arg [arg ...]]",
        )
        .since("7.0.0")
        .complexity("Depends on the function that is executed.")
        .about("Runs a function that changes nothing."),
    ];
    rows.extend(script_rows());
    rows
}

fn script_rows() -> Vec<Row> {
    let command = |name, syntax, handler: Handler| {
        Command::new(name, syntax, handler)
            .group(Group::Scripting)
            .noscript()
    };
    const ALL_NODES: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];
    vec![
        Command::container("SCRIPT")
            .group(Group::Scripting)
            .since("2.6.0")
            .complexity("Depends on subcommand.")
            .about("Commands about scripts."),
        command("SCRIPT DEBUG", "<YES|SYNC|NO>", debug)
            .since("3.2.0")
            .complexity("O(1)")
            .about("Refused: there is no debugger of scripts."),
        command("SCRIPT EXISTS", "sha1 [sha1 ...]", exists)
            .stale()
            .since("2.6.0")
            .complexity(
                "O(N) with N being the number of scripts to check (so checking a single script is an O(1) operation).",
            )
            .tips(&["request_policy:all_shards", "response_policy:agg_logical_and"])
            .about("Says which scripts are known."),
        command("SCRIPT FLUSH", "[ASYNC|SYNC]", flush)
            .stale()
            .arity(-2)
            .since("2.6.0")
            .changed("6.2.0", "Added the `ASYNC` and `SYNC` flushing mode modifiers.")
            .complexity("O(N) with N being the number of scripts in cache")
            .tips(ALL_NODES)
            .about("Forgets all scripts."),
        command("SCRIPT KILL", "", kill)
            .allow_busy()
            .since("2.6.0")
            .complexity("O(1)")
            .tips(&["request_policy:all_shards", "response_policy:one_succeeded"])
            .about("Ends the scripts that run and have written nothing."),
        command("SCRIPT LOAD", "script", load)
            .stale()
            .since("2.6.0")
            .complexity("O(N) with N being the length in bytes of the script body.")
            .tips(ALL_NODES)
            .about("Makes a script known and returns its SHA1."),
        command("SCRIPT SHOW", "sha1", show)
            .stale()
            .since("8.0.0")
            .complexity("O(1).")
            .about("Returns the source of a script."),
        help("SCRIPT HELP").since("5.0.0"),
    ]
}

/// The error of a script that is not known.
pub fn no_script() -> Error {
    Error::Coded("NOSCRIPT", "No matching script. Please use EVAL.".into())
}

/// Runs only where no executor runs scripts.
fn elsewhere(_: &mut Ctx<'_>) -> Result<(), Error> {
    Err(Error::text("scripts run in an executor"))
}

fn debug(_: &mut Ctx<'_>) -> Result<(), Error> {
    Err(Error::text(
        "SCRIPT DEBUG is not supported: scripts have no debugger here",
    ))
}

fn exists(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let names = ctx.args.tail(2);
    ctx.reply.array(names.len());
    for name in names.iter() {
        let sha = Sha::parse(name);
        let known = sha.and_then(|sha| ctx.engine.scripts.find(&sha)).is_some();
        ctx.reply.integer(known.into());
    }
    Ok(())
}

fn flush(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let known = match ctx.args.len() {
        2 => true,
        3 => ctx.is(2, "SYNC") || ctx.is(2, "ASYNC"),
        _ => false,
    };
    if !known {
        return Err(Error::text("SCRIPT FLUSH only support SYNC|ASYNC option"));
    }
    ctx.engine.scripts.flush();
    ctx.reply.ok();
    Ok(())
}

fn kill(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    ctx.engine.scripts.kill(ProgramKind::Script)?;
    ctx.reply.ok();
    Ok(())
}

fn load(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let program = ctx.engine.scripts.load(&ctx.args[2])?;
    ctx.reply.bulk_str(program.name());
    Ok(())
}

fn show(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let unknown = || Error::Coded("NOSCRIPT", "No matching script.".into());
    let program = Sha::parse(&ctx.args[2]).and_then(|sha| ctx.engine.scripts.find(&sha));
    let program = program.ok_or_else(unknown)?;
    let ProgramCode::Script { source, .. } = &program.origin else {
        return Err(unknown());
    };
    ctx.reply.bulk(source);
    Ok(())
}
