//! CLIENT: who is connected, and what a client may say of itself and do to others.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::command::help;
use super::connection::{INVALID_CLIENT_NAME, check_client_word};
use crate::client::{Client, ClientType, Clients, NOT_IN_MULTI};
use crate::declare::{Category, Command, Group, Row, table};
use crate::pause::PauseScope;
use crate::session::Replies;
use crate::{Ctx, Error, Handler};

/// The rows of this family.
pub(super) fn rows() -> Vec<Row> {
    let command = |name, syntax, handler: Handler| {
        Command::new(name, syntax, handler)
            .group(Group::Connection)
            .noscript()
            .loading()
            .stale()
            .complexity("O(1)")
    };
    const ALL_NODES: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];
    const LIST: &str = "O(N) where N is the number of client connections";
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
        command("CLIENT INFO", "", info)
            .tips(&["nondeterministic_output"])
            .since("6.2.0")
            .about("Describes this connection."),
        command("CLIENT LIST", LIST_SYNTAX, list)
            .also(Category::ADMIN | Category::DANGEROUS)
            .admin()
            .since("2.4.0")
            .complexity(LIST)
            .tips(&["nondeterministic_output"])
            .about("Describes all connections, or those that a filter lets through."),
        command("CLIENT KILL", KILL_SYNTAX, kill)
            .admin()
            .since("2.4.0")
            .complexity(LIST)
            .about("Closes connections."),
        command("CLIENT REPLY", "action:<ON|OFF|SKIP>", reply)
            .allow_busy()
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
        command("CLIENT PAUSE", "timeout [mode:<WRITE|ALL>]", pause)
            .admin()
            .since("3.0.0")
            .changed(
                "6.2.0",
                "`CLIENT PAUSE WRITE` mode added along with the `mode` option.",
            )
            .about("Has commands wait for a time."),
        command("CLIENT UNPAUSE", "", unpause)
            .admin()
            .since("6.2.0")
            .complexity("O(N) Where N is the number of paused clients")
            .about("Lets waiting commands go on."),
        help("CLIENT HELP").since("5.0.0"),
    ]
}

const LIST_SYNTAX: &str =
    "[TYPE <NORMAL|MASTER|REPLICA|PUBSUB>] [ID client-id:integer [client-id:integer ...]]";

const KILL_SYNTAX: &str = "<ip:port|<ID client-id:integer|TYPE <NORMAL|MASTER|SLAVE|REPLICA|PUBSUB>|USER username|\
     ADDR ip:port|LADDR ip:port|SKIPME <YES|NO>|MAXAGE maxage:integer> ...>";

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
    let option = String::from_utf8_lossy(attribute).to_ascii_lowercase();
    if option != "lib-name" && option != "lib-ver" {
        let typed = String::from_utf8_lossy(attribute);
        return Err(Error::new(format!("Unrecognized option '{typed}'")));
    }
    check_client_word(value).map_err(|()| {
        Error::new(format!(
            "{option} cannot contain spaces, newlines or special characters."
        ))
    })?;
    ctx.session.client.rename(|names| match option.as_str() {
        "lib-name" => names.lib_name = value.to_vec(),
        _ => names.lib_ver = value.to_vec(),
    });
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
    let filter = list_filter(ctx)?;
    note_current(ctx);
    let now_ms = ctx.now_ms();
    let mut text = String::new();
    for client in filter.choose(&ctx.engine.clients) {
        text += &describe(&client, now_ms);
        text.push('\n');
    }
    ctx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

/// Which clients CLIENT LIST shows.
enum ListFilter {
    All,
    Type(Class),
    Ids(Vec<u64>),
}

/// A value of the `TYPE` option.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Normal,
    /// A kind of connection that exists in Redis and of which there is none here.
    Other,
}

impl ListFilter {
    /// Those it lets through; named ones in the order in which they were named.
    fn choose(&self, clients: &Clients) -> Vec<Arc<Client>> {
        match self {
            Self::All => clients.all(),
            Self::Type(class) => {
                let mut all = clients.all();
                all.retain(|client| class.accepts(client));
                all
            }
            Self::Ids(ids) => ids.iter().filter_map(|&id| clients.get(id)).collect(),
        }
    }
}

impl Class {
    fn parse(word: &[u8]) -> Result<Self, Error> {
        match word.to_ascii_lowercase().as_slice() {
            b"normal" => Ok(Self::Normal),
            b"master" | b"primary" | b"slave" | b"replica" | b"pubsub" => Ok(Self::Other),
            _ => Err(Error::new(format!(
                "Unknown client type '{}'",
                String::from_utf8_lossy(word)
            ))),
        }
    }

    fn accepts(self, client: &Client) -> bool {
        match client.client_type() {
            ClientType::Normal => self == Self::Normal,
        }
    }
}

fn list_filter(ctx: &Ctx<'_>) -> Result<ListFilter, Error> {
    match ctx.args.len() {
        2 => Ok(ListFilter::All),
        4 if ctx.is(2, "TYPE") => Class::parse(&ctx.args[3]).map(ListFilter::Type),
        4.. if ctx.is(2, "ID") => (3..ctx.args.len())
            .map(|at| list_id(ctx, at))
            .collect::<Result<_, _>>()
            .map(ListFilter::Ids),
        _ => Err(Error::SYNTAX),
    }
}

fn list_id(ctx: &Ctx<'_>, at: usize) -> Result<u64, Error> {
    let id = ctx
        .int(at)
        .ok()
        .and_then(|id| u64::try_from(id).ok())
        .filter(|&id| id > 0);
    id.ok_or(Error::text("Invalid client ID"))
}

/// A client's line in CLIENT LIST.
fn describe(client: &Client, now_ms: u64) -> String {
    let names = client.names();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let queued = client.queued.load(Relaxed);
    let (input, room) = (
        client.input_bytes.load(Relaxed),
        client.input_capacity.load(Relaxed),
    );
    let (output, queued_bytes) = (
        client.output_bytes.load(Relaxed),
        client.queued_bytes.load(Relaxed),
    );
    let seconds = |since_ms: u64| now_ms.saturating_sub(since_ms) / 1000;
    let mut line = format!(
        "id={} addr={} laddr={} fd={}",
        client.id, client.addr, client.local_addr, client.fd
    );
    let mut add = |field: &str, value: &dyn std::fmt::Display| {
        write!(line, " {field}={value}").expect("a string takes all");
    };
    add("name", &text(&names.name));
    add("age", &seconds(client.connected_ms));
    add("idle", &seconds(client.active_ms.load(Relaxed)));
    add("flags", &flags(client));
    add("capa", &"");
    add("db", &client.db.load(Relaxed));
    ["sub", "psub", "ssub"]
        .iter()
        .for_each(|field| add(field, &0));
    add(
        "multi",
        &if queued == NOT_IN_MULTI {
            -1
        } else {
            queued as i64
        },
    );
    add("watch", &client.watched.load(Relaxed));
    add("qbuf", &input);
    add("qbuf-free", &room.saturating_sub(input));
    add("argv-mem", &client.argument_bytes.load(Relaxed));
    add("multi-mem", &queued_bytes);
    add("rbs", &output);
    add("rbp", &client.output_peak.load(Relaxed));
    add("obl", &output);
    add("oll", &client.outputs.load(Relaxed));
    add("omem", &output);
    add("tot-mem", &client.memory_bytes());
    add("events", &if output > 0 { "rw" } else { "r" });
    add("cmd", &last_command(client));
    add("user", &names.user);
    add("redir", &-1);
    add("resp", &client.protocol.load(Relaxed));
    add("lib-name", &text(&names.lib_name));
    add("lib-ver", &text(&names.lib_ver));
    add("io-thread", &client.thread.load(Relaxed));
    add("tot-net-in", &client.bytes_in.load(Relaxed));
    add("tot-net-out", &client.bytes_out.load(Relaxed));
    add("tot-cmds", &client.commands.load(Relaxed));
    line
}

fn flags(client: &Client) -> String {
    let marks = [
        ('x', client.queued.load(Relaxed) != NOT_IN_MULTI),
        ('e', client.no_evict.load(Relaxed)),
        ('T', client.no_touch.load(Relaxed)),
        ('U', client.fd >= 0 && client.addr.starts_with('/')),
    ];
    let set: String = marks
        .iter()
        .filter(|(_, is_set)| *is_set)
        .map(|(mark, _)| mark)
        .collect();
    if set.is_empty() { "N".into() } else { set }
}

fn last_command(client: &Client) -> &'static str {
    let id = client.last_command.load(Relaxed).checked_sub(1);
    id.and_then(|id| table().commands().get(usize::from(id)))
        .map_or("NULL", Command::full_name)
}

/// Which clients CLIENT KILL closes.
struct KillFilter {
    id: Option<u64>,
    class: Option<Class>,
    user: Option<Vec<u8>>,
    addr: Option<Vec<u8>>,
    local_addr: Option<Vec<u8>>,
    max_age_s: Option<u64>,
    skip_me: bool,
}

fn kill(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let old_style = ctx.args.len() == 3;
    let filter = if old_style {
        kill_address(&ctx.args[2])
    } else {
        kill_filter(ctx)?
    };
    let (me, now_ms) = (ctx.session.client.id, ctx.now_ms());
    let all = ctx.engine.clients.all();
    let chosen = all
        .iter()
        .filter(|client| filter.accepts(client, me, now_ms));
    let mut killed = 0;
    for client in chosen {
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

fn kill_address(addr: &[u8]) -> KillFilter {
    KillFilter {
        addr: Some(addr.to_vec()),
        skip_me: false,
        ..KillFilter::everybody()
    }
}

fn kill_filter(ctx: &Ctx<'_>) -> Result<KillFilter, Error> {
    let mut filter = KillFilter::everybody();
    for at in (2..ctx.args.len()).step_by(2) {
        let value = ctx.args.get(at + 1).ok_or(Error::SYNTAX)?;
        match ctx.args[at].to_ascii_lowercase().as_slice() {
            b"id" => filter.id = Some(positive(ctx, at + 1, "client-id should be greater than 0")?),
            b"type" => filter.class = Some(Class::parse(value)?),
            b"user" => filter.user = Some(known_user(value)?),
            b"addr" => filter.addr = Some(value.to_vec()),
            b"laddr" => filter.local_addr = Some(value.to_vec()),
            b"maxage" => {
                filter.max_age_s = Some(positive(ctx, at + 1, "maxage should be greater than 0")?);
            }
            b"skipme" if value.eq_ignore_ascii_case(b"yes") => filter.skip_me = true,
            b"skipme" if value.eq_ignore_ascii_case(b"no") => filter.skip_me = false,
            _ => return Err(Error::SYNTAX),
        }
    }
    Ok(filter)
}

fn positive(ctx: &Ctx<'_>, at: usize, complaint: &'static str) -> Result<u64, Error> {
    let number = ctx
        .int(at)
        .ok()
        .and_then(|number| u64::try_from(number).ok());
    number
        .filter(|&number| number > 0)
        .ok_or(Error::text(complaint))
}

fn known_user(user: &[u8]) -> Result<Vec<u8>, Error> {
    if user == b"default" {
        return Ok(user.to_vec());
    }
    Err(Error::new(format!(
        "No such user '{}'",
        String::from_utf8_lossy(user)
    )))
}

impl KillFilter {
    fn everybody() -> Self {
        Self {
            id: None,
            class: None,
            user: None,
            addr: None,
            local_addr: None,
            max_age_s: None,
            skip_me: true,
        }
    }

    fn accepts(&self, client: &Client, me: u64, now_ms: u64) -> bool {
        let age_s = now_ms.saturating_sub(client.connected_ms) / 1000;
        self.id.is_none_or(|id| id == client.id)
            && self.class.is_none_or(|class| class.accepts(client))
            && self
                .user
                .as_ref()
                .is_none_or(|user| *user == client.names().user.as_bytes())
            && self
                .addr
                .as_ref()
                .is_none_or(|addr| *addr == client.addr.as_bytes())
            && self
                .local_addr
                .as_ref()
                .is_none_or(|addr| *addr == client.local_addr.as_bytes())
            && self.max_age_s.is_none_or(|max| age_s >= max)
            && !(self.skip_me && client.id == me)
    }
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

fn unpause(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    ctx.engine.pause.end();
    ctx.engine.host.wake_all();
    ctx.reply.ok();
    Ok(())
}
