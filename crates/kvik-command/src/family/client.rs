//! CLIENT: who is connected, and what a client may say of itself and do to others.

mod filter;
mod line;
mod tracking;

use std::sync::atomic::Ordering::Relaxed;

use self::filter::Filter;
use self::line::describe;
use super::command::help;
use super::connection::{INVALID_CLIENT_NAME, check_client_word};
use crate::blocking::Ending;
use crate::declare::{Category, Command, Group, Row};
use crate::pause::PauseScope;
use crate::session::Replies;
use crate::{Ctx, Error, Handler};

/// The rows of this family.
pub(super) fn rows() -> Vec<Row> {
    let mut rows = rows_about_itself();
    rows.extend(rows_about_others());
    rows
}

fn command(name: &'static str, syntax: &'static str, handler: Handler) -> Row {
    Command::new(name, syntax, handler)
        .group(Group::Connection)
        .noscript()
        .loading()
        .stale()
        .complexity("O(1)")
}

/// The subcommands by which a client asks and speaks of itself.
fn rows_about_itself() -> Vec<Row> {
    const ALL_NODES: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];
    vec![
        Command::container("CLIENT")
            .group(Group::Connection)
            .since("2.4.0")
            .complexity("Depends on subcommand.")
            .about("Commands about client connections."),
        command("CLIENT ID", "", id)
            .allow_busy()
            .since("5.0.0")
            .about("Returns the number of this connection."),
        command("CLIENT GETNAME", "", getname)
            .allow_busy()
            .since("2.6.9")
            .about("Returns the name of this connection."),
        command("CLIENT SETNAME", "connection-name", setname)
            .allow_busy()
            .tips(ALL_NODES)
            .since("2.6.9")
            .about("Names this connection."),
        command(
            "CLIENT SETINFO",
            "attr:<LIB-NAME libname|LIB-VER libver>",
            setinfo,
        )
        .allow_busy()
        .tips(ALL_NODES)
        .since("7.2.0")
        .about("Notes which library the client uses."),
        command("CLIENT CAPA", "capability [capability ...]", capa)
            .allow_busy()
            .since("8.0.0")
            .about("Says which of the server's extensions the client understands."),
        command(
            "CLIENT TRACKING",
            tracking::TRACKING_SYNTAX,
            tracking::tracking,
        )
        .since("6.0.0")
        .complexity("O(1). Some options may introduce additional complexity.")
        .about("Has the server tell the client of changes of the keys that it caches."),
        command("CLIENT CACHING", "mode:<YES|NO>", tracking::caching)
            .allow_busy()
            .since("6.0.0")
            .about("Says whether the keys that the next command reads are cached."),
        command("CLIENT TRACKINGINFO", "", tracking::trackinginfo)
            .since("6.2.0")
            .about("Describes how this connection caches."),
        command("CLIENT GETREDIR", "", tracking::getredir)
            .allow_busy()
            .since("6.0.0")
            .about("Returns which connection is told of changes of tracked keys."),
        command("CLIENT INFO", "", info)
            .tips(&["nondeterministic_output"])
            .since("6.2.0")
            .about("Describes this connection."),
        command("CLIENT REPLY", "action:<ON|OFF|SKIP>", reply)
            .allow_busy()
            .no_multi()
            .since("3.2.0")
            .about("Says which replies this connection wants."),
        command("CLIENT NO-EVICT", "<ON|OFF>", no_evict)
            .allow_busy()
            .admin()
            .since("7.0.0")
            .about("Exempts this connection from being closed when clients use too much memory."),
        command("CLIENT NO-TOUCH", "<ON|OFF>", no_touch)
            .allow_busy()
            .since("7.2.0")
            .about("Says whether this connection's commands count as uses of keys."),
        command("CLIENT IMPORT-SOURCE", "<ON|OFF>", import_source)
            .since("8.1.0")
            .about("Says whether this connection imports another server's data: it sees what has expired."),
    ]
}

/// The subcommands that concern other clients.
fn rows_about_others() -> Vec<Row> {
    const LIST: &str = "O(N) where N is the number of client connections";
    vec![
        command("CLIENT LIST", LIST_SYNTAX, list)
            .also(Category::ADMIN | Category::DANGEROUS)
            .admin()
            .since("2.4.0")
            .complexity(LIST)
            .changed(
                "8.1.0",
                "Added filters USER, ADDR, LADDR, SKIPME, and MAXAGE.",
            )
            .changed("9.0.0", FILTERS_ADDED)
            .tips(&["nondeterministic_output"])
            .about("Describes all connections, or those that a filter lets through."),
        command("CLIENT KILL", KILL_SYNTAX, kill)
            .admin()
            .since("2.4.0")
            .complexity(LIST)
            .changed("8.1.0", "`ID` takes several numbers.")
            .changed("9.0.0", FILTERS_ADDED)
            .about("Closes connections."),
        command("CLIENT PAUSE", "timeout [mode:<WRITE|ALL>]", pause)
            .admin()
            .since("3.0.0")
            .changed(
                "6.2.0",
                "`CLIENT PAUSE WRITE` mode added along with the `mode` option.",
            )
            .about("Has commands wait for a time."),
        command(
            "CLIENT UNBLOCK",
            "client-id:integer [unblock-type:<TIMEOUT|ERROR>]",
            unblock,
        )
        .admin()
        .since("5.0.0")
        .complexity("O(log N) where N is the number of client connections")
        .about(
            "Ends the wait of a client that is blocked, as if its time were up or with an error.",
        ),
        command("CLIENT UNPAUSE", "", unpause)
            .admin()
            .since("6.2.0")
            .complexity("O(N) Where N is the number of paused clients")
            .about("Lets waiting commands go on."),
        help("CLIENT HELP").since("5.0.0"),
    ]
}

const FILTERS_ADDED: &str =
    "Added filters NAME, IDLE, FLAGS, LIB-NAME, LIB-VER, DB, CAPA, and IP, and the negated ones.";

const LIST_SYNTAX: &str = "[TYPE <NORMAL|MASTER|REPLICA|PUBSUB>] \
    [ID client-id:integer [client-id:integer ...]] [USER username] [ADDR addr=ip:port] [LADDR laddr=ip:port] \
    [SKIPME <YES|NO>] [MAXAGE maxage:integer] [NAME name] [IDLE idle:integer] [FLAGS flags] \
    [LIB-NAME lib-name] [LIB-VER lib-ver] [DB db:integer] [CAPA capa] [IP ip] \
    [NOT-TYPE not-client-type:<NORMAL|MASTER|REPLICA|PUBSUB>] \
    [NOT-ID not-client-id:integer [not-client-id:integer ...]] [NOT-USER not-username] \
    [NOT-ADDR not-addr=ip:port] [NOT-LADDR not-laddr=ip:port] [NOT-NAME not-name] \
    [NOT-FLAGS not-flags] [NOT-LIB-NAME not-lib-name] [NOT-LIB-VER not-lib-ver] \
    [NOT-DB not-db:integer] [NOT-CAPA not-capa] [NOT-IP not-ip]";

const KILL_SYNTAX: &str = "<ip:port|<ID client-id:integer [client-id:integer ...]|\
    TYPE <NORMAL|MASTER|SLAVE|REPLICA|PUBSUB>|USER username|ADDR ip:port|LADDR ip:port|\
    SKIPME <YES|NO>|MAXAGE maxage:integer|NAME name|IDLE idle:integer|FLAGS flags|\
    LIB-NAME lib-name|LIB-VER lib-ver|DB db:integer|CAPA capa|IP ip|\
    NOT-TYPE not-client-type:<NORMAL|MASTER|SLAVE|REPLICA|PUBSUB>|\
    NOT-ID not-client-id:integer [not-client-id:integer ...]|NOT-USER not-username|\
    NOT-ADDR ip:port|NOT-LADDR ip:port|NOT-NAME not-name|NOT-FLAGS not-flags|\
    NOT-LIB-NAME not-lib-name|NOT-LIB-VER not-lib-ver|NOT-DB not-db:integer|\
    NOT-CAPA not-capa|NOT-IP not-ip> ...>";

fn id(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    ctx.reply.integer(ctx.session.client.id as i64);
    Ok(())
}

fn getname(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    match ctx.session.client.names().name {
        name if name.is_empty() => ctx.reply.null(),
        name => ctx.reply.bulk(&name),
    }
    Ok(())
}

fn setname(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let name = &ctx.args[2];
    check_client_word(name).map_err(|()| Error::text(INVALID_CLIENT_NAME))?;
    ctx.session
        .client
        .rename(|names| names.name = name.to_vec());
    ctx.reply.ok();
    Ok(())
}

fn setinfo(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (attribute, value) = (&ctx.args[2], &ctx.args[3]);
    let is_name = ctx.is(2, "LIB-NAME");
    if !is_name && !ctx.is(2, "LIB-VER") {
        return Err(Error::quoting(&[b"Unrecognized option '", attribute, b"'"]));
    }
    check_client_word(value).map_err(|()| {
        const REFUSED: &[u8] = b" cannot contain spaces, newlines or special characters.";
        Error::quoting(&[attribute, REFUSED])
    })?;
    ctx.session.client.rename(|names| {
        let known = if is_name {
            &mut names.lib_name
        } else {
            &mut names.lib_ver
        };
        *known = value.to_vec();
    });
    ctx.reply.ok();
    Ok(())
}

fn capa(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    // What a client may be able to do beside this is of no use to this server.
    if ctx
        .args
        .tail(2)
        .iter()
        .any(|word| word.eq_ignore_ascii_case(b"redirect"))
    {
        ctx.session.client.can_redirect.store(true, Relaxed);
    }
    ctx.reply.ok();
    Ok(())
}

fn info(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    note_current(ctx);
    let line = describe(&ctx.session.client, ctx.now_ms()) + "\n";
    ctx.reply.verbatim("txt", line.as_bytes());
    Ok(())
}

/// The command that asks is the last one, though it has not been counted yet.
fn note_current(ctx: &Ctx<'_>) {
    ctx.session
        .client
        .last_command
        .store(ctx.command.id() + 1, Relaxed);
}

fn list(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let filter = Filter::parse(ctx, false)?;
    note_current(ctx);
    let (me, now_ms) = (ctx.session.client.id, ctx.now_ms());
    let mut text = String::new();
    for client in filter.choose(&ctx.engine.clients, me, now_ms) {
        text += &describe(&client, now_ms);
        text.push('\n');
    }
    ctx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

fn kill(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    // One word is an address; there is no option without a value.
    let old_style = ctx.args.len() == 3;
    let filter = if old_style {
        Filter::address(&ctx.args[2])
    } else {
        Filter::parse(ctx, true)?
    };
    let (me, now_ms) = (ctx.session.client.id, ctx.now_ms());
    let mut killed = 0;
    for client in filter.choose(&ctx.engine.clients, me, now_ms) {
        if client.id == me {
            ctx.session.close = true;
            killed += 1;
        } else {
            killed += i64::from(client.kill());
        }
    }
    match (old_style, killed) {
        (true, 0) => return Err(Error::text("No such client")),
        (true, _) => ctx.reply.ok(),
        (false, count) => ctx.reply.integer(count),
    }
    Ok(())
}

fn reply(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    match ctx.args[2].to_ascii_lowercase().as_slice() {
        b"on" => {
            ctx.session.replies = Replies::On;
            ctx.reply.ok();
        }
        b"off" => ctx.session.replies = Replies::Off,
        b"skip" if ctx.session.replies != Replies::Off => ctx.session.replies = Replies::SkipNext,
        b"skip" => {}
        _ => return Err(Error::SYNTAX),
    }
    Ok(())
}

fn on_or_off(ctx: &Ctx<'_>) -> Result<bool, Error> {
    match ctx.args[2].to_ascii_lowercase().as_slice() {
        b"on" => Ok(true),
        b"off" => Ok(false),
        _ => Err(Error::SYNTAX),
    }
}

fn no_evict(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    ctx.session.client.no_evict.store(on_or_off(ctx)?, Relaxed);
    ctx.reply.ok();
    Ok(())
}

fn import_source(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let is_importing = ctx.engine.settings.import_mode.load(Relaxed);
    if !is_importing && !ctx.is(2, "OFF") {
        return Err(Error::text("Server is not in import mode"));
    }
    ctx.session.client.imports.store(on_or_off(ctx)?, Relaxed);
    ctx.reply.ok();
    Ok(())
}

fn no_touch(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    ctx.session.no_touch = on_or_off(ctx)?;
    ctx.session
        .client
        .no_touch
        .store(ctx.session.no_touch, Relaxed);
    ctx.reply.ok();
    Ok(())
}

fn pause(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    if ctx.args.len() > 4 {
        return Err(ctx.subcommand_error());
    }
    let until_ms = ctx.timeout(2)?;
    let scope = match ctx.args.get(3) {
        None => PauseScope::All,
        Some(word) if word.eq_ignore_ascii_case(b"ALL") => PauseScope::All,
        Some(word) if word.eq_ignore_ascii_case(b"WRITE") => PauseScope::Writes,
        Some(_) => return Err(Error::text("CLIENT PAUSE mode must be WRITE or ALL")),
    };
    ctx.engine.pause.start(until_ms, scope, ctx.now_ms());
    ctx.reply.ok();
    Ok(())
}

fn unblock(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    const REASON: Error = Error::text("CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
    let ending = match ctx.args.get(3) {
        None => Ending::TimedOut,
        Some(word) if word.eq_ignore_ascii_case(b"TIMEOUT") => Ending::TimedOut,
        Some(word) if word.eq_ignore_ascii_case(b"ERROR") => Ending::Unblocked,
        Some(_) => return Err(REASON),
    };
    let id = u64::try_from(ctx.int(2)?).ok();
    let client = id.and_then(|id| ctx.engine.clients.get(id));
    let has_ended = client.is_some_and(|client| client.end_wait(ending));
    ctx.reply.integer(i64::from(has_ended));
    Ok(())
}

fn unpause(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    ctx.engine.pause.end();
    ctx.engine.host.wake_all();
    ctx.reply.ok();
    Ok(())
}
