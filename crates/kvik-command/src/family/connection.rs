//! The connection itself: PING, ECHO, HELLO, AUTH, SELECT, QUIT, RESET.

use kvik_resp::Protocol;

use crate::declare::{Command, Databases, Group, Row};
use crate::session::Session;
use crate::{Ctx, Engine, Error, REDIS_VERSION};

/// The rows of this family.
pub(super) fn rows() -> Vec<Row> {
    let command = |name, syntax, handler| {
        Command::new(name, syntax, handler)
            .group(Group::Connection)
            .fast()
            .complexity("O(1)")
    };
    vec![
        command("PING", "[message]", ping)
            .since("1.0.0")
            .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
            .about("Returns PONG, or the message it was given."),
        command("ECHO", "message", echo)
            .loading()
            .stale()
            .since("1.0.0")
            .about("Returns the message it was given."),
        command(
            "HELLO",
            "[arguments:<protover [AUTH username password] [SETNAME clientname]>]",
            hello,
        )
        .noscript()
        .loading()
        .stale()
        .no_auth()
        .allow_busy()
        .since("6.0.0")
        .about("Chooses the protocol version, with authentication and a name if wanted."),
        command("AUTH", "[username] password", auth)
            .noscript()
            .loading()
            .stale()
            .no_auth()
            .allow_busy()
            .since("1.0.0")
            .complexity("O(N) where N is the number of passwords defined for the user")
            .changed("6.0.0", "Added ACL style (username and password).")
            .about("Authenticates the connection."),
        command("SELECT", "index", select)
            .databases(Databases::Named(&[1]))
            .loading()
            .stale()
            .allow_busy()
            .since("1.0.0")
            .about("Changes the selected database."),
        command("QUIT", "", quit)
            .noscript()
            .loading()
            .stale()
            .no_auth()
            .allow_busy()
            .arity(-1)
            .since("1.0.0")
            .deprecated("7.2.0", "just closing the connection")
            .about("Closes the connection."),
        command("RESET", "", reset)
            .noscript()
            .loading()
            .stale()
            .no_auth()
            .allow_busy()
            .since("6.2.0")
            .about("Brings the connection back to its first state."),
    ]
}

fn ping(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    // To a listener of RESP2 the reply must look like a message.
    if ctx.session.is_confined() && ctx.args.len() <= 2 {
        ctx.reply.array(2);
        ctx.reply.bulk(b"pong");
        ctx.reply.bulk(ctx.args.get(1).unwrap_or_default());
        return Ok(());
    }
    match ctx.args.len() {
        1 => ctx.reply.simple("PONG"),
        2 => ctx.reply.bulk(&ctx.args[1]),
        _ => return Err(Error::arity(ctx.command)),
    }
    Ok(())
}

fn echo(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    ctx.reply.bulk(&ctx.args[1]);
    Ok(())
}

fn select(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let db = ctx.db(1)?;
    super::cluster::check_database(ctx, db)?;
    ctx.session.select(db);
    ctx.reply.ok();
    Ok(())
}

fn quit(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    ctx.session.close = true;
    ctx.session.client.leave();
    ctx.reply.ok();
    Ok(())
}

fn reset(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    super::feed::end(ctx);
    ctx.engine.pubsub.unsubscribe_all(ctx.session);
    ctx.engine.pubsub.catch_up(ctx.session);
    ctx.engine.tracking.stop(ctx.session, &ctx.engine.settings);
    ctx.session.reset();
    // RESET logs out, which means nothing where no password is set.
    ctx.session.authenticated = !ctx.engine.settings.needs_password();
    ctx.reply.set_protocol(Protocol::Resp2);
    ctx.reply.simple("RESET");
    Ok(())
}

fn auth(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let (user, password): (&[u8], _) = match ctx.args.len() {
        2 if !ctx.engine.settings.needs_password() => {
            return Err(Error::text(
                "AUTH <password> called without any password configured for the default user. \
                 Are you sure your configuration is correct?",
            ));
        }
        2 => (b"default", &ctx.args[1]),
        3 => (&ctx.args[1], &ctx.args[2]),
        _ => return Err(Error::SYNTAX),
    };
    authenticate(ctx.engine, ctx.session, user, password)?;
    ctx.reply.ok();
    Ok(())
}

fn authenticate(
    engine: &Engine,
    session: &mut Session,
    user: &[u8],
    password: &[u8],
) -> Result<(), Error> {
    if user != b"default" || !engine.settings.accepts_password(password) {
        return Err(Error::WrongPass);
    }
    session.authenticated = true;
    Ok(())
}

/// The options of HELLO.
#[derive(Default)]
struct Hello<'a> {
    protocol: Option<Protocol>,
    credentials: Option<(&'a [u8], &'a [u8])>,
    name: Option<&'a [u8]>,
}

fn hello(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let options = hello_options(ctx)?;
    if let Some((user, password)) = options.credentials {
        authenticate(ctx.engine, ctx.session, user, password)?;
    }
    // Nothing of HELLO takes effect before the client is authenticated.
    if !ctx.session.authenticated {
        return Err(Error::Coded("NOAUTH", HELLO_NOT_AUTHENTICATED.into()));
    }
    if let Some(name) = options.name {
        ctx.session
            .client
            .rename(|names| names.name = name.to_vec());
    }
    if let Some(protocol) = options.protocol {
        ctx.session.speak(protocol);
        ctx.reply.set_protocol(protocol);
    }
    write_greeting(ctx);
    Ok(())
}

const HELLO_NOT_AUTHENTICATED: &str = "HELLO must be called with the client already authenticated, otherwise the \
     HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol \
     version at the same time";

fn hello_options<'a>(ctx: &Ctx<'a>) -> Result<Hello<'a>, Error> {
    let args = ctx.args;
    let mut options = Hello::default();
    let Some(version) = args.get(1) else {
        return Ok(options);
    };
    options.protocol = match kvik_resp::parse_i64(version) {
        Some(2) => Some(Protocol::Resp2),
        Some(3) => Some(Protocol::Resp3),
        Some(_) => return Err(Error::NoProto),
        None => {
            return Err(Error::text(
                "Protocol version is not an integer or out of range",
            ));
        }
    };
    let mut words = args.tail(2).iter();
    while let Some(word) = words.next() {
        if word.eq_ignore_ascii_case(b"AUTH") && words.len() >= 2 {
            options.credentials = words.next().zip(words.next());
        } else if word.eq_ignore_ascii_case(b"SETNAME") && words.len() >= 1 {
            options.name = words.next();
            check_client_word(options.name.unwrap_or_default())
                .map_err(|()| Error::text(INVALID_CLIENT_NAME))?;
        } else {
            return Err(Error::quoting(&[
                b"Syntax error in HELLO option '",
                word,
                b"'",
            ]));
        }
    }
    Ok(options)
}

/// The error of CLIENT SETNAME and HELLO for a name that they refuse.
pub(super) const INVALID_CLIENT_NAME: &str =
    "Client names cannot contain spaces, newlines or special characters.";

/// Whether a word may stand in CLIENT LIST, where spaces and line ends separate.
pub(super) fn check_client_word(word: &[u8]) -> Result<(), ()> {
    if word.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
        Ok(())
    } else {
        Err(())
    }
}

fn write_greeting(ctx: &mut Ctx<'_>) {
    let zone = ctx.engine.settings.availability_zone.read().clone();
    let mode = ctx.session.mode();
    let reply = &mut ctx.reply;
    // As Valkey has it: only a server that knows its zone says so.
    reply.map(7 + usize::from(!zone.is_empty()));
    let mut pair = |name: &str, value: &str| {
        reply.bulk_str(name);
        reply.bulk_str(value);
    };
    pair("server", "redis");
    pair("version", REDIS_VERSION);
    reply.bulk_str("proto");
    reply.integer(if reply.protocol() == Protocol::Resp3 {
        3
    } else {
        2
    });
    reply.bulk_str("id");
    reply.integer(ctx.session.client.id as i64);
    reply.bulk_str("mode");
    reply.bulk_str(mode);
    reply.bulk_str("role");
    reply.bulk_str("master");
    reply.bulk_str("modules");
    reply.array(0);
    if !zone.is_empty() {
        reply.bulk_str("availability_zone");
        reply.bulk_str(&zone);
    }
}
