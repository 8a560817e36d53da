//! kvik's own server, started inside this process.

use std::ffi::OsString;
use std::sync::Arc;

use kvik_server::{Server, config};

use super::Product;
use super::socket::{SocketTarget, free_port};

/// Checks servers with so many threads on each backend that this machine has.
pub(crate) fn on_both_backends(threads: &[usize], check: impl Fn(&SocketTarget)) {
    for io in ["mio", "uring"] {
        for &threads in threads {
            match served(io, threads) {
                Ok(server) => check(&server),
                Err(error) => println!("no server on {io}: {error}"),
            }
        }
    }
}

/// A server on one of the I/O backends, or why there is none.
pub(crate) fn served(io: &str, threads: usize) -> Result<SocketTarget, String> {
    let (port, threads) = (free_port()?.to_string(), threads.to_string());
    let args = [
        "--port",
        &port,
        "--bind",
        "127.0.0.1",
        "--io",
        io,
        "--threads",
        &threads,
    ];
    let args = args
        .iter()
        .chain(&["--save", "", "--enable-debug-command", "local"]);
    let args: Vec<OsString> = args.map(OsString::from).collect();
    let loaded =
        config::load(&args, [], &mut std::io::empty()).map_err(|error| error.to_string())?;
    let server = Server::start(Arc::new(loaded.config)).map_err(|error| error.to_string())?;
    let port = server
        .addresses()
        .first()
        .ok_or("it listens nowhere")?
        .port();
    let version = env!("CARGO_PKG_VERSION").parse()?;
    let variant = format!(" on {io} with {threads} threads");
    Ok(SocketTarget::new(
        port,
        server,
        Product::Kvik,
        version,
        &variant,
    ))
}
