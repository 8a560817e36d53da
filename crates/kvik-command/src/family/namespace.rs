//! NAMESPACE: the namespaces of a database, their quotas, and working inside one.

use std::collections::BTreeMap;

use kvik_store::{DEFAULT_NAMESPACE, Namespaces};

use crate::declare::{Category, Command, Group, Locking, Row};
use crate::namespace_quotas::{Quota, QuotaMap, policy_name, policy_named, write_quotas};
use crate::{Ctx, Error};

/// Keys that DROP deletes in a second.
const DROP_RATE: u64 = 100_000;

/// The rows of this family.
pub(super) fn rows() -> Vec<Row> {
    let command = |name, syntax, handler| {
        Command::new(name, syntax, handler)
            .group(Group::Server)
            .since("0.1.0")
            .complexity("O(1)")
    };
    vec![
        Command::container("NAMESPACE")
            .group(Group::Server)
            .since("0.1.0")
            .complexity("Depends on subcommand.")
            .about("Commands about namespaces."),
        command("NAMESPACE LIST", "", list)
            .complexity("O(N) where N is the number of namespaces")
            .about("Returns the names of all namespaces of the database."),
        command("NAMESPACE INFO", "namespace", info)
            .about("Returns the figures and quotas of a namespace."),
        command("NAMESPACE STATS", "", stats)
            .complexity("O(N) where N is the number of namespaces")
            .about("Returns the figures and quotas of all namespaces of the database."),
        command("NAMESPACE CREATE", "namespace", create)
            .also(Category::ADMIN)
            .about("Makes a namespace that stays when it is empty."),
        command("NAMESPACE DROP", "namespace", drop_namespace)
            .write()
            .touches_arbitrary_keys()
            .also(Category::ADMIN | Category::DANGEROUS)
            .complexity("O(1); the job walks all keys of the namespace")
            .about("Deletes a namespace in the background, with its quotas, and returns the job."),
        command("NAMESPACE FLUSH", "namespace", flush)
            .write()
            .locks(Locking::All)
            .also(Category::DANGEROUS)
            .about("Deletes all keys of a namespace."),
        command(
            "NAMESPACE SETQUOTA",
            "namespace [BYTES bytes] [KEYS keys] [OPS commands-per-second] [CLIENTS clients]",
            setquota,
        )
        .also(Category::ADMIN)
        .about("Limits a namespace; 0 lifts a limit."),
        command("NAMESPACE POLICY", "namespace policy", policy)
            .also(Category::ADMIN)
            .about(
                "Sets what goes when a namespace has to make room: inherit, none, lfu, mfu or ear.",
            ),
        command("NAMESPACE USE", "[namespace]", choose)
            .no_multi()
            .about("Lets the keys of this connection live in a namespace, or ends that."),
        super::command::help("NAMESPACE HELP").since("0.1.0"),
    ]
}

fn namespaces<'a>(ctx: &Ctx<'a>) -> Result<&'a Namespaces, Error> {
    let off =
        Error::text("there are no namespaces, as the server was started without 'namespaces auto'");
    let all = ctx.keys.layout().namespaces();
    all.map(|all| &**all).ok_or(off)
}

/// The figures of a namespace.
#[derive(Clone, Copy, Default)]
struct Figures {
    keys: u64,
    volatile: u64,
    bytes: u64,
    payload: u64,
    evicted: u64,
    swept: u64,
}

/// The namespaces of the database by name: those with keys, and those that stay without.
fn all(ctx: &Ctx<'_>) -> Result<BTreeMap<Vec<u8>, Figures>, Error> {
    let there = namespaces(ctx)?.all(ctx.keys.keyspace());
    let kept = ctx.engine.settings.namespace_quotas.all().into_keys();
    let mut all: BTreeMap<_, _> = kept.map(|name| (name, Figures::default())).collect();
    for namespace in there {
        let figures = Figures {
            keys: namespace.keys(),
            volatile: namespace.volatile(),
            bytes: namespace.bytes(),
            payload: namespace.payload(),
            evicted: namespace.evicted(),
            swept: namespace.swept(),
        };
        all.insert(namespace.name().to_vec(), figures);
    }
    Ok(all)
}

fn list(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let all = all(ctx)?;
    ctx.reply.array(all.len());
    all.keys().for_each(|name| ctx.reply.bulk(name));
    Ok(())
}

fn info(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let name = ctx.args[2].to_vec();
    let figures = all(ctx)?.get(&name).copied();
    let figures = figures.ok_or(Error::text("no such namespace"))?;
    describe(ctx, &name, figures);
    Ok(())
}

fn stats(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let all = all(ctx)?;
    ctx.reply.array(all.len());
    for (name, figures) in all {
        describe(ctx, &name, figures);
    }
    Ok(())
}

fn describe(ctx: &mut Ctx<'_>, name: &[u8], figures: Figures) {
    let quotas = &ctx.engine.settings.namespace_quotas;
    let quota = quotas.get(name).unwrap_or_default();
    let mut shown = vec![
        ("keys".to_owned(), figures.keys),
        ("expires".to_owned(), figures.volatile),
        ("bytes".to_owned(), figures.bytes),
        ("payload".to_owned(), figures.payload),
        ("evicted".to_owned(), figures.evicted),
        ("swept".to_owned(), figures.swept),
        ("clients".to_owned(), quotas.clients(name)),
    ];
    let limits = quota.limits();
    shown.extend(limits.map(|(limit, value)| (format!("quota-{limit}"), value)));
    let namespaces = ctx.engine.namespaces.as_deref();
    let policy = namespaces.map_or_else(Default::default, |all| all.policy_of(name));
    ctx.reply.map(shown.len() + 2);
    ctx.reply.bulk_str("name");
    ctx.reply.bulk(name);
    for (name, figure) in shown {
        ctx.reply.bulk_str(&name);
        ctx.reply.integer(figure as i64);
    }
    ctx.reply.bulk_str("policy");
    ctx.reply.bulk_str(policy_name(policy));
}

fn create(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    namespaces(ctx)?;
    let name = checked_name(ctx)?;
    change(ctx, |quotas| {
        quotas.entry(name).or_default();
    })?;
    ctx.reply.ok();
    Ok(())
}

fn drop_namespace(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    namespaces(ctx)?;
    let name = checked_name(ctx)?;
    if name == DEFAULT_NAMESPACE {
        return Err(Error::text(
            "the namespace 'default' cannot be dropped, only flushed",
        ));
    }
    let (prefix, keyspace) = ([&name[..], b"/"].concat(), ctx.keys.keyspace());
    let jobs = &ctx.engine.prefix_jobs;
    let id = jobs.start(keyspace, &prefix, false, DROP_RATE, ctx.now_us);
    let id = id.ok_or(Error::text("too many jobs are running"))?;
    ctx.engine.wake_upkeep();
    if ctx.engine.settings.namespace_quotas.get(&name).is_some() {
        change(ctx, |quotas| {
            quotas.remove(&name);
        })?;
    }
    ctx.reply.integer(id as i64);
    Ok(())
}

fn flush(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    namespaces(ctx)?;
    let name = checked_name(ctx)?;
    ctx.keys.flush_namespace(&name);
    ctx.reply.ok();
    Ok(())
}

fn setquota(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    namespaces(ctx)?;
    let name = checked_name(ctx)?;
    let quotas = &ctx.engine.settings.namespace_quotas;
    let mut quota: Quota = quotas.get(&name).unwrap_or_default();
    if ctx.args.len() < 5 || ctx.args.len().is_multiple_of(2) {
        return Err(Error::SYNTAX);
    }
    for at in (3..ctx.args.len()).step_by(2) {
        let limit = quota.limit_mut(&ctx.args[at]).ok_or(Error::SYNTAX)?;
        *limit = u64::try_from(ctx.int(at + 1)?).map_err(|_| Error::NOT_POSITIVE)?;
    }
    change(ctx, |quotas| {
        quotas.insert(name, quota);
    })?;
    ctx.reply.ok();
    Ok(())
}

fn policy(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    namespaces(ctx)?;
    let (name, policy) = (checked_name(ctx)?, policy_named(&ctx.args[3]));
    let policy = policy.ok_or(Error::text(
        "the policy is one of inherit, none, lfu or lru, mfu or mru, ear or expire_after_read",
    ))?;
    change(ctx, |quotas| {
        quotas.entry(name).or_default().policy = Some(policy);
    })?;
    ctx.reply.ok();
    Ok(())
}

/// Changes the entries as CONFIG SET does, so that CONFIG REWRITE keeps them; in an embedded store
/// directly.
fn change(ctx: &Ctx<'_>, change: impl FnOnce(&mut QuotaMap)) -> Result<(), Error> {
    let quotas = &ctx.engine.settings.namespace_quotas;
    let mut all = quotas.all();
    change(&mut all);
    let text = write_quotas(&all);
    let set = ctx
        .engine
        .host
        .config_set(&[(b"namespace-quotas", text.as_bytes())], true);
    match set {
        Err(error) if error == crate::host::NOT_A_SERVER => {
            quotas.replace(all);
            ctx.engine.tell_limits();
        }
        set => set?,
    }
    Ok(())
}

fn choose(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    namespaces(ctx)?;
    // A client takes the slot from the name that it sends.
    if ctx.session.node().is_some() {
        let text = "NAMESPACE USE is not allowed in cluster mode";
        return Err(Error::text(text));
    }
    // The place before is free for who comes next, also for this client.
    ctx.session.namespace = None;
    if ctx.args.len() > 2 {
        let name = checked_name(ctx)?;
        let quotas = &ctx.engine.settings.namespace_quotas;
        let seat = quotas.take_seat(&name).ok_or_else(|| {
            let clients = quotas
                .get(&name)
                .map_or(0, |quota| quota.clients)
                .to_string();
            let text = [
                b"namespace '".as_slice(),
                &name,
                b"' has its quota of ",
                clients.as_bytes(),
                b" clients",
            ];
            Error::Coded("QUOTA", crate::error::ErrorText::quoting(&text))
        })?;
        ctx.session.namespace = Some(seat);
    }
    ctx.reply.ok();
    Ok(())
}

/// The name of a namespace at the usual place.
fn checked_name(ctx: &Ctx<'_>) -> Result<Vec<u8>, Error> {
    let name: &[u8] = &ctx.args[2];
    if name.contains(&b'/') {
        return Err(Error::text("the name of a namespace has no '/'"));
    }
    Ok(name.to_vec())
}
