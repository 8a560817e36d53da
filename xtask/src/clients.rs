//! `cargo x clients`: the libraries that Redis' users have, unmodified, in a session with kvik.
//!
//! The sessions are `tests/clients/*`, written in the libraries' own languages; they also hold
//! against Redis itself. Those in Rust, of kevy's users and of redis-rs', are the programs of
//! `tests/peers`, a workspace of its own. pip, npm and cargo fetch the libraries into the target
//! folder. What a machine cannot fetch is skipped with a line that says so; a session that fails is
//! an error.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::cargo;
use crate::server::Server;

const NODE_SESSIONS: &[&str] = &["node_redis.mjs", "ioredis.mjs"];
/// Sessions with the nodes of a cluster.
const NODE_CLUSTER_SESSIONS: &[&str] = &["node_redis_cluster.mjs", "ioredis_cluster.mjs"];
const RUST_SESSIONS: &[&str] = &["kevy_connection", "kevy_transaction", "kevy_subscriber"];
const RUST_CLUSTER_SESSIONS: &[&str] = &["kevy_cluster"];
/// With a library that takes long to build.
const REDIS_RS_SESSION: &str = "redis_cluster";
const RUST_MANIFEST: &str = "tests/peers/Cargo.toml";
/// Nodes of the cluster that they find.
const NODES: u16 = 2;

/// Runs every session that this machine can run; that of redis-rs if all are wanted.
pub(crate) fn run(all: bool) -> anyhow::Result<()> {
    // The whole workspace chooses the features, as for the tests, so that nothing is built twice.
    cargo::cargo(&["build", "--workspace", "--bin", "kvik"])?;
    let target = cargo::target_dir()?;
    let program = target.join("debug").join("kvik");
    let server = Server::start("kvik", &program, &[])?;
    let port = server.address().port().to_string();
    let (base, threads) = (free_ports()?.to_string(), NODES.to_string());
    let nodes = [
        "--cluster",
        "--threads",
        &threads,
        "--cluster-port-base",
        &base,
    ];
    let _cluster = Server::start("kvik with nodes", &program, &nodes)?;
    let sessions = cargo::root().join("tests/clients");
    let folder = target.join("clients");
    fs::create_dir_all(&folder)?;
    match fetch_python(&folder) {
        Ok(python) => {
            for (session, port) in [("redis_py.py", &port), ("redis_py_cluster.py", &base)] {
                call(Command::new(&python).arg(sessions.join(session)).arg(port))?;
            }
        }
        Err(error) => println!("skipped: redis-py: {error:#}"),
    }
    match fetch_rust() {
        Ok(()) => {
            let programs = build_rust(&folder, all)?;
            for (names, port) in [(RUST_SESSIONS, &port), (RUST_CLUSTER_SESSIONS, &base)] {
                for session in names {
                    call(Command::new(programs.join(session)).arg(port))?;
                }
            }
            if all {
                call(Command::new(programs.join(REDIS_RS_SESSION)).arg(&base))?;
            }
        }
        Err(error) => println!("skipped: kevy-client and redis-rs: {error:#}"),
    }
    if let Err(error) = fetch_node(&folder) {
        println!("skipped: node-redis and ioredis: {error:#}");
        return Ok(());
    }
    for (names, port) in [(NODE_SESSIONS, &port), (NODE_CLUSTER_SESSIONS, &base)] {
        for session in names {
            // Node looks for libraries beside the script.
            fs::copy(sessions.join(session), folder.join(session))?;
            call(Command::new("node").arg(folder.join(session)).arg(port))?;
        }
    }
    Ok(())
}

/// The first of as many free ports in a row as there are nodes.
fn free_ports() -> anyhow::Result<u16> {
    loop {
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = first.local_addr()?.port();
        let is_free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if (1..NODES).all(|nth| port.checked_add(nth).is_some_and(is_free)) {
            return Ok(port);
        }
    }
}

/// Fetches redis-py; returns the Python that has it.
fn fetch_python(folder: &Path) -> anyhow::Result<PathBuf> {
    let environment = folder.join("python");
    let python = environment.join("bin").join("python");
    call(
        Command::new("python3")
            .args(["-m", "venv"])
            .arg(&environment),
    )?;
    call(Command::new(&python).args(["-m", "pip", "install", "--quiet", "redis"]))?;
    Ok(python)
}

/// Fetches kevy-client and redis-rs.
fn fetch_rust() -> anyhow::Result<()> {
    cargo::cargo(&[
        "fetch",
        "--locked",
        "--quiet",
        "--manifest-path",
        RUST_MANIFEST,
    ])
}

/// Builds the sessions in Rust; returns where they are.
fn build_rust(folder: &Path, all: bool) -> anyhow::Result<PathBuf> {
    let target = folder.join("peers");
    let target = target.to_str().context("the target's path is text")?;
    let place = ["--manifest-path", RUST_MANIFEST, "--target-dir", target];
    let features: &[&str] = if all { &["--all-features"] } else { &[] };
    let build = &["build", "--locked", "--quiet"][..];
    cargo::cargo(&[build, features, &place[..]].concat())?;
    Ok(folder.join("peers/debug"))
}

fn fetch_node(folder: &Path) -> anyhow::Result<()> {
    let quiet = ["--silent", "--no-fund", "--no-audit"];
    call(
        Command::new("npm")
            .arg("install")
            .args(quiet)
            .args(["redis", "ioredis"])
            .current_dir(folder),
    )
}

fn call(command: &mut Command) -> anyhow::Result<()> {
    let program = Path::new(command.get_program());
    let words = command.get_args().map(Path::new);
    let names = [program].into_iter().chain(words);
    let line: Vec<_> = names
        .map(|word| word.file_name().unwrap_or(word.as_os_str()))
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let line = line.join(" ");
    let status = command.status().with_context(|| line.clone())?;
    ensure!(status.success(), "{line} failed");
    println!("ok: {line}");
    Ok(())
}
