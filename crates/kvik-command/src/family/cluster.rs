//! CLUSTER and what else concerns the nodes of a cluster, each of which is a port of this process.
//!
//! The nodes and their slots are those of the [topology](crate::cluster); without one everything
//! here is refused, as Redis does outside its cluster mode. The main port, which is no node, tells
//! of them as the first node does.

mod scan;
mod slot_stats;

use std::fmt::Write;

use kvik_store::SLOTS;

use super::command::help;
use crate::cluster::{SlotRange, Topology};
use crate::declare::{Begin, Category, Command, Find, Group, KeyFlags, KeySpec, Locking, Row};
use crate::{Ctx, Error, Handler, SLICE};

const DISABLED: Error = Error::text("This instance has cluster support disabled");

/// The rows of this family.
pub(super) fn rows() -> Vec<Row> {
    let mut rows = vec![
        Command::container("CLUSTER")
            .group(Group::Cluster)
            .since("3.0.0")
            .complexity("Depends on subcommand.")
            .about("Commands about the nodes of a cluster."),
    ];
    rows.extend(about_nodes());
    rows.extend(about_slots());
    rows.push(help("CLUSTER HELP").since("5.0.0"));
    rows.extend(of_connections());
    rows.push(cluster_scan());
    rows
}

fn command(name: &'static str, syntax: &'static str, handler: Handler) -> Row {
    Command::new(name, syntax, handler)
        .group(Group::Cluster)
        .stale()
        .since("3.0.0")
        .complexity("O(1)")
}

const UNSTABLE: &[&str] = &["nondeterministic_output"];
const PER_NODE: &str = "O(N) where N is the total number of cluster nodes";

fn about_nodes() -> Vec<Row> {
    vec![
        command("CLUSTER INFO", "", info)
            .loading()
            .tips(UNSTABLE)
            .about("Returns figures about the cluster."),
        command("CLUSTER MYID", "", myid)
            .loading()
            .about("Returns the id of this node."),
        command("CLUSTER MYSHARDID", "", myid)
            .loading()
            .since("7.2.0")
            .tips(UNSTABLE)
            .about("Returns the id of this node's shard, which is that of the node."),
        command("CLUSTER NODES", "", nodes)
            .loading()
            .complexity(PER_NODE)
            .tips(UNSTABLE)
            .about("Describes the nodes, a line each."),
        command("CLUSTER SHARDS", "", shards)
            .loading()
            .since("7.0.0")
            .complexity(PER_NODE)
            .tips(UNSTABLE)
            .about("Returns slots and nodes of each shard."),
        command("CLUSTER SLOTS", "", slots)
            .loading()
            .complexity(PER_NODE)
            .changed("4.0.0", "Added node IDs.")
            .changed("7.0.0", "Added additional networking metadata field.")
            .tips(UNSTABLE)
            .about("Returns which node has which slots."),
        command("CLUSTER LINKS", "", links)
            .since("7.0.0")
            .complexity(PER_NODE)
            .tips(UNSTABLE)
            .about("Returns the links between nodes, of which there are none."),
        command("CLUSTER REPLICAS", "node-id", replicas)
            .admin()
            .since("5.0.0")
            .complexity(PER_NODE)
            .tips(UNSTABLE)
            .about("Returns the replicas of a node, of which there are none."),
        command("CLUSTER SLAVES", "node-id", replicas)
            .admin()
            .complexity(PER_NODE)
            .tips(UNSTABLE)
            .deprecated("5.0.0", "`CLUSTER REPLICAS`")
            .about("Returns the replicas of a node, of which there are none."),
        command("CLUSTER COUNT-FAILURE-REPORTS", "node-id", failure_reports)
            .admin()
            .complexity("O(N) where N is the number of failure reports")
            .tips(UNSTABLE)
            .about("Returns how many nodes report that a node has failed: none ever does."),
    ]
}

fn about_slots() -> Vec<Row> {
    vec![
        command("CLUSTER KEYSLOT", "key:string", keyslot)
            .complexity("O(N) where N is the number of bytes in the key")
            .about("Returns the slot of a key."),
        command("CLUSTER COUNTKEYSINSLOT", "slot", count_keys)
            .locks(Locking::InTurn)
            .about("Returns how many keys a slot has."),
        command("CLUSTER GETKEYSINSLOT", "slot count", get_keys)
            .locks(Locking::InTurn)
            .complexity("O(N) where N is the number of keys in the stripe of the slot")
            .tips(UNSTABLE)
            .about("Returns some keys of a slot."),
        slot_stats::row(),
    ]
}

/// A cursor lies where the slot of its tag does.
const CURSOR: &[KeySpec] = &[KeySpec {
    flags: KeyFlags::NOT_KEY,
    begin: Begin::Index(1),
    find: Find::Range {
        last: 0,
        step: 1,
        limit: 0,
    },
    notes: "",
}];

fn cluster_scan() -> Row {
    Command::new(
        "CLUSTERSCAN",
        "cursor:string [MATCH pattern:match-pattern] [COUNT count] [TYPE type] [SLOT slot:integer]",
        scan::cluster_scan,
    )
    .group(Group::Cluster)
    .readonly()
    .key_specs(CURSOR)
    .locks(Locking::InTurn)
    .also(Category::KEYSPACE)
    .since("9.1.0")
    .complexity("O(N) where N is the number of elements returned.")
    .tips(&[
        "nondeterministic_output",
        "request_policy:special",
        "response_policy:special",
    ])
    .about("Returns the keys of all slots page by page, each page of one node.")
}

fn of_connections() -> Vec<Row> {
    let command = |name, handler: Handler| {
        Command::new(name, "", handler)
            .group(Group::Cluster)
            .fast()
            .also(Category::CONNECTION)
            .since("3.0.0")
            .complexity("O(1)")
    };
    vec![
        command("ASKING", agree)
            .about("Lets the next command use a slot that is being imported, which none is."),
        command("READONLY", agree)
            .loading()
            .stale()
            .about("Allows reads on a replica; there is none."),
        command("READWRITE", agree)
            .loading()
            .stale()
            .about("Ends what READONLY allows."),
    ]
}

fn topology<'a>(ctx: &Ctx<'a>) -> Result<&'a Topology, Error> {
    ctx.engine.cluster().ok_or(DISABLED)
}

/// The number of the node that answers.
fn own_index(ctx: &Ctx<'_>) -> usize {
    ctx.session.node().map_or(0, |node| node.index.into())
}

fn agree(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    topology(ctx)?;
    ctx.reply.ok();
    Ok(())
}

fn info(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let nodes = topology(ctx)?.len();
    let epoch = own_index(ctx) + 1;
    let text = format!(
        "cluster_state:ok\r\n\
         cluster_slots_assigned:{SLOTS}\r\n\
         cluster_slots_ok:{SLOTS}\r\n\
         cluster_slots_pfail:0\r\n\
         cluster_slots_fail:0\r\n\
         cluster_known_nodes:{nodes}\r\n\
         cluster_size:{nodes}\r\n\
         cluster_current_epoch:{nodes}\r\n\
         cluster_my_epoch:{epoch}\r\n\
         cluster_stats_messages_sent:0\r\n\
         cluster_stats_messages_received:0\r\n\
         total_cluster_links_buffer_limit_exceeded:0\r\n"
    );
    ctx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

fn myid(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    topology(ctx)?;
    ctx.reply.bulk_str(&Topology::id_of(own_index(ctx)));
    Ok(())
}

fn nodes(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let topology = topology(ctx)?;
    let (host, own) = (ctx.engine.cluster_host(&ctx.session.client), own_index(ctx));
    let mut text = String::new();
    for index in 0..topology.len() {
        let SlotRange { first, last } = topology.slots_of(index);
        let myself = if index == own { "myself," } else { "" };
        // Port 0 of the bus: the nodes have nothing to tell one another.
        let _ = writeln!(
            text,
            "{} {host}:{}@0 {myself}master - 0 0 {} connected {first}-{last}",
            Topology::id_of(index),
            topology.port_of(index),
            index + 1,
        );
    }
    ctx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

fn slots(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let topology = topology(ctx)?;
    let host = ctx.engine.cluster_host(&ctx.session.client);
    let reply = &mut ctx.reply;
    reply.array(topology.len());
    for index in 0..topology.len() {
        let SlotRange { first, last } = topology.slots_of(index);
        reply.array(3);
        reply.integer(first.into());
        reply.integer(last.into());
        reply.array(4);
        reply.bulk_str(&host);
        reply.integer(topology.port_of(index).into());
        reply.bulk_str(&Topology::id_of(index));
        reply.map(0);
    }
    Ok(())
}

fn shards(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let topology = topology(ctx)?;
    let host = ctx.engine.cluster_host(&ctx.session.client);
    let reply = &mut ctx.reply;
    reply.array(topology.len());
    for index in 0..topology.len() {
        let SlotRange { first, last } = topology.slots_of(index);
        reply.map(2);
        reply.bulk_str("slots");
        reply.array(2);
        reply.integer(first.into());
        reply.integer(last.into());
        reply.bulk_str("nodes");
        reply.array(1);
        reply.map(7);
        reply.bulk_str("id");
        reply.bulk_str(&Topology::id_of(index));
        reply.bulk_str("port");
        reply.integer(topology.port_of(index).into());
        for (name, value) in [("ip", &*host), ("endpoint", &host), ("role", "master")] {
            reply.bulk_str(name);
            reply.bulk_str(value);
        }
        reply.bulk_str("replication-offset");
        reply.integer(0);
        reply.bulk_str("health");
        reply.bulk_str("online");
    }
    Ok(())
}

fn links(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    topology(ctx)?;
    ctx.reply.array(0);
    Ok(())
}

/// Checks that the third word is the id of a node.
fn known_node(ctx: &Ctx<'_>) -> Result<(), Error> {
    let id = &ctx.args[2];
    match topology(ctx)?.named(id) {
        Some(_) => Ok(()),
        None => Err(Error::quoting(&[b"Unknown node ", id])),
    }
}

fn replicas(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    known_node(ctx)?;
    ctx.reply.array(0);
    Ok(())
}

fn failure_reports(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    known_node(ctx)?;
    ctx.reply.integer(0);
    Ok(())
}

fn keyslot(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    topology(ctx)?;
    ctx.reply.integer(kvik_store::key_slot(&ctx.args[2]).into());
    Ok(())
}

/// The slot with this number, if there is one.
fn slot(number: i64) -> Option<u16> {
    u16::try_from(number).ok().filter(|&slot| slot < SLOTS)
}

fn count_keys(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    topology(ctx)?;
    let slot = slot(ctx.int(2)?).ok_or(Error::text("Invalid slot"))?;
    let count = ctx.keys.slot_len(slot);
    ctx.reply.integer(count as i64);
    Ok(())
}

fn get_keys(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    topology(ctx)?;
    let (slot, count) = (slot(ctx.int(2)?), usize::try_from(ctx.int(3)?));
    let (Some(slot), Ok(count)) = (slot, count) else {
        return Err(Error::text("Invalid slot or number of keys"));
    };
    let is_empty = count == 0 || ctx.keys.slot_len(slot) == 0;
    if !is_empty {
        let passed = ctx.keys.keys_beside_slot(slot);
        ctx.weigh(passed)?;
    }
    let all = ctx.reply.deferred_array();
    let (mut found, mut next) = (0, Some(0).filter(|_| !is_empty));
    // That as many were found as the slot has says nothing once others had the stripe.
    while let Some(cursor) = next.filter(|_| found < count) {
        if cursor != 0 {
            ctx.breathe()?;
        }
        let reply = &mut ctx.reply;
        next = ctx.keys.scan_slot(slot, cursor, SLICE, |view| {
            if found < count {
                reply.bulk(view.key());
                found += 1;
            }
        });
    }
    ctx.reply.finish_array(all, found);
    Ok(())
}

/// Refuses what a client may not select at the port of a node.
pub(super) fn check_database(ctx: &Ctx<'_>, database: u32) -> Result<(), Error> {
    if database != 0 && ctx.session.node().is_some() {
        return Err(Error::text("SELECT is not allowed in cluster mode"));
    }
    Ok(())
}
