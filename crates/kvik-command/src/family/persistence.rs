//! Files: SAVE, BGSAVE, BGREWRITEAOF, LASTSAVE, WAIT, WAITAOF, BACKUP, and what DEBUG does with
//! them.
//!
//! A command that waits for a disk is put off before it holds anything, and offered again until the
//! work has ended; its session keeps what it waits for. The handler runs when the result is there.

use std::sync::atomic::Ordering::Relaxed;

use kvik_resp::{Args, parse_i64};
use kvik_store::Wanted;

use crate::blocking::{Block, Ending, Nothing};
use crate::client::NOT_IN_MULTI;
use crate::declare::{Category, Command, Group, Row};
use crate::persistence::{Begun, Cancelled, Reload, Task, Waiting};
use crate::session::LogWait;
use crate::{Ctx, Engine, Error, Session};

/// How long a connection that waits is left alone when nobody says that its wait is over, in
/// milliseconds.
const RETRY_MS: u64 = 100;

/// The rows of this family.
pub(super) fn rows() -> Vec<Row> {
    let command = |name, syntax, handler| {
        Command::new(name, syntax, handler)
            .group(Group::Server)
            .admin()
            .noscript()
            .no_async_loading()
    };
    vec![
        command("SAVE", "", finish)
            .no_multi()
            .waits(|session, _, engine, now_ms| {
                wait_for_task(session, engine, now_ms, || Ok(Task::Save))
            })
            .since("1.0.0")
            .complexity("O(N) where N is the total number of keys in all databases")
            .about("Saves a snapshot and waits for it."),
        command("BGSAVE", "[SCHEDULE|CANCEL]", bgsave)
            .since("1.0.0")
            .complexity("O(1)")
            .changed("3.2.2", "Added the `SCHEDULE` option.")
            .changed("8.1.0", "Added the `CANCEL` option.")
            .about("Saves a snapshot in the background."),
        command("BGREWRITEAOF", "", bgrewriteaof)
            .since("1.0.0")
            .complexity("O(1)")
            .about("Rewrites the append-only file in the background."),
        Command::new("LASTSAVE", "", lastsave)
            .group(Group::Server)
            .loading()
            .stale()
            .fast()
            .also(Category::ADMIN | Category::DANGEROUS)
            .since("1.0.0")
            .complexity("O(1)")
            .tips(&["nondeterministic_output"])
            .about("Returns when the last snapshot was saved."),
        Command::new("WAIT", "numreplicas:integer timeout:integer", wait)
            .group(Group::Generic)
            .blocking()
            .categories(Category::CONNECTION)
            .since("3.0.0")
            .complexity("O(1)")
            .tips(&["request_policy:all_shards", "response_policy:agg_min"])
            .about("Waits until replicas have the writes before it; there are none yet, so it answers 0."),
        Command::new(
            "WAITAOF",
            "numlocal:integer numreplicas:integer timeout:integer",
            waitaof,
        )
        .group(Group::Generic)
        .blocking()
        .categories(Category::CONNECTION)
        .waits(wait_for_log)
        .since("7.2.0")
        .complexity("O(1)")
        .tips(&["request_policy:all_shards", "response_policy:agg_min"])
        .about("Waits until the writes before it are in append-only files on disk."),
        command("BACKUP", "TO directory:string", finish)
            .no_multi()
            .waits(|session, args, engine, now_ms| {
                wait_for_task(session, engine, now_ms, || backup_task(args))
            })
            .since("0.1.0")
            .complexity("O(N) where N is the number of data files")
            .about("Copies the data files, consistent with one another, into a directory under backup-dir."),
    ]
}

/// Begins a task for a session, or asks how far it is. Returns until when the command is put off,
/// if it is; else the session holds the answer.
pub(super) fn wait_for_task(
    session: &mut Session,
    engine: &Engine,
    now_ms: u64,
    task: impl FnOnce() -> Result<Task, Error>,
) -> Option<u64> {
    let answer = match session.waiting.take() {
        Some(Waiting::Answer(answer)) => Some(answer),
        Some(Waiting::Task(id)) => poll(session, engine, id),
        None => match task().and_then(|task| engine.persistence().begin(task)) {
            Ok(Begun::Now(id)) => poll(session, engine, id),
            Ok(Begun::Scheduled) => Some(Ok(())),
            Err(error) => Some(Err(error)),
        },
    };
    let Some(answer) = answer else {
        return Some(now_ms + RETRY_MS);
    };
    session.waiting = Some(Waiting::Answer(answer));
    None
}

fn poll(session: &mut Session, engine: &Engine, id: u64) -> Option<Result<(), Error>> {
    let answer = engine.persistence().ended(id);
    if answer.is_none() {
        session.waiting = Some(Waiting::Task(id));
        engine.awaiting.add(session.client.id);
    }
    answer
}

/// Replies with the outcome of the task that the session has waited for.
pub(super) fn answer(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    const NOT_WAITED: Error = Error::text("not available inside a transaction");
    match ctx.session.waiting.take() {
        Some(Waiting::Answer(answer)) => answer,
        _ => Err(NOT_WAITED),
    }
}

/// The handler of a command that only waits for a task.
pub(super) fn finish(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    answer(ctx)?;
    ctx.reply.ok();
    Ok(())
}

fn is_in_exec(ctx: &Ctx<'_>) -> bool {
    ctx.session.client.queued.load(Relaxed) != NOT_IN_MULTI
}

fn bgsave(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let schedule = match ctx.args.len() {
        1 => false,
        2 if ctx.is(1, "SCHEDULE") => true,
        2 if ctx.is(1, "CANCEL") => return cancel(ctx),
        _ => return Err(Error::SYNTAX),
    };
    let in_exec = is_in_exec(ctx);
    let task = Task::BackgroundSave {
        schedule: schedule || in_exec,
    };
    match ctx.engine.persistence().begin(task)? {
        Begun::Now(_) if !in_exec => ctx.reply.simple("Background saving started"),
        _ => ctx.reply.simple("Background saving scheduled"),
    }
    Ok(())
}

fn cancel(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    const NONE: Error = Error::text("Background saving is currently not in progress or scheduled");
    let text = match ctx.engine.persistence().cancel_save().ok_or(NONE)? {
        Cancelled::Running => "Background saving cancelled",
        Cancelled::Scheduled => "Scheduled background saving cancelled",
    };
    ctx.reply.simple(text);
    Ok(())
}

fn bgrewriteaof(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    match ctx.engine.persistence().begin(Task::Rewrite)? {
        Begun::Now(_) if !is_in_exec(ctx) => ctx
            .reply
            .simple("Background append only file rewriting started"),
        _ => ctx
            .reply
            .simple("Background append only file rewriting scheduled"),
    }
    Ok(())
}

fn lastsave(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let at_s = ctx.engine.persistence().status().last_save_s;
    ctx.reply.integer(at_s as i64);
    Ok(())
}

fn wait(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let replicas = ctx.int(1)?;
    let until_ms = ctx.deadline_ms(2)?;
    if replicas <= 0 {
        ctx.reply.integer(0);
        return Ok(());
    }
    let mut block = Block::new(Wanted::Group, 0..0, until_ms);
    block.nothing = Nothing::Zero;
    ctx.wait_or_answer(block);
    Ok(())
}

/// The words of WAITAOF.
struct WaitAof {
    local: bool,
    replicas: i64,
    /// Milliseconds; 0 is for ever.
    timeout_ms: u64,
}

impl WaitAof {
    fn parse(args: Args<'_>) -> Result<Self, Error> {
        let int = |at: usize| parse_i64(&args[at]);
        let local = int(1).ok_or(Error::NOT_AN_INTEGER)?;
        if !(0..=1).contains(&local) {
            return Err(Error::text(
                "value is out of range, value must between 0 and 1",
            ));
        }
        let replicas = int(2).ok_or(Error::NOT_AN_INTEGER)?;
        if replicas < 0 {
            return Err(Error::NOT_POSITIVE);
        }
        let timeout = int(3).ok_or(Error::text("timeout is not an integer or out of range"))?;
        let timeout_ms = u64::try_from(timeout).map_err(|_| Error::text("timeout is negative"))?;
        Ok(Self {
            local: local == 1,
            replicas,
            timeout_ms,
        })
    }
}

/// Whether WAITAOF has to wait, and until when. What is wrong with it the handler says.
fn wait_for_log(
    session: &mut Session,
    args: Args<'_>,
    engine: &Engine,
    now_ms: u64,
) -> Option<u64> {
    let call = WaitAof::parse(args).ok()?;
    let positions = engine.persistence().log_positions();
    if call.local && positions.is_none() {
        return None;
    }
    let positions = positions.unwrap_or_default();
    let wait = session.log_wait.get_or_insert_with(|| LogWait {
        up_to: positions.appended,
        until_ms: match call.timeout_ms {
            0 => u64::MAX,
            timeout_ms => now_ms.saturating_add(timeout_ms),
        },
        end: None,
    });
    // There are no replicas yet, so their count is never reached.
    let is_reached = call.replicas == 0 && (!call.local || positions.synced >= wait.up_to);
    let until_ms = wait.until_ms;
    let waits = !is_reached && !wait.has_ended() && now_ms < until_ms;
    if waits {
        wait.begin(&session.client, &engine.blocked);
        engine.awaiting.add(session.client.id);
    }
    waits.then(|| until_ms.min(now_ms + RETRY_MS))
}

fn waitaof(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    const NO_LOG: Error =
        Error::text("WAITAOF cannot be used when numlocal is set but appendonly is disabled.");
    let mut waited = ctx.session.log_wait.take();
    if let Some(wait) = &mut waited {
        let ending = wait.finish(&ctx.session.client, &ctx.engine.blocked);
        if let Some(error) = ending.and_then(Ending::error) {
            return Err(error);
        }
    }
    let call = WaitAof::parse(ctx.args)?;
    let positions = ctx.engine.persistence().log_positions();
    if call.local && positions.is_none() {
        return Err(NO_LOG);
    }
    let synced = positions.is_some_and(|positions| match waited {
        Some(wait) => positions.synced >= wait.up_to,
        // Inside a transaction it does not wait.
        None => positions.synced >= positions.appended,
    });
    ctx.reply.array(2);
    ctx.reply.integer(i64::from(synced));
    ctx.reply.integer(0);
    Ok(())
}

fn backup_task(args: Args<'_>) -> Result<Task, Error> {
    if args[1].eq_ignore_ascii_case(b"TO") {
        Ok(Task::Backup(args[2].to_vec()))
    } else {
        Err(Error::SYNTAX)
    }
}

/// Whether a DEBUG call waits for files, and until when it is put off.
pub(super) fn wait_for_debug(
    session: &mut Session,
    args: Args<'_>,
    engine: &Engine,
    now_ms: u64,
) -> Option<u64> {
    let is = |name: &str| args[1].eq_ignore_ascii_case(name.as_bytes());
    if is("RELOAD") {
        wait_for_task(session, engine, now_ms, || reload_task(args))
    } else if is("LOADAOF") && args.len() == 2 {
        wait_for_task(session, engine, now_ms, || Ok(Task::LoadLog))
    } else {
        None
    }
}

fn reload_task(args: Args<'_>) -> Result<Task, Error> {
    const UNKNOWN: Error =
        Error::text("DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.");
    let mut reload = Reload {
        save: true,
        flush: true,
        merge: false,
    };
    for word in args.tail(2).iter() {
        match word.to_ascii_uppercase().as_slice() {
            b"NOSAVE" => reload.save = false,
            b"NOFLUSH" => reload.flush = false,
            b"MERGE" => reload.merge = true,
            _ => return Err(UNKNOWN),
        }
    }
    Ok(Task::Reload(reload))
}
