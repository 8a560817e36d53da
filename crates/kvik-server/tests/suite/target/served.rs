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
    let server = start(io, threads, &[])?;
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

/// The same server for itself, with more settings.
pub(crate) fn start(io: &str, threads: usize, settings: &[&str]) -> Result<Server, String> {
    let (port, threads) = (free_port()?.to_string(), threads.to_string());
    let place = ["--port", &port, "--bind", "127.0.0.1"];
    let crew = ["--io", io, "--threads", &threads];
    let open = ["--save", "", "--enable-debug-command", "local"];
    let args = [&place[..], &crew, &open, settings].concat();
    let args: Vec<OsString> = args.into_iter().map(OsString::from).collect();
    let loaded =
        config::load(&args, [], &mut std::io::empty()).map_err(|error| error.to_string())?;
    Server::start(Arc::new(loaded.config)).map_err(|error| error.to_string())
}
