//! The server itself: TIME, LOLWUT, SHUTDOWN.

use crate::declare::{Category, Command, Databases, Group, Row};
use kvik_resp::Args;

use super::persistence::{answer, wait_for_task};
use crate::host::Shutdown;
use crate::persistence::Task;
use crate::{Ctx, Engine, Error, Session, VERSION};

/// The rows of this family.
pub(super) fn rows() -> Vec<Row> {
    let command = |name, syntax, handler| Command::new(name, syntax, handler).group(Group::Server);
    vec![
        command("TIME", "", time)
            .loading()
            .stale()
            .fast()
            .since("2.6.0")
            .complexity("O(1)")
            .tips(&["nondeterministic_output"])
            .about("Returns the time."),
        command("ROLE", "", role)
            .noscript()
            .loading()
            .stale()
            .fast()
            .also(Category::ADMIN | Category::DANGEROUS)
            .since("2.8.12")
            .complexity("O(1)")
            .about("Returns the role in replication."),
        command("MONITOR", "", monitor)
            .databases(Databases::All)
            .admin()
            .noscript()
            .loading()
            .stale()
            .since("1.0.0")
            .about("Shows every command that runs, until the connection ends or RESET."),
        command("LOLWUT", "[VERSION version:integer]", lolwut)
            .readonly()
            .fast()
            .since("5.0.0")
            .about("Draws something and names the version."),
        command("SHUTDOWN", "[NOSAVE|SAVE] [NOW] [FORCE] [ABORT]", shutdown)
            .admin()
            .noscript()
            .loading()
            .stale()
            .no_multi()
            .waits(wait_to_shut_down)
            .allow_busy()
            .also(Category::DANGEROUS)
            .since("1.0.0")
            .complexity("O(N) when saving, where N is the total number of keys in all databases when saving data, otherwise O(1)")
            .changed("7.0.0", "Added the `NOW`, `FORCE` and `ABORT` modifiers.")
            .about("Ends the server."),
    ]
}

fn time(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    ctx.reply.array(2);
    ctx.reply.bulk_str(&(ctx.now_us / 1_000_000).to_string());
    ctx.reply.bulk_str(&(ctx.now_us % 1_000_000).to_string());
    Ok(())
}

/// Has the client shown every command. A second MONITOR changes nothing.
fn monitor(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let is_in_section = ctx.session.publications.is_some();
    if is_in_section || !ctx.session.client.has_mailbox() {
        return Err(Error::text(
            "MONITOR isn't allowed for DENY BLOCKING client",
        ));
    }
    ctx.engine.pubsub.monitors.join(ctx.session);
    ctx.reply.ok();
    Ok(())
}

/// A master with no history that replicas could follow, and with no replicas.
fn role(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    ctx.reply.array(3);
    ctx.reply.bulk_str("master");
    ctx.reply.integer(0);
    ctx.reply.array(0);
    Ok(())
}

/// Draws a skyline.
fn lolwut(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    const WIDTH: usize = 60;
    const HEIGHT: u64 = 8;
    if ctx.args.len() > 1 && ctx.is(1, "VERSION") {
        ctx.args.get(2).ok_or(Error::SYNTAX)?;
        ctx.int(2)?;
    }
    let mut roofs = Vec::with_capacity(WIDTH);
    while roofs.len() < WIDTH {
        let (height, width) = (1 + ctx.random.below(HEIGHT - 1), 3 + ctx.random.below(5));
        roofs.extend((0..width).map(|_| height));
    }
    let mut text = String::new();
    for level in (1..=HEIGHT).rev() {
        let cell = |roof: &u64| {
            if *roof < level {
                ' '
            } else if *roof == level {
                '▄'
            } else {
                '█'
            }
        };
        let line: String = roofs[..WIDTH].iter().map(cell).collect();
        text += line.trim_end();
        text.push('\n');
    }
    text += &format!("\nkvik ver. {VERSION}\n");
    ctx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

/// The options of a SHUTDOWN; `None` is ABORT.
fn parse_shutdown(args: Args<'_>) -> Result<Option<Shutdown>, Error> {
    let mut how = Shutdown::default();
    let mut abort = false;
    for word in args.tail(1).iter() {
        match word.to_ascii_lowercase().as_slice() {
            b"nosave" if how.save.is_none() => how.save = Some(false),
            b"save" if how.save.is_none() => how.save = Some(true),
            b"now" => how.now = true,
            b"force" => how.force = true,
            b"abort" => abort = true,
            _ => return Err(Error::SYNTAX),
        }
    }
    if abort && how != Shutdown::default() {
        return Err(Error::SYNTAX);
    }
    Ok((!abort).then_some(how))
}

/// Has the data saved first, as asked or configured. What is wrong with the call the handler says.
fn wait_to_shut_down(
    session: &mut Session,
    args: Args<'_>,
    engine: &Engine,
    now_ms: u64,
) -> Option<u64> {
    let how = parse_shutdown(args).ok()??;
    wait_for_task(session, engine, now_ms, || Ok(Task::Shutdown(how)))
}

fn shutdown(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let Some(how) = parse_shutdown(ctx.args)? else {
        return abort(ctx);
    };
    answer(ctx)?;
    ctx.engine.host.shutdown(how)?;
    ctx.session.close = true;
    Ok(())
}

fn abort(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let saving = ctx.engine.persistence().abort_shutdown();
    if !(saving || ctx.engine.host.abort_shutdown()) {
        return Err(Error::text("No shutdown in progress."));
    }
    ctx.reply.ok();
    Ok(())
}
