//! NAMESPACE: the namespaces of a database, their quotas, and working inside one.

use std::sync::Arc;

use kvik_store::{DEFAULT_NAMESPACE, Namespace, Namespaces};

use crate::declare::{Category, Command, Group, Locking, Row};
use crate::namespace_quotas::{Quota, QuotaMap, policy_name, policy_named, write_quotas};
use crate::{Ctx, Error};

/// Keys that DROP deletes in a second.
const DROP_RATE: u64 = 100_000;

/// The figures that are quotas, in the order of [`Quota::limits`].
const QUOTAS: [&str; 4] = ["quota-bytes", "quota-keys", "quota-ops", "quota-clients"];
/// Namespaces that STATS describes before others have their turn.
const STATS_SLICE: usize = 256;

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

/// A namespace, by its figures or its name.
enum Listed {
    WithKeys(Arc<Namespace>),
    /// One that stays without keys.
    Empty(Vec<u8>),
}

impl Listed {
    fn name(&self) -> &[u8] {
        match self {
            Self::WithKeys(namespace) => namespace.name(),
            Self::Empty(name) => name,
        }
    }
}

/// The namespaces of the database by name: those with keys, and those that stay without.
fn all(ctx: &Ctx<'_>) -> Result<Vec<Listed>, Error> {
    let there = namespaces(ctx)?.all(ctx.keys.keyspace());
    let mut all: Vec<_> = there.into_iter().map(Listed::WithKeys).collect();
    let kept = ctx.engine.settings.namespace_quotas.all();
    let is_there = |name: &Vec<u8>| all.binary_search_by(|it| it.name().cmp(name)).is_ok();
    let empty: Vec<_> = kept.into_keys().filter(|name| !is_there(name)).collect();
    if !empty.is_empty() {
        all.extend(empty.into_iter().map(Listed::Empty));
        all.sort_by(|a, b| a.name().cmp(b.name()));
    }
    Ok(all)
}

fn list(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let all = all(ctx)?;
    ctx.reply.array(all.len());
    all.iter().for_each(|it| ctx.reply.bulk(it.name()));
    Ok(())
}

fn info(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let name = &ctx.args[2];
    let found = namespaces(ctx)?.find(ctx.keys.keyspace(), name);
    let listed = match found.filter(|it| it.keys() > 0) {
        Some(namespace) => Listed::WithKeys(namespace),
        None if ctx.engine.settings.namespace_quotas.get(name).is_some() => {
            Listed::Empty(name.to_vec())
        }
        None => return Err(Error::text("no such namespace")),
    };
    describe(ctx, &listed);
    Ok(())
}

fn stats(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let all = all(ctx)?;
    ctx.reply.array(all.len());
    for slice in all.chunks(STATS_SLICE) {
        slice.iter().for_each(|listed| describe(ctx, listed));
        ctx.breathe()?;
    }
    Ok(())
}

fn describe(ctx: &mut Ctx<'_>, listed: &Listed) {
    let there = match listed {
        Listed::WithKeys(namespace) => Some(&**namespace),
        Listed::Empty(_) => None,
    };
    let name = listed.name();
    let quotas = &ctx.engine.settings.namespace_quotas;
    let figures = [
        ("keys", there.map_or(0, Namespace::keys)),
        ("expires", there.map_or(0, Namespace::volatile)),
        ("bytes", there.map_or(0, Namespace::bytes)),
        ("payload", there.map_or(0, Namespace::payload)),
        ("evicted", there.map_or(0, Namespace::evicted)),
        ("swept", there.map_or(0, Namespace::swept)),
        ("clients", quotas.clients(name)),
    ];
    let limits = quotas.get(name).unwrap_or_default().limits();
    let limits = QUOTAS.into_iter().zip(limits.map(|(_, limit)| limit));
    let namespaces = ctx.engine.namespaces.as_deref();
    let policy = namespaces.map_or_else(Default::default, |all| all.policy_of(name));
    ctx.reply.map(figures.len() + QUOTAS.len() + 2);
    ctx.reply.bulk_str("name");
    ctx.reply.bulk(name);
    for (name, figure) in figures.into_iter().chain(limits) {
        ctx.reply.bulk_str(name);
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
