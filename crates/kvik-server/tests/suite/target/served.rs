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
    served_with(io, threads, &[])
}

/// The same with more settings.
pub(crate) fn served_with(
    io: &str,
    threads: usize,
    settings: &[&str],
) -> Result<SocketTarget, String> {
    let server = start(io, threads, settings)?;
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

/// An empty directory for the server on a port.
fn data_dir(port: &str) -> Result<String, String> {
    let dir = format!("{}/data-{port}", env!("CARGO_TARGET_TMPDIR"));
    // One that an earlier run has left.
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).map_err(|error| error.to_string())?;
    Ok(dir)
}

/// The same server for itself, with more settings.
pub(crate) fn start(io: &str, threads: usize, settings: &[&str]) -> Result<Server, String> {
    let (port, threads) = (free_port()?.to_string(), threads.to_string());
    let place = ["--port", &port, "--bind", "127.0.0.1"];
    let crew = ["--io", io, "--threads", &threads];
    let open = ["--save", "", "--enable-debug-command", "local"];
    let dir = data_dir(&port)?;
    let files = ["--dir", &dir];
    let args = [&place[..], &crew, &open, &files, settings].concat();
    let args: Vec<OsString> = args.into_iter().map(OsString::from).collect();
    let loaded =
        config::load(&args, [], &mut std::io::empty()).map_err(|error| error.to_string())?;
    Server::start(Arc::new(loaded.config)).map_err(|error| error.to_string())
}
