//! FUNCTION: libraries of functions that FCALL runs.
//!
//! Who changes them holds every stripe, so that the log has the changes in the order in which they
//! happened, and a snapshot has the libraries as they were at its cut.

use std::sync::atomic::Ordering;

use kvik_rdb::{Compression, LibrariesFault, open_libraries, seal_libraries};

use crate::declare::{Command, Group, Locking, Row};
use crate::family::command::help;
use crate::glob::glob_match;
use crate::script::{Conflict, Function, Library, ProgramKind, Restoring};
use crate::{Ctx, Error, Handler};

/// The rows of this family.
pub(super) fn rows() -> Vec<Row> {
    let command = |name, syntax, handler: Handler| {
        Command::new(name, syntax, handler)
            .group(Group::Scripting)
            .noscript()
            .since("7.0.0")
    };
    let change = |name, syntax, handler| {
        command(name, syntax, handler)
            .write()
            .locks(Locking::All)
            .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
    };
    vec![
        Command::container("FUNCTION")
            .group(Group::Scripting)
            .since("7.0.0")
            .complexity("Depends on subcommand.")
            .about("Commands about functions."),
        change("FUNCTION DELETE", "library-name", delete)
            .complexity("O(1)")
            .about("Deletes a library."),
        command("FUNCTION DUMP", "", dump)
            .complexity("O(N) where N is the number of functions")
            .about("Returns all libraries as bytes that FUNCTION RESTORE takes."),
        change("FUNCTION FLUSH", "[ASYNC|SYNC]", flush)
            .complexity("O(N) where N is the number of functions deleted")
            .about("Deletes all libraries."),
        command("FUNCTION KILL", "", kill)
            .allow_busy()
            .complexity("O(1)")
            .tips(&["request_policy:all_shards", "response_policy:one_succeeded"])
            .about("Ends the functions that run and have written nothing."),
        command(
            "FUNCTION LIST",
            "[LIBRARYNAME library-name-pattern] [WITHCODE]",
            list,
        )
        .complexity("O(N) where N is the number of functions")
        .tips(&["nondeterministic_output_order"])
        .about("Lists libraries and their functions."),
        change("FUNCTION LOAD", "[REPLACE] function-code", load)
            .may_grow()
            .complexity("O(1) (considering compilation time is redundant)")
            .about("Loads a library."),
        change(
            "FUNCTION RESTORE",
            "serialized-value [FLUSH|APPEND|REPLACE]",
            restore,
        )
        .may_grow()
        .complexity("O(N) where N is the number of functions on the payload")
        .about("Loads the libraries that FUNCTION DUMP has returned."),
        command("FUNCTION STATS", "", stats)
            .allow_busy()
            .complexity("O(1)")
            .tips(&[
                "nondeterministic_output",
                "request_policy:all_shards",
                "response_policy:special",
            ])
            .about("Says which function is running, and how many there are."),
        help("FUNCTION HELP").since("7.0.0"),
    ]
}

/// Steps that the code of a library may take to register its functions: they last about half a
/// second.
const LOAD_STEPS: u64 = 50_000_000;

fn load(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let last = ctx.args.len() - 1;
    let mut conflict = Conflict::Refuse;
    for at in 2..last {
        if !ctx.is(at, "REPLACE") {
            return Err(Error::quoting(&[b"Unknown option given: ", &ctx.args[at]]));
        }
        conflict = Conflict::Replace;
    }
    if last < 2 {
        return Err(Error::text("Function code is missing"));
    }
    let (args, scripts) = (ctx.args, &ctx.engine.scripts);
    // What a log says was loaded before.
    let name = match ctx.session.internal {
        true => scripts.adopt_library(&args[last])?,
        false => scripts.load_library(&args[last], conflict, LOAD_STEPS)?,
    };
    ctx.keys
        .state(&[b"FUNCTION", b"LOAD", b"REPLACE", &args[last]]);
    ctx.reply.bulk_str(&name);
    Ok(())
}

fn delete(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let args = ctx.args;
    if !ctx.engine.scripts.delete_library(&args[2]) {
        return Err(Error::text("Library not found"));
    }
    ctx.keys.state(&[b"FUNCTION", b"DELETE", &args[2]]);
    ctx.reply.ok();
    Ok(())
}

fn flush(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let known = match ctx.args.len() {
        2 => true,
        3 => ctx.is(2, "SYNC") || ctx.is(2, "ASYNC"),
        _ => return Err(ctx.subcommand_error()),
    };
    if !known {
        return Err(Error::text(
            "FUNCTION FLUSH only supports SYNC|ASYNC option",
        ));
    }
    ctx.engine.scripts.flush_libraries();
    ctx.keys.state(&[b"FUNCTION", b"FLUSH"]);
    ctx.reply.ok();
    Ok(())
}

fn kill(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    ctx.engine.scripts.kill(ProgramKind::Function)?;
    ctx.reply.ok();
    Ok(())
}

fn dump(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let compression = match ctx.engine.settings.rdb_compression.load(Ordering::Relaxed) {
        true => Compression::Lzf,
        false => Compression::Off,
    };
    let functions = ctx.engine.scripts.functions();
    let sources = functions.libraries().map(|library| &*library.source);
    ctx.reply.bulk(&seal_libraries(sources, compression));
    Ok(())
}

fn restore(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let restoring = match ctx.args.len() {
        3 => Restoring::Join(Conflict::Refuse),
        4 if ctx.is(3, "APPEND") => Restoring::Join(Conflict::Refuse),
        4 if ctx.is(3, "REPLACE") => Restoring::Join(Conflict::Replace),
        4 if ctx.is(3, "FLUSH") => Restoring::Flush,
        4 => {
            return Err(Error::text(
                "Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
            ));
        }
        _ => return Err(ctx.subcommand_error()),
    };
    let sources = open_libraries(&ctx.args[2]).map_err(|fault| {
        Error::text(match fault {
            LibrariesFault::Envelope => "DUMP payload version or checksum are wrong",
            LibrariesFault::PreRelease => "Pre-GA function format not supported",
            LibrariesFault::NotAFunction => "given type is not a function",
            LibrariesFault::Corrupt => "failed loading the given functions payload",
        })
    })?;
    let sources: Vec<&[u8]> = sources.iter().map(Vec::as_slice).collect();
    let scripts = &ctx.engine.scripts;
    scripts.restore_libraries(&sources, restoring, LOAD_STEPS)?;
    if restoring == Restoring::Flush {
        ctx.keys.state(&[b"FUNCTION", b"FLUSH"]);
    }
    for source in sources {
        ctx.keys.state(&[b"FUNCTION", b"LOAD", b"REPLACE", source]);
    }
    ctx.reply.ok();
    Ok(())
}

fn list(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let args = ctx.args;
    let (mut pattern, mut with_code) = (None, false);
    let mut at = 2;
    while at < args.len() {
        if !with_code && ctx.is(at, "WITHCODE") {
            with_code = true;
        } else if pattern.is_none() && ctx.is(at, "LIBRARYNAME") {
            at += 1;
            let word = args.get(at);
            pattern = Some(word.ok_or(Error::text("library name argument was not given"))?);
        } else {
            return Err(Error::quoting(&[b"Unknown argument ", &args[at]]));
        }
        at += 1;
    }
    let functions = ctx.engine.scripts.functions();
    let fits = |library: &&std::sync::Arc<Library>| {
        pattern.is_none_or(|pattern| glob_match(pattern, library.name.as_bytes(), true))
    };
    let listed: Vec<_> = functions.libraries().filter(fits).collect();
    ctx.reply.array(listed.len());
    for library in listed {
        write_library(ctx, library, with_code);
    }
    Ok(())
}

fn write_library(ctx: &mut Ctx<'_>, library: &Library, with_code: bool) {
    let reply = &mut ctx.reply;
    reply.map(if with_code { 4 } else { 3 });
    reply.bulk_str("library_name");
    reply.bulk_str(&library.name);
    reply.bulk_str("engine");
    reply.bulk_str("LUA");
    reply.bulk_str("functions");
    reply.array(library.functions.len());
    for function in &library.functions {
        write_function(ctx, function);
    }
    if with_code {
        ctx.reply.bulk_str("library_code");
        ctx.reply.bulk(&library.source);
    }
}

fn write_function(ctx: &mut Ctx<'_>, function: &Function) {
    let reply = &mut ctx.reply;
    reply.map(3);
    reply.bulk_str("name");
    reply.bulk_str(&function.name);
    reply.bulk_str("description");
    match &function.description {
        Some(description) => reply.bulk(description),
        None => reply.null(),
    }
    reply.bulk_str("flags");
    reply.set(function.flags.names().count());
    function.flags.names().for_each(|name| reply.simple(name));
}

fn stats(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let scripts = &ctx.engine.scripts;
    let running = scripts.longest_running(Some(ProgramKind::Function));
    if running.is_none()
        && let Some(script) = scripts.longest_running(Some(ProgramKind::Script))
    {
        return Err(crate::script::Busy(script.program.kind()).error());
    }
    let (reply, functions) = (&mut ctx.reply, scripts.functions());
    reply.map(2);
    reply.bulk_str("running_script");
    match running {
        None => reply.null(),
        Some(running) => {
            reply.map(3);
            reply.bulk_str("name");
            reply.bulk_str(running.program.name());
            reply.bulk_str("command");
            let words = running.command.as_args();
            reply.array(words.len());
            words.iter().for_each(|word| reply.bulk(word));
            reply.bulk_str("duration_ms");
            let took_us = ctx.now_us.saturating_sub(running.began_us);
            reply.integer((took_us / 1000).cast_signed());
        }
    }
    reply.bulk_str("engines");
    reply.map(1);
    reply.bulk_str("LUA");
    reply.map(2);
    reply.bulk_str("libraries_count");
    reply.integer(functions.libraries().len() as i64);
    reply.bulk_str("functions_count");
    reply.integer(functions.len() as i64);
    Ok(())
}
